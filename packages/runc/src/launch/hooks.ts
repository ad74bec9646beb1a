/** Hooks that run in the host's namespaces: prestart, createRuntime, poststart, poststop. Each gets the container's state on its input. */
import { EngineError } from "@fathom/base";
import type { OciSpec } from "@fathom/spec";
import type { Status } from "../state/status.ts";

export type HostHook = "prestart" | "createRuntime" | "poststart" | "poststop";

export interface HookState {
  readonly id: string;
  readonly bundle: string;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

/** The state in the form of the specification. */
export function stateText(spec: OciSpec, state: HookState, status: Status, pid: number): string {
  const { id, bundle, annotations } = state;
  return JSON.stringify({
    ociVersion: spec.ociVersion,
    id,
    status,
    ...(pid === 0 ? {} : { pid }),
    bundle,
    ...(annotations === undefined ? {} : { annotations }),
  });
}

/** The same around the number of the process, for hooks that run where this process cannot know the number. */
export function stateAround(spec: OciSpec, state: HookState, status: Status): { before: string; after: string } {
  const text = stateText(spec, state, status, 0);
  return { before: `${text.slice(0, -1)},"pid":`, after: "}" };
}

/** Runs the hooks in their order. @throws internal when one fails, in runc's words; those after it do not run */
export async function runHooks(spec: OciSpec, stage: HostHook, input: string): Promise<void> {
  for (const [index, hook] of (spec.hooks?.[stage] ?? []).entries()) {
    const problem = await runHook(hook, input);
    if (problem !== undefined) throw new EngineError("internal", `error running ${stage} hook #${index}: ${problem}`);
  }
}

/** All hooks run, whatever each does. */
export async function runAllHooks(
  spec: OciSpec,
  stage: HostHook,
  input: string,
  onProblem: (problem: string) => void,
): Promise<void> {
  for (const [index, hook] of (spec.hooks?.[stage] ?? []).entries()) {
    const problem = await runHook(hook, input);
    if (problem !== undefined) onProblem(`error running ${stage} hook #${index}: ${problem}`);
  }
}

type Hook = NonNullable<NonNullable<OciSpec["hooks"]>["prestart"]>[number];

/** So much of its output is in an error. */
const outputLimit = 4096;

async function runHook({ path, args = [], env = [], timeout }: Hook, input: string): Promise<string | undefined> {
  const pairs = env.map((entry) => {
    const at = entry.indexOf("=");
    return at < 0 ? ([entry, ""] as const) : ([entry.slice(0, at), entry.slice(at + 1)] as const);
  });
  try {
    const child = Bun.spawn([path, ...args.slice(1)], {
      argv0: args[0] ?? path,
      env: Object.fromEntries(pairs),
      stdin: Buffer.from(input),
      stdout: "pipe",
      stderr: "pipe",
    });
    const late = timeout === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), timeout * 1000);
    const outputs = Promise.all([firstBytes(child.stdout), firstBytes(child.stderr)]);
    await child.exited;
    const expired = child.signalCode === "SIGKILL" && late !== undefined;
    clearTimeout(late);
    if (child.exitCode === 0) return undefined;
    // A process that the hook left behind may hold its output open.
    const [stdout, stderr] = await Promise.race([outputs, Bun.sleep(100).then(() => ["", ""] as const)]);
    const reason = child.signalCode === null ? `exit status ${child.exitCode}` : `signal: ${child.signalCode}`;
    return `${expired ? `hook ran past specified timeout of ${timeout}s: ` : ""}${reason}, stdout: ${stdout}, stderr: ${stderr}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function firstBytes(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of stream) if (text.length < outputLimit) text += decoder.decode(part, { stream: true });
  return text.slice(0, outputLimit);
}
