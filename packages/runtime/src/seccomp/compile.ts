/** OCI seccomp profile → classic BPF program. */
import { EngineError } from "@fathom/base";
import type { LinuxSeccomp } from "@fathom/spec";

export type SeccompArchitecture = "x86_64" | "aarch64";

export interface CompiledSeccomp {
  /** sock_filter instructions, 8 bytes each, little-endian. */
  readonly program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_* bits. */
  readonly flags: number;
}

export function compileSeccomp(
  _profile: LinuxSeccomp,
  _architecture: SeccompArchitecture,
): CompiledSeccomp | undefined {
  throw new EngineError("not-implemented", "linux.seccomp: not supported yet");
}
