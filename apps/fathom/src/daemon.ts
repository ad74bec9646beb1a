/**
 * `fathom daemon`: takes its state directories, has the engine connected (compose.ts), serves the API, and closes everything again in reverse
 * order.
 */
import { mkdirSync } from "node:fs";
import { createApiServer, type ApiServer } from "@fathom/api";
import { createLogger, EventLoopMonitor, messageOf, programVersion, type Logger } from "@fathom/base";
import type { EngineLife } from "@fathom/engine";
import { requireKernel } from "@fathom/runtime";
import { createSys } from "@fathom/sys";
import { composeEngine } from "./compose.ts";
import { unhandledError } from "./process/last-resort.ts";
import { IdleMemory } from "./process/idle-memory.ts";
import { lifeOf } from "./process/life.ts";
import { examineKernel, fallbacks, kernelFacts } from "./kernel.ts";
import { readDaemonConfig, type BuildFacts, type DaemonConfig } from "./settings/daemon-config.ts";
import { takePidFile } from "./process/pid-file.ts";
import { serviceNotifier, takeListenFds } from "./process/service-manager.ts";
import { lockBridge, lockStateDirectory } from "./process/state-lock.ts";

/** Time for running requests when the daemon stops. */
const requestGraceMs = 2000;

/** Time for the orderly end after an error that no code handled. */
const lastResortMs = 10_000;

/** The build fills these in; in the source tree they are unknown. */
const facts: BuildFacts = {
  version: programVersion,
  gitCommit: process.env["FATHOM_GIT_COMMIT"] ?? "unknown",
  buildTime: process.env["FATHOM_BUILD_TIME"] ?? "2026-01-01T00:00:00.000000000+00:00",
};

/** When everything is closed, how long the process may take to end by itself, so that its written output is delivered. */
const lastWordsMs = 1000;

/** Runs until somebody stops it. Returns the exit code. */
export async function daemonMain(argv: readonly string[]): Promise<number> {
  const code = await run(argv);
  // A daemon that has stopped ends, also when something still holds the runtime's loop.
  setTimeout(() => process.exit(code), lastWordsMs).unref();
  return code;
}

async function run(argv: readonly string[]): Promise<number> {
  if (argv.includes("--help")) {
    // Loaded only for this option: the help loads the CLI, which would otherwise stay in a running daemon's memory.
    const { daemonHelp } = await import("./settings/daemon-help.ts");
    process.stdout.write(daemonHelp());
    return 0;
  }
  let config: DaemonConfig;
  try {
    config = readDaemonConfig(argv, facts);
  } catch (error) {
    console.error(`fathom daemon: ${messageOf(error)}`);
    return 1;
  }
  if (config.validateOnly) {
    console.error("configuration OK");
    return 0;
  }
  if (process.getuid?.() !== 0) {
    console.error("fathom daemon: it needs to be started with root privileges");
    return 1;
  }
  const logger = createLogger(config.logLevel, { write: (line) => void process.stderr.write(line) }, config.logFormat);
  try {
    await serve(config, logger);
    return 0;
  } catch (error) {
    logger.error(`the daemon cannot continue: ${messageOf(error)}`, {
      stack: error instanceof Error ? error.stack : undefined,
    });
    return 1;
  }
}

async function serve(config: DaemonConfig, logger: Logger): Promise<void> {
  // Only the engine uses the files that it makes; nobody else may write them.
  process.umask(0o022);
  await using resources = new AsyncDisposableStack();
  const { engine: settings } = config;
  const monitor = resources.use(new EventLoopMonitor({ logger }));
  const started = monitor.begin("start of the daemon");
  const sys = createSys();
  const handedOver = config.hosts.includes("fd://") ? takeListenFds(process.env, process.pid) : [];
  const notify = serviceNotifier(process.env, sys, logger);
  // The API's socket is in the exec root, so its group must be able to enter. Nobody else needs anything in the data root.
  for (const [directory, mode] of [
    [settings.dataRoot, 0o710],
    [settings.execRoot, 0o711],
  ] as const) {
    mkdirSync(directory, { recursive: true, mode });
    resources.use(lockStateDirectory(sys, directory));
  }
  resources.use(lockBridge(sys, config.network.bridgeName));
  resources.use(takePidFile(config.pidFile));

  const kernel = await examineKernel(sys);
  requireKernel(kernel);
  if (fallbacks(kernel).length > 0)
    logger.info("this kernel lacks features; the daemon uses something else instead", { features: fallbacks(kernel) });
  const engine = await composeEngine({ config, sys, logger, resources });
  const memory = resources.use(new IdleMemory({ sys }));
  const server = createApiServer({
    onActivity: () => memory.touch(),
    onRequest: (operation) => monitor.begin(operation),
    sys,
    debug: () => ({ EventLoopStalls: monitor.longest(), Kernel: kernelFacts(kernel) }),
    backend: engine,
    logger,
    version: settings.version,
    experimental: settings.experimental,
  });
  resources.defer(() => server.close(requestGraceMs));
  const broken = unhandledError({
    logger,
    source: process,
    exit: (code) => process.exit(code),
    patienceMs: lastResortMs,
  });
  // For tests of the daemon's end after a bug of its own.
  if (process.env["FATHOM_FAIL_ON_SIGUSR2"] === "1")
    process.on("SIGUSR2", () => void Promise.reject(new Error("SIGUSR2 asked for an error that nobody handles")));
  const stop = stopSignal(logger);
  for (const host of config.hosts)
    if (host === "fd://") for (const fd of handedOver) await server.listen({ fd });
    else await server.listen({ path: host.slice("unix://".length), group: config.group });
  logger.info("API listens", { hosts: config.hosts, pid: process.pid, version: settings.version });
  notify("READY=1");
  const resumed = engine.resume().then(started);
  const bug = await lifeOf({ resumed, stop, broken });
  notify("STOPPING=1");
  monitor.begin("end of the daemon");
  if (bug !== undefined) {
    await engine.shutdown({ leaveContainers: true });
    await server.close(0);
    throw bug.reason;
  }
  await stopServing(server, engine, logger);
}

/** Containers stop while clients can still see it; then the connections end. */
async function stopServing(server: ApiServer, engine: EngineLife, logger: Logger): Promise<void> {
  await engine.shutdown();
  await server.close(requestGraceMs);
  logger.info("the daemon has stopped");
}

/** Resolves at the first SIGTERM or SIGINT. A third one ends the process at once: containers then keep running, as after a crash. */
function stopSignal(logger: Logger): Promise<void> {
  let count = 0;
  return new Promise((resolve) => {
    const onSignal = (name: NodeJS.Signals): void => {
      count++;
      if (count === 1) {
        logger.info("stopping", { signal: name });
        resolve();
      } else if (count >= 3) process.exit(130);
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
    // A closed terminal is no reason to stop a daemon.
    process.on("SIGHUP", () => undefined);
    // The program that read its output has ended.
    process.on("SIGPIPE", () => undefined);
  });
}
