/**
 * Runs every test file in a process of its own, one after another (root tests share the machine), checks after each root test file that
 * nothing of ours is left on the machine, and counts. The last line is "N passed, N failed".
 */
import { Glob } from "bun";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { noDockerWords } from "../test/docker-cli.ts";
import { leftovers, type Leftover } from "../test/leftovers.ts";

const root = resolve(import.meta.dir, "..");
const words = process.argv.slice(2);
const wanted = (file: string): boolean => words.length === 0 || words.some((word) => file.includes(word));

const unitFiles = [...new Glob("{packages,apps}/**/*.test.ts").scanSync(root)].filter(
  (file) => !file.includes("node_modules"),
);
const rootFiles = [...new Glob("test/**/*.test.ts").scanSync(root)].sort();

let passed = 0;
let failed = 0;
const failures: string[] = [];

function fail(what: string): void {
  failed += 1;
  failures.push(what);
}

/** Runs bun test on the files and reads its counts. A run that dies without counts is one failure. */
async function run(name: string, files: readonly string[], timeoutMs: number): Promise<void> {
  const child = Bun.spawn([process.execPath, "test", "--timeout", "120000", ...files.map((file) => `./${file}`)], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, FATHOM_BINARY: join(root, "dist/fathom") },
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  clearTimeout(timer);
  const text = out + err;
  const count = (word: string): number => Number(new RegExp(`^\\s*(\\d+) ${word}$`, "m").exec(text)?.[1] ?? 0);
  passed += count("pass");
  failed += count("fail");
  if (code !== 0) {
    failures.push(name);
    if (count("fail") === 0) failed += 1;
    console.log(text.trimEnd());
  }
  console.log(`${code === 0 ? "ok  " : "FAIL"} ${name} (${count("pass")} passed, ${count("fail")} failed)`);
}

const units = unitFiles.filter(wanted);
if (units.length > 0) await run("unit tests", units, 15 * 60_000);

for (const file of rootFiles.filter(wanted)) {
  const before = await leftovers();
  await run(file, [file], 15 * 60_000);
  let left: Leftover[] = [];
  // A supervisor whose exit status found no room looks again after a second: until then it is no leftover.
  for (let tries = 0; tries < 4; tries++) {
    left = (await leftovers()).filter((item) => !before.some((old) => old.key === item.key));
    if (left.length === 0) break;
  }
  if (left.length > 0) {
    fail(`${file} left behind:\n${left.map((item) => `    ${item.key}`).join("\n")}`);
    console.log(`FAIL ${failures.at(-1)}`);
  } else passed += 1;
}

/** Why the parity scenarios are left out, where they are: they hold the CLI's own words too. `script/test parity` runs them all the same. */
function noParity(scenarios: string): string | undefined {
  if (!existsSync(scenarios)) return "the folder ../shared/parity is not here";
  if (words.length > 0) return undefined;
  return noDockerWords();
}

const parity = resolve(root, "../shared/parity/parity");
const reason = noParity(parity);
if (wanted("parity") && reason === undefined) {
  const child = Bun.spawn(["bash", "test/parity.sh", parity], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  console.log(text.trimEnd());
  await child.exited;
  const totals = [...text.matchAll(/^parity: (\d+) passed, (\d+) failed/gm)];
  if (totals.length === 0) fail("parity: no result");
  for (const [, good, bad] of totals) {
    passed += Number(good);
    failed += Number(bad);
    if (Number(bad) > 0) failures.push("parity scenarios");
  }
} else if (words.length === 0) {
  console.log(`parity scenarios: left out: ${reason}`);
}

if (failures.length > 0) console.log(`\nfailures:\n${failures.map((text) => `  ${text}`).join("\n")}`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || failures.length > 0 ? 1 : 0);
