/** The program that compiled.test.ts compiles: it uses the embedded addon and helper, in this thread and in a worker. */
import { createSys, helperExecutable } from "@fathom/sys";

const sys = createSys();
const helper = helperExecutable(sys);
console.log(
  JSON.stringify({
    size: Number(sys.fstat(helper).size),
    sameTwice: helperExecutable(sys) === helper,
    preloaded: Reflect.get(globalThis, "preloaded") === true,
    fromDotenv: process.env["FROM_DOTENV"] ?? null,
  }),
);
