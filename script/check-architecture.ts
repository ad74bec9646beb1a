/**
 * Checks the architecture. Imports between packages point down only. No files import each other in a circle. Only apps/fathom wires
 * implementations. No type assertion gives data from outside its type. The C part decides nothing. The documents name only files that exist. A
 * violation is printed with the rule's name, and the check ends with 1.
 */
import { Glob } from "bun";
import { dirname, join, relative, resolve } from "node:path";
import { castsOnData } from "./data-casts.ts";
import { missingPaths, namesInFiles } from "./document-paths.ts";
import { importCircles } from "./import-circles.ts";

const root = resolve(import.meta.dir, "..");

/** The packages that each package may import, by the layers of ARCHITECTURE.md. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  base: [],
  spec: ["base"],
  archive: ["base"],
  template: ["base"],
  http: ["base"],
  sys: ["base"],
  runtime: ["base", "spec", "archive", "sys"],
  runc: ["base", "spec", "sys", "runtime"],
  store: ["base", "spec", "archive", "sys"],
  distribution: ["base", "spec", "archive", "sys"],
  network: ["base", "spec", "archive", "sys"],
  images: ["base", "spec", "archive", "sys", "store", "distribution"],
  volumes: ["base", "spec", "archive", "sys", "store"],
  containers: ["base", "spec", "archive", "sys", "runtime", "store", "network", "volumes"],
  builder: ["base", "spec", "archive", "sys", "store", "images"],
  engine: [
    "base",
    "spec",
    "archive",
    "template",
    "sys",
    "runtime",
    "store",
    "distribution",
    "network",
    "images",
    "volumes",
    "containers",
    "builder",
  ],
  api: ["base", "spec", "http", "sys", "engine"],
  registry: ["base", "spec", "http", "distribution"],
  client: ["base", "spec", "http"],
  cli: ["base", "spec", "archive", "template", "client"],
};

/** Words that C files may not contain. They name decisions, and decisions belong to TypeScript. */
const policyWords = [
  /\bdocker\b/i,
  /\bHostConfig\b/,
  /\bregistry\b/i,
  /\/proc\/(kcore|keys|acpi|timer_list|sched_debug)/,
  /\bSCMP_ACT_/,
  /\/etc\/(passwd|group|resolv\.conf|hosts)\b/,
];

/** Packages that other code uses without Docker (CRI, a build step): they may not use names from `spec/src/docker`. */
const neutral = new Set(["runtime", "store", "network", "volumes", "containers", "builder"]);

const problems: string[] = [];

function packageOf(file: string): string | undefined {
  return /^packages\/([^/]+)\//.exec(file)?.[1];
}

function isForTests(file: string): boolean {
  return file.endsWith(".test.ts") || file.includes("/testing/");
}

/** The public door of a package, and the door to the code that its tests share with tests of other packages. */
const doors: Readonly<Record<string, string>> = { ".": "./src/index.ts", "./testing": "./src/testing/index.ts" };

for (const name of new Glob("packages/*/package.json").scanSync(root)) {
  const own = packageOf(name)!;
  const { exports } = await Bun.file(join(root, name)).json();
  for (const [door, file] of Object.entries(exports))
    if (doors[door] !== file)
      problems.push(
        `one-public-door: ${name}: ${door} → ${file}; others may import ${Object.keys(doors).join(" and ")}`,
      );
  if (!(own in allowed))
    problems.push(`unknown-package: ${name}: add ${own} to script/check-architecture.ts and ARCHITECTURE.md`);
}

