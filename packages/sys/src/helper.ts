/** The C helper as a descriptor that can be executed. Imported as `@fathom/sys/helper`: only what starts containers needs it. */
import initPath from "../../../build/fathom-init" with { type: "file" };
import { readFileSync } from "node:fs";
import type { Sys } from "./contract.ts";

let helperFd: number | undefined;

/**
 * Descriptor of a sealed memory file that holds fathom-init, made once and kept for the life of the process. Sealed, because a
 * container that gets hold of its own launcher must not be able to write to it (CVE-2019-5736).
 */
export function helperExecutable(sys: Pick<Sys, "memfdCreate">): number {
  helperFd ??= sys.memfdCreate("fathom-init", readFileSync(initPath), true);
  return helperFd;
}
