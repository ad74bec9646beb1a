/** The life of one container without an engine: the floor, runc and crun, on a plain root directory. */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { run } from "./measure.ts";
import type { Contender } from "./row.ts";
import { runtimeAlone } from "./runtime-alone.ts";

export interface Bare extends AsyncDisposable {
  readonly contenders: readonly Contender[];
}

/** An OCI bundle that runs `true` with new namespaces and no network. The runtime's own `spec` command writes its configuration. */
function makeBundle(runtime: string, bundle: string, rootfs: string, cgroup: string): void {
  mkdirSync(bundle, { recursive: true });
  run([runtime, "spec", "--bundle", bundle]);
  const path = join(bundle, "config.json");
  const config: { process: object; root: object; linux: object } = JSON.parse(readFileSync(path, "utf8"));
  const changed = {
    ...config,
    process: { ...config.process, terminal: false, args: ["/bin/true"] },
    root: { path: rootfs, readonly: true },
    linux: { ...config.linux, cgroupsPath: cgroup },
  };
  writeFileSync(path, JSON.stringify(changed));
}

/**
 * crun rejects hybrid cgroups. On such a machine it runs in a mount namespace without the v2 mount; nsenter enters that namespace (about 1 ms
 * of the measured time).
 */
function crunSpace(): { prefix: string[]; holder?: Subprocess } {
  if (!existsSync("/sys/fs/cgroup/unified")) return { prefix: [] };
  const holder = Bun.spawn(
    ["unshare", "-m", "sh", "-c", "umount /sys/fs/cgroup/unified && echo ready && exec sleep 100000"],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    },
  );
  return { prefix: ["nsenter", `--mount=/proc/${holder.pid}/ns/mnt`, "--"], holder };
}

const here = (program: string): boolean => Bun.which(program) !== null;

export async function startBare(directory: string, rootfs: string, floor: string): Promise<Bare> {
  mkdirSync(directory, { recursive: true });
  const contenders: Contender[] = [];
  let holder: Subprocess | undefined;
  if (existsSync(floor)) {
    const scratch = join(directory, "scratch");
    mkdirSync(scratch, { recursive: true });
    const sample = (): number => Number(run([floor, "--net", "1", rootfs, scratch, "/bin/true"]));
    contenders.push({ name: "floor", sample });
  }
  let number = 0;
  for (const runtime of ["runc", "crun"]) {
    if (!here(runtime)) continue;
    const bundle = join(directory, runtime);
    const cgroup = `/fathom/bench-${runtime}-${process.pid}`;
    makeBundle(runtime, bundle, rootfs, cgroup);
    let prefix: string[] = [];
    if (runtime === "crun") {
      const space = crunSpace();
      prefix = space.prefix;
      holder = space.holder;
      // Before the program prints "ready", the mount is still there.
      if (space.holder?.stdout instanceof ReadableStream) await space.holder.stdout.getReader().read();
    }
    const state = join(directory, `${runtime}-state`);
    const sample = (): number => {
      const id = `bench-${(number += 1)}`;
      const start = performance.now();
      run([...prefix, runtime, "--root", state, "run", "--bundle", bundle, id]);
      return performance.now() - start;
    };
    contenders.push({ name: `${runtime} run`, sample });
    if (runtime === "runc") contenders.push(runtimeAlone(join(directory, "ours"), rootfs, bundle));
  }
  return {
    contenders,
    async [Symbol.asyncDispose]() {
      holder?.kill("SIGKILL");
      await holder?.exited;
    },
  };
}

/** The root directory of an OCI layout's first image: the layers are unpacked one over the other (whiteouts are ignored). */
export function unpackRootfs(layout: string, rootfs: string): void {
  mkdirSync(rootfs, { recursive: true });
  const blob = (digest: string): string => join(layout, "blobs", digest.replace(":", "/"));
  const index: { manifests: { digest: string }[] } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const manifest: { layers: { digest: string }[] } = JSON.parse(readFileSync(blob(index.manifests[0]!.digest), "utf8"));
  for (const layer of manifest.layers) run(["tar", "-xf", blob(layer.digest), "-C", rootfs]);
}

/** An OCI layout directory, made from a directory or from a tar of one. */
export function openLayout(source: string, directory: string): string {
  mkdirSync(directory, { recursive: true });
  if (existsSync(join(source, "index.json"))) cpSync(source, directory, { recursive: true });
  else run(["tar", "-xf", source, "-C", directory]);
  return directory;
}
