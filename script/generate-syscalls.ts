/**
 * Writes packages/runtime/src/seccomp/syscall-tables.ts from the kernel headers of this machine (package linux-libc-dev). Run it by hand when
 * newer headers have new calls: bun script/generate-syscalls.ts
 */
import { resolve } from "node:path";

const output = resolve(import.meta.dir, "../packages/runtime/src/seccomp/syscall-tables.ts");

/**
 * Calls that are newer than the headers of Debian 12 (6.1). Numbers from 424 on are the same on every machine; the two others exist only on
 * x86_64. Source: arch/x86/entry/syscalls/*.tbl and scripts/syscall.tbl of Linux 6.18.
 */
const shared: Readonly<Record<string, number>> = {
  cachestat: 451,
  fchmodat2: 452,
  map_shadow_stack: 453,
  futex_wake: 454,
  futex_wait: 455,
  futex_requeue: 456,
  statmount: 457,
  listmount: 458,
  lsm_get_self_attr: 459,
  lsm_set_self_attr: 460,
  lsm_list_modules: 461,
  mseal: 462,
  setxattrat: 463,
  getxattrat: 464,
  listxattrat: 465,
  removexattrat: 466,
  open_tree_attr: 467,
  file_getattr: 468,
  file_setattr: 469,
};
const x86only: Readonly<Record<string, number>> = { uretprobe: 335, uprobe: 336 };

const machines = [
  { name: "x86_64", source: "#include <asm/unistd_64.h>", more: { ...shared, ...x86only } },
  { name: "x32", source: "#define __X32_SYSCALL_BIT 0\n#include <asm/unistd_x32.h>", more: { ...shared, ...x86only } },
  { name: "i386", source: "#include <asm/unistd_32.h>", more: shared },
  {
    name: "aarch64",
    // The macros with which arch/arm64/include/uapi/asm/unistd.h selects parts of the generic table.
    source: ["RENAMEAT", "NEW_STAT", "SET_GET_RLIMIT", "TIME32_SYSCALLS", "SYS_CLONE3", "MEMFD_SECRET"]
      .map((part) => `#define __ARCH_WANT_${part}`)
      .concat("#include <asm-generic/unistd.h>")
      .join("\n"),
    more: shared,
  },
] as const;

async function definitions(source: string): Promise<Map<string, string>> {
  const compiler = Bun.spawn(["gcc", "-E", "-dM", "-"], { stdin: new Blob([source]), stdout: "pipe" });
  const text = await new Response(compiler.stdout).text();
  if ((await compiler.exited) !== 0) throw new Error("gcc failed");
  return new Map([...text.matchAll(/^#define (__NR\w+) (.+)$/gm)].map(([, name, value]) => [name ?? "", value ?? ""]));
}

/** A number, another name, or "(base + number)". */
function evaluate(value: string, all: ReadonlyMap<string, string>): number | undefined {
  const plain = value.replace(/[()]/g, "").replace("__X32_SYSCALL_BIT +", "").trim();
  if (/^\d+$/.test(plain)) return Number(plain);
  const other = all.get(plain);
  return other === undefined ? undefined : evaluate(other, all);
}

/** Names in the order of their numbers. Where the next number is not one higher, the list has a number first. */
function pack(table: ReadonlyMap<string, number>): string {
  const words: string[] = [];
  let expected = 0;
  for (const [name, number] of [...table].sort(([, a], [, b]) => a - b)) {
    if (number !== expected) words.push(String(number));
    words.push(name);
    expected = number + 1;
  }
  return words.join(" ");
}

let text = `// Written by script/generate-syscalls.ts from the kernel's headers. Do not edit.

/**
 * System calls of each machine: names in the order of their numbers, from 0 on; a number in between is that of the next name. The numbers of x32
 * are without its marker bit.
 */
export const packedTables = {
`;
for (const { name, source, more } of machines) {
  const all = await definitions(source);
  const table = new Map<string, number>();
  for (const [macro, value] of all) {
    const call = /^__NR_(\w+)$/.exec(macro)?.[1];
    const number = call === undefined ? undefined : evaluate(value, all);
    if (call === undefined || number === undefined || ["syscalls", "arch_specific_syscall"].includes(call)) continue;
    table.set(call, number);
  }
  for (const [call, number] of Object.entries(more)) table.set(call, number);
  text += `  ${name}:\n    "${pack(table)}",\n`;
  console.log(`${name}: ${table.size} calls`);
}
text += "} as const;\n";
await Bun.write(output, text);
