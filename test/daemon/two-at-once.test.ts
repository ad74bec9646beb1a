import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon, until } from "./harness.ts";
import { failureOf, isAlive } from "@fathom/base/testing";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("two");
  await daemon.start();
  daemon.loadImage();
});
afterAll(() => daemon.close());

interface Inspect {
  readonly Id: string;
  readonly State: {
    readonly Status: string;
    readonly Paused: boolean;
    readonly Running: boolean;
    readonly Pid: number;
  };
}

async function call(method: string, path: string, body?: unknown): Promise<number> {
  const response = await daemon.request(method, path, body);
  const text = await response.text();
  // If the API calls a failure its own fault, it counts as a fault.
  if (response.status >= 500) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return response.status;
}

/** The container's directories in the cgroup hierarchies. */
function cgroups(id: string): string[] {
  return ["", ...readdirSync("/sys/fs/cgroup")]
    .map((root) => join("/sys/fs/cgroup", root, daemon.cgroupParent, id))
    .filter((path) => existsSync(path));
}

function isFrozen(id: string): boolean {
  return cgroups(id).some((path) => {
    const read = (name: string): string =>
      existsSync(join(path, name)) ? readFileSync(join(path, name), "utf8").trim() : "";
    return read("freezer.state") === "FROZEN" || /^frozen 1$/m.test(read("cgroup.events"));
  });
}

function hasMounts(id: string): boolean {
  return readFileSync(`/proc/${daemon.pid}/mountinfo`, "utf8").includes(id);
}

/** Compares what the API says of a container with the kernel; "" when both agree. */
async function difference(id: string): Promise<string> {
  const { status, json } = await daemon.api<Inspect>("GET", `/containers/${id}/json`);
  if (status === 404) {
    if (cgroups(id).length > 0) return "it is removed and has a cgroup";
    if (hasMounts(id)) return "it is removed and has mounts";
    return existsSync(join(daemon.dataRoot, "overlay2", id)) ? "it is removed and has a layer" : "";
  }
  const { State: state } = json;
  const alive = state.Pid !== 0 && isAlive(state.Pid);
  const frozen = isFrozen(id);
  if (state.Paused !== (state.Status === "paused")) return `${state.Status}, and Paused is ${state.Paused}`;
  switch (state.Status) {
    case "running":
      return !alive ? "it says running and is dead" : frozen ? "it says running and is frozen" : "";
    case "paused":
      return !alive ? "it says paused and is dead" : frozen ? "" : "it says paused and is thawed";
    case "created":
    case "exited":
      if (hasMounts(id)) return `it says ${state.Status} and has mounts`;
      return cgroups(id).length > 0 ? `it says ${state.Status} and has a cgroup` : "";
    default:
      return `it says ${state.Status}`;
  }
}

