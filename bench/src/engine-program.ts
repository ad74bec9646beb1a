/**
 * The whole engine in this process, without daemon, socket and HTTP: the row `create + start + exit inside the engine`. engine-alone.ts starts
 * it in a network namespace of its own. Each line on its input asks for one sample; each line of its output is one sample in milliseconds.
 *
 * engine-program DIRECTORY CGROUP-PARENT IMAGE-TAR
 */
import { join } from "node:path";
import { createReadStream, mkdirSync } from "node:fs";
import { createLogger } from "@fathom/base";
import { adaptCreate } from "@fathom/api";
import { decodeContainerCreate } from "@fathom/spec";
import { createSys } from "@fathom/sys";
import { composeEngine } from "../../apps/fathom/src/compose.ts";
import { readDaemonConfig } from "../../apps/fathom/src/settings/daemon-config.ts";

const [directory = "", cgroupParent = "", imageTar = ""] = process.argv.slice(2);
const data = join(directory, "data");
const exec = join(directory, "exec");
for (const path of [data, exec]) mkdirSync(path, { recursive: true });
const flags = [`--data-root=${data}`, `--exec-root=${exec}`, `--cgroup-parent=${cgroupParent}`];
const facts = { version: "bench", gitCommit: "", buildTime: "" };
const config = readDaemonConfig(flags, facts);
const apiVersion = 41;

await using resources = new AsyncDisposableStack();
const logger = createLogger("error", { write: (line) => void process.stderr.write(line) }, "text");
const engine = await composeEngine({ config, sys: createSys(), logger, resources });
await engine.resume();
const never = new AbortController().signal;
const body = createReadStream(imageTar);
for await (const message of engine.images.load(body, { platform: undefined }, never)) {
  if (message.error !== undefined) throw new Error(message.error);
}
const [image] = await engine.images.list({ all: false, filters: {}, sharedSize: false });
if (image === undefined) throw new Error(`${imageTar} has no image`);

async function sample(): Promise<number> {
  const start = performance.now();
  const request = decodeContainerCreate({ Image: image!.Id, Cmd: ["true"], HostConfig: { NetworkMode: "none" } });
  const { Id: id } = await engine.containers.create(undefined, undefined, adaptCreate(request, apiVersion).body);
  await engine.containers.start(id, undefined);
  const { result } = await engine.containers.wait(id, "not-running", never);
  const { StatusCode } = await result;
  const time = performance.now() - start;
  if (StatusCode !== 0) throw new Error(`the program ended with ${StatusCode}`);
  await engine.containers.remove(id, { volumes: true, force: false, link: false });
  return time;
}

for await (const line of console) {
  if (line.trim() === "") break;
  console.log((await sample()).toFixed(3));
}
await engine.shutdown();
