import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@fathom/base";
import type { ContainerCreateRequest, HostConfig } from "@fathom/spec";
import { type ContainerRecord, ContainerDescriptions, RecordForm } from "@fathom/containers";
import { recordOwner } from "./docker-extension.ts";
import { FakeMachine, removeTree, startDaemon } from "../testing/fakes.ts";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";

let root: string;
let machine: FakeMachine;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "fathom-description-"));
  machine = new FakeMachine();
});
afterEach(() => removeTree(root));

function request(host: Partial<HostConfig> = {}): ContainerCreateRequest {
  return {
    ...emptyContainerConfig,
    Image: "busybox",
    HostConfig: { ...emptyHostConfig, ...host },
    NetworkingConfig: { EndpointsConfig: {} },
  };
}

/** Creates a container and ends its daemon; returns its description. */
async function described(): Promise<{ readonly path: string; readonly text: string }> {
  const engine = await startDaemon(machine, root);
  const { Id: id } = await engine.containers.create("web", undefined, request());
  await engine.shutdown();
  const path = join(root, "containers", id, "container.json");
  return { path, text: readFileSync(path, "utf8") };
}

const damages: Readonly<Record<string, (path: string, text: string) => void>> = {
  "left empty by a power cut": (path) => truncateSync(path, 0),
  "cut short": (path, text) => truncateSync(path, Math.floor(text.length / 2)),
  "of zeros": (path, text) => truncateSync(path, (truncateSync(path, 0), text.length)),
  "older than its row": (path, text) => writeFileSync(path, text.replaceAll('"web"', '"before"')),
  gone: (path) => rmSync(path),
};

test.each(Object.entries(damages))("the next daemon writes a description %s again", async (_, damage) => {
  const { path, text } = await described();
  damage(path, text);
  expect(readFileSync(path, { encoding: "utf8", flag: "a+" })).not.toBe(text);
  await (await startDaemon(machine, root)).shutdown();
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(JSON.parse(text));
});

test("a description that agrees with the row is not written again", async () => {
  const { path, text } = await described();
  writeFileSync(path, `${text}\n`);
  await (await startDaemon(machine, root)).shutdown();
  expect(readFileSync(path, "utf8")).toBe(`${text}\n`);
});

const form = new RecordForm(recordOwner);

function parts(): Pick<ConstructorParameters<typeof ContainerDescriptions>[0], "config" | "store" | "logger" | "form"> {
  return { config: { dataRoot: root }, store: machine.store(root), logger: silentLogger, form };
}

/** Returns the record in a description and removes the description. */
function takeRecord(path: string): ContainerRecord {
  const { record } = JSON.parse(readFileSync(path, "utf8")) as { record: Record<string, unknown> };
  rmSync(path);
  return form.readDescribed(record, path);
}

test("a new description is made durable, unless it belongs to a container with --rm", async () => {
  const engine = await startDaemon(machine, root);
  const { promise, resolve } = Promise.withResolvers<void>();
  const written: string[] = [];
  const descriptions = new ContainerDescriptions({
    ...parts(),
    writeOut: async (path) => {
      written.push(path);
      if (written.length === 2) resolve();
    },
  });
  const paths: string[] = [];
  for (const AutoRemove of [false, true, false]) {
    const { Id } = await engine.containers.create(undefined, undefined, request({ AutoRemove }));
    const path = join(root, "containers", Id, "container.json");
    descriptions.write(takeRecord(path));
    paths.push(path);
  }
  await promise;
  expect(written).toEqual([paths[0]!, paths[2]!]);
  await engine.shutdown();
}, 20_000);

/** Two containers whose state changes, at a time that the test sets. */
async function changing() {
  const engine = await startDaemon(machine, root);
  const clock = { ms: 0 };
  const descriptions = new ContainerDescriptions({
    ...parts(),
    writeOut: async () => undefined,
    now: () => clock.ms,
  });
  const one = async () => {
    const { Id } = await engine.containers.create(undefined, undefined, request());
    const path = join(root, "containers", Id, "container.json");
    return { container: { record: takeRecord(path) }, path };
  };
  return { engine, clock, descriptions, first: await one(), second: await one() };
}

test("changes of state are written together when no other change has come for a second", async () => {
  const { engine, clock, descriptions, first, second } = await changing();
  descriptions.writeLater(first.container);
  clock.ms = 900;
  descriptions.writeLater(second.container);
  clock.ms = 1899;
  expect(descriptions.writeDue()).toBe(1);
  expect([first, second].map(({ path }) => existsSync(path))).toEqual([false, false]);
  clock.ms = 1900;
  expect(descriptions.writeDue()).toBeUndefined();
  expect([first, second].map(({ path }) => existsSync(path))).toEqual([true, true]);
  await engine.shutdown();
});

test("when changes never end, the first of them waits four seconds", async () => {
  const { engine, clock, descriptions, first, second } = await changing();
  descriptions.writeLater(first.container);
  for (clock.ms = 500; clock.ms < 4000; clock.ms += 500) {
    descriptions.writeLater(second.container);
    descriptions.writeDue();
  }
  expect(existsSync(first.path)).toBe(false);
  descriptions.writeDue();
  expect(existsSync(first.path)).toBe(true);
  await engine.shutdown();
});

test("when a container is removed meanwhile, its state is never written", async () => {
  const { engine, descriptions, first, second } = await changing();
  descriptions.writeLater(first.container);
  descriptions.writeLater(second.container);
  descriptions.remove(first.container.record.id);
  await descriptions.close();
  expect([first, second].map(({ path }) => existsSync(path))).toEqual([false, true]);
  await engine.shutdown();
});
