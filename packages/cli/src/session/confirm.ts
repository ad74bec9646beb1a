/** Asks the user before something is removed. Without a terminal, the first line of stdin is the answer. */
import type { Output } from "../grammar/command.ts";

export async function confirm(stdout: Output, warning: string): Promise<boolean> {
  stdout.write(`WARNING! ${warning}\nAre you sure you want to continue? [y/N] `);
  const answer = process.stdin.isTTY === true ? (prompt("") ?? "") : await firstLine();
  return /^y(es)?$/i.test(answer.trim());
}

async function firstLine(): Promise<string> {
  for await (const line of console) return line;
  return "";
}
