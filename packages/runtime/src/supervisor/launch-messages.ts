/** The payloads of launch and exec, and how their plans are sent. */
import type { Sys } from "@fathom/sys";
import type { AttachOptions, ExecRequest, LaunchRequest, LogSink, SupervisedIo } from "../contract.ts";
import type { LaunchPlan } from "../plan/plan.ts";
import { encodeStem } from "../plan/plan-encoding.ts";
import { WireWriter } from "../plan/wire.ts";
import { attachMask } from "./attachments.ts";
import { inlinePlanLimitBytes, launchFlags } from "../connection/protocol.ts";

/** The largest number that a launch message can contain. */
const mostLogFiles = 2 ** 32 - 1;
/** A larger number means no limit. */
const mostLogBytes = Number.MAX_SAFE_INTEGER;

export interface PackedPlan {
  readonly inline: Uint8Array;
  readonly fds: readonly number[];
  readonly flag: number;
}

/** A plan as it is sent: a small one inside the message, a large one as a memory file that the caller closes. */
export function packPlan(sys: Pick<Sys, "memfdCreate">, encoded: Uint8Array): PackedPlan {
  if (encoded.length <= inlinePlanLimitBytes) return { inline: encoded, fds: [], flag: 0 };
  const fd = sys.memfdCreate("fathom-plan", encoded, true);
  return { inline: new Uint8Array(), fds: [fd], flag: launchFlags.planByDescriptor };
}

export function execPayload({ execId, plan, openStdin, attach }: ExecRequest, packed: PackedPlan): Uint8Array {
  const writer = new WireWriter(4096 + packed.inline.length);
  writer.text(execId).u32((openStdin ? launchFlags.openStdin : 0) | packed.flag);
  encodeStem(writer, plan.stem);
  writer.list(attach, (options) => writer.u32(attachMask(options))).bytes(packed.inline);
  return writer.finish();
}

const noFile: Omit<Extract<LogSink, { readonly kind: "json-file" }>, "kind"> = { path: "", maxSize: 0, maxFiles: 1 };
/** A log by descriptor is a client of the supervisor like others. */
const bothOutputs: AttachOptions = { stdin: false, stdout: true, stderr: true, closeStdin: false };
/** In a direct launch, the supervisor has none of the streams. */
const noStreams: SupervisedIo = { kind: "supervised", log: { kind: "none" }, openStdin: false, attach: [] };

export function launchPayload(request: LaunchRequest, plan: PackedPlan): Uint8Array {
  const { log, openStdin, attach } = request.io.kind === "direct" ? noStreams : request.io;
  const chroot = request.plan.operations.some(({ kind }) => kind === "chroot");
  const writer = new WireWriter(4096 + plan.inline.length);
  writer.u32(
    (openStdin ? launchFlags.openStdin : 0) |
      (log.kind === "json-file" ? launchFlags.log : 0) |
      (log.kind === "json-file" && log.form === "entries" ? launchFlags.logEntries : 0) |
      (request.rootFd === undefined ? 0 : launchFlags.root) |
      (chroot ? launchFlags.chroot : 0) |
      (request.io.kind === "direct" ? launchFlags.direct : 0) |
      (request.io.kind === "direct" && waitsForStart(request.plan) ? launchFlags.gate : 0) |
      plan.flag,
  );
  const file = log.kind === "json-file" ? log : noFile;
  writer
    .text(file.path)
    .u64(BigInt(Math.min(file.maxSize, mostLogBytes)))
    .u32(Math.min(file.maxFiles, mostLogFiles));
  const attributes = Object.entries(file.attributes ?? {}).sort(byName);
  if (file.form === "entries") writer.textBytes(encodeAttributes(attributes));
  else writer.text(attributes.length === 0 ? "" : JSON.stringify(Object.fromEntries(attributes)));
  const clients = log.kind === "descriptor" ? [...attach, bothOutputs] : attach;
  writer.list(clients, (options) => writer.u32(attachMask(options)));
  return writer.bytes(plan.inline).finish();
}

export function waitsForStart(plan: LaunchPlan): boolean {
  return plan.operations.some(({ kind }) => kind === "wait-start");
}

/** As fields 6 of a message of protocol buffers, each with key (1) and value (2). An empty text is left out, so no byte is zero. */
export function encodeAttributes(attributes: readonly (readonly [string, string])[]): Uint8Array {
  const field = (number: number, bytes: Uint8Array): Uint8Array => {
    const head = [(number << 3) | 2];
    for (let length = bytes.length; ; length >>>= 7) {
      head.push(length < 0x80 ? length : (length & 0x7f) | 0x80);
      if (length < 0x80) break;
    }
    return Buffer.concat([Uint8Array.from(head), bytes]);
  };
  const text = (number: number, value: string): Uint8Array =>
    value === "" ? new Uint8Array() : field(number, Buffer.from(value));
  return Buffer.concat(attributes.map(([name, value]) => field(6, Buffer.concat([text(1, name), text(2, value)]))));
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
