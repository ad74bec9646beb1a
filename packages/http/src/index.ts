export * from "./message/body.ts";
export * from "./message/byte-budget.ts";
export * from "./message/head.ts";
export * from "./server/connection.ts";
export * from "./server/response.ts";
