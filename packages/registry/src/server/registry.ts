/** From a request to its route, and from errors to the answers of the spec. */
import { isEngineError, messageOf, type Logger } from "@fathom/base";
import { HttpError, type Exchange } from "@fathom/http";
import type { Access, Action, Principal } from "../access/access.ts";
import type { RegistryStore } from "../contract.ts";
import type { Mirror } from "../mirror/mirror.ts";
import { showPage } from "../page/page.ts";
import { deleteBlob, getBlob } from "../routes/blobs.ts";
import { listReferrers, listRepositories, listTags } from "../routes/lists.ts";
import { deleteManifest, getManifest, putManifest } from "../routes/manifests.ts";
import { beginUpload, cancelUpload, finishUpload, patchUpload, uploadStatus } from "../routes/uploads.ts";
import type { AuditLog } from "./audit.ts";
import type { Call, Done, Policies } from "./call.ts";
import type { Metrics } from "./metrics.ts";
import { Refusal } from "./refusal.ts";
import { readTarget, type Target, type TargetReading } from "./target.ts";

export interface RegistryOptions {
  readonly store: RegistryStore;
  readonly access: Access;
  readonly policies: Policies;
  /** A cache of another registry takes no pushes. */
  readonly mirror?: Mirror | undefined;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly audit?: AuditLog | undefined;
  /** "http" or "https", as clients reach it. */
  readonly scheme: "http" | "https";
  readonly now?: () => number;
}

/** The client's address, for the audit log. */
export type Registry = (exchange: Exchange, remote: string | undefined) => Promise<void>;

const actionOf: ReadonlyMap<string, Action> = new Map([
  ["GET", "pull"],
  ["HEAD", "pull"],
  ["POST", "push"],
  ["PATCH", "push"],
  ["PUT", "push"],
  ["DELETE", "delete"],
]);

export function createRegistry(options: RegistryOptions): Registry {
  return async (exchange, remote) => {
    const { head, response } = exchange;
    const { metrics, audit, logger } = options;
    const question = head.target.indexOf("?");
    const query = new URLSearchParams(question < 0 ? "" : head.target.slice(question + 1));
    const path = decodedPath(question < 0 ? head.target : head.target.slice(0, question));
    const target = readTarget(path);
    const request: Request = { options, exchange, path, query, target, principal: undefined };
    let done: Done | undefined;
    try {
      done = await handle(request);
    } catch (error) {
      fail(exchange, error, logger);
    }
    if (!response.ended) {
      logger.error("a registry's handler gave no answer", { method: head.method, path });
      if (response.started) response.abort();
      else response.json(500, new Refusal("UNKNOWN", "internal error").body);
    }
    const { status } = response;
    const kind = target.kind;
    metrics.add("fathom_registry_requests_total", {
      method: actionOf.has(head.method) ? head.method : "other",
      kind,
      status,
    });
    if (done === undefined && status !== 401 && status !== 403) return;
    try {
      audit?.write({
        action: done?.action ?? `${head.method} ${kind}`,
        user: request.principal?.name,
        remote,
        repository: "repository" in target ? target.repository : undefined,
        reference: done?.reference ?? ("reference" in target ? target.reference : undefined),
        digest: done?.digest,
        status,
      });
    } catch (error) {
      // The change has happened, and its client has the answer.
      logger.error("the audit log cannot be written", { error });
    }
  };
}

interface Request {
  readonly options: RegistryOptions;
  readonly exchange: Exchange;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly target: TargetReading;
  principal: Principal | undefined;
}

async function handle(request: Request): Promise<Done | undefined> {
  const { options, exchange, path, query, target } = request;
  const { head, response } = exchange;
  const { store, policies, mirror, access, metrics, now = Date.now } = options;
  if (path === "/healthz") {
    response.send(200, "text/plain", "ok\n");
    return undefined;
  }
  if (path === "/metrics") {
    response.send(
      200,
      "text/plain; version=0.0.4",
      metrics.text({ process_resident_memory_bytes: process.memoryUsage.rss() }),
    );
    return undefined;
  }
  const origin = `${options.scheme}://${(head.headers.get("host") ?? "").replace(/[^\w.:[\]-]/g, "")}`;
  const credentials = { authorization: head.headers.get("authorization"), origin };
  if (path === "/token") return giveToken(request, credentials);
  if (path.startsWith("/v2")) response.header("Docker-Distribution-Api-Version", "registry/2.0");
  const known = await access.authenticate(credentials);
  if (known.kind === "wrong") throw unauthorized(request, origin, known.reason);
  const { principal } = known;
  request.principal = principal;
  const call: Call = { store, policies, mirror, principal, exchange, response, query, now };
  if (path === "/" || path.startsWith("/r/")) {
    const shown = await showPage(call, path);
    if (shown === "refused")
      throw unauthorized(request, origin, "authentication required", `Basic realm="fathom-registry"`);
    return undefined;
  }
  if (target.kind === "unknown") throw new Refusal("UNSUPPORTED", "page not found", { status: 404 });
  if (target.kind === "bad-name")
    throw new Refusal("NAME_INVALID", `invalid repository name ${JSON.stringify(target.name.slice(0, 300))}`);
  const action = actionOf.get(head.method);
  if (action === undefined) throw unsupported();
  if (!("repository" in target)) {
    if (
      principal.name === undefined &&
      access.challenge(origin, undefined) !== undefined &&
      target.kind === "base" &&
      credentials.authorization === undefined
    )
      throw unauthorized(request, origin, "authentication required");
  } else if (!principal.allows(target.repository, action)) {
    if (principal.name !== undefined && !/^bearer /i.test(credentials.authorization ?? ""))
      throw new Refusal("DENIED", "requested access to the resource is denied");
    const scope = `repository:${target.repository}:${action === "push" ? "pull,push" : action}`;
    throw unauthorized(request, origin, "authentication required", access.challenge(origin, scope));
  }
  if (mirror !== undefined && action === "push")
    throw new Refusal("UNSUPPORTED", "this registry is a cache of another one: push there");
  return await route(call, target);
}

