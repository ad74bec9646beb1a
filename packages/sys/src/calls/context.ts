/** Shared by the files that implement Sys: turns results into errors, and reuses buffers. */
import type { NativeAddon } from "../native.ts";
import type { Path } from "../contract.ts";
import { SysError } from "../errors.ts";

/** What each implementing file gets: the addon, and temporary memory of this thread (all calls are synchronous). */
export interface CallContext {
  readonly native: NativeAddon;
  /** 64 KiB, the largest xattr value; the content is valid until the next call. */
  readonly scratch: Uint8Array;
  readonly numbers: BigInt64Array;
  readonly integers: Int32Array;
  /** Whether this kernel's overlay accepts lower directories one by one; undefined until it was tried. */
  overlayByLayer: boolean | undefined;
}

const SCRATCH_BYTES = 65536;

export function createCallContext(native: NativeAddon): CallContext {
  return {
    native,
    scratch: new Uint8Array(SCRATCH_BYTES),
    numbers: new BigInt64Array(16),
    integers: new Int32Array(256),
    overlayByLayer: undefined,
  };
}

/** A path for a message: bytes as UTF-8, control characters visible. */
function pathText(path: Path): string {
  const text = typeof path === "string" ? path : Buffer.from(path).toString("utf8");
  // oxlint-disable-next-line no-control-regex -- the pattern looks for control characters
  return text.replace(/[\u0000-\u001f\u007f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** Throws the error for a negative result. */
export function fail(syscall: string, result: number, subject: Path | number = ""): never {
  throw new SysError(syscall, -result, typeof subject === "number" ? String(subject) : pathText(subject));
}

/** Returns `result` when it is not negative, else throws. */
export function checked(syscall: string, result: number, subject: Path | number = ""): number {
  if (result < 0) fail(syscall, result, subject);
  return result;
}
