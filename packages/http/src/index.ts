export * from "./contract.ts";
export { ClientConnection } from "./client/connection.ts";
export { MessageBody } from "./message/body.ts";
export { HttpError } from "./message/http-error.ts";
export { InputBuffer } from "./message/input-buffer.ts";
export { RequestParser, ResponseParser } from "./message/parser.ts";
export {
  encodeChunk,
  lastChunk,
  serialiseField,
  serialiseRequestHead,
  serialiseResponseHead,
} from "./message/serialise.ts";
export { ByteBudget } from "./server/byte-budget.ts";
export { Connection } from "./server/connection.ts";
export type { RequestBody } from "./server/request-body.ts";
export type { Response } from "./server/response.ts";
export { createTlsServer } from "./socket/listen.ts";
export { openSocket } from "./socket/open-socket.ts";
export { endSocket, writeTo } from "./socket/socket-output.ts";
export { adopt, descriptorOf, endUpgraded, joinSockets } from "./socket/upgraded.ts";
