/** The variables of a container's processes: Docker's defaults, overridden by the image's and the user's. */

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * `NAME=value` replaces the entry with that name in `base` at its place, or is added; `NAME` alone removes the entry. When `overrides` has a
 * name twice, the last entry counts, at its own place.
 */
function overrideEnvironment(base: readonly string[], overrides: readonly string[]): string[] {
  const byName = new Map(base.map((entry) => [nameOf(entry), entry]));
  const own = new Set(byName.keys());
  for (const entry of overrides) {
    const name = nameOf(entry);
    if (!own.has(name)) byName.delete(name);
    if (entry.includes("=")) byName.set(name, entry);
    else byName.delete(name);
  }
  return [...byName.values()];
}

function nameOf(entry: string): string {
  const at = entry.indexOf("=");
  return at < 0 ? entry : entry.slice(0, at);
}

export interface EnvironmentInput {
  readonly hostname: string;
  readonly terminal: boolean;
  /** Variables of links; all others override them. */
  readonly links?: readonly string[];
  /** From the merged configuration. */
  readonly env: readonly string[];
  /** From an exec; it overrides all others. */
  readonly more?: readonly string[];
  readonly home: string;
}

/** HOME comes last, and only when nobody has set it. */
export function containerEnvironment(input: EnvironmentInput): string[] {
  const defaults = [`PATH=${defaultPath}`, `HOSTNAME=${input.hostname}`, ...(input.terminal ? ["TERM=xterm"] : [])];
  defaults.push(...(input.links ?? []));
  const env = overrideEnvironment(overrideEnvironment(defaults, input.env), input.more ?? []);
  const home = env.findIndex((entry) => entry.startsWith("HOME="));
  if (home < 0) return [...env, `HOME=${input.home}`];
  return env[home] === "HOME=" ? env.with(home, `HOME=${input.home}`) : env;
}
