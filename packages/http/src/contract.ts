/**
 * HTTP/1.1 (RFC 9112) over any socket: for servers and clients, with connections that are taken over, and TLS around both.
 *
 * Terms
 * - Head: the first line of a message and its fields. Framing: how the end of a body is found. Exchange: one request and its answer.
 * - Upgraded: a connection that is no HTTP any more, with or without the field Upgrade: its socket, and what came of the other side's bytes before.
 *
 * Promises
 * - One parser for both directions: `RequestParser` and `ResponseParser` differ in the first line alone, and `MessageBody` reads the bodies of both.
 * - Every sequence of bytes has one meaning, however it is split: messages, and then more to come, or an `HttpError`. What two programs could read differently is
 *   refused (two lengths, a bare LF or CR, folded fields, spaces around names), never repaired.
 * - Behind an `HttpError` nothing of the connection is read as HTTP: a server answers its `status` and ends the connection. A body that failed keeps failing.
 * - Nothing is read faster than it is consumed, and nothing is held without a limit: a request's head 1 MiB, an answer's 64 KiB, 256 fields, a chunk's line and
 *   the trailers of a body 8 KiB each, unread input 64 KiB (server) or 256 KiB (client). What bodies may hold in memory is the `ByteBudget`'s.
 * - No client keeps a server waiting (`server/connection-limits.ts`): a head comes within 30 s of its first byte; of a body that the handler left, 256 KiB are read
 *   within 5 s, or the connection ends; answers of 256 KiB that the client does not read hold up its next request; after the last answer it has 2 s to close its side.
 * - Either side of a connection can end its direction alone, with TLS too.
 *
 * Lifecycle
 * - `Connection` owns its socket until `Response.hijack`; then `Exchange.takeInput` gives the rest of the input, and the socket is the caller's.
 * - `ClientConnection` carries one request at a time. After a body was read to its end `usable` says whether it takes another.
 *
 * Errors
 * - `HttpError`: bytes that are no HTTP, or more of them than may be. 400, 408, 417, 431, 501.
 * - `EngineError`: invalid-argument (a field or target that cannot be written), aborted (the client ended the connection within a body; writing to one that is
 *   gone), unavailable (no room for a large body in time).
 * - `ClientConnection` gives the system's own errors for a connection that breaks, and its caller's for one that ends within a body.
 *
 * Abort
 * - `Exchange.signal` fires when the client is gone or the server stops; the handler ends its work, the connection ends itself.
 * - `ClientConnection.close` ends what waits. The server may have acted on the request.
 */
export type { ByteSource } from "./message/body.ts";
export type { BodyFraming } from "./message/framing.ts";
export type { MessageHead, RequestHead, ResponseHead } from "./message/head.ts";
export type { ParsedRequest, ParsedResponse } from "./message/parser.ts";
export type { Exchange, ExchangeHandler, HijackedInput } from "./server/exchange.ts";
export type { BodyLimits } from "./server/request-body.ts";
export type { SocketAddress } from "./socket/open-socket.ts";
export type { ClientTls, ServerTls } from "./socket/tls.ts";
export type { InputFilter, Upgraded } from "./socket/upgraded.ts";
