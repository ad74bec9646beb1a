import { EngineError, messageOf, within } from "@fathom/base";
import { DaemonError, type Client, type HijackedStream } from "@fathom/client";
import type { CommandContext } from "../../grammar/command.ts";
import { createContainer } from "../../session/create-container.ts";
import { ExitError } from "../../grammar/exit-error.ts";
import { connect } from "../../session/session.ts";
import { copyStreams, proxySignals, requireTerminal } from "../../output/terminal.ts";

interface WaitAnswer {
  readonly StatusCode: number;
  readonly Error?: { readonly Message: string } | null;
}

export async function run(context: CommandContext): Promise<number> {
  const { flags, stdout } = context;
  const detach = flags.bool("detach");
  const tty = flags.bool("tty");
  const stdin = flags.bool("interactive");
  if (!detach) requireTerminal(tty, stdin);
  const client = await connect(context);
  const { id } = await createContainer(client, context, detach);

  if (detach) {
    await start(client, context, id);
    stdout.write(`${id}\n`);
    return 0;
  }
  const stopSignals = flags.bool("sig-proxy") && !tty ? proxySignals(client, id) : () => undefined;
  const stream = await attach(client, context, id);
  // The wait is registered before the start, so that it also sees a container that ends or is removed at once.
  const condition = flags.bool("rm") ? "removed" : "next-exit";
  const giveUp = new AbortController();
  const waited = client.json<WaitAnswer>("POST", `/containers/${id}/wait`, {
    query: { condition },
    signal: giveUp.signal,
  });
  waited.catch(() => undefined);
  try {
    await start(client, context, id);
  } catch (error) {
    // A container that was never started does not end, so the wait would never end.
    giveUp.abort();
    stream.close();
    stopSignals();
    throw error;
  }
  const resize = (rows: number, columns: number): Promise<number> =>
    client.send("POST", `/containers/${id}/resize`, { query: { h: rows, w: columns } });
  try {
    await copyStreams({ stream, tty, stdin: stdin && attaches(context, "stdin"), resize });
    return await exitCode(client, id, waited, tty, stdin);
  } finally {
    // After a detach nobody waits for the container's end. The open request would keep this program running.
    giveUp.abort();
    stopSignals();
  }
}

function attaches(context: CommandContext, name: string): boolean {
  const named = context.flags.list("attach").map((word) => word.toLowerCase());
  return named.length === 0 || named.includes(name);
}

function attach(client: Client, context: CommandContext, id: string): Promise<HijackedStream> {
  const { flags } = context;
  return client.hijack(`/containers/${id}/attach`, {
    query: {
      stream: 1,
      stdin: flags.bool("interactive") && attaches(context, "stdin") ? 1 : undefined,
      stdout: attaches(context, "stdout") ? 1 : undefined,
      stderr: attaches(context, "stderr") ? 1 : undefined,
      detachKeys: flags.string("detach-keys") || undefined,
    },
  });
}

/** Exit codes of a failed start, as in docker: 127 not found, 126 not executable, 125 all others. */
async function start(client: Client, context: CommandContext, id: string): Promise<void> {
  try {
    await client.send("POST", `/containers/${id}/start`, {
      query: { detachKeys: context.flags.string("detach-keys") || undefined },
    });
  } catch (error) {
    if (context.flags.bool("rm"))
      await client.send("DELETE", `/containers/${id}`, { query: { force: true, v: true } }).catch(() => undefined);
    const text = messageOf(error);
    const code = /executable file not found|no such file or directory|system cannot find the file specified/.test(text)
      ? 127
      : /permission denied|is a directory/.test(text)
        ? 126
        : 125;
    if (code === 125 || !(error instanceof DaemonError)) throw error;
    context.stderr.write(
      `fathom: Error response from daemon: ${text}\n\nRun 'fathom run --help' for more information\n`,
    );
    throw new ExitError(code);
  }
}

/** After the streams have ended: the container's exit code. When the user detached and the container still runs: 0, at once. */
async function exitCode(
  client: Client,
  id: string,
  waited: Promise<WaitAnswer>,
  tty: boolean,
  stdin: boolean,
): Promise<number> {
  if (tty && stdin) {
    const first = await within(waited, 200, () => undefined);
    if (first === undefined) {
      const running = await client
        .json<{ State: { Running: boolean } }>("GET", `/containers/${id}/json`)
        .catch(() => undefined);
      if (running?.State.Running === true) return 0;
    }
  }
  const answer = await waited;
  if (answer.Error !== undefined && answer.Error !== null && answer.Error.Message !== "")
    throw new EngineError("internal", answer.Error.Message);
  return answer.StatusCode;
}
