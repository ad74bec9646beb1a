/**
 * For tests: makes calls of a fake fail or hang, each one by its name or its number. A fake wraps what it gives out (`faults.wrap("supervisor", {…})`),
 * and a test plans: `faults.failNext("supervisor.signal")`, `const hang = faults.hangNext("supervisor.signal")`, `faults.failNth(3)`.
 */
import { EngineError } from "./errors.ts";

export interface FaultCall {
  /** "supervisor.signal". */
  readonly name: string;
  /** It is an async function: it can hang, and rejects when it fails. Any other can only throw. */
  readonly waits: boolean;
}

/** A call that does not answer until the test lets it. */
export interface Hang {
  /** Resolves when the call is made. */
  readonly reached: Promise<void>;
  /** The call now does what it should have done, and answers. */
  goOn(): void;
  /** The call fails now, without having done anything. */
  fail(error: unknown): void;
}

/** What is planned for a call: to fail, or to wait for `release`. */
interface Plan {
  readonly matches: (name: string) => boolean;
  readonly once: boolean;
  readonly error: unknown;
  readonly hang: { readonly reached: () => void; readonly release: Promise<void> } | undefined;
}

const AsyncFunction = (async () => undefined).constructor as FunctionConstructor;

export class Faults {
  /** Every call since this was made or `forget` was called. */
  readonly calls: FaultCall[] = [];
  #plans: Plan[] = [];

  /** The next call of `name` fails, once. Two plans for one name hit the next two calls. */
  failNext(name: string, error?: unknown): void {
    this.#plans.push({ matches: (called) => called === name, once: true, error, hang: undefined });
  }

  /** Every call of `name` fails until `clear`. */
  failAlways(name: string, error?: unknown): void {
    this.#plans.push({ matches: (called) => called === name, once: false, error, hang: undefined });
  }

  /** The call of this number fails, counted from 1 over all names from now on. */
  failNth(nth: number, error?: unknown): void {
    this.#plans.push({ matches: this.#counted(nth), once: true, error, hang: undefined });
  }

  /** A call that takes an AbortSignal, as an argument or as `signal` of one, fails with its reason when it is aborted. */
  hangNext(name: string): Hang {
    return this.#hang((called) => called === name);
  }

  hangNth(nth: number): Hang {
    return this.#hang(this.#counted(nth));
  }

  /** Drops what is planned and did not happen. Calls that hang go on hanging. */
  clear(): void {
    this.#plans = [];
  }

  forget(): void {
    this.calls.length = 0;
  }

  /** True when everything planned has happened: a test whose fault never struck proves nothing. */
  get done(): boolean {
    return this.#plans.every(({ once }) => !once);
  }

  /** `target` with methods that count, and fail and hang as planned. They are called on `target` itself. */
  wrap<T extends object>(name: string, target: T): T {
    return new Proxy(target, {
      get: (_, property) => {
        const value: unknown = Reflect.get(target, property);
        if (typeof value !== "function") return value;
        const method = typeof property === "string" ? property : (property.description ?? "").replace("Symbol.", "");
        const call: FaultCall = { name: `${name}.${method}`, waits: value instanceof AsyncFunction };
        return (...args: unknown[]): unknown => this.#call(call, () => Reflect.apply(value, target, args), args);
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
    // Who fails it may do so before the call is made.
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
    // All count, the first that matches strikes.
    const plan = this.#plans.filter(({ matches }) => matches(name))[0];
    if (plan !== undefined && plan.once) this.#plans.splice(this.#plans.indexOf(plan), 1);
    if (plan === undefined) return action();
    if (plan.hang !== undefined) {
      if (!waits) throw new EngineError("internal", `${name} is no async function: it cannot hang`);
      plan.hang.reached();
      return Promise.race([plan.hang.release, aborted(args)]).then(action);
    }
    const error = plan.error ?? new EngineError("internal", `${name} fails, as the test planned`);
    if (waits) return Promise.reject(error);
    throw error;
  }
}

/** Rejects when a signal among the arguments is aborted. */
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
