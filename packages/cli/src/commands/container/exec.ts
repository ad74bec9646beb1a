import type { CommandContext } from "../../grammar/command.ts";
import { environmentOf } from "../../run-options/files.ts";
import { connect } from "../../session/session.ts";
import { copyStreams, requireTerminal, terminalSize } from "../../output/terminal.ts";

export async function run(context: CommandContext): Promise<number> {
  const { flags, environment } = context;
  const [name, ...command] = context.args;
  const detach = flags.bool("detach");
  const tty = flags.bool("tty");
  const stdin = flags.bool("interactive") && !detach;
  if (!detach) requireTerminal(tty, stdin);
  const client = await connect(context);
  const size = terminalSize();
  const { Id } = await client.json<{ Id: string }>("POST", `/containers/${encodeURIComponent(name!)}/exec`, {
    body: {
      User: flags.string("user"),
      Privileged: flags.bool("privileged"),
      Tty: tty,
      ...(tty && size !== undefined ? { ConsoleSize: size } : {}),
      AttachStdin: stdin,
      AttachStdout: !detach,
      AttachStderr: !detach,
      Detach: detach,
      DetachKeys: flags.string("detach-keys"),
      Env: environmentOf(flags.list("env-file"), flags.list("env"), environment),
      WorkingDir: flags.string("workdir"),
      Cmd: command,
    },
  });
  if (detach) {
    await client.send("POST", `/exec/${Id}/start`, { body: { Detach: true, Tty: tty } });
    return 0;
  }
  const stream = await client.hijack(`/exec/${Id}/start`, {
    body: { Detach: false, Tty: tty, ...(tty && size !== undefined ? { ConsoleSize: size } : {}) },
  });
  const resize = (rows: number, columns: number): Promise<number> =>
    client.send("POST", `/exec/${Id}/resize`, { query: { h: rows, w: columns } });
  await copyStreams({ stream, tty, stdin, resize });
  const { ExitCode } = await client.json<{ ExitCode: number | null }>("GET", `/exec/${Id}/json`);
  return ExitCode ?? 0;
}
