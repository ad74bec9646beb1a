/**
 * The one entry point. What it does depends on its first argument; each role is imported only when it is wanted, so that the CLI starts without
 * the engine's code.
 */
const argv = process.argv.slice(2);
const { main } = await import("@fathom/cli");
// Not process.exit: output that is still in a pipe would be cut.
process.exitCode = await main(argv);

export {};
