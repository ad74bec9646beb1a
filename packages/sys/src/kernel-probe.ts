/** The features of this kernel: fathom-init tries them (native/init/calls/probe.c) in a process of its own. The runtime decides what the results mean. */
import { EngineError, messageOf } from "@fathom/base";

/** All tries together take a few milliseconds. */
const deadlineMs = 30_000;

export interface ProbeOptions {
  /** fathom-init as a descriptor. */
  readonly executable: () => number;
}

/**
 * Names of tries, each with the errno of the call that failed, 0 when it worked.
 * @throws unavailable when fathom-init cannot run here at all
 */
export async function probeKernel({ executable }: ProbeOptions): Promise<ReadonlyMap<string, number>> {
  const cannot = (why: string, cause?: unknown): EngineError =>
    new EngineError("unavailable", `cannot run fathom-init, which starts the containers, from a memory file: ${why}`, {
      cause,
    });
  let child;
  try {
    child = Bun.spawn([`/proc/${process.pid}/fd/${executable()}`, "call", "probe"], {
      argv0: "fathom-init",
      cwd: "/",
      env: {},
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      timeout: deadlineMs,
      killSignal: "SIGKILL",
    });
  } catch (error) {
    throw cannot(`${messageOf(error)} (is vm.memfd_noexec 2, or /proc not mounted?)`, error);
  }
  const [text, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  const tries = /^0 (.*)\n$/.exec(text)?.[1];
  if (tries === undefined) throw cannot(`it ended with ${child.signalCode ?? code} and no answer`);
  return new Map(
    tries.split(" ").map((one) => {
      const [name, errno] = one.split("=");
      return [name!, Number(errno)] as const;
    }),
  );
}
