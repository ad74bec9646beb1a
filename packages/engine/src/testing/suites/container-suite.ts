/** Tests of containers as servers use them: the engine runs them with its machine, and so does every fake. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { zeroTime } from "@fathom/base";
import type { ContainerCreateRequest } from "@fathom/spec";
import type { AttachRequest, ContainerBackend } from "../../backend.ts";
import { createContainer, execRequest, runContainer, type ContainerWorld } from "./container-world.ts";
import { expectFailure } from "./expect-failure.ts";
import { emptyHostConfig } from "@fathom/spec/testing";

const never = new AbortController().signal;
const removal = { volumes: false, force: false, link: false };
const everything = { all: true, limit: undefined, size: false, filters: {} };
const byDefault = { signal: undefined, timeoutSeconds: 0 };
const attached: AttachRequest = {
  stdin: false,
  stdout: true,
  stderr: true,
  logs: false,
  stream: true,
  detachKeys: undefined,
};
/** Each call about one container. The type makes the compiler report missing calls. */
const ofOne: {
  readonly [Verb in Exclude<keyof ContainerBackend, "list" | "create" | "explain" | "prune">]: (
    containers: ContainerBackend,
    name: string,
  ) => Promise<unknown>;
} = {
  inspect: (containers, name) => containers.inspect(name, false),
  start: (containers, name) => containers.start(name, undefined),
  stop: (containers, name) => containers.stop(name, byDefault),
  restart: (containers, name) => containers.restart(name, byDefault),
  kill: (containers, name) => containers.kill(name, undefined),
  wait: (containers, name) => containers.wait(name, "not-running", never),
  remove: (containers, name) => containers.remove(name, removal),
  rename: (containers, name) => containers.rename(name, "other"),
  pause: (containers, name) => containers.pause(name),
  unpause: (containers, name) => containers.unpause(name),
  update: (containers, name) => containers.update(name, {}),
  resize: (containers, name) => containers.resize(name, 24, 80),
  top: (containers, name) => containers.top(name, ""),
  stats: (containers, name) => containers.stats(name, { stream: false, oneShot: true }, never),
  changes: (containers, name) => containers.changes(name),
  attach: (containers, name) => containers.attach(name, attached, never),
  logs: (containers, name) =>
    containers.logs(
      name,
      {
        stdout: true,
        stderr: true,
        follow: false,
        tail: "all",
        since: undefined,
        until: undefined,
        timestamps: false,
        details: false,
      },
      never,
    ),
  archiveStat: (containers, name) => containers.archiveStat(name, "/", never),
  archiveGet: (containers, name) => containers.archiveGet(name, "/", never),
  archivePut: (containers, name) =>
    containers.archivePut(name, { path: "/", tar: nothing(), noOverwriteDirNonDir: false, copyUidGid: false }, never),
  export: (containers, name) => containers.export(name, never),
  commit: (containers, name) =>
    containers.commit(
      {
        container: name,
        repository: undefined,
        tag: undefined,
        comment: "",
        author: "",
        pause: true,
        changes: [],
        config: undefined,
      },
      never,
    ),
};

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of source) all.push(value);
  return all;
}

