/** Datagrams to a receiver: UDP or a unix socket. */
import { EngineError, errnoOf, isErrno, messageOf, systemClock } from "@fathom/base";
import type { Sys } from "@fathom/sys";
import { ReceiverUnreachable, type DatagramPlace } from "../destination.ts";
import { joinHostPort } from "./byte-stream.ts";

/** A unix receiver that does not read has a full queue. */
const fullLookMs = 5;
const fullLimitMs = 5_000;

export interface Datagrams {
  send(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export type DatagramSys = Pick<Sys, "sendDatagram">;

/** @throws ReceiverUnreachable when a name has no address. That nobody listens on a UDP port is not known. */
export async function openDatagrams(sys: DatagramSys, place: DatagramPlace): Promise<Datagrams> {
  return place.kind === "udp" ? openUdp(place.host, place.port) : unixDatagrams(sys, place.path);
}

async function openUdp(host: string, port: number): Promise<Datagrams> {
  const { createSocket } = await import("node:dgram");
  const { lookup } = await import("node:dns/promises");
  let found: { readonly address: string; readonly family: number };
  try {
    found = await lookup(host);
  } catch (cause) {
    throw new ReceiverUnreachable("udp", joinHostPort(host, port), errnoOf(cause) ?? messageOf(cause), { cause });
  }
  const socket = createSocket(found.family === 6 ? "udp6" : "udp4");
  // The kernel reports here that nobody listened for an earlier datagram.
  socket.on("error", () => undefined);
  socket.unref();
  return {
    send: (bytes) =>
      new Promise((resolve, reject) =>
        socket.send(bytes, port, found.address, (error) =>
          error === null || error === undefined || errnoOf(error) === "ECONNREFUSED" ? resolve() : reject(error),
        ),
      ),
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

export function unixDatagrams(sys: DatagramSys, path: string): Datagrams {
  return {
    async send(bytes) {
      for (let waitedMs = 0; ; waitedMs += fullLookMs) {
        try {
          return sys.sendDatagram(path, bytes);
        } catch (error) {
          const full = isErrno(error, "EAGAIN") || isErrno(error, "ENOBUFS");
          if (!full)
            throw new ReceiverUnreachable("unixgram", path, errnoOf(error) ?? messageOf(error), { cause: error });
          if (waitedMs >= fullLimitMs)
            throw new EngineError("timeout", `${path} took nothing for ${fullLimitMs / 1000} s`);
          await systemClock.sleep(fullLookMs);
        }
      }
    },
    close: async () => undefined,
  };
}
