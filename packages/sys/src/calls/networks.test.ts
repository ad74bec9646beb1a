import { describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  IN_CREATE,
  IN_MOVED_TO,
  NETLINK_ROUTE,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "../constants.ts";
import { netlinkMessages, parseInotifyEvents } from "./networks.ts";
import { sys, sysErrorOf, testDirectory } from "../testing/support.ts";

// Constants of the kernel that only this test uses.
const IN_CLOSE_WRITE = 0x8;
const IN_DELETE_SELF = 0x400;
const IN_ISDIR = 0x40000000;

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;

/** One message: the header and `body` bytes of zeros (an ifinfomsg), with the interface index at its place. */
function linkMessage(type: number, flags: number, sequence: number, index = 0): Uint8Array {
  const message = new Uint8Array(32);
  const view = new DataView(message.buffer);
  view.setUint32(0, message.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  view.setInt32(20, index, true);
  return message;
}

const typeOf = (message: Uint8Array): number => new DataView(message.buffer, message.byteOffset).getUint16(4, true);
const errorOf = (message: Uint8Array): number => new DataView(message.buffer, message.byteOffset).getInt32(16, true);

describe("netlink", () => {
  test("a monitor does not block, and a bad group is an error", () => {
    const monitor = sys.openNetlinkMonitor(NETLINK_ROUTE, 1, [1000, 1000]);
    expect(sys.read(monitor, new Uint8Array(64))).toBe(-1);
    sys.close(monitor);
    expect(sysErrorOf(() => sys.openNetlinkMonitor(999, 1, [1, 1])).errnoName).toBe("EPROTONOSUPPORT");
  });

  test("a dump arrives complete, with its end", () => {
    const socket = sys.openNetlink(NETLINK_ROUTE);
    const answers = sys.netlinkTransact(socket, linkMessage(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 7), 1);
    expect(answers.filter((answer) => typeOf(answer) === RTM_NEWLINK).length).toBeGreaterThan(0);
    expect(typeOf(answers.at(-1) ?? new Uint8Array(16))).toBe(NLMSG_DONE);
    sys.close(socket);
  });

  test("several requests in one buffer, answered in order, with errors among the answers", () => {
    const socket = sys.openNetlink(NETLINK_ROUTE);
    const flags = NLM_F_REQUEST | NLM_F_ACK;
    const request = Buffer.concat([
      linkMessage(RTM_GETLINK, flags, 1, 1),
      linkMessage(RTM_GETLINK, flags, 2, 987_654_321),
      linkMessage(RTM_GETLINK, flags, 3, 1),
    ]);
    const answers = sys.netlinkTransact(socket, request, 3);
    expect(answers.map(typeOf)).toEqual([RTM_NEWLINK, NLMSG_ERROR, NLMSG_ERROR, RTM_NEWLINK, NLMSG_ERROR]);
    expect([1, 2, 4].map((index) => errorOf(answers[index] ?? new Uint8Array(32)))).toEqual([0, -19, 0]);
    // The socket is empty for the next request.
    expect(sys.netlinkTransact(socket, linkMessage(RTM_GETLINK, flags, 4, 1), 1).map(typeOf)).toEqual([
      RTM_NEWLINK,
      NLMSG_ERROR,
    ]);
    sys.close(socket);
  });

  test("when the first message is rejected, nobody waits for the others", () => {
    const socket = sys.openNetlink(NETLINK_ROUTE);
    const request = Buffer.concat([
      linkMessage(RTM_GETLINK, NLM_F_REQUEST, 1, 987_654_321),
      linkMessage(RTM_GETLINK, NLM_F_REQUEST, 2, 1),
    ]);
    const answers = sys.netlinkTransact(socket, request, 2);
    expect(answers.map((answer) => [typeOf(answer), errorOf(answer)])).toEqual([[NLMSG_ERROR, -19]]);
    sys.close(socket);
  });

  test("missing answers end in a timeout", () => {
    const socket = sys.openNetlink(NETLINK_ROUTE);
    const before = performance.now();
    const wait = (): unknown => sys.netlinkTransact(socket, linkMessage(RTM_GETLINK, NLM_F_REQUEST, 1, 1), 1);
    expect(sysErrorOf(wait).message).toBe("recvmsg netlink (0 of 1 answers): Connection timed out (ETIMEDOUT)");
    expect(performance.now() - before).toBeLessThan(8000);
    sys.close(socket);
  }, 10_000);

  test("a message with a wrong length is rejected before it is sent", () => {
    const message = linkMessage(RTM_GETLINK, NLM_F_REQUEST, 1);
    for (const length of [0, 15, 33, 0xffffffff]) {
      new DataView(message.buffer).setUint32(0, length, true);
      expect(sysErrorOf(() => [...netlinkMessages(message)]).errnoName).toBe("EINVAL");
    }
  });
});

describe("inotify", () => {
  test("reports what happens in a directory, then its end", () => {
    using dir = testDirectory();
    const watched = join(dir.path, "watched");
    mkdirSync(watched);
    const fd = sys.inotifyInit();
    const buffer = new Uint8Array(4096);
    const events = () => parseInotifyEvents(buffer.subarray(0, Math.max(0, sys.read(fd, buffer))));
    expect(events()).toEqual([]);
    const watch = sys.inotifyAddWatch(fd, watched, IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF);
    mkdirSync(join(watched, "sub"));
    writeFileSync(join(watched, "naïve"), "x");
    renameSync(join(watched, "naïve"), join(watched, "b"));
    expect(events()).toEqual([
      { watch, mask: IN_CREATE | IN_ISDIR, name: "sub" },
      { watch, mask: IN_CREATE, name: "naïve" },
      { watch, mask: IN_CLOSE_WRITE, name: "naïve" },
      { watch, mask: IN_MOVED_TO, name: "b" },
    ]);
    rmSync(watched, { recursive: true });
    expect(events()[0]).toEqual({ watch, mask: IN_DELETE_SELF, name: "" });
    expect(sysErrorOf(() => sys.inotifyRemoveWatch(fd, watch)).errnoName).toBe("EINVAL");
    expect(sysErrorOf(() => sys.inotifyAddWatch(fd, watched, IN_CREATE)).errnoName).toBe("ENOENT");
    sys.close(fd);
  });

  test("bit 31 of a mask is not a minus sign", () => {
    const event = new Uint8Array(16);
    const view = new DataView(event.buffer);
    view.setInt32(0, 1, true);
    view.setUint32(4, 0x80000000, true);
    expect(parseInotifyEvents(event)).toEqual([{ watch: 1, mask: 0x80000000, name: "" }]);
  });
});
