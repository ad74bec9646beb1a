/**
 * Settings that the JavaScript runtime reads from the environment before the first line of a program runs. A daemon that was started without
 * them starts itself again in the same process: its number and arguments stay, and it costs the time of one start, some ten milliseconds.
 * Descriptors do not stay (the runtime marks all inherited ones as close-on-exec). So a daemon that gets its sockets from a service manager
 * does not do this: its unit has the settings.
 */

/**
 * Without this setting the runtime collects garbage every second for at least half a minute after the last work, and each time maps megabytes of
 * its own code again. Two other rules still apply: the runtime collects right after work when the heap has grown, and the JavaScript engine has a
 * rule of its own. While requests come, and in quiet times, IdleMemory collects.
 * Three weeks: after five of these intervals without a change, an interval of half a minute would begin.
 */
export const runtimeSettings = { BUN_GC_TIMER_INTERVAL: "2000000000" };

export interface RestartableProcess {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly execPath: string;
  readonly execve?: (file: string, argv: string[], env: Record<string, string>) => unknown;
}

/** @param argv the arguments after the program's name */
export function takeRuntimeSettings(own: RestartableProcess, argv: readonly string[]): void {
  if (own.env["LISTEN_FDS"] !== undefined || Object.keys(runtimeSettings).every((name) => own.env[name] !== undefined))
    return;
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...runtimeSettings, ...own.env }))
    if (value !== undefined) env[name] = value;
  try {
    own.execve?.(own.execPath, [own.execPath, ...argv], env);
  } catch {
    // It also runs without them, and only needs more memory.
  }
}
