/** Tests of execs as servers use them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { ExecBackend } from "../../backend.ts";
import { createContainer, execRequest, runContainer, type ContainerWorld } from "./container-world.ts";
import { expectFailure } from "./expect-failure.ts";

const never = new AbortController().signal;
const execStart = { detach: false, consoleSize: undefined };

const ofOneExec: {
  readonly [Verb in Exclude<keyof ExecBackend, "create">]: (execs: ExecBackend, id: string) => Promise<unknown>;
} = {
  inspect: (execs, id) => execs.inspect(id),
  start: (execs, id) => execs.start(id, execStart, never),
  resize: (execs, id) => execs.resize(id, 24, 80),
};

export function execSuite(name: string, open: () => Promise<ContainerWorld>): void {
  describe(`${name} as a backend of execs`, () => {
    let world: ContainerWorld;
    let execs: ExecBackend;
    beforeEach(async () => {
      world = await open();
      ({ execs } = world.backend);
    });
    afterEach(() => world[Symbol.asyncDispose]());

    for (const [verb, call] of Object.entries(ofOneExec))
      test(`${verb} of an exec that does not exist is "not-found", with its id`, async () => {
        await expectFailure(call(execs, "nosuch"), "not-found", "No such exec instance: nosuch");
      });

    test("an exec needs a running container", async () => {
      await expectFailure(execs.create("nosuch", execRequest), "not-found", "No such container: nosuch");
      await createContainer(world, "one");
      await expectFailure(execs.create("one", execRequest), "conflict", "is not running");
    });

    test("an exec can be started once, with a stream or without", async () => {
      const id = await runContainer(world, "one");
      const { Id } = await execs.create("one", execRequest);
      expect(await execs.inspect(Id)).toMatchObject({ ID: Id, ContainerID: id, Running: false, ExitCode: null });
      const attachment = await execs.start(Id, execStart, never);
      expect([typeof attachment?.fd, attachment?.tty]).toEqual(["number", false]);
      world.close(attachment!);
      await expectFailure(execs.start(Id, execStart, never), "conflict", "already");
      const other = await execs.create("one", execRequest);
      expect(await execs.start(other.Id, { ...execStart, detach: true }, never)).toBeUndefined();
    });

    test("a start that is not rejected is accepted once, before there is a stream", async () => {
      await runContainer(world, "one");
      const { Id } = await execs.create("one", execRequest);
      const seen: string[] = [];
      const options = { ...execStart, accepted: () => void seen.push("accepted") };
      const attachment = await execs.start(Id, options, never);
      seen.push("stream");
      world.close(attachment!);
      await expectFailure(execs.start(Id, options, never), "conflict", "already");
      expect(seen).toEqual(["accepted", "stream"]);
    });

    test("a client that has hung up starts nothing", async () => {
      await runContainer(world, "one");
      const { Id } = await execs.create("one", execRequest);
      const gone = new Error("the client hung up");
      const answer = execs.start(Id, execStart, AbortSignal.abort(gone));
      expect(await answer.catch((error: unknown) => error)).toBe(gone);
      world.close((await execs.start(Id, execStart, never))!);
    });
  });
}
