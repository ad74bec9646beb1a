/**
 * The one entry point. The name by which it is called, or its first argument, decides the role; each role is imported only when it is needed, so that the CLI starts without the
 * engine's code.
 */
import { basename } from "node:path";

const argv = process.argv.slice(2);
const calledAs = basename(process.argv0);

async function run(): Promise<number> {
  if (calledAs === "fathom-runc" || argv[0] === "runc") {
    const { runcMain } = await import("@fathom/runc");
    // At once: a stream that somebody else holds open must not keep this process.
    return process.exit(await runcMain(calledAs === "fathom-runc" ? argv : argv.slice(1)));
  }
  if (argv[0] === "daemon") {
    const { takeRuntimeSettings } = await import("./process/runtime-settings.ts");
    // In the source tree, the program of this process is only the runtime.
    if (import.meta.dir.startsWith("/$bunfs/")) takeRuntimeSettings(process, argv);
    const { daemonMain } = await import("./daemon.ts");
    return daemonMain(argv.slice(1));
  }
  if (argv[0] === "check") {
    const { checkMain } = await import("./check/check.ts");
    return checkMain(argv.slice(1));
  }
  if (argv[0] === "check-database") {
    const { checkDatabaseMain } = await import("./database-check.ts");
    return checkDatabaseMain(argv.slice(1));
  }
  if (argv[0] === "name-helper") {
    const { nameHelperMain } = await import("./process/name-helper.ts");
    return nameHelperMain(argv.slice(1));
  }
  if (argv[0] === "registry") {
    const { takeRuntimeSettings } = await import("./process/runtime-settings.ts");
    if (argv[1] === "serve" && import.meta.dir.startsWith("/$bunfs/")) takeRuntimeSettings(process, argv);
    const { registryCommand } = await import("./registry.ts");
    return registryCommand(argv.slice(1));
  }
  const { main } = await import("@fathom/cli");
  // At once: all output is written by then, and a read of stdin that waits for the other end of a pipe must not keep the program running.
  return process.exit(await main(argv));
}

// Not process.exit: daemon output that is still in a pipe would be cut.
process.exitCode = await run();
