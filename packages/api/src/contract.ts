/**
 * The server of the Docker Engine API.
 *
 * Lifecycle: `createApiServer` takes a `Backend` (of `@fathom/engine`) and does nothing yet; `listen` may be called several times, before and
 * while requests are served; `close` ends it finally.
 * Terms: a *stream* is an answer that has begun and continues (logs, events, attach); an *idle* connection has no running request.
 * Errors: `listen` throws EngineError (conflict when another daemon answers on the path). An error of a handler becomes a status by the one
 * table in `request/errors.ts`.
 * Abort: a client that hangs up aborts its request's signal; so does `close`, for streams.
 */
import type { Logger } from "@fathom/base";
import type { Backend } from "@fathom/engine";
import type { ServerTls } from "@fathom/http";
import type { Sys } from "@fathom/sys";

/** Limits for all clients together. */
export interface ApiLimits {
  /** Largest number of open connections. At the limit, the connection that has been idle longest ends, or the new one is rejected. */
  readonly connections: number;
  /** Bytes of bodies that are read whole, for all connections together. */
  readonly bodyBytes: number;
  /** Time limit for the whole of such a body. */
  readonly bodyTimeoutMs: number;
}

export const apiLimits: ApiLimits = { connections: 4096, bodyBytes: 64 * 1024 * 1024, bodyTimeoutMs: 60_000 };

export interface ApiServerOptions {
  readonly backend: Backend;
  readonly logger: Logger;
  /** Fathom's own version, for the Server field. */
  readonly version: string;
  readonly experimental?: boolean;
  /** Called when a request begins and when it ends. */
  readonly onActivity?: () => void;
  /** Called with the name of each request when it begins; the result is called when it ends. */
  readonly onRequest?: (operation: string) => () => void;
  /** What GET /debug shows of the process. */
  readonly debug?: () => object;
  /** A limit that is absent here is that of `apiLimits`. */
  readonly limits?: Partial<ApiLimits>;
  /**
   * With it the server stops accepting while the process has no descriptors, and the output of an exec or an attach follows when the client
   * has read the head of the answer; without it, the server does not check.
   */
  readonly sys?: Pick<Sys, "open" | "close" | "dup" | "listenUnix" | "connectUnix" | "unsentBytes">;
}

export type ListenOptions =
  /** A unix socket, made with mode 0660 for `group` (a name or a number). Absent or unknown: the process's own group. */
  | { readonly path: string; readonly group?: string | number }
  /** A socket that is already listening. */
  | { readonly fd: number }
  /** With `tls`, clients use TLS. */
  | { readonly host: string; readonly port: number; readonly tls?: ServerTls };

export interface ApiServer {
  /** May be called several times. @throws conflict when another daemon answers on the path */
  listen(options: ListenOptions): Promise<void>;
  /** No new requests; streams end at once, other requests have `graceMs` to finish. */
  close(graceMs: number): Promise<void>;
  /** Open connections. */
  readonly connectionCount: number;
}