async function route(call: Call, target: Target): Promise<Done | undefined> {
  const { method } = call.exchange.head;
  const reads = method === "GET" || method === "HEAD";
  switch (target.kind) {
    case "base":
      if (!reads) throw unsupported();
      call.response.send(200, "application/json", "{}");
      return undefined;
    case "catalog":
      if (!reads) throw unsupported();
      await listRepositories(call);
      return undefined;
    case "tags":
      if (!reads) throw unsupported();
      await listTags(call, target.repository);
      return undefined;
    case "referrers":
      if (!reads) throw unsupported();
      await listReferrers(call, target.repository, target.reference);
      return undefined;
    case "uploads":
      if (method !== "POST") throw unsupported();
      return beginUpload(call, target.repository);
    case "upload": {
      const { repository, id } = target;
      if (reads) await uploadStatus(call, repository, id);
      else if (method === "PATCH") await patchUpload(call, repository, id);
      else if (method === "PUT") return finishUpload(call, repository, id);
      else if (method === "DELETE") await cancelUpload(call, repository, id);
      else throw unsupported();
      return undefined;
    }
    case "blob":
      if (method === "DELETE") return deleteBlob(call, target.repository, target.reference);
      if (!reads) throw unsupported();
      await getBlob(call, target.repository, target.reference);
      return undefined;
    case "manifest":
      if (method === "DELETE") return deleteManifest(call, target.repository, target.reference);
      if (method === "PUT") return putManifest(call, target.repository, target.reference);
      if (!reads) throw unsupported();
      await getManifest(call, target.repository, target.reference);
      return undefined;
  }
}

async function giveToken(
  { options, exchange, query }: Request,
  credentials: { authorization: string | undefined; origin: string },
): Promise<undefined> {
  const { head, response } = exchange;
  // Clients that try OAuth 2 with POST first then use GET.
  if (head.method !== "GET") throw new Refusal("UNSUPPORTED", "ask for a token with GET", { status: 404 });
  const answer = await options.access.token(credentials, query);
  if (answer.kind === "none") throw new Refusal("UNSUPPORTED", "page not found", { status: 404 });
  if (answer.kind === "wrong")
    throw new Refusal("UNAUTHORIZED", answer.reason, {
      fields: { "WWW-Authenticate": `Basic realm="fathom-registry"` },
    });
  response.json(200, { token: answer.token, access_token: answer.token, expires_in: answer.seconds });
  return undefined;
}

function unauthorized(
  { options }: Request,
  origin: string,
  reason: string,
  challenge: string | undefined = options.access.challenge(origin, undefined),
): Refusal {
  return new Refusal(
    "UNAUTHORIZED",
    reason,
    challenge === undefined ? {} : { fields: { "WWW-Authenticate": challenge } },
  );
}

function unsupported(): Refusal {
  return new Refusal("UNSUPPORTED", "the operation is unsupported");
}

function fail({ head, response }: Exchange, error: unknown, logger: Logger): void {
  if (response.started) {
    if (!response.ended) response.abort();
    return;
  }
  const refusal = refusalOf(error);
  if (refusal === undefined || refusal.status === 500)
    logger.error("a request to the registry failed", { method: head.method, path: head.target.slice(0, 300), error });
  const { status, body, fields } = refusal ?? new Refusal("UNKNOWN", "internal error");
  for (const [name, value] of Object.entries(fields)) response.header(name, value);
  if (error instanceof HttpError || isEngineError(error, "timeout")) response.closeAfter();
  response.json(status, body);
}

function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (error instanceof HttpError) return new Refusal("BLOB_UPLOAD_INVALID", error.message, { status: error.status });
  if (isEngineError(error, "resource-exhausted")) return new Refusal("UNKNOWN", messageOf(error), { status: 507 });
  // Of the registry that this one is a cache of.
  if (isEngineError(error, "unavailable")) return new Refusal("UNKNOWN", messageOf(error), { status: 503 });
  if (isEngineError(error, "unauthenticated") || isEngineError(error, "forbidden"))
    return new Refusal("DENIED", messageOf(error));
  if (isEngineError(error, "timeout")) return new Refusal("BLOB_UPLOAD_INVALID", messageOf(error), { status: 408 });
  // The client has gone and gets no answer; the status is for the metrics.
  if (isEngineError(error, "aborted")) return new Refusal("BLOB_UPLOAD_INVALID", messageOf(error));
  return undefined;
}

/** A path with a broken escape stays as it is, and no route has it. */
function decodedPath(path: string): string {
  try {
    return path.includes("%") ? decodeURIComponent(path) : path;
  } catch {
    return path;
  }
}
