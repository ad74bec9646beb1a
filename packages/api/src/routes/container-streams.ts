/** Endpoints of a container whose answers are streams: attach, logs, archives. */
import type { ContainerBackend } from "@fathom/engine";
import { EngineError } from "@fathom/base";
import { serveAttach, streamType, type StreamSys } from "../hijack/hijack.ts";
import { dropBody, streamBytes, streamLines, type ApiRequest, type Handler } from "../request/request.ts";
import type { Router } from "../request/router.ts";

async function attach(backend: ContainerBackend, request: ApiRequest, sys: StreamSys | undefined): Promise<void> {
  const { exchange, name, query } = request;
  exchange.expectHijack();
  await dropBody(request);
  const stdin = query.boolean("stdin");
  const result = await backend.attach(
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
  await serveAttach(request, result, stdin, sys);
}

async function logs(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const { exchange, name, query, version } = request;
  const stdout = query.boolean("stdout");
  const stderr = query.boolean("stderr");
  if (!stdout && !stderr)
    throw new EngineError("invalid-argument", "must specify at least one of 'stdout' or 'stderr'");
  const until = query.get("until") === "0" ? undefined : query.timestamp("until", '"');
  const { tty, stream } = await backend.logs(
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

/** A value that is not a number of lines means all lines, as in Docker. */
function tailOf(text: string | undefined): number | "all" {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : "all";
}

async function exportContainer(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const stream = await backend.export(request.name, request.exchange.signal);
  await streamBytes(request, stream, { contentType: "application/octet-stream", startAtOnce: false });
}

async function stats(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const { exchange, name, query, version } = request;
  const stream = query.booleanOr("stream", true);
  const oneShot = version >= 41 && query.boolean("one-shot");
  if (stream && oneShot) throw new EngineError("invalid-argument", "cannot have stream=true and one-shot=true");
  await streamLines(request, await backend.stats(name, { stream, oneShot }, exchange.signal), {
    contentType: stream && version >= 52 ? "application/jsonl" : "application/json",
    startAtOnce: stream,
    format: (sample) => `${JSON.stringify(sample)}\n`,
  });
}

function pathOf({ query }: ApiRequest): string {
  const path = query.get("path");
  if (path === undefined) throw new EngineError("invalid-argument", "bad parameter: path cannot be empty");
  return path;
}

function statHeader(stat: object): string {
  return Buffer.from(JSON.stringify(stat)).toString("base64");
}

async function archiveHead(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const { exchange, name, response } = request;
  const stat = await backend.archiveStat(name, pathOf(request), exchange.signal);
  response.header("X-Docker-Container-Path-Stat", statHeader(stat));
  response.empty(200);
}

async function archiveGet(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const { exchange, name, response } = request;
  const { stat, tar } = await backend.archiveGet(name, pathOf(request), exchange.signal);
  response.header("X-Docker-Container-Path-Stat", statHeader(stat));
  await streamBytes(request, tar, { contentType: "application/x-tar", startAtOnce: false });
}

async function archivePut(backend: ContainerBackend, request: ApiRequest): Promise<void> {
  const { exchange, name, query, response } = request;
  const put = {
    path: pathOf(request),
    tar: exchange.body,
    noOverwriteDirNonDir: query.boolean("noOverwriteDirNonDir"),
    copyUidGid: query.boolean("copyUIDGID"),
  };
  await backend.archivePut(name, put, exchange.signal);
  response.empty(200);
}

/** @param sys Without it, the output of an attach follows the head of the answer at once. */
export function addContainerStreamRoutes(router: Router<Handler>, containers: ContainerBackend, sys?: StreamSys): void {
  router.add("POST", "/containers/*/attach", (request) => attach(containers, request, sys));
  router.add("GET", "/containers/*/logs", (request) => logs(containers, request));
  router.add("GET", "/containers/*/stats", (request) => stats(containers, request));
  router.add("GET", "/containers/*/export", (request) => exportContainer(containers, request));
  router.add("HEAD", "/containers/*/archive", (request) => archiveHead(containers, request));
  router.add("GET", "/containers/*/archive", (request) => archiveGet(containers, request));
  router.add("PUT", "/containers/*/archive", (request) => archivePut(containers, request));
}
