/** The C programs as descriptors that can be executed. Only code that starts containers loads this file. */
import forwardPath from "../../../build/fathom-forward" with { type: "file" };
import initPath from "../../../build/fathom-init" with { type: "file" };
import { readFileSync } from "node:fs";
import type { Sys } from "./contract.ts";

let helperFd: number | undefined;
let forwarderFd: number | undefined;

/**
 * Descriptor of a sealed memory file with fathom-init, made once and kept as long as the process runs. It is sealed because a container that
 * can open its own launcher must not be able to write to it (CVE-2019-5736).
 */
export function helperExecutable(sys: Pick<Sys, "memfdCreate">): number {
  helperFd ??= sys.memfdCreate("fathom-init", readFileSync(initPath), true);
  return helperFd;
}

/** The same for fathom-forward. */
export function forwarderExecutable(sys: Pick<Sys, "memfdCreate">): number {
  forwarderFd ??= sys.memfdCreate("fathom-forward", readFileSync(forwardPath), true);
  return forwarderFd;
}
