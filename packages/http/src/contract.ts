/**
 * HTTP/1.1 (RFC 9112) over any socket: for servers and clients, with takeover of connections, and TLS around both.
 *
 * Terms
 * - Head: the first line of a message and its fields. Framing: the rule that finds the end of a body. Exchange: one request and its answer.
 * - Upgraded: a connection that no longer uses HTTP, with or without the field Upgrade: its socket, and the bytes of the other side that
 *   arrived before.
 *
 * Promises
 * - One parser for both directions: `RequestParser` and `ResponseParser` differ only in the first line, and `MessageBody` reads the bodies of
 *   both.
 * - Every sequence of bytes has one meaning, however it is split: messages, and then more to come, or an `HttpError`. Bytes that two programs
 *   could read differently (two lengths, a bare LF or CR, folded fields, spaces around names) are rejected, never repaired.
 * - After an `HttpError`, no more bytes of the connection are read as HTTP: a server answers with its `status` and ends the connection. A body
 *   that failed keeps failing.
 * - Nothing is read faster than it is consumed, and nothing is held without a limit: a request's head 1 MiB, an answer's 64 KiB, 256 fields, a
 *   chunk's line and the trailers of a body 8 KiB each, unread input 64 KiB (server) or 256 KiB (client). The `ByteBudget` limits the memory
 *   for bodies.
 * - No client can make a server wait for long (`server/connection-limits.ts`). A head must be complete within 30 s of its first byte. When a
 *   handler did not read a body, 256 KiB of it are read within 5 s, or the connection ends. Answers of 256 KiB that the client does not read
 *   delay its next request. After the last answer it has 2 s to close its side.
 * - Either side of a connection can close its direction alone, also with TLS.
 *
 * Lifecycle
 * - `Connection` owns its socket until `Response.hijack`; then `Exchange.takeInput` returns the rest of the input, and the caller owns the
 *   socket.
 * - `ClientConnection` has one request at a time. After a body was read to its end, `usable` says whether it can be used for another.
 *
 * Errors
 * - `HttpError`: bytes that are not HTTP, or too many of them. 400, 408, 417, 431, 501.
 * - `EngineError`: invalid-argument (a field or target that cannot be written), aborted (the client ended the connection within a body; writing
 *   after that), unavailable (no room for a large body in time).
 * - `ClientConnection` throws the system's own errors for a connection that breaks, and its caller's for one that ends within a body.
 *
 * Abort
 * - `Exchange.signal` aborts when the client has gone or the server stops; the handler ends its work, the connection ends itself.
 * - `ClientConnection.close` ends waiting calls. The server may have acted on the request.
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