export function containerSuite(name: string, open: () => Promise<ContainerWorld>): void {
  let world: ContainerWorld;
  let containers: ContainerBackend;

  const create = (container: string, more?: Partial<ContainerCreateRequest>): Promise<string> =>
    createContainer(world, container, more);
  const run = (container: string): Promise<string> => runContainer(world, container);
  async function status(container: string): Promise<string> {
    return (await containers.inspect(container, false)).State.Status;
  }
  async function names(): Promise<string[]> {
    return (await containers.list(everything)).flatMap(({ Names }) => Names).toSorted();
  }

  describe(`${name} as a backend of containers`, () => {
    beforeEach(async () => {
      world = await open();
      ({ containers } = world.backend);
    });
    afterEach(() => world[Symbol.asyncDispose]());

    test("a container has the given name, and is found by name, id and the beginning of its id", async () => {
      const id = await create("one");
      expect(id).toMatch(/^[0-9a-f]{64}$/);
      for (const asked of ["one", "/one", id, id.slice(0, 12)]) {
        const { Id, Name, State } = await containers.inspect(asked, false);
        expect([Id, Name, State.Status, State.StartedAt]).toEqual([id, "/one", "created", zeroTime]);
      }
      expect(await names()).toEqual(["/one"]);
      expect(await containers.list({ ...everything, all: false })).toEqual([]);
    });

    for (const [verb, call] of Object.entries(ofOne))
      test(`${verb} of a container that does not exist is "not-found", with its name`, async () => {
        await create("one");
        const answer = call(containers, "nosuch");
        await expectFailure(answer, "not-found", "No such container: nosuch");
        expect(await names()).toEqual(["/one"]);
      });

    test("a container of an unknown image is rejected", async () => {
      await expectFailure(create("one", { Image: "nosuch" }), "not-found", "No such image: nosuch");
      expect(await names()).toEqual([]);
    });

    test("a name can only be given once; a renamed container frees its old name", async () => {
      await create("one");
      const two = await create("two");
      await expectFailure(create("one"), "conflict", "one");
      await expectFailure(containers.rename("two", "one"), "conflict", "one");
      await containers.rename("two", "three");
      expect((await containers.inspect("three", false)).Id).toBe(two);
      await create("two");
      expect(await names()).toEqual(["/one", "/three", "/two"]);
    });

    test("create, start, stop, start, kill: each state, and what is not allowed in it", async () => {
      await create("one");
      await expectFailure(containers.stop("one", byDefault), "not-modified");
      await expectFailure(containers.kill("one", undefined), "conflict", "is not running");
      await expectFailure(containers.pause("one"), "conflict", "is not running");
      await expectFailure(containers.resize("one", 24, 80), "conflict", "is not running");
      await containers.start("one", undefined);
      expect(await status("one")).toBe("running");
      expect(await containers.list({ ...everything, all: false })).toHaveLength(1);
      await expectFailure(containers.start("one", undefined), "not-modified");
      await containers.stop("one", byDefault);
      expect(await status("one")).toBe("exited");
      await expectFailure(containers.stop("one", byDefault), "not-modified");
      await containers.restart("one", byDefault);
      expect(await status("one")).toBe("running");
      const { result } = await containers.wait("one", "not-running", never);
      await containers.kill("one", "KILL");
      await result;
      expect(await status("one")).toBe("exited");
    });

    test("a paused container shows that, and continues", async () => {
      await run("one");
      await expectFailure(containers.unpause("one"), "conflict", "is not paused");
      await containers.pause("one");
      expect(await status("one")).toBe("paused");
      await expectFailure(containers.pause("one"), "conflict", "is already paused");
      await expectFailure(containers.attach("one", attached, never), "conflict", "is paused");
      const { Id } = await containers.inspect("one", false);
      await expectFailure(world.backend.execs.create("one", execRequest), "conflict", "is paused");
      await containers.unpause("one");
      expect(await status(Id)).toBe("running");
    });

    test("a client that waits learns of the end for which it waits", async () => {
      await create("one");
      const next = await containers.wait("one", "next-exit", never);
      const removed = await containers.wait("one", "removed", never);
      await containers.start("one", undefined);
      const stopped = await containers.wait("one", "not-running", never);
      await world.end("one", 7);
      expect(await next.result).toEqual({ StatusCode: 7 });
      expect(await stopped.result).toEqual({ StatusCode: 7 });
      const late = await containers.wait("one", "not-running", never);
      expect(await late.result).toEqual({ StatusCode: 7 });
      expect((await containers.inspect("one", false)).State).toMatchObject({ Status: "exited", ExitCode: 7 });
      await containers.remove("one", removal);
      expect(await removed.result).toEqual({ StatusCode: 7 });
    });

    test("a wait ends when its client hangs up, and the other waits continue", async () => {
      await run("one");
      const client = new AbortController();
      const [mine, other] = [
        await containers.wait("one", "not-running", client.signal),
        await containers.wait("one", "not-running", never),
      ];
      client.abort();
      await expectFailure(mine.result, "aborted");
      await world.end("one", 3);
      expect(await other.result).toEqual({ StatusCode: 3 });
    });

    test("an attach before the start gets its stream when the container starts", async () => {
      await create("one");
      const { stream, logs, tty } = await containers.attach("one", attached, never);
      expect([logs, tty]).toEqual([undefined, false]);
      await containers.start("one", undefined);
      const attachment = await stream;
      expect([typeof attachment?.fd, attachment?.tty]).toEqual(["number", false]);
      world.close(attachment!);
      const again = await containers.attach("one", attached, never);
      world.close((await again.stream)!);
    });

    test("an attach to a container that never starts ends with the container, or with its client", async () => {
      await create("one");
      const client = new AbortController();
      const left = await containers.attach("one", attached, client.signal);
      const stays = await containers.attach("one", attached, never);
      client.abort();
      expect(await left.stream).toBeUndefined();
      await containers.remove("one", removal);
      expect(await stays.stream).toBeUndefined();
    });

    test("a container that runs has statistics; of one that does not run all are zero", async () => {
      await create("one");
      const [before] = await collect(await containers.stats("one", { stream: false, oneShot: false }, never));
      expect([before?.name, before?.read, before?.pids_stats]).toEqual(["/one", zeroTime, {}]);
      await containers.start("one", undefined);
      const [running, ...more] = await collect(await containers.stats("one", { stream: false, oneShot: true }, never));
      expect([running?.name, running?.os_type, running?.preread, more]).toEqual(["/one", "linux", zeroTime, []]);
    });

    test("a stream of statistics has its first answer at once, and ends when its client hangs up", async () => {
      await run("one");
      const client = new AbortController();
      for await (const { name } of await containers.stats("one", { stream: true, oneShot: false }, client.signal)) {
        expect(name).toBe("/one");
        client.abort();
      }
    });

    test("logs without any stream are rejected", async () => {
      await create("one");
      const selection = { follow: false, tail: "all", since: undefined, until: undefined } as const;
      const request = { ...selection, stdout: false, stderr: false, timestamps: false, details: false };
      await expectFailure(containers.logs("one", request, never), "invalid-argument", "stdout");
    });

    test("a running container is removed only by force; an ended one is pruned", async () => {
      await run("one");
      await expectFailure(containers.remove("one", removal), "conflict", "running");
      await create("created");
      await run("ended");
      const { result } = await containers.wait("ended", "not-running", never);
      await world.end("ended", 0);
      await result;
      const { ContainersDeleted } = await containers.prune({});
      expect(ContainersDeleted).toHaveLength(2);
      expect(await names()).toEqual(["/one"]);
      await containers.remove("one", { ...removal, force: true });
      expect(await names()).toEqual([]);
      await expectFailure(containers.prune({ nosuch: ["1"] }), "invalid-argument", "nosuch");
      await expectFailure(containers.list({ ...everything, filters: { nosuch: ["1"] } }), "invalid-argument", "nosuch");
    });

    test("with AutoRemove a container is removed at its end", async () => {
      await create("one", { HostConfig: { ...emptyHostConfig, NetworkMode: "none", AutoRemove: true } });
      const { result } = await containers.wait("one", "removed", never);
      await containers.start("one", undefined);
      await world.end("one", 4);
      expect(await result).toEqual({ StatusCode: 4 });
      expect(await names()).toEqual([]);
    });

    test("inspect shows what an update changed", async () => {
      await create("one");
      const RestartPolicy = { Name: "on-failure", MaximumRetryCount: 3 } as const;
      expect(await containers.update("one", { RestartPolicy })).toEqual({ Warnings: null });
      expect((await containers.inspect("one", false)).HostConfig).toMatchObject({ RestartPolicy });
    });
  });
}
