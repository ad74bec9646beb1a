/** What the suites of the launcher's contract use: the launcher, functions for a test, and the programs that it runs. */
import { expect, test } from "bun:test";
import type { Cgroups } from "../cgroups/contract.ts";
import type { Attachment, AttachOptions, DirectIo, Launched, Launcher, SupervisedIo } from "../contract.ts";
import type { LaunchPlan, Operation } from "../plan/plan.ts";
import { LaunchFailure } from "../supervisor/launch-failure.ts";

/** Programs of busybox, by their arguments. `missing` and `noProgram` cannot be executed: the first does not exist, the second is a directory. */
export const suitePrograms = {
  succeeds: ["true"],
  fails: ["sh", "-c", "exit 7"],
  runs: ["sleep", "1000"],
  prints: ["sh", "-c", "echo to-out; echo to-err >&2"],
  copies: ["cat"],
  missing: ["no-program-of-this-name"],
  noProgram: ["/etc"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export interface SuitePlan {
  /** Before the program. */
  readonly operations?: readonly Operation[];
  readonly terminal?: boolean;
  readonly cgroupProcs?: readonly string[];
}

/** A launcher with nothing running, and the functions that a test needs. */
export interface LauncherUnderTest extends AsyncDisposable {
  readonly launcher: Launcher;
  readonly cgroups: Cgroups;
  /** Path of a cgroup that does not exist yet, and that nobody else uses. */
  readonly cgroupPath: string;
  /** A program in namespaces of its own, the network's among them, with a root that has busybox. */
  plan(argv: readonly string[], change?: SuitePlan): LaunchPlan;
  /** A program in the namespaces of its container. */
  execPlan(argv: readonly string[], change?: SuitePlan): LaunchPlan;
  /** Directory of a new run: it exists and is empty. */
  directory(): string;
  /** Writes the input, half-closes, and reads all output to its end. The attachment is closed then. */
  talk(attachment: Attachment, input?: string): Promise<{ readonly stdout: string; readonly stderr: string }>;
  /** Streams that a direct launch can inherit, and what was written to the first output when its last writer has closed it. */
  inheritable(): { readonly streams: Extract<DirectIo["streams"], { kind: "inherited" }>; output(): Promise<string> };
  /** Another daemon's launcher. */
  another(): Launcher;
  /** The processes and descriptors that the launcher has not released. */
  holds(): readonly string[];
}

export const outputs: AttachOptions = { stdin: false, stdout: true, stderr: true, closeStdin: false };
export const everything: AttachOptions = { stdin: true, stdout: true, stderr: true, closeStdin: true };
export const SIGKILL = 9;
export const SIGTERM = 15;

export function supervised(change: Partial<SupervisedIo> = {}): SupervisedIo {
  return { kind: "supervised", log: { kind: "none" }, openStdin: false, attach: [], ...change };
}

/** Returns the function that makes a test of one launcher: at its end the launcher holds the same as at its beginning. */
export function testsOf(
  name: string,
  open: () => Promise<LauncherUnderTest>,
): (what: string, action: (under: LauncherUnderTest) => Promise<void>) => void {
  return (what, action) =>
    test(`${name}: ${what}`, async () => {
      await using under = await open();
      const before = under.holds();
      await action(under);
      for (let turn = 0; turn < 400 && under.holds().length !== before.length; turn++) await Bun.sleep(5);
      expect(under.holds()).toEqual(before);
    }, 30_000);
}

export async function launch(
  { launcher, plan, directory }: LauncherUnderTest,
  argv: readonly string[],
  { io = {}, ...change }: SuitePlan & { readonly io?: Partial<SupervisedIo> } = {},
): Promise<Launched & { readonly directory: string }> {
  const whole = plan(argv, change);
  const stem = await launcher.prepare(whole.stem);
  const at = directory();
  return { ...(await stem.launch({ plan: whole, directory: at, io: supervised(io) })), directory: at };
}

export async function end({ supervisor }: Pick<Launched, "supervisor">): Promise<void> {
  await supervisor.signal(SIGKILL);
  expect(await supervisor.exit).toMatchObject({ code: 137, signal: SIGKILL });
}

export async function failure(work: Promise<unknown>): Promise<LaunchFailure> {
  const error = await work.then(
    () => new Error("it was launched"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof LaunchFailure)) throw error;
  return error;
}
