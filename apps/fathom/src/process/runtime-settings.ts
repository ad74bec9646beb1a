/**
 * What the JavaScript runtime takes from the environment before the first line of a program runs. A daemon that was started without it starts
 * itself again in the same process: its number and arguments stay, and it costs the time of one start, some ten milliseconds. Descriptors do not stay (the
 * runtime marks all that it inherits as close-on-exec), so a daemon that gets its sockets from a service manager is left alone: its unit has the settings.
 */

/**
 * Without it the runtime collects garbage every second for at least half a minute after the last work, and maps megabytes of its own text again each
 * time. The runtime's other rule, which collects right after work when the heap has grown, stays, as does the engine's own; for the quiet time there is IdleMemory.
 * Three weeks: five of these intervals without a change would begin one of half a minute.
 */
const settings = { BUN_GC_TIMER_INTERVAL: "2000000000" };

export interface RestartableProcess {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly execPath: string;
  readonly execve?: (file: string, argv: string[], env: Record<string, string>) => unknown;
}

/** @param argv what follows the program's name */
export function takeRuntimeSettings(own: RestartableProcess, argv: readonly string[]): void {
  if (own.env["LISTEN_FDS"] !== undefined || Object.keys(settings).every((name) => own.env[name] !== undefined)) return;
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...settings, ...own.env })) if (value !== undefined) env[name] = value;
  try {
    own.execve?.(own.execPath, [own.execPath, ...argv], env);
  } catch {
    // It runs without them as well, and only needs more memory.
  }
}
