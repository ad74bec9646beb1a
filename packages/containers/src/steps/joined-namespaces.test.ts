import { expect, test } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { startTimeOf } from "@fathom/base/testing";
import { createSys } from "@fathom/sys";
import type { Container } from "../container.ts";
import { holdNamespaces, type Joins } from "./joined-namespaces.ts";

const real = createSys();
const held = new Set<number>();
/** Counts open descriptors. */
const sys = {
  ...real,
  open: (...args: Parameters<typeof real.open>): number => {
    const fd = real.open(...args);
    held.add(fd);
    return fd;
  },
  close: (fd: number): void => {
    real.close(fd);
    held.delete(fd);
  },
};

const other = "b".repeat(64);

/** Joins of a container whose first process has this number and this start time. */
function joins(pid: number, startTime: string): Joins {
  const identity = {
    process: { pid, startTime },
    supervisor: { pid, startTime },
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    pidNamespace: readlinkSync("/proc/self/ns/pid"),
  };
  const container = { id: "a".repeat(64), process: { supervisor: { identity } } } as unknown as Container;
  return {
    networkContainer: container,
    pidContainer: container,
    ipcContainer: undefined,
    namespaces: {
      network: `/proc/${pid}/ns/net`,
      uts: `/proc/${pid}/ns/uts`,
      pid: `/proc/${pid}/ns/pid`,
      ipc: undefined,
    },
  };
}

test("namespaces are held as descriptors until they are released", () => {
  const namespaces = holdNamespaces(sys, joins(process.pid, startTimeOf(process.pid)));
  for (const [path, name] of [
    [namespaces.namespaces.network, "net"],
    [namespaces.namespaces.uts, "uts"],
    [namespaces.namespaces.pid, "pid"],
  ] as const) {
    expect(path).toStartWith(`/proc/${process.pid}/fd/`);
    expect(readlinkSync(path!)).toBe(readlinkSync(`/proc/self/ns/${name}`));
  }
  expect(namespaces.namespaces.ipc).toBeUndefined();
  namespaces[Symbol.dispose]();
  expect(held.size).toBe(0);
});

test("a process number that belongs to another process now is not joined, nor that of a process that has ended", () => {
  const child = Bun.spawnSync(["true"]);
  expect(() => holdNamespaces(sys, joins(process.pid, "1"))).toThrow(`container ${"a".repeat(64)} is not running`);
  expect(() => holdNamespaces(sys, joins(child.pid, "1"))).toThrow("is not running");
  expect(held.size).toBe(0);
});

test("the error names the container that has ended, not another one that is joined", () => {
  const child = Bun.spawnSync(["true"]);
  const lives = joins(process.pid, startTimeOf(process.pid));
  const ended = joins(child.pid, "1");
  const both: Joins = {
    networkContainer: lives.networkContainer,
    pidContainer: { ...ended.pidContainer, id: other } as Container,
    ipcContainer: undefined,
    namespaces: { ...lives.namespaces, pid: ended.namespaces.pid },
  };
  expect(() => holdNamespaces(sys, both)).toThrow(`container ${other} is not running`);
  expect(held.size).toBe(0);
});
