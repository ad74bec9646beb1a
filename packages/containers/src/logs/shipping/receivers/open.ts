/** Opens the connection of each kind of receiver. */
import { existsSync } from "node:fs";
import { ReceiverUnreachable, type Receiver, type ReceiverConnection } from "../destination.ts";
import type { DatagramSys } from "./datagrams.ts";
import { openFluentd } from "./fluentd.ts";
import { openGelf } from "./gelf.ts";
import { openJournald } from "./journald.ts";
import { openSyslog } from "./syslog.ts";

/** @throws ReceiverUnreachable */
export async function openReceiver(sys: DatagramSys, receiver: Receiver): Promise<ReceiverConnection> {
  switch (receiver.kind) {
    case "syslog":
      return openSyslog(sys, receiver);
    case "gelf":
      return openGelf(sys, receiver);
    case "fluentd":
      return openFluentd(receiver);
    case "journald":
      if (!existsSync(receiver.socket)) throw new ReceiverUnreachable("unixgram", receiver.socket, "ENOENT");
      return openJournald(sys, receiver);
  }
}
