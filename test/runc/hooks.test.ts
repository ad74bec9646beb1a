/** The six kinds of hooks: when each runs, where, and with which state on its input. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "@fathom/base/testing";
import { RuncRig } from "./rig.ts";

const rig = new RuncRig();
afterEach(async () => {
  await rig.clean();
  expect(rig.left()).toEqual([]);
});
afterAll(() => rig[Symbol.dispose]());

const kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] as const;

test("each runs once, in its place and order, with the state on its input", async () => {
  const log = join(rig.base, "log");
  mkdirSync(log);
  // What startContainer sees is the container: there the folder is at /log.
  const hooks = Object.fromEntries(
    kinds.map((kind) => {
      const at = kind === "startContainer" ? "/log" : log;
      const where = `readlink /proc/self/ns/mnt > ${at}/${kind}.ns; test -e ${at}/program && echo late > ${at}/${kind}.late`;
      const script = `cat > ${at}/${kind}; echo ${kind} >> ${at}/order; ${where}; echo $A >> ${at}/order`;
      return [kind, [{ path: "/bin/sh", args: ["sh", "-c", script], env: ["A=x", "PATH=/bin:/usr/bin"] }]];
    }),
  );
  const bundle = rig.bundle({
    args: ["sh", "-c", "echo program >> /log/order; touch /log/program; sleep 1000"],
    whole: { hooks, annotations: { a: "b" } },
  });
  const config = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
  config.mounts.push({ destination: "/log", type: "bind", source: log, options: ["bind"] });
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  const order = (): string[] =>
    readFileSync(join(log, "order"), "utf8")
      .split("\n")
      .filter((line) => line !== "x" && line !== "");
  await rig.ok("create", "--bundle", bundle, "one");
  const { pid } = JSON.parse(await rig.ok("state", "one"));
  expect(order()).toEqual(["prestart", "createRuntime", "createContainer"]);
  await rig.ok("start", "one");
  await until("the program and the last hook have written", () => order().length === 6);
  expect(order().slice(0, 4)).toEqual(["prestart", "createRuntime", "createContainer", "startContainer"]);
  expect(order().slice(4).sort()).toEqual(["poststart", "program"]);
  const mine = readlinkSync("/proc/self/ns/mnt");
  const container = readlinkSync(`/proc/${pid}/ns/mnt`);
  await rig.ok("kill", "one", "KILL");
  await until("it has stopped", async () => (await rig.status("one")) === "stopped");
  await rig.ok("delete", "one");
  expect(order().at(-1)).toBe("poststop");
  const state = (kind: string): unknown => JSON.parse(readFileSync(join(log, kind), "utf8"));
  const common = { ociVersion: "1.0.2", id: "one", bundle, annotations: { a: "b" } };
  expect(state("prestart")).toEqual({ ...common, status: "creating", pid });
  expect(state("createRuntime")).toEqual({ ...common, status: "creating", pid });
  expect(state("createContainer")).toEqual({ ...common, status: "creating", pid: 1 });
  expect(state("startContainer")).toEqual({ ...common, status: "created", pid: 1 });
  expect(state("poststart")).toEqual({ ...common, status: "running", pid });
  expect(state("poststop")).toEqual({ ...common, status: "stopped" });
  const namespace = (kind: string): string => readFileSync(join(log, `${kind}.ns`), "utf8").trim();
  for (const kind of ["prestart", "createRuntime", "poststart", "poststop"]) expect(namespace(kind)).toBe(mine);
  for (const kind of ["createContainer", "startContainer"]) expect(namespace(kind)).toBe(container);
});

test("the mounts of the container exist when createRuntime runs, and its root is not entered yet", async () => {
  const seen = join(rig.base, "seen");
  const script = `pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/'); nsenter -m -t $pid readlink -f /proc/self/exe > ${seen}; nsenter -m -t $pid cat /proc/self/mountinfo | grep -c ' ${rig.rootfs}/dev/shm ' >> ${seen}`;
  const bundle = rig.bundle({
    args: ["true"],
    whole: {
      hooks: {
        createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", script], env: ["PATH=/bin:/usr/bin:/usr/sbin"] }],
      },
    },
  });
  await rig.ok("run", "--bundle", bundle, "one");
  expect(readFileSync(seen, "utf8").trim().split("\n").at(-1)).toBe("1");
});

test("a startContainer hook that fails ends the container; poststart and poststop only warn", async () => {
  const fail = [{ path: "/bin/sh", args: ["sh", "-c", "exit 3"] }];
  const first = rig.bundle({ args: ["sleep", "1000"], whole: { hooks: { startContainer: fail } } });
  await rig.ok("create", "--bundle", first, "one");
  await rig.ok("start", "one");
  await until("it has stopped", async () => (await rig.status("one")) === "stopped");
  const second = rig.bundle({ args: ["sleep", "1000"], whole: { hooks: { poststart: fail, poststop: fail } } });
  await rig.ok("create", "--bundle", second, "two");
  const { code, err } = await rig.call("start", "two");
  expect({ code, err }).toMatchObject({
    code: 0,
    err: expect.stringContaining("error running poststart hook #0: exit status 3"),
  });
  expect(await rig.status("two")).toBe("running");
  expect((await rig.call("delete", "--force", "two")).err).toContain("error running poststop hook #0: exit status 3");
});
