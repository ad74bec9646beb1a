/** A bundle: the directory of config.json and, mostly, of the root file system. */
import { readFileSync, realpathSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { EngineError, isErrno, messageOf } from "@fathom/base";
import { parseOciSpec, type OciSpec } from "@fathom/spec";
import { texts } from "../words.ts";

export interface Bundle {
  readonly path: string;
  readonly config: string;
  readonly spec: OciSpec;
  /** Absolute, without links. */
  readonly rootfs: string;
}

/** config.json is not trusted: a larger one than this is not read. */
const mostBytes = 8 << 20;

/** @throws not-found, invalid-argument */
export function readBundle(given: string | undefined): Bundle {
  const path = resolve(given ?? ".");
  const config = readConfig(join(path, "config.json"));
  const spec = parseOciSpec(config);
  if (spec.root === undefined) throw new EngineError("invalid-argument", "Root must be specified");
  if (spec.linux === undefined) throw new EngineError("invalid-argument", "linux must be specified");
  try {
    const rootfs = realpathSync(resolve(path, spec.root.path));
    if (!statSync(rootfs).isDirectory()) throw new Error("it is not a directory");
    if (rootfs === "/") throw new Error("it is the host's own");
    return { path, config, spec, rootfs };
  } catch (error) {
    throw new EngineError("invalid-argument", `invalid rootfs: ${messageOf(error)}`, { cause: error });
  }
}

function readConfig(path: string): string {
  try {
    const { size } = statSync(path);
    if (size > mostBytes)
      throw new EngineError("invalid-argument", `${path} has ${size} bytes; at most ${mostBytes} are read`);
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) throw new EngineError("not-found", texts.noConfiguration, { cause: error });
    throw error;
  }
}
