/**
 * For tests: makes calls of a fake fail or hang, by name or by number. A fake wraps the objects that it returns (`faults.wrap("supervisor", {…})`), and a
 * test plans faults: `faults.failNext("supervisor.signal")`, `const hang = faults.hangNext("supervisor.signal")`, `faults.failNth(3)`.
 */
import { EngineError } from "../errors.ts";

export interface FaultCall {
  /** For example "supervisor.signal". */
  readonly name: string;
  /** True for an async function and an async generator: it can hang, and it rejects when it fails. Another function can only throw. */
  readonly waits: boolean;
}

/** A call that answers only when the test releases it. */
export interface Hang {
  /** Resolves when somebody makes the call. */
  readonly reached: Promise<void>;
  /** The call now does its real work and answers. */
  goOn(): void;
  /** The call now fails, without doing anything. */
  fail(error: unknown): void;
}

/** The plan for a call: fail, or wait for `release`. */
interface Plan {
  readonly matches: (name: string) => boolean;
  readonly once: boolean;
  readonly error: unknown;
  readonly hang: { readonly reached: () => void; readonly release: Promise<void> } | undefined;
}

const AsyncFunction = (async () => undefined).constructor as FunctionConstructor;
const AsyncGeneratorFunction = async function* () {}.constructor as FunctionConstructor;

export class Faults {
  /** All calls since this object was made, or since `forget`. */
  readonly calls: FaultCall[] = [];
  #plans: Plan[] = [];

  /** The next call of `name` fails once. Two plans for one name affect the next two calls. */
  failNext(name: string, error?: unknown): void {
    this.#plans.push({ matches: (called) => called === name, once: true, error, hang: undefined });
  }

  /** Every call of `name` fails until `clear`. */
  failAlways(name: string, error?: unknown): void {
    this.#plans.push({ matches: (called) => called === name, once: false, error, hang: undefined });
  }

  /** The call with this number fails; numbers start at 1 and count calls of all names from now on. */
  failNth(nth: number, error?: unknown): void {
    this.#plans.push({ matches: this.#counted(nth), once: true, error, hang: undefined });
  }

  /** A call that hangs. If an argument is an AbortSignal or has a `signal`, the call fails with the signal's reason when the signal aborts. */
  hangNext(name: string): Hang {
    return this.#hang((called) => called === name);
  }

  hangNth(nth: number): Hang {
    return this.#hang(this.#counted(nth));
  }

  /** Drops the plans that have not happened yet. Calls that hang keep hanging. */
  clear(): void {
    this.#plans = [];
  }

  forget(): void {
    this.calls.length = 0;
  }

  /** True when all plans have happened. If a planned fault never happened, the test proves nothing. */
  get done(): boolean {
    return this.#plans.every(({ once }) => !once);
  }

  /** Returns `target` with methods that are counted, and that fail or hang as planned. Methods run with `target` itself as `this`. */
  wrap<T extends object>(name: string, target: T): T {
    return new Proxy(target, {
      get: (_, property) => {
        const value: unknown = Reflect.get(target, property);
        if (typeof value !== "function") return value;
        const method = typeof property === "string" ? property : (property.description ?? "").replace("Symbol.", "");
        const streams: boolean = value instanceof AsyncGeneratorFunction;
        const call: FaultCall = { name: `${name}.${method}`, waits: streams || value instanceof AsyncFunction };
        return (...args: unknown[]): unknown => {
          const answer = this.#call(call, () => Reflect.apply(value, target, args), args);
          // The planned fault happens when the first value is requested.
          return streams && answer instanceof Promise ? streamOf(answer as Promise<AsyncIterable<unknown>>) : answer;
        };
      },
    });
  }

  #counted(nth: number): (name: string) => boolean {
    let left = nth;
    return () => --left === 0;
  }

  #hang(matches: Plan["matches"]): Hang {
    const reached = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    // The test may fail the call before anybody makes it.
    release.promise.catch(() => undefined);
    this.#plans.push({
      matches,
      once: true,
      error: undefined,
      hang: { reached: reached.resolve, release: release.promise },
    });
    return { reached: reached.promise, goOn: release.resolve, fail: release.reject };
  }

  #call(call: FaultCall, action: () => unknown, args: readonly unknown[]): unknown {
    const { name, waits } = call;
    this.calls.push(call);
    // Each plan counts the call; the first plan that matches decides.
    const plan = this.#plans.filter(({ matches }) => matches(name))[0];
    if (plan !== undefined && plan.once) this.#plans.splice(this.#plans.indexOf(plan), 1);
    if (plan === undefined) return action();
    if (plan.hang !== undefined) {
      if (!waits) throw new EngineError("internal", `${name} is not an async function, so it cannot hang`);
      plan.hang.reached();
      return Promise.race([plan.hang.release, aborted(args)]).then(action);
    }
    const error = plan.error ?? new EngineError("internal", `${name} fails, as the test planned`);
    if (waits) return Promise.reject(error);
    throw error;
  }
}

async function* streamOf(answer: Promise<AsyncIterable<unknown>>): AsyncGenerator<unknown> {
  yield* await answer;
}

/** Rejects when a signal among the arguments aborts. */
function aborted(args: readonly unknown[]): Promise<never> {
  return new Promise((_, reject) => {
    for (const argument of args) {
      const signal: unknown =
        typeof argument === "object" && argument !== null && "signal" in argument ? argument.signal : argument;
      if (!(signal instanceof AbortSignal)) continue;
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    }
  });
}
