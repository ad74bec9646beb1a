/** For tests: messages made and read by another implementation of the format. */
import packet from "dns-packet";

export interface AskOptions {
  readonly type?: packet.RecordType;
  readonly id?: number;
  readonly flags?: number;
  readonly edns?: { readonly udpBytes?: number; readonly wantsSignatures?: boolean; readonly padding?: boolean };
}

export function query(name: string, { type = "A", id = 1, flags, edns }: AskOptions = {}): Uint8Array {
  return packet.encode({
    type: "query",
    id,
    flags: flags ?? packet.RECURSION_DESIRED,
    questions: [{ type, name }],
    additionals: edns === undefined ? [] : [optRecord(edns)],
  });
}

function optRecord({
  udpBytes = 1232,
  wantsSignatures = false,
  padding = false,
}: NonNullable<AskOptions["edns"]>): packet.OptAnswer {
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize: udpBytes,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: wantsSignatures ? packet.DNSSEC_OK : 0,
    flag_do: wantsSignatures,
    options: padding ? [{ code: 12, length: 8 }] : [],
  };
}

export interface Decoded {
  readonly id: number;
  readonly code: string;
  readonly truncated: boolean;
  readonly question: string | undefined;
  /** Only the data: addresses and names. */
  readonly data: readonly string[];
  readonly ttls: readonly number[];
  readonly types: readonly string[];
  readonly hasEdns: boolean;
}

/** @throws when the bytes are no response */
export function decode(bytes: Uint8Array): Decoded {
  // The library leaves the code out of its types.
  const message: packet.DecodedPacket & { readonly rcode?: string } = packet.decode(Buffer.from(bytes));
  if (message.type !== "response") throw new Error("it is no response");
  const answers = message.answers ?? [];
  return {
    id: message.id ?? -1,
    code: message.rcode ?? "",
    truncated: message.flag_tc,
    question: message.questions?.[0]?.name,
    data: answers.map((answer) => ("data" in answer ? String(answer.data) : "")),
    ttls: answers.map((answer) => ("ttl" in answer ? (answer.ttl ?? -1) : -1)),
    types: answers.map(({ type }) => type),
    hasEdns: (message.additionals ?? []).some(({ type }) => type === "OPT"),
  };
}

export interface ReplyOptions {
  readonly answers?: readonly packet.Answer[];
  readonly authorities?: readonly packet.Answer[];
  readonly code?: number;
  readonly truncated?: boolean;
  readonly edns?: boolean;
}

/** What a server sends back. */
export function reply(
  to: Uint8Array,
  { answers = [], authorities = [], code = 0, truncated, edns }: ReplyOptions = {},
): Uint8Array {
  const { id, questions } = packet.decode(Buffer.from(to));
  return packet.encode({
    type: "response",
    ...(id === undefined ? {} : { id }),
    flags:
      packet.RECURSION_DESIRED |
      packet.RECURSION_AVAILABLE |
      (truncated === true ? packet.TRUNCATED_RESPONSE : 0) |
      code,
    ...(questions === undefined ? {} : { questions }),
    answers: [...answers],
    authorities: [...authorities],
    additionals: edns === true ? [optRecord({ wantsSignatures: true })] : [],
  });
}

/** The name that a query is about. */
export function questionName(bytes: Uint8Array): string {
  return packet.decode(Buffer.from(bytes)).questions?.[0]?.name ?? "";
}

/** "A", "AAAA" … */
export function questionType(bytes: Uint8Array): string {
  return packet.decode(Buffer.from(bytes)).questions?.[0]?.type ?? "";
}
