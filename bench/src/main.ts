/**
 * bench/run: measures fathom beside dockerd, runc and crun on this machine, in one run, and prints a table with ratios.
 *
 * bench/run [--only WORD]... [--rounds N] [--json FILE] [--image OCI-LAYOUT] [--small] [--before BINARY]
 *
 * --only     rows whose id has WORD           --rounds  at most N samples of each
 * --image    the small image (a layout directory or a tar of one; default: busybox made here)
 * --small    the big image with 1 layer only, for a quick try
 * --before   beside another build of fathom instead of dockerd: what has a change cost?
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { openLayout, startBare, unpackRootfs } from "./bare.ts";
import { LAYER_COUNT, makeBigImage, packedBytes } from "./big-image.ts";
import { startEngineAlone } from "./engine-alone.ts";
import { type Engine, type EnginePlan, startEngine } from "./engines.ts";
import { run } from "./measure.ts";
import { startRegistries } from "./registry-rows.ts";
import { RegistryStore } from "./registry-store.ts";
import { problems, table } from "./report.ts";
import { measureRow, type RowResult } from "./row.ts";
import { rows } from "./rows.ts";
import { IMAGE } from "./samples.ts";

const root = resolve(import.meta.dir, "../..");
const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    only: { type: "string", multiple: true },
    rounds: { type: "string" },
    json: { type: "string", default: join(root, "build/bench.json") },
    image: { type: "string" },
    small: { type: "boolean", default: false },
    before: { type: "string" },
  },
});
const say = (text: string): void => void process.stderr.write(`${text}\n`);
const wanted = (id: string): boolean => values.only === undefined || values.only.some((word) => id.includes(word));
const roundsLimit = Number(values.rounds ?? 1000);
if (!Number.isInteger(roundsLimit) || roundsLimit < 1)
  throw new Error(`--rounds ${values.rounds}: a whole number from 1`);

const work = mkdtempSync("/var/tmp/fathom-bench-");
await using cleanup = new AsyncDisposableStack();
cleanup.defer(() => rmSync(work, { recursive: true, force: true }));
// An interrupted run also stops what it started.
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => void cleanup.disposeAsync().finally(() => process.exit(130)));

function smallLayout(): string {
  if (values.image !== undefined) return openLayout(values.image, join(work, "small"));
  run([process.execPath, join(root, "test/make-busybox-image.ts"), join(work, "small")]);
  return join(work, "small");
}

const small = smallLayout();
const store = new RegistryStore(join(work, "registry"));
store.putLayout("alpine", "latest", small);
const bigLayers = values.small ? 1 : LAYER_COUNT;
const big = join(root, `build/bench-image-${bigLayers}`);
if (wanted("pull")) {
  if (!existsSync(join(big, "index.json"))) say(`making the big image in ${big} (once, about a minute)`);
  await makeBigImage(big, bigLayers);
  store.putLayout("bench-big", "latest", big);
}

const fathom = join(root, "dist/fathom");
const plans: EnginePlan[] = [
  { name: "fathom", command: [fathom, "daemon"], directory: join(work, "fathom"), registryRoot: store.root },
  values.before === undefined
    ? {
        name: "dockerd",
        command: ["dockerd", "--exec-opt", "native.cgroupdriver=cgroupfs", "--storage-driver", "overlay2"],
        directory: join(work, "dockerd"),
        registryRoot: store.root,
      }
    : {
        name: "before",
        command: [resolve(values.before), "daemon"],
        directory: join(work, "before"),
        registryRoot: store.root,
      },
];
const engines: Engine[] = [];
const skipped: string[] = [];
for (const plan of plans) {
  try {
    if (Bun.which(plan.command[0]!) === null) throw new Error(`${plan.command[0]} does not exist`);
    const engine = await startEngine(plan);
    cleanup.defer(() => engine.stop());
    run(["docker", "pull", IMAGE], engine.env);
    engines.push(engine);
  } catch (error) {
    skipped.push(`${plan.name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const rootfs = join(work, "rootfs");
unpackRootfs(small, rootfs);
const bare =
  wanted("engine") && values.before === undefined
    ? await startBare(join(work, "bare"), rootfs, join(root, "build/floor"))
    : undefined;
if (bare !== undefined) cleanup.use(bare);
const alone =
  wanted("engine") && values.before === undefined ? await startEngineAlone(join(work, "alone"), small) : undefined;
if (alone !== undefined) cleanup.use(alone);

const loadBefore = loadavg()[0] ?? 0;
const results: RowResult[] = [];
const options = {
  bigLayers,
  bigMegabytes: wanted("pull") ? Math.round(packedBytes(big) / 1e6) : 0,
  bare: bare?.contenders ?? [],
  ...(alone === undefined ? {} : { alone: alone.contender }),
  ...(existsSync(fathom) ? { fathom } : {}),
  ...(values.before === undefined ? {} : { before: resolve(values.before) }),
};
const registries =
  values.before === undefined && ["push", "pull", "small", "memory"].some((part) => wanted(`registry-${part}`))
    ? await startRegistries(join(work, "registries"), fathom)
    : undefined;
if (registries !== undefined) cleanup.use(registries);
const all = [...rows({ engines }, options), ...(registries?.rows ?? [])];
for (const row of all.filter((row) => wanted(row.id))) {
  say(`measuring: ${row.title}`);
  results.push(await measureRow(row, roundsLimit));
}

const cpuModel = /model name\s*:\s*(.*)/.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
const machine = {
  kernel: release(),
  cpus: cpus().length,
  cpuModel,
  memoryGb: Math.round(totalmem() / 1e9),
  loadBefore,
  image: values.image === undefined ? "busybox (Debian's busybox-static)" : values.image.split("/").at(-1),
  engines: engines.map(({ name, version }) => ({ name, version })),
  dockerCli: run(["docker", "--version"]).trim(),
  time: new Date().toISOString(),
};
console.log(table(results, values.before === undefined ? "dockerd" : "before"));
console.log(
  `\n${machine.cpus} CPUs (${cpuModel}), ${machine.memoryGb} GB, kernel ${machine.kernel}; ${engines.map(({ name, version }) => `${name} ${version}`).join(", ")}; ${machine.dockerCli}; image: ${machine.image}; load before: ${loadBefore.toFixed(2)}. Medians, samples taken in turns.`,
);
for (const line of [...skipped.map((text) => `not there: ${text}`), ...problems(results)]) console.log(`! ${line}`);
mkdirSync(resolve(values.json, ".."), { recursive: true });
writeFileSync(values.json, `${JSON.stringify({ machine, skipped, results }, null, 2)}\n`);
say(`details: ${values.json}`);
