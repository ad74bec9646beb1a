/** Putting an overlay together through the descriptor-based mount calls. */
import type { OverlayMount } from "./contract.ts";
import { type CallContext, checked } from "./calls.ts";
import { FSCONFIG_CMD_CREATE, FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING } from "./constants.ts";
import { SysError } from "./errors.ts";

const EINVAL = 22;

/** `\` and `:` separate and escape in a joined lowerdir value (kernel: Documentation/filesystems/overlayfs.rst). */
export function joinLower(lower: readonly string[]): string {
  return lower.map((path) => path.replace(/[\\:]/g, "\\$&")).join(":");
}

/** What the kernel wrote about a failing configuration: lines such as "e overlay: missing 'lowerdir'". Empty where it wrote nothing. */
function readMessages(context: CallContext, fd: number): string {
  const lines: string[] = [];
  for (let count = 0; count < 8; count++) {
    const length = context.native.read(fd, context.scratch);
    if (length <= 0) break;
    lines.push(Buffer.from(context.scratch.subarray(0, length)).toString("utf8").trim());
  }
  return lines.join("; ");
}

/** Each call is checked; a failure carries the kernel's own message too. */
export function openOverlay(context: CallContext, mount: OverlayMount): number {
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
    setLower(context, fd, mount.lower, configure);
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

/**
 * One layer a call (kernel 6.8 and later), so neither their number nor the length of their paths is limited by a page of options. A kernel that
 * does not know `lowerdir+` gets them joined: fsconfig takes 255 bytes a value, enough for short names.
 */
function setLower(
  context: CallContext,
  fd: number,
  lower: readonly string[],
  configure: (command: number, key: string, value: string) => void,
): void {
  const [first, ...rest] = lower;
  if (first === undefined) throw new SysError("fsconfig", EINVAL, "lowerdir+ (an overlay needs a lower directory)");
  const result = context.native.fsconfig(fd, FSCONFIG_SET_STRING, "lowerdir+", first, 0);
  if (result === -EINVAL) {
    readMessages(context, fd);
    configure(FSCONFIG_SET_STRING, "lowerdir", joinLower(lower));
    return;
  }
  if (result < 0) configure(FSCONFIG_SET_STRING, "lowerdir+", first);
  for (const path of rest) configure(FSCONFIG_SET_STRING, "lowerdir+", path);
}
