/** A contender: the engine in a process and a network namespace of its own (engine-program.ts). */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { removeCgroups } from "./engines.ts";
import { run } from "./measure.ts";
import type { Contender } from "./row.ts";

export interface EngineAlone extends AsyncDisposable {
  readonly contender: Contender;
}

/** @param layout Directory of an OCI layout with the small image. */
export async function startEngineAlone(directory: string, layout: string): Promise<EngineAlone> {
  const space = `fathom-bench-alone-${process.pid}`;
  const cgroup = `fathom/bench-alone-${process.pid}`;
  mkdirSync(directory, { recursive: true });
  const tar = join(directory, "image.tar");
  run(["tar", "-cf", tar, "-C", layout, "."]);
  run(["ip", "netns", "add", space]);
  const child = Bun.spawn(
    [
      "nsenter",
      `--net=/run/netns/${space}`,
      "--",
      process.execPath,
      join(import.meta.dir, "engine-program.ts"),
      directory,
      `/${cgroup}`,
      tar,
    ],
    { stdin: "pipe", stdout: "pipe", stderr: "pipe", cwd: "/" },
  );
  const failed = new Response(child.stderr).text();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();

  async function sample(): Promise<number> {
    child.stdin.write("sample\n");
    await child.stdin.flush();
    const { value } = await lines.read();
    // When the process ends, its output closes. The output says why.
    if (value === undefined) throw new Error((await failed).trim() || "the engine's process ended");
    return Number(value);
  }

  return {
    contender: { name: "fathom", sample },
    async [Symbol.asyncDispose]() {
      child.stdin.write("\n");
      await child.stdin.end();
      const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
      await child.exited;
      clearTimeout(timer);
      run(["ip", "netns", "delete", space]);
      removeCgroups(cgroup);
    },
  };
}
