import { expect, test } from "bun:test";
import { takeRuntimeSettings } from "./runtime-settings.ts";

function started(env: Record<string, string>): unknown[][] {
  const calls: unknown[][] = [];
  const execve = (...call: unknown[]): void => void calls.push(call);
  takeRuntimeSettings({ env, execPath: "/usr/bin/fathom", execve }, ["daemon", "-H", "fd://"]);
  return calls;
}

test("a daemon starts itself again with the settings, and only once", () => {
  const [call, ...more] = started({ PATH: "/bin" });
  const env = { PATH: "/bin", BUN_GC_TIMER_INTERVAL: "2000000000" };
  expect(call).toEqual(["/usr/bin/fathom", ["/usr/bin/fathom", "daemon", "-H", "fd://"], env]);
  expect(more).toEqual([]);
  expect(started(env)).toEqual([]);
});

test("values in the environment do not change", () => {
  expect(started({ BUN_GC_TIMER_INTERVAL: "5000" })).toEqual([]);
});

test("not with sockets from a service manager, because they would be closed", () => {
  expect(started({ PATH: "/bin", LISTEN_FDS: "1" })).toEqual([]);
});

test("if it cannot, the daemon runs without the settings", () => {
  const execve = (): never => {
    throw new Error("E2BIG");
  };
  expect(() => takeRuntimeSettings({ env: {}, execPath: "/usr/bin/fathom", execve }, ["daemon"])).not.toThrow();
  expect(() => takeRuntimeSettings({ env: {}, execPath: "/usr/bin/fathom" }, ["daemon"])).not.toThrow();
});
