/** Network namespaces, netlink inside them, and device programs. Needs root. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createSys, isSysError, NETLINK_NETFILTER, NETLINK_ROUTE, NLM_F_DUMP, NLM_F_REQUEST } from "@fathom/sys";

const sys = createSys();
const ownNamespace = (): string => readlinkSync("/proc/thread-self/ns/net");
const devices = (): string[] =>
  readFileSync("/proc/thread-self/net/dev", "utf8")
    .split("\n")
    .slice(2)
    .filter(Boolean)
    .map((line) => line.split(":")[0]!.trim());

describe("a network namespace", () => {
  test("is new, has only lo, and this thread never enters it", () => {
    const before = ownNamespace();
    const fd = sys.createNetworkNamespace();
    expect(ownNamespace()).toBe(before);
    const name = readlinkSync(`/proc/self/fd/${fd}`);
    expect(name).toStartWith("net:[");
    expect(name).not.toBe(before);
    expect(sys.withNetworkNamespace(fd, ownNamespace)).toBe(name);
    expect(sys.withNetworkNamespace(fd, devices)).toEqual(["lo"]);
    expect(ownNamespace()).toBe(before);
    sys.close(fd);
  });

  test("is left when the action throws", () => {
    const before = ownNamespace();
    const fd = sys.createNetworkNamespace();
    const act = (): never =>
      sys.withNetworkNamespace(fd, () => {
        throw new Error("inside");
      });
    expect(act).toThrow("inside");
    expect(ownNamespace()).toBe(before);
    sys.close(fd);
    expect(() => sys.withNetworkNamespace(fd, ownNamespace)).toThrow("EBADF");
    expect(ownNamespace()).toBe(before);
  });

  test("holds no descriptor after many rounds", () => {
    const count = (): number => readdirSync("/proc/self/fd").length;
    const fd = sys.createNetworkNamespace();
    const before = count();
    for (let round = 0; round < 50; round++) {
      sys.close(sys.openNetlink(NETLINK_ROUTE, fd));
      sys.close(sys.createNetworkNamespace());
      sys.withNetworkNamespace(fd, () => undefined);
    }
    expect(count()).toBe(before);
    sys.close(fd);
  });

  test("has netlink sockets of its own", () => {
    const fd = sys.createNetworkNamespace();
    const socket = sys.openNetlink(NETLINK_ROUTE, fd);
    const request = new Uint8Array(32);
    const view = new DataView(request.buffer);
    view.setUint32(0, 32, true);
    view.setUint16(4, 18, true);
    view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true);
    view.setUint32(8, 1, true);
    // One link, and the end of the list.
    expect(sys.netlinkTransact(socket, request, 1).length).toBe(2);
    sys.close(socket);
    sys.close(sys.openNetlink(NETLINK_NETFILTER, fd));
    sys.close(fd);
  });
});

test("a device program is checked by the kernel and loaded", () => {
  // r0 = 1; exit
  const allow = new Uint8Array([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  const fd = sys.bpfLoadDeviceProgram(allow);
  expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe("anon_inode:bpf-prog");
  sys.close(fd);
  const endless = allow.subarray(0, 8);
  let caught: unknown;
  try {
    sys.bpfLoadDeviceProgram(endless);
  } catch (error) {
    caught = error;
  }
  expect(isSysError(caught, "EINVAL")).toBe(true);
  expect(() => sys.bpfLoadDeviceProgram(allow.subarray(0, 7))).toThrow("EINVAL");
});
