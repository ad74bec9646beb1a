/** Docker's credential helpers: programs `docker-credential-NAME` with the actions get, store and erase. */
import { EngineError } from "@fathom/base";
import { decodeDocument, exact, optional, text } from "@fathom/spec";

export interface HelperCredentials {
  readonly Username?: string;
  readonly Secret?: string;
}

const helperAnswer = exact<HelperCredentials>({ Username: optional(text), Secret: optional(text) });

/** The user name with which a helper stores an identity token. */
export const tokenUser = "<token>";

export function helperProgram(helper: string): string {
  return `docker-credential-${helper}`;
}

type HelperResult =
  | { readonly kind: "done"; readonly output: string }
  | { readonly kind: "failed"; readonly exitCode: number; readonly output: string }
  | { readonly kind: "not-installed" };

async function callHelper(helper: string, action: "get" | "store" | "erase", input: string): Promise<HelperResult> {
  const executable = Bun.which(helperProgram(helper), { PATH: process.env["PATH"] ?? "" });
  if (executable === null) return { kind: "not-installed" };
  const child = Bun.spawn([executable, action], { stdin: new Blob([input]), stdout: "pipe", stderr: "ignore" });
  const output = await new Response(child.stdout).text();
  const exitCode = await child.exited;
  return exitCode === 0 ? { kind: "done", output } : { kind: "failed", exitCode, output: output.trim() };
}

/** undefined when the helper has nothing for the server; "not-installed" when its program is not in $PATH. @throws invalid-argument */
export async function helperGet(
  helper: string,
  server: string,
): Promise<HelperCredentials | undefined | "not-installed"> {
  const result = await callHelper(helper, "get", server);
  if (result.kind === "not-installed") return "not-installed";
  // A helper exits with a code when it has no credentials for the server. The command then continues without credentials.
  if (result.kind === "failed") return undefined;
  const program = helperProgram(helper);
  let parsed: unknown;
  try {
    parsed = JSON.parse(result.output);
  } catch (error) {
    throw new EngineError("invalid-argument", `the credential helper ${program} gave an answer that is not JSON`, {
      cause: error,
    });
  }
  return decodeDocument(helperAnswer, parsed, `the answer of ${program}`);
}

/** @throws Error in docker's words */
export async function helperStore(helper: string, server: string, username: string, secret: string): Promise<void> {
  const input = `${JSON.stringify({ ServerURL: server, Username: username, Secret: secret })}\n`;
  mustBeDone(helper, "storing", await callHelper(helper, "store", input));
}

/** @throws Error in docker's words */
export async function helperErase(helper: string, server: string): Promise<void> {
  mustBeDone(helper, "erasing", await callHelper(helper, "erase", server));
}

function mustBeDone(helper: string, doing: string, result: HelperResult): void {
  if (result.kind === "done") return;
  const [reason, output] =
    result.kind === "failed"
      ? [`exit status ${result.exitCode}`, result.output]
      : [`exec: ${JSON.stringify(helperProgram(helper))}: executable file not found in $PATH`, ""];
  throw new Error(`error ${doing} credentials - err: ${reason}, out: \`${output}\``);
}
