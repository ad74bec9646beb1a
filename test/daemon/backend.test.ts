/**
 * Tests that the engine with real containers keeps the promises of `packages/engine/src/backend.ts`. The engine with a machine in memory and
 * the fakes run the same suites.
 */
import { afterAll } from "bun:test";
import { closeSync, createReadStream, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@fathom/base";
import type { Engine } from "@fathom/engine";
import { containerSuite, execSuite, systemSuite, type ContainerWorld } from "@fathom/engine/testing";
import { openCgroups } from "@fathom/runtime";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";
import { createSys } from "@fathom/sys";
import { composeEngine } from "../../apps/fathom/src/compose.ts";
import { readDaemonConfig } from "../../apps/fathom/src/settings/daemon-config.ts";
import { makeBusyboxImage } from "../make-busybox-image.ts";
import { runName } from "../run-name.ts";

const sys = createSys();
const work = mkdtempSync(join(tmpdir(), "fathom-backend-"));
const cgroupParent = `/fathom-backend-${runName}`;
const config = readDaemonConfig(
  [`--data-root=${join(work, "data")}`, `--exec-root=${join(work, "exec")}`, `--cgroup-parent=${cgroupParent}`],
  { version: "test", gitCommit: "", buildTime: "" },
);
const never = new AbortController().signal;
const image = "waits:1";

afterAll(async () => {
  await openCgroups(sys).open(cgroupParent).remove();
  rmSync(work, { recursive: true, force: true });
});

/** The first process of such a container waits for a file with its exit code. */
const waits = "until [ -s /end ]; do sleep 0.02; done; exit $(cat /end)";

async function makeImage({ containers, images }: Engine): Promise<void> {
  const layout = join(work, "layout");
  makeBusyboxImage(layout, "busybox:1");
  Bun.spawnSync(["tar", "-C", layout, "-cf", join(work, "image.tar"), "."]);
  const archive = createReadStream(join(work, "image.tar"));
  for await (const { error } of images.load(archive, { platform: undefined }, never))
    if (error !== undefined) throw new Error(error);
  const HostConfig = { ...emptyHostConfig, NetworkMode: "none" };
  const body = { ...emptyContainerConfig, Image: "busybox:1", HostConfig, NetworkingConfig: { EndpointsConfig: {} } };
  const { Id: container } = await containers.create(undefined, undefined, body);
  const changes = [`ENTRYPOINT ${JSON.stringify(["sh", "-c", waits, "--"])}`];
  const said = { comment: "", author: "", pause: false, config: undefined };
  await containers.commit({ container, repository: "waits", tag: "1", changes, ...said }, never);
  await containers.remove(container, { volumes: true, force: true, link: false });
}

let made = false;

/** Starts the engine with the state of the previous start: the image is stored, and there is no container. */
async function open(): Promise<ContainerWorld> {
  const resources = new AsyncDisposableStack();
  for (const path of [config.engine.dataRoot, config.engine.execRoot]) mkdirSync(path, { recursive: true });
  const engine = await composeEngine({ config, sys, logger: silentLogger, resources });
  await engine.resume();
  if (!made) {
    made = true;
    await makeImage(engine);
    await resources.disposeAsync();
    return open();
  }
  return {
    backend: engine,
    image,
    async end(name, code) {
      const { Id } = await engine.execs.create(name, {
        Cmd: ["sh", "-c", `echo ${code} > /end`],
        User: "",
        Privileged: false,
        Tty: false,
        DetachKeys: "",
        AttachStdin: false,
        AttachStdout: false,
        AttachStderr: false,
        Env: null,
        WorkingDir: "",
      });
      await engine.execs.start(Id, { detach: true, consoleSize: undefined }, never);
    },
    close: ({ fd }) => closeSync(fd),
    async [Symbol.asyncDispose]() {
      for (const { Id } of await engine.containers.list({ all: true, limit: undefined, size: false, filters: {} }))
        await engine.containers.remove(Id, { volumes: true, force: true, link: false });
      await resources.disposeAsync();
    },
  };
}

containerSuite("the engine with real containers", open);
execSuite("the engine with real containers", open);
systemSuite("the engine with real containers", open);
