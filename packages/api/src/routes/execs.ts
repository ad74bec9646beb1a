/** Endpoints of execs. */
import type { ExecBackend } from "@fathom/engine";
import { EngineError } from "@fathom/base";
import { endUpgraded, type Upgraded } from "@fathom/http";
import { decodeExecCreate, decodeExecStart } from "@fathom/spec";
import { headWasRead, join, takeOver, type StreamSys } from "../hijack/hijack.ts";
import { optionalJson, type ApiRequest, type Handler } from "../request/request.ts";
import type { Router } from "../request/router.ts";

async function create(backend: ExecBackend, request: ApiRequest): Promise<void> {
  const { name, response, version } = request;
  const body = decodeExecCreate(await optionalJson(request));
  if (body.Cmd === null || body.Cmd.length === 0)
    throw new EngineError("invalid-argument", "No exec command specified");
  const { ConsoleSize: size, ...rest } = body;
  response.json(201, await backend.create(name, size && version >= 42 ? body : rest));
}

async function start(backend: ExecBackend, request: ApiRequest, sys: StreamSys | undefined): Promise<void> {
  const { exchange, name, response, version } = request;
  exchange.expectHijack();
  const body = decodeExecStart(await optionalJson(request));
  const consoleSize = body.Tty && version >= 42 ? (body.ConsoleSize ?? undefined) : undefined;
  const { Detach: detach, Tty: raw } = body;
  if (detach) {
    await backend.start(name, { detach, consoleSize }, exchange.signal);
    return response.empty(200);
  }
  let connection: Upgraded | undefined;
  // Before the process starts, as in Docker: a client that reads the head sees no output after it.
  const accepted = (): void => void (connection = takeOver(request, raw));
  try {
    const attachment = await backend.start(name, { detach, consoleSize, accepted }, exchange.signal);
    const taken = connection ?? takeOver(request, raw);
    await headWasRead(taken.socket, sys, exchange.signal);
    if (attachment === undefined) endUpgraded(taken.socket);
    else await join(taken, attachment, true, exchange.signal, raw);
  } catch (error) {
    if (connection === undefined) throw error;
    request.logger.debug("exec start failed after its answer", { error });
    endUpgraded(connection.socket);
  }
}

async function inspect(backend: ExecBackend, { name, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.inspect(name));
}

async function resize(backend: ExecBackend, { name, query, response }: ApiRequest): Promise<void> {
  await backend.resize(name, query.cells("h"), query.cells("w"));
  response.empty(200);
}

/** @param sys Without it, output follows the head of the answer at once. */
export function addExecRoutes(router: Router<Handler>, execs: ExecBackend, sys?: StreamSys): void {
  router.add("POST", "/containers/*/exec", (request) => create(execs, request));
  router.add("POST", "/exec/*/start", (request) => start(execs, request, sys));
  router.add("POST", "/exec/*/resize", (request) => resize(execs, request));
  router.add("GET", "/exec/*/json", (request) => inspect(execs, request));
}
