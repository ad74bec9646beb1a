/**
 * The connection to the daemon. When no daemon answers at the default address and the user may run one, the CLI starts one in the background
 * and prints one line about it.
 */
import { EngineError, isEngineError } from "@fathom/base";
import { Client } from "@fathom/client";
import { mkdirSync, openSync } from "node:fs";
import type { CommandContext } from "../grammar/command.ts";

const startTimeoutMs = 15_000;

/** True when a process accepts connections at the address. */
async function answers(client: Client): Promise<boolean> {
  try {
    await client.send("GET", "/_ping");
    return true;
  } catch (error) {
    if (isEngineError(error, "unavailable")) return false;
    return true;
  }
}

/** A client whose daemon answers. The daemon may have been started for it. */
export async function connect(context: Pick<CommandContext, "global" | "stderr">): Promise<Client> {
  const { global, stderr } = context;
  const client = new Client(global.address());
  if (global.hostIsExplicit || process.getuid?.() !== 0) return client;
  if (await answers(client)) return client;
  stderr.write("fathom: no daemon is running; starting one in the background (log: /run/fathom/daemon.log)\n");
  mkdirSync("/run/fathom", { recursive: true, mode: 0o711 });
  const log = openSync("/run/fathom/daemon.log", "a", 0o600);
  const daemon = Bun.spawn([process.execPath, "daemon"], {
    cwd: "/",
    stdin: "ignore",
    stdout: log,
    stderr: log,
    detached: true,
  });
  daemon.unref();
  const deadline = performance.now() + startTimeoutMs;
  while (performance.now() < deadline) {
    if (await answers(client)) return client;
    if (daemon.exitCode !== null)
      throw new EngineError("unavailable", `the daemon ended with code ${daemon.exitCode}; see /run/fathom/daemon.log`);
    await Bun.sleep(20);
  }
  throw new EngineError(
    "unavailable",
    `the daemon did not answer within ${startTimeoutMs / 1000} s; see /run/fathom/daemon.log`,
  );
}
