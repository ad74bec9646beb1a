import { systemClock } from "@fathom/base";
import type { Images } from "@fathom/images";
import { parseDigest, type Digest } from "@fathom/spec";
import type { ImageRecord } from "@fathom/store";
import { expect, test } from "bun:test";
import type { EngineParts } from "../contract.ts";
import { listImages } from "./image-list.ts";

const request = { all: false, sharedSize: true, filters: {} };

/** As many images as asked, each of which takes the thread for some time. */
function world(count: number, msForEach: number) {
  const records = Array.from({ length: count }, (_, index): ImageRecord => {
    const id = parseDigest(`sha256:${String(index).padStart(64, "0")}`);
    return { id, layers: [], size: 1 } as unknown as ImageRecord;
  });
  const stored = new Map<Digest, ImageRecord>(records.map((record) => [record.id, record]));
  const images = {
    list: () => records,
    names: () => ({ tags: ["app:1"], digests: [] }),
    config: () => {
      for (const end = performance.now() + msForEach; performance.now() < end;);
      return { created: "2026-01-01T00:00:00Z" };
    },
  } as unknown as Images;
  const store = { images: { get: (id: Digest) => stored.get(id), names: () => [{ images: [] }], children: () => [] } };
  const parts = { store, clock: systemClock, uses: { ofImage: () => [] } } as unknown as EngineParts;
  return { parts, images, stored };
}

test("between images other work of the thread runs", async () => {
  const { parts, images } = world(20, 12);
  let others = 0;
  const timer = setInterval(() => others++, 0);
  expect(await listImages(parts, images, request)).toHaveLength(20);
  clearInterval(timer);
  expect(others).toBeGreaterThan(5);
});

test("an image that is removed meanwhile is left out", async () => {
  const { parts, images, stored } = world(20, 12);
  const list = listImages(parts, images, request);
  setImmediate(() => stored.delete([...stored.keys()].at(-1)!));
  expect(await list).toHaveLength(19);
});
