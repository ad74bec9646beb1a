/** A server with the fake backend in a folder of its own. */
import { silentLogger } from "@fathom/base";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApiServer, ApiServerOptions } from "../contract.ts";
import { createApiServer } from "../server/server.ts";
import { FakeBackend } from "./fake/fake-backend.ts";
import { RawClient } from "./raw-client.ts";

export interface TestServer extends AsyncDisposable {
  readonly path: string;
  readonly server: ApiServer;
  readonly fake: FakeBackend;
  /** Names of requests when they began; "end …" when they ended. */
  readonly requests: string[];
  connect(): RawClient;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** POST with a JSON body. */
  post(path: string, body?: unknown): Promise<Response>;
}

export async function startTestServer(more: Partial<ApiServerOptions> = {}): Promise<TestServer> {
  const directory = await mkdtemp(join(tmpdir(), "fathom-api-"));
  const path = join(directory, "api.sock");
  const fake = new FakeBackend();
  const requests: string[] = [];
  const server = createApiServer({
    backend: fake.backend,
    logger: silentLogger,
    version: "0.0.0-test",
    onRequest: (name) => {
      requests.push(name);
      return () => requests.push(`end ${name}`);
    },
    debug: () => ({ requests }),
    ...more,
  });
  await server.listen({ path });
  const send = (target: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`http://d${target}`, { ...init, unix: path } as RequestInit);
  return {
    path,
    server,
    fake,
    requests,
    connect: () => new RawClient(path),
    fetch: send,
    post: (target, body) =>
      send(target, {
        method: "POST",
        ...(body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
      }),
    async [Symbol.asyncDispose]() {
      await server.close(200);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
