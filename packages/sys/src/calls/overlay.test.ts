import { expect, test } from "bun:test";
import { createCallContext } from "./context.ts";
import type { NativeAddon } from "../native.ts";
import { mountOptions, openOverlay } from "./overlay.ts";
import { sysErrorOf } from "../testing/support.ts";

/** An addon that has only the mount calls; `refuse` gives the errno for a key. */
function fakeAddon(refuse: (key: string | null) => number): { native: NativeAddon; lines: string[] } {
  const lines: string[] = [];
  const messages = ["e overlay: bad value"];
  const native = {
    fsopen: () => 9,
    fsconfig: (_fd: number, command: number, key: string | null, value: string | null) => {
      lines.push(`${command} ${key} ${value}`);
      return key === "no-such-option" ? -22 : -refuse(key);
    },
    fsmount: () => 10,
    close: (fd: number) => lines.push(`close ${fd}`),
    read: (_fd: number, buffer: Uint8Array) => {
      const message = messages.shift();
      if (message === undefined) return -61;
      return new TextEncoder().encodeInto(message, buffer).written;
    },
  };
  return { native: native as unknown as NativeAddon, lines };
}

const mount = {
  lower: ["/top", "/a:b\\c"],
  upper: "/u",
  work: "/w",
  options: [["volatile"], ["metacopy", "off"]],
} as const;

test("layers are added one by one, then the rest", () => {
  const { native, lines } = fakeAddon(() => 0);
  expect(openOverlay(createCallContext(native), mount)).toBe(10);
  // The first lines, up to a close, test whether the kernel knows lowerdir+.
  expect(lines.slice(lines.indexOf("close 9") + 1)).toEqual([
    "1 source overlay",
    "1 lowerdir+ /top",
    "1 lowerdir+ /a:b\\c",
    "1 upperdir /u",
    "1 workdir /w",
    "0 volatile null",
    "1 metacopy off",
    "6 null null",
    "close 9",
  ]);
});

test("options for mount(2) are relative to the common part of the paths, and escaped", () => {
  expect(
    mountOptions({
      lower: ["/s/l/A", "/s/l/B:c,d\\e"],
      upper: "/s/id/diff",
      work: "/s/id/work",
      options: mount.options,
    }),
  ).toEqual({
    base: "/s",
    options: "lowerdir=l/A:l/B\\:c\\,d\\\\e,upperdir=id/diff,workdir=id/work,volatile,metacopy=off",
  });
  expect(mountOptions({ lower: ["/a", "/b"] })).toEqual({ base: "/", options: "lowerdir=a:b" });
  expect(mountOptions({ lower: ["/x/ab", "/x/a/b"] })).toEqual({ base: "/x", options: "lowerdir=ab:a/b" });
});

test("more than a page of options is rejected, not cut", () => {
  const { native } = fakeAddon(() => 0);
  const lower = Array.from({ length: 200 }, (_, index) => `/layers/${"n".repeat(30)}${index}`);
  expect(sysErrorOf(() => openOverlay(createCallContext(native), { lower }, true)).errnoName).toBe("E2BIG");
});

test("a failure closes the context, and the error has the kernel's words", () => {
  const { native, lines } = fakeAddon((key) => (key === "upperdir" ? 2 : 0));
  expect(sysErrorOf(() => openOverlay(createCallContext(native), mount)).message).toBe(
    "fsconfig upperdir=/u (e overlay: bad value): No such file or directory (ENOENT)",
  );
  expect(lines.at(-1)).toBe("close 9");
});
