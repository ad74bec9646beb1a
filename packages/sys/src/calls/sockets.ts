/** Pipes, unix sockets and reserved ports. */
import type { Sys } from "../contract.ts";
import { type CallContext, checked, fail } from "./context.ts";
import { errnoNumber } from "../errors.ts";

const EAGAIN = -errnoNumber("EAGAIN");

type SocketCalls = Pick<
  Sys,
  | "pipe"
  | "socketpair"
  | "setNonBlocking"
  | "connectUnix"
  | "listenUnix"
  | "sendMessage"
  | "sendDatagram"
  | "receiveMessage"
  | "peerCredentials"
  | "unsentBytes"
  | "reservePort"
  | "listenPort"
>;

const protocolNumbers = { tcp: 0, udp: 1, sctp: 2 } as const;

function portText(protocol: string, address: string, port: number): string {
  return `${address.includes(":") ? `[${address}]` : address}:${port}/${protocol}`;
}

export function socketCalls({ native, integers }: CallContext): SocketCalls {
  return {
    pipe(flags) {
      checked("pipe2", native.pipe(flags, integers));
      return [integers[0]!, integers[1]!];
    },
    socketpair(type, nonBlocking) {
      checked("socketpair", native.socketpair(type, nonBlocking ? 1 : 0, integers));
      return [integers[0]!, integers[1]!];
    },
    setNonBlocking: (fd, on) => void checked("fcntl", native.setNonBlocking(fd, on ? 1 : 0), fd),
    connectUnix: (dirFd, name) => checked("connect", native.connectUnix(dirFd, name), name),
    listenUnix: (dirFd, name, mode, backlog) => checked("listen", native.listenUnix(dirFd, name, mode, backlog), name),
    sendMessage(socket, data, fds) {
      const result = native.sendMessage(socket, data, Int32Array.from(fds));
      return result === EAGAIN ? -1 : checked("sendmsg", result, socket);
    },
    sendDatagram: (path, data) => void checked("sendto", native.sendDatagram(path, data), path),
    receiveMessage(socket, maxBytes) {
      const buffer = new Uint8Array(maxBytes);
      const length = native.receiveMessage(socket, buffer, integers);
      if (length === EAGAIN) return undefined;
      if (length < 0) fail("recvmsg", length, socket);
      return { data: buffer.subarray(0, length), fds: [...integers.subarray(1, 1 + integers[0]!)] };
    },
    peerCredentials(socket) {
      checked("getsockopt", native.peerCredentials(socket, integers), socket);
      return { pid: integers[0]!, uid: integers[1]! >>> 0, gid: integers[2]! >>> 0 };
    },
    unsentBytes: (socket) => checked("ioctl", native.unsentBytes(socket), socket),
    reservePort: (protocol, address, port) =>
      checked("bind", native.reservePort(protocolNumbers[protocol], address, port), portText(protocol, address, port)),
    listenPort: (protocol, address, port) =>
      checked("bind", native.listenPort(protocolNumbers[protocol], address, port), portText(protocol, address, port)),
  };
}
