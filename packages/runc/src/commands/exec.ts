/** exec: an additional process, from flags or from a file. */
import { readFileSync } from "node:fs";
import { EngineError } from "@fathom/base";
import { checkOciSpec, parseJsonExactly, type OciProcess } from "@fathom/spec";
import { findContainer, type Call } from "../call.ts";
import type { Flags } from "../command-line/parse.ts";
import { execInContainer } from "../launch/exec.ts";
import { inForeground } from "../launch/foreground.ts";
import { streamRequest } from "../launch/streams.ts";
import { configOf } from "../state/record.ts";
import { statusOf } from "../state/status.ts";
import { named } from "./lifecycle.ts";

export async function exec(call: Call, flags: Flags): Promise<number> {
  const found = findContainer(call, flags.args[0]);
  for (const later of ["process-label", "apparmor", "cgroup"])
    if (flags.list(later).length > 0) throw new EngineError("not-implemented", `--${later}: not supported yet`);
  const detach = flags.on("detach");
  const started = await named("exec failed", async () => {
    const status = statusOf(found.directory, found.state, call.cgroups);
    if (status === "stopped" || status === "creating")
      throw new EngineError("conflict", `cannot exec in a ${status} container`);
    if (status === "paused" && !flags.on("ignore-paused"))
      throw new EngineError("conflict", "cannot exec in a paused container (use --ignore-paused to override)");
    const file = flags.text("process");
    const own = configOf(found.state).process;
    const given = file === undefined ? fromFlags(flags, own) : readProcess(file);
    const affinity = given.execCPUAffinity ?? own?.execCPUAffinity;
    const wanted = affinity === undefined ? given : { ...given, execCPUAffinity: affinity };
    if (!detach) call.sys.setSubreaper(true);
    return execInContainer(call, found, wanted, streamRequest(flags, wanted.terminal === true, detach));
  });
  if (detach) return 0;
  // Its program runs already.
  return inForeground(started.run, started.terminal, async () => undefined);
}

/** @throws invalid-argument */
function readProcess(path: string): OciProcess {
  let value: unknown;
  try {
    value = parseJsonExactly(readFileSync(path, "utf8"));
  } catch (error) {
    throw new EngineError("invalid-argument", `the process in ${path} cannot be read: ${String(error)}`, {
      cause: error,
    });
  }
  const { process: wanted } = checkOciSpec({ ociVersion: "1.0.0", process: value });
  if (wanted === undefined) throw new EngineError("invalid-argument", `${path} has no process`);
  return wanted;
}

function fromFlags(flags: Flags, own: OciProcess | undefined): OciProcess {
  const args = flags.args.slice(1);
  if (args.length === 0) throw new EngineError("invalid-argument", "process args cannot be empty");
  if (own === undefined) throw new EngineError("invalid-argument", "the container has no process to take values from");
  const [user, group] = userOf(flags.text("user"));
  const more = flags.list("cap");
  const { capabilities } = own;
  const groups = flags.list("additional-gids").map((text) => idOf(text, "additional-gids"));
  return {
    ...own,
    args,
    terminal: flags.on("tty"),
    env: [...(own.env ?? []), ...flags.list("env")],
    cwd: flags.text("cwd") ?? own.cwd,
    noNewPrivileges: flags.list("no-new-privs").length === 0 ? own.noNewPrivileges : flags.on("no-new-privs"),
    user: {
      ...own.user,
      ...(user === undefined ? {} : { uid: user }),
      ...(group === undefined ? {} : { gid: group }),
      additionalGids: [...(own.user.additionalGids ?? []), ...groups],
    },
    ...(more.length === 0
      ? {}
      : {
          capabilities: {
            ...capabilities,
            bounding: [...(capabilities?.bounding ?? []), ...more],
            effective: [...(capabilities?.effective ?? []), ...more],
            permitted: [...(capabilities?.permitted ?? []), ...more],
            ambient: [...(capabilities?.ambient ?? []), ...more],
          },
        }),
  };
}

function idOf(text: string, flag: string): number {
  const id = Number(text);
  if (!/^\d+$/.test(text) || id > 0xffff_ffff)
    throw new EngineError("invalid-argument", `--${flag}: "${text}" is not a number of a user or group`);
  return id;
}

function userOf(text: string | undefined): readonly [number | undefined, number | undefined] {
  if (text === undefined) return [undefined, undefined];
  const [user = "", group] = text.split(":");
  return [idOf(user, "user"), group === undefined ? undefined : idOf(group, "user")];
}
