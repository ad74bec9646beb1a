/** Endpoints whose bytes come from a process or go to one: attach, logs, exec, archives. */
import { EngineError } from "@fathom/base";
import { decodeExecCreate, decodeExecStart } from "@fathom/spec/docker/decode/container";
import { join, serveAttach, streamType, takeOver } from "../hijack.ts";
import { optionalJson, streamBytes, type ApiRequest, type Handler } from "../request.ts";
import type { Router } from "../router.ts";

async function attach(request: ApiRequest): Promise<void> {
  const { backend, exchange, name, query } = request;
  exchange.expectHijack();
  const stdin = query.boolean("stdin");
  const result = await backend.containerAttach(
    name,
    {
      stdin,
      stdout: query.boolean("stdout"),
      stderr: query.boolean("stderr"),
      logs: query.boolean("logs"),
      stream: query.boolean("stream"),
      detachKeys: query.get("detachKeys"),
    },
    exchange.signal,
  );
  await serveAttach(request, result, stdin);
}

async function logs(request: ApiRequest): Promise<void> {
  const { backend, exchange, name, query, version } = request;
  const stdout = query.boolean("stdout");
  const stderr = query.boolean("stderr");
  if (!stdout && !stderr)
    throw new EngineError("invalid-argument", "must specify at least one of 'stdout' or 'stderr'");
  const until = query.get("until") === "0" ? undefined : query.timestamp("until", '"');
  const { tty, stream } = await backend.containerLogs(
    name,
    {
      stdout,
      stderr,
      follow: query.boolean("follow"),
      tail: tailOf(query.get("tail")),
      since: query.timestamp("since", '"'),
      until,
      timestamps: query.boolean("timestamps"),
      details: query.boolean("details"),
    },
    exchange.signal,
  );
  await streamBytes(request, stream, { contentType: streamType(version, tty), startAtOnce: true });
}

/** What is no number of lines means all of them, as in Docker. */
function tailOf(text: string | undefined): number | "all" {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : "all";
}

async function execCreate(request: ApiRequest): Promise<void> {
  const { backend, name, response, version } = request;
  const body = decodeExecCreate(await optionalJson(request));
  if (body.Cmd === null || body.Cmd.length === 0)
    throw new EngineError("invalid-argument", "No exec command specified");
  const { ConsoleSize: size, ...rest } = body;
  response.json(201, await backend.execCreate(name, size && version >= 42 ? body : rest));
}

async function execStart(request: ApiRequest): Promise<void> {
  const { backend, exchange, name, response, version } = request;
  exchange.expectHijack();
  const body = decodeExecStart(await optionalJson(request));
  const consoleSize = body.Tty && version >= 42 ? (body.ConsoleSize ?? undefined) : undefined;
  const attachment = await backend.execStart(
    name,
    { detach: body.Detach, tty: body.Tty, consoleSize, stdin: !body.Detach },
    exchange.signal,
  );
  if (body.Detach || attachment === undefined) return response.empty(200);
  await join(takeOver(request, body.Tty), attachment, true, exchange.signal);
}

async function execInspect({ backend, name, response }: ApiRequest): Promise<void> {
  response.json(200, await backend.execInspect(name));
}

async function execResize({ backend, name, query, response }: ApiRequest): Promise<void> {
  await backend.execResize(name, query.cells("h"), query.cells("w"));
  response.empty(200);
}

async function exportContainer(request: ApiRequest): Promise<void> {
  const stream = await request.backend.containerExport(request.name, request.exchange.signal);
  await streamBytes(request, stream, { contentType: "application/octet-stream", startAtOnce: false });
}

function pathOf({ query }: ApiRequest): string {
  const path = query.get("path");
  if (path === undefined) throw new EngineError("invalid-argument", "bad parameter: path cannot be empty");
  return path;
}

function statHeader(stat: object): string {
  return Buffer.from(JSON.stringify(stat)).toString("base64");
}

async function archiveHead(request: ApiRequest): Promise<void> {
  const { backend, exchange, name, response } = request;
  const stat = await backend.archiveStat(name, pathOf(request), exchange.signal);
  response.header("X-Docker-Container-Path-Stat", statHeader(stat));
  response.empty(200);
}

async function archiveGet(request: ApiRequest): Promise<void> {
  const { backend, exchange, name, response } = request;
  const { stat, tar } = await backend.archiveGet(name, pathOf(request), exchange.signal);
  response.header("X-Docker-Container-Path-Stat", statHeader(stat));
  await streamBytes(request, tar, { contentType: "application/x-tar", startAtOnce: false });
}

export function addStreamRoutes(router: Router<Handler>): void {
  router.add("POST", "/containers/*/attach", attach);
  router.add("GET", "/containers/*/logs", logs);
  router.add("GET", "/containers/*/export", exportContainer);
  router.add("HEAD", "/containers/*/archive", archiveHead);
  router.add("GET", "/containers/*/archive", archiveGet);
  router.add("POST", "/containers/*/exec", execCreate);
  router.add("POST", "/exec/*/start", execStart);
  router.add("POST", "/exec/*/resize", execResize);
  router.add("GET", "/exec/*/json", execInspect);
}
