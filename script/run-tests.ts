/**
 * Runs the unit tests, and then each root test file in a room of its own (test/room.sh), one after another. After each file it looks for what
 * the file left behind. It can run beside another run, and beside other engines. The last line is "N passed, N failed", and ", N skipped" when
 * some tests cannot run here; each skipped test prints its reason.
 */
import { Glob } from "bun";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { noDockerWords } from "../test/docker-cli.ts";
import { removeCgroups } from "../test/leftovers.ts";

const root = resolve(import.meta.dir, "..");
const words = process.argv.slice(2);
const wanted = (file: string): boolean => words.length === 0 || words.some((word) => file.includes(word));

const unitFiles = [...new Glob("{packages,apps}/**/*.test.ts").scanSync(root)].filter(
  (file) => !file.includes("node_modules"),
);
const rootFiles = [...new Glob("test/**/*.test.ts").scanSync(root)].sort();

let passed = 0;
let failed = 0;
let skipped = 0;
const failures: string[] = [];
let stopCurrent = (): void => undefined;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    stopCurrent();
    removeCgroups();
    process.exit(1);
  });

function fail(what: string): void {
  failed += 1;
  failures.push(what);
}

/** Runs a program whose output has the counts of bun test or of test/parity.sh. A program that ends without counts has failed. */
async function run(name: string, command: readonly string[], timeoutMs: number): Promise<void> {
  const child = Bun.spawn([...command], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, BUN: process.execPath, FATHOM_BINARY: join(root, "dist/fathom") },
  });
  const stop = (): void => child.kill("SIGKILL");
  stopCurrent = stop;
  const timer = setTimeout(stop, timeoutMs);
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  clearTimeout(timer);
  const text = out + err;
  const count = (word: string): number =>
    Number(new RegExp(`^\\s*(\\d+) ${word}$|^parity: .*?(\\d+) ${word}ed`, "m").exec(text)?.slice(1).join("") ?? 0);
  passed += count("pass");
  failed += count("fail");
  skipped += count("skip");
  // A file that registers no test ends with 0 as well.
  const isGood = code === 0 && count("pass") + count("fail") + count("skip") > 0;
  if (!isGood) {
    failures.push(name);
    if (count("fail") === 0) failed += 1;
    console.log(text.trimEnd());
  }
  console.log(`${isGood ? "ok  " : "FAIL"} ${name} (${count("pass")} passed, ${count("fail")} failed)`);
}

/** The name of a run of tests, the programs of the machine that it needs, and the longest time of each test file. */
const bunTest = [process.execPath, "test", "--timeout", "120000"];
const limitMs = 15 * 60_000;
/** Two guests: 10 minutes, and the same again when their roots must still be made or the machine is busy. */
const guestLimitMs = 25 * 60_000;

const units = unitFiles.filter(wanted);
if (units.length > 0) await run("unit tests", [...bunTest, ...units.map((file) => `./${file}`)], limitMs);

/** Runs a root test file, or the scenarios, in a room. What was left behind there counts as failures. */
async function runInRoom(name: string, command: readonly string[]): Promise<void> {
  const room = mkdtempSync(join(tmpdir(), "fathom-test-"));
  // Users of the containers must be able to enter.
  chmodSync(room, 0o711);
  // Guests are made of Debian's packages.
  const network = name.startsWith("test/guest/") ? ["--network"] : [];
  await run(name, ["test/room.sh", ...network, room, ...command], network.length > 0 ? guestLimitMs : limitMs);
  let left: string;
  try {
    left = readFileSync(join(room, "left"), "utf8").trim();
  } catch {
    left = "the file's room was killed: the file ran too long";
  }
  if (left === "") passed += 1;
  else {
    fail(`${name} left behind:\n${left.replaceAll(/^/gm, "    ")}`);
    console.log(`FAIL ${failures.at(-1)}`);
  }
  rmSync(room, { recursive: true, force: true });
  removeCgroups();
}
for (const file of rootFiles.filter(wanted)) await runInRoom(file, [...bunTest, `./${file}`]);

/** The scenarios also compare the CLI's own words, so with another CLI they do not run here. `script/test parity` runs them in any case. */
const scenarios = [...new Glob("test/parity/scenarios/**/*.txt").scanSync(root)].length;
const reason = words.length > 0 ? undefined : noDockerWords();
if (wanted("parity") && reason === undefined) await runInRoom("parity scenarios", ["test/parity.sh"]);
else if (words.length === 0) {
  console.log(`parity scenarios: not run: ${reason}`);
  skipped += scenarios;
}

if (failures.length > 0) console.log(`\nfailures:\n${failures.map((text) => `  ${text}`).join("\n")}`);
console.log(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`);
process.exit(failed > 0 || failures.length > 0 ? 1 : 0);
