/** The life of one container with fathom's runtime in this process: no daemon, no API, no metadata. It uses the same configuration as runc and crun. */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { compile, createLauncher, openCgroups } from "@fathom/runtime";
import { parseOciSpec } from "@fathom/spec";
import { createSys, helperExecutable } from "@fathom/sys";
import type { Contender } from "./row.ts";

/**
 * One sample: cgroup, fresh overlay over `rootfs`, plan, process with supervisor, exit, cgroup removed.
 * @param bundle Directory with a config.json.
 */
export function runtimeAlone(directory: string, rootfs: string, bundle: string): Contender {
  mkdirSync(directory, { recursive: true });
  const sys = createSys();
  const cgroups = openCgroups();
  const launcher = createLauncher({ sys, executable: () => helperExecutable(sys) });
  const spec = parseOciSpec(readFileSync(join(bundle, "config.json"), "utf8"));
  let number = 0;

  async function sample(): Promise<number> {
    const place = join(directory, String((number += 1)));
    const start = performance.now();
    for (const part of ["", "upper", "work", "at", "state"]) mkdirSync(join(place, part), { mode: 0o700 });
    const cgroup = cgroups.create(`/fathom/bench-runtime-${process.pid}-${number}`);
    const overlay = { lower: [rootfs], upper: join(place, "upper"), work: join(place, "work") };
    const rootFd = sys.openOverlay(overlay);
    const plan = compile(spec, { rootfs: { kind: "overlay", ...overlay }, at: join(place, "at"), cgroup });
    const stem = await launcher.prepare(plan.stem);
    const { supervisor } = await stem.launch({
      plan,
      rootFd,
      directory: join(place, "state"),
      io: { kind: "supervised", log: { kind: "none" }, openStdin: false, attach: [] },
    });
    const { code } = await supervisor.exit;
    await cgroup.remove();
    const time = performance.now() - start;
    supervisor.disconnect();
    rmSync(place, { recursive: true, force: true });
    if (code !== 0) throw new Error(`the program ended with ${code}`);
    return time;
  }
  return { name: "our runtime alone", sample };
}
