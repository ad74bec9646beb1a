/** The name helper as a program of its own, run from the source tree: bun name-helper.ts SOCKET. */
import { runNameHelper } from "@fathom/network";
import { createSys } from "@fathom/sys";

await runNameHelper({
  sys: createSys(),
  socket: process.argv[2] ?? "",
  idleMs: Number(process.env["IDLE_MS"] ?? 60_000),
});
process.exit(0);
