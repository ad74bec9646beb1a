/** `fathom registry serve`: puts the parts together and runs until a signal. */
import { createLogger, EngineError, isErrno, messageOf, type Logger } from "@fathom/base";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { openAccess, type Access } from "../access/access.ts";
import { Htpasswd } from "../access/htpasswd.ts";
import { userAccess } from "../access/users.ts";
import { collect } from "../collect/collect.ts";
import type { RegistryStore } from "../contract.ts";
import { matchesPattern } from "../names/names.ts";
import { createMirror, type Mirror } from "../mirror/mirror.ts";
import { openUpstream } from "../mirror/upstream.ts";
import { openAuditLog } from "../server/audit.ts";
import type { Policies } from "../server/call.ts";
import { listen } from "../server/listen.ts";
import { Metrics } from "../server/metrics.ts";
import { createRegistry, type Registry } from "../server/registry.ts";
import { DurableFiles } from "../storage/durable-files.ts";
import { openFileStore } from "../storage/file-store.ts";
import { readServeOptions, serveHelp, type ServeOptions } from "./options.ts";

export interface RegistryMainOptions {
  readonly argv: readonly string[];
  readonly version: string;
  /** Only one process may use a root. @throws conflict */
  readonly lock: (root: string) => Disposable;
  readonly write: (text: string) => void;
  /** Called at the begin and end of each request: an idle process can give memory back. */
  readonly onActivity: () => void;
}

/** How long requests under way may take after the signal to stop. */
const stopMs = 10_000;

/** The exit code. */
export async function registryMain(options: RegistryMainOptions): Promise<number> {
  const [command, ...argv] = options.argv;
  if (command === undefined || argv.includes("--help") || command === "--help") {
    options.write(serveHelp);
    return 0;
  }
  try {
    if (command !== "serve")
      throw new EngineError(
        "invalid-argument",
        `unknown command: fathom registry ${command}; try fathom registry serve --help`,
      );
    await serve(readServeOptions(argv), options);
    return 0;
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : "";
    process.stderr.write(`fathom registry: ${messageOf(error)}${cause}\n`);
    return 1;
  }
}

async function serve(options: ServeOptions, { version, lock, onActivity }: RegistryMainOptions): Promise<void> {
  const logger = createLogger("info", process.stderr);
  mkdirSync(options.root, { recursive: true, mode: 0o700 });
  using _lock = lock(options.root);
  await using store = await openFileStore(options.root);
  const access = await accessOf(options);
  using audit = options.auditLog === undefined ? undefined : openAuditLog(options.auditLog);
  const tls =
    options.tls === undefined
      ? undefined
      : {
          certificate: readFileSync(options.tls.certificateFile, "utf8"),
          key: readFileSync(options.tls.keyFile, "utf8"),
        };
  const scheme = tls === undefined ? "http" : "https";
  const metrics = new Metrics();
  const policies = policiesOf(options);
  const mirror = options.mirror === undefined ? undefined : mirrorOf(options.mirror, store, logger, version);
  const registry = createRegistry({ store, access, policies, mirror, logger, metrics, audit, scheme });
  const { host, port } = options;
  const noticed: Registry = async (exchange, remote) => {
    onActivity();
    await registry(exchange, remote);
    onActivity();
  };
  const server = await listen({ host, port, tls, registry: noticed, logger, version });
  const stop = stopSignal();
  const collecting = collectRepeatedly(store, options, policies, metrics, logger, stop);
  logger.info("the registry serves", { address: `${scheme}://${host}:${server.port}`, root: options.root });
  await new Promise<void>((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }));
  await server.close(stopMs);
  await collecting;
}

function mirrorOf(
  { url, expiryMs }: NonNullable<ServeOptions["mirror"]>,
  store: RegistryStore,
  logger: Logger,
  version: string,
): Mirror {
  return createMirror({ store, upstream: openUpstream(url, `fathom-registry/${version}`), expiryMs, logger });
}

function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => controller.abort());
  return controller.signal;
}

export function policiesOf({ immutableTags, quotas }: Pick<ServeOptions, "immutableTags" | "quotas">): Policies {
  return {
    isImmutable: (repository, tag) => immutableTags.some((pattern) => matchesPattern(pattern, `${repository}:${tag}`)),
    quotaOf: (repository) => {
      const limits = quotas.filter(({ pattern }) => matchesPattern(pattern, repository)).map(({ bytes }) => bytes);
      return limits.length === 0 ? undefined : Math.min(...limits);
    },
  };
}

async function accessOf({ root, htpasswd, challenge, access, anonymousPull }: ServeOptions): Promise<Access> {
  if (htpasswd === undefined) return openAccess;
  const users = await Htpasswd.open(htpasswd);
  return userAccess({ users, rules: { rules: access, anonymousPull }, key: await tokenKey(root), challenge });
}

/** Tokens survive a restart. */
async function tokenKey(root: string): Promise<Uint8Array> {
  const path = join(root, "token-key");
  try {
    return await readFile(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  const key = randomBytes(32);
  await new DurableFiles(join(root, "tmp")).write(path, key);
  return key;
}

/** By time, and when somebody sends USR1. Resolves after `stop`. */
async function collectRepeatedly(
  store: RegistryStore,
  { gcIntervalMs, gcGraceMs, gcUntaggedMs, gcDryRun, keepTags, uploadExpiryMs }: ServeOptions,
  { isImmutable }: Policies,
  metrics: Metrics,
  logger: Logger,
  stop: AbortSignal,
): Promise<void> {
  using wake = new Wake(stop);
  while (!stop.aborted) {
    await wake.next(gcIntervalMs);
    if (stop.aborted) return;
    try {
      const result = await collect({
        store,
        graceMs: gcGraceMs,
        uploadMs: uploadExpiryMs,
        untaggedMs: gcUntaggedMs,
        tagsKept: (repository) => keepTags.find(({ pattern }) => matchesPattern(pattern, repository))?.count,
        isImmutable,
        dryRun: gcDryRun,
        logger,
        signal: stop,
      });
      logger.info(gcDryRun ? "garbage collection, dry run" : "garbage collection", { ...result });
      metrics.add("fathom_registry_collections_total");
      if (!gcDryRun) metrics.add("fathom_registry_collected_bytes_total", {}, result.bytes);
    } catch (error) {
      if (!stop.aborted) logger.error("the garbage collection failed", { error });
    }
  }
}

/** Remembers a signal that arrives during a collection; without a listener it would end the process. */
class Wake implements Disposable {
  #wanted = false;
  #resolve: () => void = () => undefined;
  readonly #stop: AbortSignal;
  readonly #wake = (): void => {
    this.#wanted = true;
    this.#resolve();
  };

  constructor(stop: AbortSignal) {
    this.#stop = stop;
    process.on("SIGUSR1", this.#wake);
    stop.addEventListener("abort", this.#wake);
  }

  [Symbol.dispose](): void {
    process.off("SIGUSR1", this.#wake);
    this.#stop.removeEventListener("abort", this.#wake);
  }

  async next(intervalMs: number | undefined): Promise<void> {
    const timer = intervalMs === undefined ? undefined : setTimeout(this.#wake, intervalMs);
    if (!this.#wanted) await new Promise<void>((resolve) => (this.#resolve = resolve));
    clearTimeout(timer);
    this.#wanted = false;
  }
}
