/** Makes an overlay as a detached mount. */
import { dirname } from "node:path";
import type { OverlayMount } from "../contract.ts";
import { type CallContext, checked } from "./context.ts";
import { FSCONFIG_CMD_CREATE, FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING } from "../constants.ts";
import { errnoNumber, SysError } from "../errors.ts";

const EINVAL = errnoNumber("EINVAL");
const E2BIG = errnoNumber("E2BIG");
/** The room for options in mount(2): one page with its final NUL. */
const OPTION_BYTES = 4095;

/**
 * Overlay knows `lowerdir+` since kernel 6.8. Before 6.5 it does not check parameters: it accepts any name and fails later. So the test also
 * checks that a name that does not exist is rejected.
 */
function probe({ native }: CallContext): boolean {
  const fd = checked("fsopen", native.fsopen("overlay"), "overlay");
  const known = native.fsconfig(fd, FSCONFIG_SET_STRING, "lowerdir+", "/", 0) >= 0;
  const strict = native.fsconfig(fd, FSCONFIG_SET_STRING, "no-such-option", "/", 0) < 0;
  native.close(fd);
  return known && strict;
}

/** See the contract. `byMount` uses the way of old kernels, for tests. */
export function openOverlay(context: CallContext, mount: OverlayMount, byMount = false): number {
  if (mount.lower.length === 0) throw new SysError("fsconfig", EINVAL, "overlay without a lower directory");
  if (!byMount) context.overlayByLayer ??= probe(context);
  return byMount || context.overlayByLayer === false ? openByMount(context, mount) : openByConfig(context, mount);
}

/** One call per layer, so a page of options limits neither their number nor the length of their paths. */
function openByConfig(context: CallContext, mount: OverlayMount): number {
  const { native } = context;
  const fd = checked("fsopen", native.fsopen("overlay"), "overlay");

  function configure(command: number, key: string | null, value: string | null): void {
    const result = native.fsconfig(fd, command, key, value, 0);
    if (result >= 0) return;
    const subject =
      key === null ? `overlay with ${mount.lower.length} layers` : `${key}${value === null ? "" : `=${value}`}`;
    const messages = readMessages(context, fd);
    throw new SysError("fsconfig", -result, messages === "" ? subject : `${subject} (${messages})`);
  }

  try {
    // The source that df(1) and mountinfo show, as after mount(8).
    configure(FSCONFIG_SET_STRING, "source", "overlay");
    for (const path of mount.lower) configure(FSCONFIG_SET_STRING, "lowerdir+", path);
    if (mount.upper !== undefined) configure(FSCONFIG_SET_STRING, "upperdir", mount.upper);
    if (mount.work !== undefined) configure(FSCONFIG_SET_STRING, "workdir", mount.work);
    for (const [key, value] of mount.options ?? []) {
      if (value === undefined) configure(FSCONFIG_SET_FLAG, key, null);
      else configure(FSCONFIG_SET_STRING, key, value);
    }
    configure(FSCONFIG_CMD_CREATE, null, null);
    return checked("fsmount", native.fsmount(fd, 0), "overlay");
  } finally {
    native.close(fd);
  }
}

/** The kernel's messages about a failed configuration: lines such as "e overlay: …". Empty when there are none. */
function readMessages(context: CallContext, fd: number): string {
  const lines: string[] = [];
  for (let count = 0; count < 8; count++) {
    const length = context.native.read(fd, context.scratch);
    if (length <= 0) break;
    lines.push(Buffer.from(context.scratch.subarray(0, length)).toString("utf8").trim());
  }
  return lines.join("; ");
}

function openByMount({ native }: CallContext, mount: OverlayMount): number {
  const { base, options } = mountOptions(mount);
  if (Buffer.byteLength(options) > OPTION_BYTES) {
    const what = `overlay with ${mount.lower.length} layers (its options fill more than a page; this kernel has no other way before 6.8)`;
    throw new SysError("mount", E2BIG, what);
  }
  return checked("mount", native.openOverlayByMount(base, options), `overlay with ${mount.lower.length} layers`);
}

/** `\`, `:` and `,` have a meaning in options and must be escaped (kernel: Documentation/filesystems/overlayfs.rst). */
function escaped(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}

/** The options for mount(2), with names relative to the common directory of all paths. */
export function mountOptions(mount: OverlayMount): { base: string; options: string } {
  const paths = [...mount.lower, mount.upper, mount.work].filter((path) => path !== undefined);
  let base = dirname(paths[0] ?? "/");
  while (!paths.every((path) => path.startsWith(base === "/" ? "/" : `${base}/`))) base = dirname(base);
  const short = (path: string): string => escaped(path.slice(base === "/" ? 1 : base.length + 1));
  const parts = [`lowerdir=${mount.lower.map(short).join(":")}`];
  if (mount.upper !== undefined) parts.push(`upperdir=${short(mount.upper)}`);
  if (mount.work !== undefined) parts.push(`workdir=${short(mount.work)}`);
  for (const [key, value] of mount.options ?? []) parts.push(value === undefined ? key : `${key}=${escaped(value)}`);
  return { base, options: parts.join(",") };
}
