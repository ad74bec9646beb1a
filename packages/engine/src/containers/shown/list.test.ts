import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commandText } from "./list.ts";
import { FakeMachine, removeTree, startDaemon, type TestEngine } from "../../testing/fakes.ts";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";

let root: string;
let machine: FakeMachine;
let engine: TestEngine;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "fathom-list-"));
  machine = new FakeMachine();
  engine = await startDaemon(machine, root);
});
afterEach(async () => {
  await engine.shutdown();
  removeTree(root);
});

test("while many containers are read from the disk, other work has its turn, and a container that is removed meanwhile is left out", async () => {
  for (let count = 0; count < 20; count++)
    await engine.containers.create(`c${count}`, undefined, {
      ...emptyContainerConfig,
      Image: "busybox",
      HostConfig: emptyHostConfig,
      NetworkingConfig: { EndpointsConfig: {} },
    });
  machine.onUsage = () => {
    const end = performance.now() + 6;
    while (performance.now() < end);
  };
  let turns = 0;
  let removed: Promise<void> | undefined;
  const count = (): void => {
    turns++;
    removed ??= engine.containers.remove("c0", { force: true, volumes: false, link: false });
    if (turns < 1000) setImmediate(count);
  };
  setImmediate(count);
  const list = await engine.containers.list({ all: true, limit: undefined, size: true, filters: {} });
  const during = turns;
  turns = 1000;
  await removed;
  expect(during).toBeGreaterThan(4);
  expect(list.map(({ Names }) => Names[0])).toEqual(Array.from({ length: 19 }, (_, index) => `/c${19 - index}`));
});

test("a command is shown as Docker shows it: quotes only around arguments with spaces", () => {
  expect(commandText("/a b", ["sh", "-c", "echo hi", "tab\there", ""])).toBe("/a b sh -c 'echo hi' tab\there ");
  expect(commandText("sh", [])).toBe("sh");
});
