import { describe, expect, test } from "bun:test";
import { createRecordingSys } from "./recording.ts";
import { sysErrorOf } from "./support.ts";

describe("the recording fake", () => {
  test("records calls in order and returns descriptors that a test can follow", () => {
    const fake = createRecordingSys();
    const directory = fake.open("/somewhere", 0);
    const file = fake.openat2(directory, new Uint8Array([0x61, 0xff]), { flags: 0 });
    fake.utimensat(directory, "a", 1n, 2n);
    fake.close(file);
    expect(fake.transcript()).toEqual([
      'open("/somewhere", 0)',
      'openat2(1000, b"aÿ", {"flags":0})',
      'utimensat(1000, "a", 1n, 2n)',
      "close(1001)",
    ]);
    expect(fake.openFds).toEqual([1000]);
    expect(fake.pipe(0)).toEqual([1002, 1003]);
  });

  test("plays scripted results, which may look at their arguments", () => {
    const fake = createRecordingSys({
      readlinkat: (_dir, path) => new TextEncoder().encode(`to ${String(path)}`),
      tryFlock: () => false,
    });
    expect(new TextDecoder().decode(fake.readlinkat(3, "x"))).toBe("to x");
    expect(fake.tryFlock(3, true)).toBe(false);
    expect(fake.withNetworkNamespace(5, () => "inside")).toBe("inside");
  });

  test("fails the Nth call, so that leaks at every step are found", () => {
    // The sequence under test: a failure must leave nothing open.
    function sequence(fake: ReturnType<typeof createRecordingSys>): void {
      using open = new DisposableStack();
      const first = open.adopt(fake.open("/a", 0), (fd) => fake.close(fd));
      const second = open.adopt(fake.openat2(first, "b", { flags: 0 }), (fd) => fake.close(fd));
      fake.ftruncate(second, 0n);
    }
    for (let nth = 1; nth <= 3; nth++) {
      const fake = createRecordingSys();
      fake.failOn({ nth, errno: "EIO" });
      expect(sysErrorOf(() => sequence(fake)).errnoName).toBe("EIO");
      expect(fake.openFds).toEqual([]);
    }
    const fake = createRecordingSys();
    fake.failOn({ nth: 2, method: "write", errno: "ENOSPC" });
    expect(fake.write(1, new Uint8Array(5))).toBe(5);
    fake.ftruncate(1, 0n);
    expect(sysErrorOf(() => fake.write(1, new Uint8Array(5))).errnoName).toBe("ENOSPC");
    expect(fake.write(1, new Uint8Array(5))).toBe(5);
  });

  test("rejects a descriptor that is closed twice", () => {
    const fake = createRecordingSys();
    const fd = fake.dup(0);
    fake.close(fd);
    expect(sysErrorOf(() => fake.close(fd)).errnoName).toBe("EBADF");
  });

  test("is no promise, so it can be returned from async functions", async () => {
    const fake = createRecordingSys();
    expect(await (async () => fake)()).toBe(fake);
    expect(fake.calls).toEqual([]);
  });
});
