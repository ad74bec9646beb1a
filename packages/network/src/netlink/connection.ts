/** Netlink through `Sys`: one socket, requests in batches, errors as exceptions that name the failed request and the reason. */
import { NLM_F_ACK, NLM_F_DUMP, NLMSG_DONE, type Sys } from "@fathom/sys";
import { EngineError } from "@fathom/base";
import { constants as osConstants } from "node:os";
import { decodeAnswer } from "./answer.ts";
import { decodeMessages, encodeMessages, type NetlinkMessage, type ReceivedNetlinkMessage } from "./message.ts";

export type NetlinkSys = Pick<Sys, "openNetlink" | "netlinkTransact" | "close">;

/** A request, with the words for its error. */
export interface NetlinkRequest extends NetlinkMessage {
  /** "create interface veth12": completes "failed to …". */
  readonly action: string;
}

const errnoNames = new Map<number, string>(
  Object.entries(osConstants.errno).map(([name, value]) => [value as number, name]),
);

/** The kernel rejected a request. */
export class NetlinkError extends EngineError {
  readonly errno: number;
  /** "EEXIST". */
  readonly errnoName: string;

  constructor(action: string, errno: number, text: string | undefined) {
    const errnoName = errnoNames.get(errno) ?? `errno ${errno}`;
    super("internal", `failed to ${action}: ${text === undefined ? errnoName : `${text} (${errnoName})`}`);
    this.name = "NetlinkError";
    this.errno = errno;
    this.errnoName = errnoName;
  }
}

/** One open socket. Requests are synchronous: the kernel answers before the call returns. */
export class NetlinkConnection implements Disposable {
  readonly #sys: NetlinkSys;
  readonly #socket: number;
  #sequence = 1;
  #closed = false;

  /** Opened inside the network namespace of `namespaceFd`, or here. */
  constructor(sys: NetlinkSys, protocol: number, namespaceFd?: number) {
    this.#sys = sys;
    this.#socket = namespaceFd === undefined ? sys.openNetlink(protocol) : sys.openNetlink(protocol, namespaceFd);
  }

  /**
   * Sends all requests in one buffer and reads every answer. Messages that are no acknowledgements are returned in order.
   * The kernel continues after a failed rtnetlink request; the first failure is thrown as NetlinkError after all answers.
   * @param tolerate errno names that are no failure here: "ENODEV" for a link that may already be removed.
   */
  send(requests: readonly NetlinkRequest[], tolerate: readonly string[] = []): ReceivedNetlinkMessage[] {
    const { messages, errors } = this.#exchange(requests, 0, requests.length);
    for (const error of errors) if (!tolerate.includes(error.errnoName)) throw error;
    return messages;
  }

  /** As `send`, for nf_tables: `requests` become one batch, which the kernel applies completely or not at all. */
  sendBatch(begin: NetlinkMessage, requests: readonly NetlinkRequest[], end: NetlinkMessage): void {
    const frame = [
      { ...begin, action: "begin a rule change" },
      ...requests,
      { ...end, action: "commit a rule change" },
    ];
    const { errors } = this.#exchange(frame, 1, requests.length);
    if (errors.length > 0) throw errors[0]!;
  }

  #exchange(
    requests: readonly NetlinkRequest[],
    acknowledgedFrom: number,
    acknowledgedCount: number,
  ): { messages: ReceivedNetlinkMessage[]; errors: NetlinkError[] } {
    const first = this.#sequence;
    this.#sequence = (this.#sequence + requests.length) >>> 0;
    const acknowledged = requests.map((request, index) =>
      index >= acknowledgedFrom &&
      index < acknowledgedFrom + acknowledgedCount &&
      (request.flags & NLM_F_DUMP) !== NLM_F_DUMP
        ? { ...request, flags: request.flags | NLM_F_ACK }
        : request,
    );
    const received = this.#sys.netlinkTransact(this.#socket, encodeMessages(acknowledged, first), acknowledgedCount);
    const messages: ReceivedNetlinkMessage[] = [];
    const errors: NetlinkError[] = [];
    for (const bytes of received) {
      for (const message of decodeMessages(bytes)) {
        const answer = decodeAnswer(message);
        if (answer === undefined) {
          if (message.type !== NLMSG_DONE) messages.push(message);
        } else if (answer.errno !== 0) {
          const request = requests[answer.sequence - first];
          errors.push(new NetlinkError(request?.action ?? "talk to the kernel", answer.errno, answer.text));
        }
      }
    }
    return { messages, errors };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sys.close(this.#socket);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
