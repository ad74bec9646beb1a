/** The program of the built-in image, as bytes. Only code that uses it loads this file. */
import helloPath from "../../../build/fathom-hello" with { type: "file" };
import { readFileSync } from "node:fs";

export function helloProgram(): Uint8Array {
  return readFileSync(helloPath);
}
