import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { failureOf } from "@fathom/base/testing";
import { parseDiffId, sha256Digest } from "@fathom/spec";
import { diffIdOfFile } from "./make-image.ts";

test("the hashing of a file ends when its client leaves, long before the file's end", async () => {
  const directory = mkdtempSync(join(tmpdir(), "fathom-diff-id-"));
  try {
    const tar = Buffer.alloc(32 * 1024 * 1024, "tar");
    const file = join(directory, "layer");
    for (const bytes of [tar, gzipSync(tar, { level: 0 })]) {
      writeFileSync(file, bytes);
      expect(await diffIdOfFile(file, new AbortController().signal)).toBe(parseDiffId(sha256Digest(tar)));
      const client = new AbortController();
      let seen = 0;
      const hashing = diffIdOfFile(file, client.signal, (chunk) => {
        seen += chunk.length;
        client.abort();
      });
      expect(await failureOf(hashing)).toBe(client.signal.reason);
      expect(seen).toBeLessThan(tar.length / 8);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
