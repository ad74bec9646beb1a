/**
 * One system call in a process of its own (native/init/calls/one-call.c), for paths on file systems whose server may never answer. A call that hangs
 * there blocks that process and not a thread of the daemon.
 */
import { readFileSync } from "node:fs";
import { EngineError, within } from "@fathom/base";
import { isStoppedState, parseProcessStat, stoppedLookMs, stoppedLooks } from "../processes/process-stat.ts";

export interface Answer {
  /** The errno, 0 when the call worked. */
  readonly error: number;
  readonly text: string;
}

export const wayOut =
  "The server of its file system seems to be away: try again when it is back, or unmount it (umount -l)";

/** A call that was given up may have worked all the same. These would then work a second time. */
const onlyOnce: ReadonlySet<string> = new Set(["mount", "unmount"]);

interface Call {
  /** undefined when it was given up before it answered. */
  readonly answer: Promise<Answer | undefined>;
  /** Callers that wait for the answer. */
  waiting: number;
  giveUp(): void;
}

export class OneCalls {
  readonly #executable: () => number;
  readonly #answerMs: number;
  /** Running calls: a caller with the same question waits for the running one. */
  readonly #underWay = new Map<string, Call>();

  /** @param executable fathom-init as a descriptor. */
  constructor(executable: () => number, answerMs: number) {
    this.#executable = executable;
    this.#answerMs = answerMs;
  }

  /** @throws EngineError `timeout`, which names `path`, when there was no answer within the limit */
  async answerTo(path: string, name: string, ...values: readonly string[]): Promise<Answer> {
    const answerMs = this.#answerMs;
    return this.#wait(name, values, answerMs, () => {
      throw noAnswer(path, name, answerMs);
    });
  }

  /** Without a time limit. */
  answerWhenever(name: string, ...values: readonly string[]): Promise<Answer> {
    return this.#wait(name, values, undefined, () => undefined);
  }

  /** At most `ms`, then as `late`. A call is given up when the last of its callers has left. */
  async #wait(name: string, values: readonly string[], ms: number | undefined, late: () => undefined): Promise<Answer> {
    const endMs = ms === undefined ? undefined : performance.now() + ms;
    for (;;) {
      const call = this.#call(name, values);
      call.waiting++;
      try {
        const leftMs = endMs === undefined ? undefined : Math.max(endMs - performance.now(), 0);
        const answer = await within(call.answer, leftMs, late);
        if (answer !== undefined) return answer;
        // Earlier callers had given it up, and it ends only now: the same question again.
        if (onlyOnce.has(name)) late();
      } finally {
        if (--call.waiting === 0) call.giveUp();
      }
    }
  }

  #call(name: string, values: readonly string[]): Call {
    const odd = values.find((value) => value.includes("\0"));
    if (odd !== undefined)
      throw new EngineError("invalid-argument", `invalid path ${JSON.stringify(odd)}: it has a zero byte`);
    const key = JSON.stringify([name, ...values]);
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    const child = Bun.spawn([`/proc/${process.pid}/fd/${this.#executable()}`, "call", name], {
      argv0: "fathom-init",
      cwd: "/",
      env: {},
      // No arguments: everybody can see those, and a mount's options may contain a password.
      stdin: Buffer.from(values.map((value) => `${value}\0`).join("")),
      stdout: "pipe",
      stderr: "ignore",
    });
    // A call that was given up must not block the end of the daemon.
    child.unref();
    let givenUp = false;
    const answer = async (): Promise<Answer | undefined> => {
      try {
        return await readAnswer(child, `${name} ${values[0]}`);
      } catch (error) {
        if (givenUp) return undefined;
        throw error;
      } finally {
        this.#underWay.delete(key);
      }
    };
    const call: Call = {
      answer: answer(),
      waiting: 0,
      // If the server has the request already, the process ends only with the answer.
      giveUp: () => {
        givenUp = true;
        child.kill("SIGKILL");
      },
    };
    this.#underWay.set(key, call);
    return call;
  }
}

async function readAnswer(child: Bun.Subprocess<Buffer, "pipe", "ignore">, what: string): Promise<Answer> {
  let stopped = 0;
  const looks = setInterval(() => {
    stopped = isStopped(child.pid) ? stopped + 1 : 0;
    if (stopped === stoppedLooks) child.kill("SIGKILL");
  }, stoppedLookMs);
  looks.unref();
  const [text, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  clearInterval(looks);
  const match = /^(\d+) ([^]*)\n$/.exec(text);
  if (match === null && stopped >= stoppedLooks)
    throw new EngineError(
      "unavailable",
      `the process that should ${what} was stopped, by a signal or a debugger, and has been ended: try again`,
    );
  if (match === null)
    throw new EngineError("internal", `the process that should ${what} ended with ${code} and no answer`);
  return { error: Number(match[1]), text: match[2]! };
}

/** False when it cannot be seen. */
function isStopped(pid: number): boolean {
  try {
    return isStoppedState(parseProcessStat(readFileSync(`/proc/${pid}/stat`, "latin1")).state);
  } catch {
    return false;
  }
}

function noAnswer(path: string, name: string, answerMs: number): EngineError {
  return new EngineError(
    "timeout",
    `${path} does not answer: ${name} took longer than ${answerMs / 1000} s. ${wayOut}`,
  );
}
