/** The server: from an accepted connection to the handler of its request, and back. */
import { EngineError, isEngineError, messageOf } from "@fathom/base";
import { ByteBudget, Connection, createTlsServer, HttpError, type BodyLimits, type Exchange } from "@fathom/http";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, type Sys } from "@fathom/sys";
import { rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { basename, dirname } from "node:path";
import { apiLimits, type ApiLimits, type ApiServer, type ApiServerOptions, type ListenOptions } from "../contract.ts";
import { DescriptorReserve, type DescriptorState } from "./descriptor-reserve.ts";
import { Listeners } from "./listeners.ts";
import { errorBody, statusOf } from "../request/errors.ts";
import { Query } from "../request/query.ts";
import type { ApiRequest, Handler } from "../request/request.ts";
import { Router } from "../request/router.ts";
import { addRoutes } from "../routes/routes.ts";
import { claimSocketPath, finishSocketFile } from "./socket-file.ts";
import { formatVersion, maximumVersion, splitVersion } from "../request/versions.ts";

/** At most this much of a request's target is its name. */
const namedTarget = 120;

/** Connections that wait to be accepted. */
const backlog = 4096;

/** Many connections at once use up descriptors faster than the timer checks. */
const acceptedBetweenLooks = 32;

export function createApiServer(options: ApiServerOptions): ApiServer {
  return new Server(options);
}

class Server implements ApiServer {
  readonly #options: ApiServerOptions;
  readonly #router = new Router<Handler>();
  readonly #commonHeaders: string;
  /** Those that were used longest ago first. */
  readonly #connections = new Set<Connection>();
  readonly #limits: ApiLimits;
  readonly #bodies: BodyLimits;
  readonly #listeners: Listeners;
  /** The server's own listening sockets: while it accepts, the runtime has copies of them. */
  readonly #sockets: number[] = [];
  /** Socket files that this server made. */
  readonly #paths: string[] = [];
  #reserve: DescriptorReserve | undefined;
  #closing = false;
  #accepted = 0;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#limits = { ...apiLimits, ...options.limits };
    this.#bodies = { budget: new ByteBudget(this.#limits.bodyBytes), timeoutMs: this.#limits.bodyTimeoutMs };
    this.#commonHeaders =
      `Api-Version: ${formatVersion(maximumVersion)}\r\n` +
      `Docker-Experimental: ${options.experimental === true}\r\n` +
      `Ostype: linux\r\n` +
      `Server: Fathom/${options.version} (linux)\r\n`;
    this.#listeners = new Listeners(
      (where) => this.#begin(where),
      (error) => options.logger.error("API listener failed", { error }),
    );
    addRoutes(this.#router, options.backend, options.sys);
    this.#router.add("GET", "/debug", ({ response }) => response.json(200, options.debug?.() ?? {}));
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  async listen(options: ListenOptions): Promise<void> {
    const { sys, logger } = this.#options;
    if ("path" in options) await claimSocketPath(options.path, sys);
    if (sys === undefined) await this.#listeners.add(() => options);
    else {
      if ("host" in options) await this.#listeners.add(() => options);
      else {
        const fd = "fd" in options ? options.fd : bindUnix(sys, options.path);
        this.#sockets.push(fd);
        if ("path" in options) this.#paths.push(options.path);
        await this.#listeners.add(() => ({ fd: sys.dup(fd) }));
      }
      this.#reserve ??= new DescriptorReserve({
        logger,
        onLook: (state) => this.#descriptors(state),
      });
    }
    if ("path" in options) await finishSocketFile(options.path, options.group, logger);
  }

  /** See `onLook` of `DescriptorReserveOptions`. */
  #descriptors(state: DescriptorState): boolean {
    // An idle connection is closed for a new one.
    if (state !== "enough") for (const connection of this.#connections) if (connection.idle) connection.destroy();
    if (state !== "none") return this.#listeners.resume();
    this.#listeners.pause();
    return true;
  }

  async #begin(options: ListenOptions): Promise<ReturnType<typeof createServer>> {
    const accept = (socket: Socket): void => this.#accept(socket);
    const server =
      "host" in options && options.tls !== undefined
        ? await createTlsServer(options.tls, accept)
        : createServer({ allowHalfOpen: true, noDelay: true }, accept);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      const listening = (): void => {
        server.off("error", reject);
        server.on("error", (error) => this.#options.logger.error("API listener failed", { error }));
        resolve();
      };
      if ("path" in options) {
        // Nobody else may connect between bind and chmod.
        const mask = process.umask(0o177);
        try {
          server.listen({ path: options.path, backlog }, listening);
        } finally {
          process.umask(mask);
        }
      } else if ("fd" in options) server.listen({ fd: options.fd }, listening);
      else server.listen({ host: options.host, port: options.port, backlog }, listening);
    });
    return server;
  }

  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    this.#reserve?.[Symbol.dispose]();
    this.#listeners.close();
    for (const fd of this.#sockets.splice(0)) this.#options.sys?.close(fd);
    for (const path of this.#paths.splice(0)) rmSync(path, { force: true });
    const reason = new EngineError("aborted", "the daemon is shutting down");
    for (const connection of this.#connections) {
      if (connection.exchange?.response.started) connection.exchange.abort(reason);
      connection.closeWhenIdle();
    }
    const deadline = performance.now() + graceMs;
    while (this.#connections.size > 0 && performance.now() < deadline) await Bun.sleep(10);
    for (const connection of this.#connections) connection.destroy();
  }

  #accept(socket: Socket): void {
    if (this.#closing) {
      socket.destroy();
      return;
    }
    const connection: Connection = new Connection(
      socket,
      async (exchange) => {
        // It moves to the end of the list.
        if (this.#connections.delete(connection)) this.#connections.add(connection);
        await this.#handle(exchange);
      },
      this.#commonHeaders,
      this.#bodies,
    );
    this.#connections.add(connection);
    socket.once("close", () => this.#connections.delete(connection));
    this.#reserve?.wake();
    if (++this.#accepted % acceptedBetweenLooks === 0) this.#reserve?.look();
    if (this.#reserve !== undefined && this.#reserve.state !== "enough") {
      connection.refuse(new HttpError(503, "the daemon has no free descriptors; try again"));
      socket.destroySoon();
      return;
    }
    const { connections } = this.#limits;
    if (this.#connections.size > connections) this.#makeRoom(connection, connections);
  }

  /** For a new connection: an idle one ends, or the new one is rejected. */
  #makeRoom(connection: Connection, limit: number): void {
    for (const other of this.#connections)
      if (other !== connection && other.idle) {
        other.destroy();
        this.#connections.delete(other);
        return;
      }
    connection.refuse(
      new HttpError(503, `too many connections: ${limit} are open, and each has a request under way; try again`),
    );
  }

  async #handle(exchange: Exchange): Promise<void> {
    const { head, response } = exchange;
    const { logger, onActivity, onRequest } = this.#options;
    onActivity?.();
    this.#reserve?.wake();
    const onEnd = onRequest?.(`${head.method} ${head.target.slice(0, namedTarget)}`);
    try {
      const question = head.target.indexOf("?");
      const path = decodePath(question < 0 ? head.target : head.target.slice(0, question));
      const { version, rest } = splitVersion(path);
      if (head.method === "OPTIONS") return response.empty(200);
      const match = this.#router.find(head.method, rest);
      if (match === undefined) throw new EngineError("not-found", "page not found");
      const request: ApiRequest = {
        logger,
        version,
        name: match.name,
        query: new Query(question < 0 ? "" : head.target.slice(question + 1)),
        exchange,
        response,
      };
      await match.handler(request);
    } catch (error) {
      this.#fail(exchange, error);
    }
    if (!response.ended) {
      logger.error("a handler gave no answer", { method: head.method, path: head.target });
      if (response.started) response.abort();
      else response.json(500, { message: "internal error: the request was not answered" });
    }
    onEnd?.();
    onActivity?.();
  }

  #fail({ head, response }: Exchange, error: unknown): void {
    const status = statusOf(error);
    if (!isEngineError(error) && !(error instanceof HttpError))
      this.#options.logger.error("a request failed unexpectedly", {
        method: head.method,
        path: head.target,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    else
      this.#options.logger.debug("request refused", {
        method: head.method,
        path: head.target,
        status,
        error: messageOf(error),
      });
    if (response.started) {
      if (!response.ended) response.abort();
      return;
    }
    if (error instanceof HttpError) response.closeAfter();
    if (status === 304) response.empty(304);
    else response.json(status, errorBody(error));
  }
}

/** @throws invalid-argument for a path with a broken escape */
function decodePath(path: string): string {
  if (!path.startsWith("/")) throw new EngineError("not-found", "page not found");
  if (!path.includes("%")) return path;
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new EngineError("invalid-argument", `malformed escape in the path ${JSON.stringify(path)}`, { cause });
  }
}

/** A listening socket at this path; only its owner may use it until its group is known. */
function bindUnix(sys: Pick<Sys, "open" | "close" | "listenUnix">, path: string): number {
  const directory = sys.open(dirname(path), O_PATH | O_DIRECTORY | O_CLOEXEC);
  try {
    return sys.listenUnix(directory, basename(path), 0o600, backlog);
  } finally {
    sys.close(directory);
  }
}
