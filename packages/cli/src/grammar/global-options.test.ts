import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { clientPair, serverPair, temporaryDirectory, testAuthority } from "@fathom/base/testing";
import { Client } from "@fathom/client";
import { writeContext } from "../config/contexts.ts";
import type { GlobalOptions } from "./command.ts";
import { parseFlags } from "./flags.ts";
import { globalFlags, globalOptions } from "./global-options.ts";

let directory: ReturnType<typeof temporaryDirectory>;
let server: Server;
let host: string;

beforeAll(async () => {
  directory = temporaryDirectory("cli-global");
  server = createServer(
    {
      cert: serverPair.certificate,
      key: serverPair.key,
      ca: testAuthority,
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      const socket = request.socket as TLSSocket;
      response.end(JSON.stringify({ known: socket.authorized }));
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  host = `tcp://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
});

afterAll(() => {
  server.close();
  directory[Symbol.dispose]();
});

function options(words: readonly string[], variables: Record<string, string> = {}): Promise<GlobalOptions> {
  return globalOptions(parseFlags(globalFlags, words, { stopAtArgument: true }), {
    HOME: directory.path,
    ...variables,
  });
}

async function ask(global: GlobalOptions): Promise<object> {
  const client = new Client(global.address());
  try {
    return await client.json("GET", "/");
  } finally {
    client.close();
  }
}

test("which daemon: --host, --context, the variables, the context in use, the default", async () => {
  const config = join(directory.path, ".docker");
  mkdirSync(config, { recursive: true });
  for (const name of ["one", "two"])
    writeContext(config, { Name: name, Metadata: {}, Endpoints: { docker: { Host: `unix:///${name}` } } }, {});
  const hostOf = async (words: readonly string[], variables?: Record<string, string>): Promise<string> =>
    (await options(words, variables)).address().host;
  expect(await hostOf([])).toBe("unix:///run/fathom/fathom.sock");
  expect((await options([])).hostIsExplicit).toBe(false);
  writeFileSync(join(config, "config.json"), '{"currentContext":"one"}');
  expect(await hostOf([])).toBe("unix:///one");
  expect(await hostOf([], { DOCKER_CONTEXT: "two" })).toBe("unix:///two");
  expect(await hostOf([], { DOCKER_CONTEXT: "two", DOCKER_HOST: "unix:///d" })).toBe("unix:///d");
  expect(await hostOf([], { FATHOM_HOST: "unix:///f", DOCKER_HOST: "unix:///d" })).toBe("unix:///f");
  expect(await hostOf(["-c", "two"], { DOCKER_HOST: "unix:///d" })).toBe("unix:///two");
  expect(await hostOf(["-c", "default"], { DOCKER_HOST: "unix:///d" })).toBe("unix:///d");
  expect(await hostOf(["-H", "unix:///h"], { DOCKER_HOST: "unix:///d" })).toBe("unix:///h");
  const lost = await options(["-c", "lost"]);
  expect(lost.context).toBe("lost");
  expect(lost.address).toThrow(
    'Failed to initialize: unable to resolve docker endpoint: context "lost": context not found',
  );
  writeFileSync(join(config, "config.json"), "{broken");
  expect(await hostOf([])).toBe("unix:///run/fathom/fathom.sock");
});

test("TLS: with files of flags and of the folder, by a context, and not without them", async () => {
  const folder = join(directory.path, "certificates");
  mkdirSync(folder);
  writeFileSync(join(folder, "ca.pem"), testAuthority);
  writeFileSync(join(folder, "cert.pem"), clientPair.certificate);
  writeFileSync(join(folder, "key.pem"), clientPair.key);
  const at = ["-H", host];
  expect(await ask(await options([...at, "--tlsverify"], { DOCKER_CERT_PATH: folder }))).toEqual({ known: true });
  expect(await ask(await options(at, { DOCKER_CERT_PATH: folder, DOCKER_TLS_VERIFY: "1" }))).toEqual({ known: true });
  const flags = ["--tlscacert", "ca.pem", "--tlscert", "cert.pem", "--tlskey", "key.pem"].map((word) =>
    word.endsWith(".pem") ? join(folder, word) : word,
  );
  expect(await ask(await options([...at, "--tlsverify", ...flags]))).toEqual({ known: true });
  // Without an own certificate the daemon does not know the client; without --tlsverify any daemon is accepted.
  expect(await ask(await options([...at, "--tls"]))).toEqual({ known: false });
  const wrong = await options([...at, "--tlsverify"], { DOCKER_CERT_PATH: directory.path });
  expect(wrong.address).toThrow(`open ${join(directory.path, "ca.pem")}: no such file or directory`);
  writeFileSync(join(directory.path, "ca.pem"), clientPair.certificate);
  await expect(ask(wrong)).rejects.toThrow(
    /cannot connect to the fathom daemon at tcp:.*: (?!is it running).*certificate/,
  );

  const bytes = (text: string): Buffer => Buffer.from(text);
  const tls = { ca: bytes(testAuthority), cert: bytes(clientPair.certificate), key: bytes(clientPair.key) };
  const endpoint = { docker: { Host: host, SkipTLSVerify: false } };
  const config = join(directory.path, "other");
  writeContext(config, { Name: "far", Metadata: {}, Endpoints: endpoint }, tls);
  expect(await ask(await options(["--config", config, "-c", "far"]))).toEqual({ known: true });
  writeContext(config, { Name: "bare", Metadata: {}, Endpoints: endpoint }, {});
  await expect(ask(await options(["--config", config, "-c", "bare"]))).rejects.toThrow();
});

test("wrong flags are refused in docker's words", async () => {
  await expect(options(["-c", "a", "-H", "unix:///b"])).rejects.toThrow(
    "conflicting options: cannot specify both --host and --context",
  );
  await expect(options(["-l", "loud"])).rejects.toThrow("Unable to parse logging level: loud");
  expect((await options(["-l", "debug"])).debug).toBe(true);
});
