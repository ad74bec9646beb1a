import { afterEach, beforeEach, expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { temporaryDirectory } from "@fathom/base/testing";
import { Client } from "@fathom/client";
import { runFlags } from "../commands/run-flags.ts";
import type { CommandContext } from "../grammar/command.ts";
import { parseFlags } from "../grammar/flags.ts";
import { createContainer } from "./create-container.ts";

/** Answers of a daemon to "create", one after another; a pull always succeeds. */
let answers: (readonly [number, object])[];
let requests: string[];
let server: Server;
let directory: ReturnType<typeof temporaryDirectory>;
let client: Client;

beforeEach(async () => {
  directory = temporaryDirectory("cli-create");
  requests = [];
  server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    request.resume();
    const [status, body] = request.url!.startsWith("/images/create") ? [200, {}] : answers.shift()!;
    response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  });
  const path = join(directory.path, "s");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  client = new Client(`unix://${path}`);
});

afterEach(() => {
  client.close();
  server.close();
  directory[Symbol.dispose]();
});

async function create(...words: string[]): Promise<string> {
  const flags = parseFlags(runFlags, words, { stopAtArgument: true });
  let errors = "";
  const stderr = {
    isTerminal: false,
    columns: 80,
    write: (text: string | Uint8Array) => void (errors += String(text)),
  };
  const context: Partial<CommandContext> = {
    flags,
    args: flags.args,
    stderr,
    environment: {},
    global: {
      address: () => ({ host: "" }),
      context: "default",
      defaultHost: "",
      hostIsExplicit: true,
      configDirectory: directory.path,
      debug: false,
    },
  };
  await createContainer(client, context as CommandContext, true);
  return errors;
}

test("an image that the daemon does not find is pulled, whatever the error's words are", async () => {
  answers = [
    [404, { message: "nope" }],
    [201, { Id: "c1", Warnings: [] }],
  ];
  expect(await create("docker.io/library/app")).toStartWith("Unable to find image 'app:latest' locally\n");
  expect(requests).toEqual([
    "POST /containers/create",
    "POST /images/create?fromImage=app%3Alatest",
    "POST /containers/create",
  ]);
});

test("an id is not pulled; neither is an image when another error comes", async () => {
  const hex = "0123456789abcdef".repeat(4);
  for (const [image, status] of [
    [hex, 404],
    [`sha256:${hex}`, 404],
    ["app", 400],
  ] as const) {
    answers = [[status, { message: `No such image: ${image}` }]];
    await expect(create(image)).rejects.toThrow("No such image");
  }
  expect(requests).toEqual(Array.from({ length: 3 }, () => "POST /containers/create"));
});
