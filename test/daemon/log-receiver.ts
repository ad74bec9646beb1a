/** A receiver of logs: writes every byte that comes over TCP to a file. Usage: log-receiver.ts PORT FILE */
import { appendFileSync } from "node:fs";
import { createServer } from "node:net";

const [port, file] = process.argv.slice(2);
if (port === undefined || file === undefined) throw new Error("usage: log-receiver.ts PORT FILE");
createServer((socket) => {
  socket.on("data", (data) => appendFileSync(file, data));
  socket.on("error", () => undefined);
}).listen(Number(port), "127.0.0.1", () => appendFileSync(file, ""));
