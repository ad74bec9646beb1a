/** Asks the user for a line. */
import type { Output } from "../grammar/command.ts";

/** The first line of stdin; "" when there is none. */
async function readLine(): Promise<string> {
  for await (const line of console) return line;
  return "";
}

export async function ask(out: Output, question: string): Promise<string> {
  out.write(question);
  return (await readLine()).trim();
}

/** The terminal does not show what the user types. */
export async function askSecret(out: Output, question: string): Promise<string> {
  const stty = (...words: string[]): void =>
    void Bun.spawnSync(["stty", ...words], { stdin: "inherit", stdout: "ignore", stderr: "ignore" });
  const restore = (): void => stty("echo");
  const interrupted = (): void => {
    restore();
    process.exit(130);
  };
  stty("-echo");
  process.once("SIGINT", interrupted);
  try {
    return await ask(out, question);
  } finally {
    process.off("SIGINT", interrupted);
    restore();
    out.write("\n");
  }
}
