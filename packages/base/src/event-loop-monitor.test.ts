import { existsSync } from "node:fs";
import { afterEach, expect, test } from "bun:test";
import { EventLoopMonitor, type ThreadTimes } from "./event-loop-monitor.ts";
import { createLogger } from "./log.ts";
import { until } from "./testing/index.ts";

const lines: string[] = [];
const logger = createLogger("info", { write: (line) => void lines.push(line) });
let monitor: EventLoopMonitor | undefined;
afterEach(() => {
  monitor?.[Symbol.dispose]();
  lines.length = 0;
});

/** A thread and a clock that the test controls, while the real event loop runs. */
function simulate(idleIntervalMs?: number) {
  const times = { computedNs: 0, descheduledNs: 0, diskBusyMs: 0, processorsShortMs: 0 };
  const clock = { ms: 1000 };
  let reads = 0;
  const threadTimes = (): ThreadTimes => {
    reads++;
    return { ...times };
  };
  const idle = idleIntervalMs === undefined ? {} : { idleIntervalMs };
  const made = (monitor = new EventLoopMonitor({ logger, threadTimes, now: () => clock.ms, ...idle }));
  /** Waits until the monitor has looked and has started its next interval. */
  const looked = async (): Promise<void> => {
    for (const before = reads; reads < before + 1;) await Bun.sleep(5);
  };
  return { monitor: made, times, clock, looked };
}

test("the monitor sees a busy loop, and names what ran", async () => {
  monitor = new EventLoopMonitor({ logger });
  // sleep: the monitor must tick a few times before the loop is busy
  await Bun.sleep(50);
  const end = monitor.begin("GET /containers/json");
  monitor.begin("GET /events");
  // Measured in processor time: on a busy machine other programs have the processor for most of the wall-clock time.
  const computed = (): number => process.cpuUsage().user + process.cpuUsage().system;
  const stop = computed() + 400_000;
  while (computed() < stop);
  end();
  await until("the stall is known", () => monitor!.longest().some(({ during }) => during.length > 0));
  const [stall] = monitor.longest();
  expect(stall!.during).toEqual(["GET /containers/json", "GET /events"]);
  expect(stall!.computedMs).toBeGreaterThan(stall!.blockedMs);
});

// Some kernels do not count it.
test.skipIf(!existsSync("/proc/pressure/cpu"))(
  "the kernel's count of the time in which threads waited for a processor is read",
  async () => {
    monitor = new EventLoopMonitor({ logger });
    // Far more programs than processors compute while this thread waits for one of them.
    const programs = Array.from({ length: 4 * navigator.hardwareConcurrency }, () =>
      Bun.spawn(["sh", "-c", "while :; do :; done"]),
    );
    try {
      await until("a stall is known in which threads waited for a processor", () => {
        Bun.spawnSync(["sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done"]);
        return monitor!.longest().some(({ processorsShortMs }) => processorsShortMs > 0);
      });
    } finally {
      for (const program of programs) {
        program.kill("SIGKILL");
        await program.exited;
      }
    }
  },
);

test("time in which other programs had the processor is no stall", async () => {
  const { monitor, times, clock, looked } = simulate();
  clock.ms += 1000;
  times.descheduledNs += 990e6;
  times.computedNs += 5e6;
  await looked();
  expect(monitor.longest()).toEqual([]);
});

test("the monitor distinguishes computing from waiting in a system call, and logs a long stall", async () => {
  const { monitor, times, clock, looked } = simulate();
  monitor.begin("POST /containers/*/start");
  clock.ms += 525;
  times.computedNs += 400e6;
  times.descheduledNs += 100e6;
  await looked();
  expect(monitor.longest()).toMatchObject([
    { ms: 400, computedMs: 400, blockedMs: 0, descheduledMs: 100, during: ["POST /containers/*/start"] },
  ]);
  clock.ms += 1025;
  times.diskBusyMs += 700;
  times.processorsShortMs += 300;
  await looked();
  expect(monitor.longest()[0]).toMatchObject({
    ms: 1000,
    computedMs: 0,
    blockedMs: 1000,
    diskBusyMs: 700,
    processorsShortMs: 300,
  });
  expect(lines).toHaveLength(2);
  expect(lines[1]).toContain("POST /containers/*/start");
  clock.ms += 125;
  await looked();
  expect(monitor.longest().map(({ ms }) => ms)).toEqual([1000, 400, 100]);
  expect(lines).toHaveLength(2);
});

test("housekeeping of an idle daemon does not make the monitor look often", async () => {
  const { monitor, times, clock, looked } = simulate(400);
  expect(monitor.isFast).toBe(true);
  clock.ms += 3000;
  await looked();
  expect(monitor.isFast).toBe(false);
  // Housekeeping: garbage collection and timers.
  clock.ms += 400;
  times.computedNs += 15e6;
  await looked();
  expect(monitor.isFast).toBe(false);
  clock.ms += 400;
  times.computedNs += 30e6;
  await looked();
  expect(monitor.isFast).toBe(true);
});

test("the monitor keeps a limited number of stalls", async () => {
  const { monitor, clock, looked } = simulate();
  for (let count = 0; count < 25; count++) {
    clock.ms += 100 + count;
    // After work the monitor looks often.
    monitor.begin("work")();
    await looked();
  }
  expect(monitor.longest().length).toBeLessThanOrEqual(20);
});