const dockerNames = new Set<string>();
for (const file of new Glob("packages/spec/src/**/*.ts").scanSync(root)) {
  if (!file.startsWith("packages/spec/src/docker")) continue;
  const text = await Bun.file(join(root, file)).text();
  for (const [, name] of text.matchAll(
    /^export (?:declare )?(?:async )?(?:interface|type|const|function|class) (\w+)/gm,
  ))
    dockerNames.add(name!);
}
const specImports = /\{([^{}]*)\}\s*from\s*["']@fathom\/spec["']/g;
for (const file of new Glob("packages/*/src/**/*.ts").scanSync(root)) {
  if (!neutral.has(packageOf(file)!)) continue;
  const text = await Bun.file(join(root, file)).text();
  for (const [, list] of text.matchAll(specImports))
    for (const part of list!.split(",")) {
      const name = part
        .trim()
        .replace(/^type /, "")
        .split(" ")[0]!;
      if (dockerNames.has(name)) problems.push(`no-docker-below-the-engine: ${file} imports ${name} of Docker's API`);
    }
  for (const [, target] of text.matchAll(/["'](@fathom\/spec\/docker[^"']*)["']/g))
    problems.push(`no-docker-below-the-engine: ${file} imports ${target}`);
}

// A step of a start is a function that does not use other steps or the lifecycle that runs it. It may only import types of what other steps
// make (docs/rfd/005).
for (const file of new Glob("packages/containers/src/steps/*.ts").scanSync(root)) {
  if (file.endsWith(".test.ts")) continue;
  const text = await Bun.file(join(root, file)).text();
  for (const [, target] of text.matchAll(
    /^(?:import|export) (?!type )[^;=]*?from "(\.\/[^"]+|\.\.\/lifecycle\/[^"]+)"/gm,
  ))
    problems.push(`steps-know-nothing-of-each-other: ${file} imports ${target}`);
}

const importPattern = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)["']([^"']+)["']/g;
for (const file of new Glob("packages/*/src/**/*.ts").scanSync(root)) {
  const own = packageOf(file)!;
  const text = await Bun.file(join(root, file)).text();
  for (const [, target] of text.matchAll(importPattern)) {
    let other = /^@fathom\/([^/]+)/.exec(target!)?.[1];
    if (target!.startsWith(".")) {
      const path = relative(root, resolve(root, dirname(file), target!));
      const inside = packageOf(path);
      const compiled = path.startsWith("native/") || path.startsWith("build/");
      if (inside !== own && !compiled) problems.push(`no-relative-import-across-packages: ${file} imports ${target}`);
      if (compiled && own !== "sys") problems.push(`only-sys-loads-native: ${file} imports ${target}`);
      other = inside;
    }
    if (target!.endsWith("/testing") && !isForTests(file))
      problems.push(`only-tests-use-testing: ${file} imports ${target}`);
    if (other === undefined || other === own) continue;
    // `import type` imports no module at run time: a server calls only what it received.
    if (
      own === "api" &&
      other === "engine" &&
      !isForTests(file) &&
      !/import type \{[^}]*\} from "@fathom\/engine";/.test(text)
    )
      problems.push(`servers-know-the-engine-by-its-types: ${file} imports ${target}`);
    if (!allowed[own]!.includes(other)) problems.push(`imports-point-down: ${file} (${own}) imports ${other}`);
  }
}

for (const file of new Glob("{packages,apps}/*/src/**/*.ts").scanSync(root)) {
  if (isForTests(file)) continue;
  for (const line of castsOnData(await Bun.file(join(root, file)).text()))
    problems.push(`decoders-give-outside-data-its-type: ${file}:${line}: use a decoder or a type guard`);
}

for (const file of new Glob("native/**/*.{c,h}").scanSync(root)) {
  const lines = (await Bun.file(join(root, file)).text()).split("\n");
  lines.forEach((line, index) => {
    for (const word of policyWords)
      if (word.test(line)) problems.push(`native-has-no-policy: ${file}:${index + 1}: ${line.trim()}`);
  });
}

for (const circle of await importCircles(root))
  problems.push(`no-import-circles: ${circle.join(" → ")} → ${circle[0]}`);

for (const name of ["README.md", "src/index.ts"]) {
  for (const own of Object.keys(allowed)) {
    if (!(await Bun.file(join(root, "packages", own, name)).exists()))
      problems.push(`package-shape: packages/${own}/${name} is missing`);
  }
}

const inTree = new Glob("**/*").scanSync({ cwd: root, dot: true, onlyFiles: false });
const tree = new Set(
  [...inTree].filter((path) => !/^(?:\.git|\.tools|build|dist)(?:\/|$)|(?:^|\/)node_modules(?:\/|$)/.test(path)),
);
for (const file of [...tree].filter((path) => path.endsWith(".md")).sort()) {
  const text = await Bun.file(join(root, file)).text();
  for (const { line, path } of missingPaths(text, tree))
    problems.push(`documents-name-what-is-there: ${file}:${line}: ${path}`);
  for (const { line, names, path } of namesInFiles(text)) {
    if (!tree.has(path)) continue;
    const source = await Bun.file(join(root, path)).text();
    for (const name of names)
      if (!new RegExp(`\\b${name}\\b`).test(source))
        problems.push(`documents-name-what-is-there: ${file}:${line}: ${name} in ${path}`);
  }
}

if (problems.length > 0) {
  console.error(problems.join("\n"));
  console.error(
    `architecture: ${problems.length} violation(s); the rules are in script/check-architecture.ts and ARCHITECTURE.md`,
  );
  process.exit(1);
}
console.log("architecture: ok");
