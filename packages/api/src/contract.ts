/**
 * The server of the Docker Engine API.
 *
 * Lifecycle: `createApiServer` takes a `Backend` (of `@fathom/engine`) and does nothing yet; `listen` may be called several times, before and while requests are
 * served; `close` ends it for good.
 * Terms: a *stream* is an answer that has begun and goes on (logs, events, attach); an *idle* connection has no request under way.
 * Errors: `listen` throws EngineError (conflict where another daemon answers on the path). What a handler throws becomes a status by the one table in `request/errors.ts`.
 * Abort: a client that hangs up aborts its request's signal; so does `close`, for streams.
 */
import type { Logger } from "@fathom/base";
import type { Backend } from "@fathom/engine";
import type { ServerTls } from "@fathom/http";
import type { Sys } from "@fathom/sys";

export interface ApiServerOptions {
  readonly backend: Backend;
  readonly logger: Logger;
  /** Fathom's own version, for the Server field. */
  readonly version: string;
  readonly experimental?: boolean;
  /** Called when a request begins and when it ends. */
  readonly onActivity?: () => void;
  /** Called with the name of each request when it begins; the result when it ends. */
  readonly onRequest?: (operation: string) => () => void;
  /** What GET /debug shows of the process. */
  readonly debug?: () => object;
  /** Open connections at most. Beyond it the one that has been idle longest ends, or the new one is refused. */
  readonly connectionLimit?: number;
  /** With it the server stops accepting while the process has no descriptors; without it, it does not look. */
  readonly sys?: Pick<Sys, "open" | "close" | "dup" | "listenUnix" | "connectUnix">;
}

export type ListenOptions =
  /** A unix socket, made with mode 0660 for `group`: a name or a number; absent or unknown: the process's own. */
  | { readonly path: string; readonly group?: string | number }
  /** An already listening socket. */
  | { readonly fd: number }
  /** With `tls` clients speak TLS. */
  | { readonly host: string; readonly port: number; readonly tls?: ServerTls };

export interface ApiServer {
  /** May be called several times. @throws conflict when another daemon answers on the path */
  listen(options: ListenOptions): Promise<void>;
  /** No new requests; streams end at once, other requests get `graceMs` to finish. */
  close(graceMs: number): Promise<void>;
  /** Open connections. */
  readonly connectionCount: number;
}
