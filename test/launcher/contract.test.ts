/** The real launcher fulfils the same contract as its fakes: runs the suite of the runtime with real processes. */
import { afterAll, beforeAll } from "bun:test";
import { closeSync, createReadStream, openSync, readdirSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { createLauncher, openCgroups } from "@fathom/runtime";
import { launcherSuite, type LauncherUnderTest } from "@fathom/runtime/testing";
import { helperExecutable } from "@fathom/sys";
import { runName } from "../run-name.ts";
import { execOperation, launcher, plan, Reader, Rig, sys, unframe } from "./rig.ts";

const rig = new Rig();
const cgroups = openCgroups(sys);
const parent = `/fathom-contract-${runName}`;
let count = 0;

// The processes of direct launches become children of this process.
beforeAll(() => sys.setSubreaper(true));

afterAll(async () => {
  sys.setSubreaper(false);
  await cgroups.open(parent).remove();
  rig[Symbol.dispose]();
});

const openDescriptors = (): readonly string[] => readdirSync("/proc/self/fd").map(() => "descriptor");
const children = (): readonly string[] =>
  readdirSync("/proc/self/task").flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, "latin1")
      .split(" ")
      .filter(Boolean)
      .map(() => "child"),
  );

function open(): LauncherUnderTest {
  return {
    launcher,
    cgroups,
    cgroupPath: `${parent}/${count++}`,
    plan: (argv, { operations = [], terminal = false, cgroupProcs = [] } = {}) =>
      plan(rig, argv, { process: operations, terminal: terminal ? { rows: 0, columns: 0 } : null, cgroupProcs }),
    execPlan: (argv, { operations = [], terminal = false, cgroupProcs = [] } = {}) => ({
      version: 1,
      stem: { newNamespaces: [], cgroupProcs },
      operations: [...operations, execOperation(argv)],
      terminal: terminal ? { rows: 0, columns: 0 } : null,
    }),
    directory: () => rig.directory(),
    async talk({ fd }, input) {
      const reader = new Reader(fd);
      if (input !== undefined) reader.socket.write(input);
      reader.socket.end();
      const { stdout, stderr } = unframe(await reader.ended);
      return { stdout, stderr };
    },
    inheritable() {
      const [readEnd, writeEnd] = sys.pipe(0);
      const stdin = openSync("/dev/null", "r");
      return {
        streams: { kind: "inherited", stdin, stdout: writeEnd, stderr: writeEnd },
        async output() {
          sys.close(writeEnd);
          closeSync(stdin);
          return text(createReadStream("", { fd: readEnd }));
        },
      };
    },
    another: () => createLauncher({ sys, executable: () => helperExecutable(sys) }),
    holds: () => [...openDescriptors(), ...children()],
    [Symbol.asyncDispose]: async () => undefined,
  };
}

launcherSuite("the real launcher", async () => {
  // The memory file of the helper stays open for the next launch.
  helperExecutable(sys);
  return open();
});
