/** Network namespaces, netlink, inotify and device programs. */
import type { Sys } from "../contract.ts";
import { type CallContext, checked, fail } from "./context.ts";
import { NLMSG_DONE, NLMSG_ERROR } from "../constants.ts";
import { errnoNumber, SysError } from "../errors.ts";

const EAGAIN = errnoNumber("EAGAIN");
const EINVAL = errnoNumber("EINVAL");
const ETIMEDOUT = errnoNumber("ETIMEDOUT");
/** Header of a netlink message: u32 length, u16 type, u16 flags, u32 sequence, u32 port (netlink(7)). */
const HEADER_BYTES = 16;
/** No answer of the kernel is longer; a dump comes in pieces. */
const MAX_DATAGRAM_BYTES = 16 * 1024 * 1024;

type NetworkCalls = Pick<
  Sys,
  "createNetworkNamespace" | "withNetworkNamespace" | "openNetlink" | "openNetlinkMonitor" | "netlinkTransact"
>;
type WatchCalls = Pick<Sys, "inotifyInit" | "inotifyAddWatch" | "inotifyRemoveWatch">;
type DeviceCalls = Pick<Sys, "bpfLoadDeviceProgram" | "bpfAttachDevice">;

interface MessageHeader {
  readonly type: number;
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/** The messages of a buffer, each aligned to 4 bytes. Throws when a length is wrong, because the following messages could not be found. */
export function* netlinkMessages(buffer: Uint8Array): Generator<MessageHeader> {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  for (let at = 0; at < buffer.length;) {
    const length = at + HEADER_BYTES <= buffer.length ? view.getUint32(at, true) : 0;
    if (length < HEADER_BYTES || at + length > buffer.length)
      throw new SysError("netlink", EINVAL, `message of ${length} bytes at ${at} of ${buffer.length}`);
    yield {
      type: view.getUint16(at + 4, true),
      sequence: view.getUint32(at + 8, true),
      bytes: buffer.subarray(at, at + length),
    };
    at += (length + 3) & ~3;
  }
}

/** The error of an NLMSG_ERROR: 0 for an acknowledgement, else minus errno. */
function errorOf(message: Uint8Array): number {
  if (message.length < HEADER_BYTES + 4) return -EINVAL;
  return new DataView(message.buffer, message.byteOffset, message.byteLength).getInt32(HEADER_BYTES, true);
}

function transact({ native }: CallContext, socket: number, request: Uint8Array, expectedAnswers: number): Uint8Array[] {
  const sequences = new Set<number>();
  let first: number | undefined;
  for (const { sequence } of netlinkMessages(request)) {
    sequences.add(sequence);
    first ??= sequence;
  }
  checked("sendto", native.netlinkSend(socket, request), "netlink");
  const answers: Uint8Array[] = [];
  let buffer = new Uint8Array(32768);
  for (let final = 0; final < expectedAnswers;) {
    const length = native.netlinkReceive(socket, buffer, 1);
    if (length === -EAGAIN)
      throw new SysError("recvmsg", ETIMEDOUT, `netlink (${final} of ${expectedAnswers} answers)`);
    if (length < 0) fail("recvmsg", length, "netlink");
    if (length > buffer.length) {
      if (length > MAX_DATAGRAM_BYTES) throw new SysError("recvmsg", EINVAL, `netlink datagram of ${length} bytes`);
      buffer = new Uint8Array(length);
      continue;
    }
    // A copy of exactly this datagram: answers are kept, and the buffer is used again.
    for (const message of netlinkMessages(buffer.slice(0, length))) {
      // Late answers to an earlier request that timed out, and multicast messages, are not for this request.
      if (!sequences.has(message.sequence)) continue;
      answers.push(message.bytes);
      if (message.type !== NLMSG_ERROR && message.type !== NLMSG_DONE) continue;
      final += 1;
      const refusedWhole =
        message.type === NLMSG_ERROR &&
        message.sequence === first &&
        sequences.size > 1 &&
        errorOf(message.bytes) !== 0;
      if (refusedWhole) return answers;
    }
  }
  return answers;
}

export function networkCalls(context: CallContext): NetworkCalls {
  const { native } = context;
  return {
    createNetworkNamespace: () => checked("unshare", native.createNetworkNamespace(), "network namespace"),
    withNetworkNamespace(namespaceFd, action) {
      const home = checked("setns", native.enterNetworkNamespace(namespaceFd), namespaceFd);
      try {
        return action();
      } finally {
        native.leaveNetworkNamespace(home);
      }
    },
    openNetlink: (protocol, namespaceFd = -1) =>
      checked("socket", native.openNetlink(protocol, namespaceFd), `netlink ${protocol}`),
    openNetlinkMonitor: (protocol, groups, [first, second]) =>
      checked(
        "socket",
        native.openNetlinkMonitor(protocol, groups, first, second),
        `netlink ${protocol}, groups ${groups}`,
      ),
    netlinkTransact: (socket, request, expectedAnswers) => transact(context, socket, request, expectedAnswers),
  };
}

/**
 * Events as read from an inotify descriptor (inotify(7)); the name is empty for the watched thing itself. Each is s32 watch, u32 mask, u32
 * cookie, u32 length of the name, the name padded with NULs.
 */
export function parseInotifyEvents(bytes: Uint8Array): { watch: number; mask: number; name: string }[] {
  const events: { watch: number; mask: number; name: string }[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 16 <= bytes.length;) {
    const length = view.getUint32(at + 12, true);
    const field = bytes.subarray(at + 16, at + 16 + length);
    const end = field.indexOf(0);
    const name = Buffer.from(end < 0 ? field : field.subarray(0, end)).toString("utf8");
    events.push({ watch: view.getInt32(at, true), mask: view.getUint32(at + 4, true), name });
    at += 16 + length;
  }
  return events;
}

export function watchCalls({ native }: CallContext): WatchCalls {
  return {
    inotifyInit: () => checked("inotify_init1", native.inotifyInit()),
    inotifyAddWatch: (fd, path, mask) => checked("inotify_add_watch", native.inotifyAddWatch(fd, path, mask), path),
    inotifyRemoveWatch: (fd, watch) => void checked("inotify_rm_watch", native.inotifyRemoveWatch(fd, watch), watch),
  };
}

export function deviceCalls({ native }: CallContext): DeviceCalls {
  return {
    bpfLoadDeviceProgram: (instructions) =>
      checked("bpf", native.bpfLoadDeviceProgram(instructions), "BPF_PROG_LOAD cgroup device"),
    bpfAttachDevice: (cgroupFd, programFd, replaceFd = -1) =>
      void checked("bpf", native.bpfAttachDevice(cgroupFd, programFd, replaceFd), "BPF_PROG_ATTACH cgroup device"),
  };
}
