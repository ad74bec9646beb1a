/** How a caller without Docker and without the package containers starts a container: runs the example of packages/runtime/README.md. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { compile, compileExec, openCgroups, resourcesFromOci } from "@fathom/runtime";
import { checkOciSpec } from "@fathom/spec";
import { Reader, Rig, launcher, sys, unframe } from "../launcher/rig.ts";
import { runName } from "../run-name.ts";

const rig = new Rig();
const parent = `/fathom-from-oci-${runName}`;
const cgroups = openCgroups(sys);
afterAll(async () => {
  await cgroups.open(parent).remove();
  rig[Symbol.dispose]();
});

const configuration: unknown = {
  ociVersion: "1.2.0",
  process: {
    args: ["sh", "-c", "echo $GREETING; sleep 1000"],
    cwd: "/",
    env: ["PATH=/bin", "GREETING=hello"],
    user: { uid: 0, gid: 0 },
  },
  root: { path: "rootfs" },
  mounts: [{ destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] }],
  linux: {
    namespaces: ["mount", "pid", "network", "ipc", "uts"].map((type) => ({ type })),
    resources: { pids: { limit: 50 } },
  },
};

test("an OCI configuration becomes a container with limits, output, an exec and an exit", async () => {
  const spec = checkOciSpec(configuration);
  const cgroup = cgroups.create(`${parent}/one`);
  const directory = join(rig.base, "one");
  mkdirSync(directory, { mode: 0o700 });

  const plan = compile(spec, { rootfs: { kind: "directory", path: rig.rootfs }, at: rig.at, cgroup });
  const stem = await launcher.prepare(plan.stem);
  cgroup.apply(resourcesFromOci(spec.linux?.resources));
  expect(stem.networkNamespaceFd).toBeGreaterThanOrEqual(0);
  const { supervisor, attachments } = await stem.launch({
    plan,
    directory,
    io: {
      kind: "supervised",
      log: { kind: "json-file", path: join(directory, "log"), maxSize: 0, maxFiles: 1 },
      openStdin: false,
      attach: [{ stdin: false, stdout: true, stderr: true, closeStdin: false }],
    },
  });
  const reader = new Reader(attachments[0]!.fd);
  await reader.until(/hello/);
  expect(cgroup.stats().pidsLimit).toBe(50);

  const exec = await supervisor.exec({
    execId: "look",
    plan: compileExec({ args: ["true"], cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } }),
    openStdin: false,
    attach: [],
  });
  expect((await exec.exit).code).toBe(0);

  await supervisor.signal(9);
  expect(await supervisor.exit).toMatchObject({ code: 137, signal: 9 });
  expect(unframe(await reader.ended).stdout).toBe("hello\n");
  await cgroup.remove();
});