async function expectSame(what: string, id: string): Promise<void> {
  let last = "";
  await until(
    `after ${what} the API says what the kernel says`,
    async () => (last = await difference(id)) === "",
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${last}`);
  });
}

const loop = "trap 'exit 0' TERM; while :; do sleep 0.05; done";

async function create(name: string, command: string): Promise<string> {
  const { json } = await daemon.api<{ Id: string }>("POST", `/containers/create?name=${name}`, {
    Image: daemon.image,
    Cmd: ["sh", "-c", command],
    // Memory that others may share is a mount of its own, which ends with the run.
    HostConfig: { NetworkMode: "none", IpcMode: "shareable" },
  });
  return json.Id;
}

/** A container whose layer takes a while to read. Returns the checksum of its large file. */
async function createBig(name: string): Promise<{ id: string; sum: string }> {
  const id = await create(
    name,
    `mkdir /d; dd if=/dev/urandom of=/d/big bs=1M count=24 2>/dev/null; sha256sum /d/big >/d/sum; cat /d/sum; ${loop}`,
  );
  await call("POST", `/containers/${id}/start`);
  await until("the file is written", () => daemon.docker("logs", name).includes("/d/big"));
  return { id, sum: daemon.docker("logs", name).split(" ")[0]! };
}

function sumIn(image: string): string {
  return daemon.docker("run", "--rm", "--network", "none", image, "sha256sum", "/d/big").split(" ")[0]!;
}

let turn = 0;
const operations: Readonly<Record<string, (id: string) => Promise<unknown>>> = {
  commit: (id) => call("POST", `/commit?container=${id}&repo=two&tag=${++turn}`),
  export: async (id) => (await daemon.request("GET", `/containers/${id}/export`)).arrayBuffer(),
  copy: async (id) => (await daemon.request("GET", `/containers/${id}/archive?path=/bin/busybox`)).arrayBuffer(),
  pause: (id) => call("POST", `/containers/${id}/pause`),
  unpause: (id) => call("POST", `/containers/${id}/unpause`),
  stop: (id) => call("POST", `/containers/${id}/stop?t=1`),
  kill: (id) => call("POST", `/containers/${id}/kill`),
  start: (id) => call("POST", `/containers/${id}/start`),
  restart: (id) => call("POST", `/containers/${id}/restart?t=1`),
  rename: (id) => call("POST", `/containers/${id}/rename?name=two-${++turn}`),
  update: (id) => call("POST", `/containers/${id}/update`, { Memory: (64 + (turn++ % 8)) * 2 ** 20, MemorySwap: -1 }),
  resize: (id) => call("POST", `/containers/${id}/resize?h=20&w=80`),
  exec: async (id) => {
    const { status, json } = await daemon.api<{ Id: string }>("POST", `/containers/${id}/exec`, {
      Cmd: ["true"],
      User: "root",
    });
    if (status === 201) await call("POST", `/exec/${json.Id}/start`, { Detach: true });
  },
  remove: (id) => call("DELETE", `/containers/${id}?force=1`),
};
const pairs = Object.keys(operations).flatMap((first, index) =>
  Object.keys(operations)
    .slice(index)
    .map((second): [string, string] => [first, second]),
);

describe("any two operations on one container at once", () => {
  test.each(pairs)("%s and %s", async (first, second) => {
    const id = await create(`pair-${++turn}`, loop);
    for (const order of [
      [first, second],
      [second, first],
    ]) {
      await call("POST", `/containers/${id}/start`);
      await Promise.all(order.map((name) => operations[name]!(id)));
      await expectSame(`${first} and ${second}`, id);
      // The container can be used as before, whatever the two operations did.
      await call("POST", `/containers/${id}/unpause`);
    }
    await call("DELETE", `/containers/${id}?force=1`);
    await expectSame("the removal", id);
  });
});

describe("a commit that takes long", () => {
  test("and a pause: the container is frozen and stays frozen, and the image is whole", async () => {
    const { id, sum } = await createBig("frozen");
    const commit = call("POST", "/commit?container=frozen&repo=kept&tag=1");
    await until("the commit has begun", () => isFrozen(id));
    expect(await call("POST", "/containers/frozen/pause")).toBe(204);
    expect(await commit).toBe(201);
    await expectSame("commit and pause", id);
    expect(daemon.docker("inspect", "-f", "{{.State.Status}}", "frozen")).toBe("paused");
    daemon.docker("unpause", "frozen");
    await expectSame("unpause", id);
    expect(sumIn("kept:1")).toBe(sum);
    daemon.docker("rm", "-f", "frozen");
  });

  test.each([
    ["kill", "POST", "/containers/ends/kill"],
    ["stop", "POST", "/containers/ends/stop?t=5"],
    ["rm -f", "DELETE", "/containers/ends?force=1"],
  ])("does not delay a %s, and its image is whole", async (what, method, path) => {
    const { id, sum } = await createBig("ends");
    let committed = false;
    const commit = call("POST", "/commit?container=ends&repo=kept&tag=2").then((status) => {
      committed = true;
      return status;
    });
    await until("the commit has begun", () => isFrozen(id));
    expect(await call(method, path)).toBe(204);
    expect([what, committed]).toEqual([what, false]);
    expect(await commit).toBe(201);
    expect(sumIn("kept:2")).toBe(sum);
    await call("DELETE", "/containers/ends?force=1");
    await expectSame("the removal", id);
  });

  test("ends when its client leaves: the container continues, and there is no image", async () => {
    const { id } = await createBig("left");
    const left = new AbortController();
    const commit = fetch("http://d/commit?container=left&repo=kept&tag=3", {
      method: "POST",
      unix: daemon.socket,
      signal: left.signal,
    });
    await until("the commit has begun", () => isFrozen(id));
    left.abort();
    expect(await failureOf(commit)).toBeInstanceOf(DOMException);
    await until("the container continues", () => !isFrozen(id));
    await call("DELETE", `/containers/${id}?force=1`);
    await expectSame("the removal", id);
    expect(daemon.docker("images", "-q", "kept:3")).toBe("");
  });

  test("export beside rm -f gives the whole tree", async () => {
    const { id, sum } = await createBig("exported");
    const response = await daemon.request("GET", `/containers/${id}/export`);
    await call("DELETE", `/containers/${id}?force=1`);
    const tar = Buffer.from(await response.arrayBuffer());
    const listed = Bun.spawnSync(["tar", "-xOf", "-", "d/big"], { stdin: tar });
    expect(new Bun.CryptoHasher("sha256").update(listed.stdout).digest("hex")).toBe(sum);
    await expectSame("the removal", id);
  });
});

test("a commit of a container that ends meanwhile has an image", async () => {
  for (let round = 0; round < 30; round++) {
    const id = await create(`brief-${round}`, "usleep 20000");
    await call("POST", `/containers/${id}/start`);
    await Bun.sleep(round);
    expect(await call("POST", `/commit?container=${id}&repo=brief&tag=${round}`)).toBe(201);
    await call("DELETE", `/containers/${id}?force=1`);
  }
});
