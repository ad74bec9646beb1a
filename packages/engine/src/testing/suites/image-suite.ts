/** Tests of images as servers use them: the engine's part of images and every fake of it run them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { TarWriter } from "@fathom/archive";
import type { ProgressMessage } from "@fathom/spec";
import type { ImageBackend } from "../../backend.ts";
import { expectFailure, first } from "./expect-failure.ts";

export interface ImageWorld extends AsyncDisposable {
  readonly backend: ImageBackend;
  /** A name that its registry has, and a name that it does not have. */
  readonly pullable: string;
  readonly missing: string;
}

const never = new AbortController().signal;
const everything = { all: true, sharedSize: false, filters: {} };
const removal = { force: false, noPrune: false };
const loading = { platform: undefined };

/** Each call about one image. */
const ofOne: Readonly<Record<string, (images: ImageBackend, name: string) => Promise<unknown>>> = {
  inspect: (images, name) => images.inspect(name, undefined),
  history: (images, name) => images.history(name, undefined),
  tag: (images, name) => images.tag(name, "other", undefined),
  remove: (images, name) => images.remove(name, removal),
  save: (images, name) => Array.fromAsync(images.save([name], undefined, never)),
};

async function* stream(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

function tar(text: string): Buffer {
  const chunks: Uint8Array[] = [];
  const writer = new TarWriter((chunk) => chunks.push(chunk));
  writer.file({ path: "file", mode: 0o644 }, Buffer.from(text));
  writer.finish();
  return Buffer.concat(chunks);
}

export function imageSuite(name: string, open: () => Promise<ImageWorld>): void {
  describe(`${name} as a backend of images`, () => {
    let world: ImageWorld;
    let images: ImageBackend;
    beforeEach(async () => {
      world = await open();
      images = world.backend;
    });
    afterEach(() => world[Symbol.asyncDispose]());

    const pull = (fromImage: string, signal = never): AsyncIterable<ProgressMessage> =>
      images.pull({ fromImage, tag: undefined, platform: undefined, auth: undefined }, signal);
    const names = async (): Promise<string[]> =>
      (await images.list(everything)).flatMap(({ RepoTags }) => RepoTags).toSorted();
    /** Returns the id. */
    async function make(repository: string | undefined, text: string): Promise<string> {
      const request = { repository, tag: "1", message: undefined, changes: [], platform: undefined };
      const messages = await Array.fromAsync(images.import({ ...request, source: stream(tar(text)) }, never));
      return messages.at(-1)?.status ?? "";
    }

    for (const [verb, call] of Object.entries(ofOne)) {
      test(`${verb} of an unknown image is "not-found", with its name`, async () => {
        await expectFailure(call(images, "nosuch"), "not-found", "nosuch");
      });
      test(`${verb} of an invalid name is rejected`, async () => {
        await expectFailure(call(images, "UPPER"), "invalid-argument");
      });
    }

    test("an imported image is found by its name, its id and the beginning of its id", async () => {
      const id = await make("made", "one");
      expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
      for (const asked of ["made:1", id, id.slice("sha256:".length, 20)])
        expect(await images.inspect(asked, undefined)).toMatchObject({ Id: id, RepoTags: ["made:1"] });
      expect((await images.history("made:1", undefined))[0]).toMatchObject({ Id: id, Tags: ["made:1"] });
      expect(await names()).toEqual(["made:1"]);
    });

    test("a second name leads to the same image; the image is removed with its last name", async () => {
      const id = await make("made", "one");
      await images.tag("made:1", "again", undefined);
      expect(await names()).toEqual(["again:latest", "made:1"]);
      expect(await images.remove("made:1", removal)).toEqual([{ Untagged: "made:1" }]);
      const gone = await images.remove("again", removal);
      expect(gone.slice(0, 2)).toEqual([{ Untagged: "again:latest" }, { Deleted: id }]);
      expect(await images.list(everything)).toEqual([]);
    });

    test("a name moves to the image that got it last; an image without a name is pruned", async () => {
      const [one, two] = [await make("made", "one"), await make("made", "two")];
      expect((await images.inspect("made:1", undefined)).Id).toBe(two);
      expect((await images.inspect(one, undefined)).RepoTags).toEqual([]);
      const { ImagesDeleted } = await images.prune({});
      expect(ImagesDeleted).toContainEqual({ Deleted: one });
      expect(await names()).toEqual(["made:1"]);
      await expectFailure(images.prune({ nosuch: ["1"] }), "invalid-argument", "nosuch");
      await expectFailure(images.list({ ...everything, filters: { nosuch: ["1"] } }), "invalid-argument", "nosuch");
    });

    test("a pulled image is found under its name", async () => {
      const messages = await Array.fromAsync(pull(world.pullable));
      expect(messages.length).toBeGreaterThan(1);
      expect(messages.filter(({ error }) => error !== undefined)).toEqual([]);
      expect(await names()).toEqual([world.pullable]);
    });

    test("a pull of an image that the registry does not have fails before its first message", async () => {
      const messages: ProgressMessage[] = [];
      const all = (async () => {
        for await (const message of pull(world.missing)) messages.push(message);
      })();
      await expectFailure(all, "not-found", `manifest for ${world.missing} not found`);
      expect(messages).toEqual([]);
      expect(await names()).toEqual([]);
    });

    test("for a client that has hung up nothing is pulled, loaded or saved", async () => {
      await make("made", "one");
      const gone = AbortSignal.abort(new Error("the client hung up"));
      const calls = [
        Array.fromAsync(pull(world.pullable, gone)),
        Array.fromAsync(images.load(stream(tar("x")), loading, gone)),
        Array.fromAsync(images.save(["made:1"], undefined, gone)),
      ];
      expect((await Promise.allSettled(calls)).map(({ status: is }) => is)).toEqual([
        "rejected",
        "rejected",
        "rejected",
      ]);
      expect(await names()).toEqual(["made:1"]);
    });

    test("a saved image that is removed and loaded is the same image, with its name", async () => {
      const id = await make("made", "one");
      const archive = await Array.fromAsync(images.save(["made:1"], undefined, never));
      await images.remove("made:1", removal);
      expect(await first(images.load(stream(...archive), loading, never))).toMatchObject({
        stream: expect.stringContaining("made:1"),
      });
      expect((await images.inspect("made:1", undefined)).Id).toBe(id);
    });

    test("an archive without images loads nothing", async () => {
      const loaded = Array.fromAsync(images.load(stream(Buffer.from("no archive")), loading, never));
      expect(await loaded.catch(() => "failed")).toBe("failed");
      expect(await images.list(everything)).toEqual([]);
    });
  });
}
