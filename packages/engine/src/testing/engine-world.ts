/** A daemon with a machine in memory for each test of a file, and functions for its tests. */
import { afterEach, beforeEach, expect } from "bun:test";
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContainerCreateRequest, EventMessage, ExecCreateRequest, HostConfig } from "@fathom/spec";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";
import { FakeMachine, removeTree, startDaemon, type TestEngine, type VolumeQuestions } from "./fakes.ts";

export const never = new AbortController().signal;

export const execRequest: ExecCreateRequest = {
  User: "",
  Privileged: false,
  Tty: false,
  AttachStdin: false,
  AttachStdout: true,
  AttachStderr: true,
  DetachKeys: "",
  Env: null,
  WorkingDir: "",
  Cmd: ["true"],
};

export function request(
  host: Partial<HostConfig> = {},
  more: Partial<ContainerCreateRequest> = {},
): ContainerCreateRequest {
  return {
    ...emptyContainerConfig,
    Image: "busybox",
    ...more,
    HostConfig: { ...emptyHostConfig, ...host },
    NetworkingConfig: { EndpointsConfig: {} },
  };
}

export async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await condition()) return;
    await Bun.sleep(5);
  }
  throw new Error("the condition did not come true in two seconds");
}

export class EngineWorld {
  root = "";
  machine = new FakeMachine();
  volumeQuestions: VolumeQuestions = {};
  /** The start of another daemon puts its engine here: the test's end shuts that one down. */
  engine!: TestEngine;

  async open(): Promise<void> {
    this.root = mkdtempSync(join(tmpdir(), "fathom-engine-"));
    this.machine = new FakeMachine();
    this.volumeQuestions = {};
    this.engine = await startDaemon(this.machine, this.root, {}, this.volumeQuestions);
  }

  async close(): Promise<void> {
    await this.engine.shutdown();
    removeTree(this.root);
  }

  /** Creates and starts it; returns its id. */
  async run(name: string, host: Partial<HostConfig> = {}, more: Partial<ContainerCreateRequest> = {}): Promise<string> {
    const { Id } = await this.engine.containers.create(name, undefined, request(host, more));
    await this.engine.containers.start(name, undefined);
    return Id;
  }

  async status(name: string): Promise<string> {
    return (await this.engine.containers.inspect(name, false)).State.Status;
  }

  /** The events up to now. */
  async actions(since = 0n, type = "container"): Promise<string[]> {
    const seen: EventMessage[] = [];
    for await (const event of this.engine.system.events(
      { since, until: BigInt(Date.now()) * 1_000_000n + 10_000_000n, filters: { type: [type] } },
      never,
    ))
      seen.push(event);
    return seen.map((event) => event.Action);
  }

  /** Nothing is left on the machine. */
  expectClean(): void {
    expect([...this.machine.cgroups]).toEqual([]);
    expect([...this.machine.endpoints.keys()]).toEqual([]);
    expect([...this.machine.snapshots.keys]).toEqual([]);
    expect(readdirSync(join(this.root, "containers"))).toEqual([]);
  }
}

/** For the top of a test file: starts a daemon before each of its tests, and ends it afterwards. */
export function useEngine(): EngineWorld {
  const world = new EngineWorld();
  beforeEach(() => world.open());
  afterEach(() => world.close());
  return world;
}
