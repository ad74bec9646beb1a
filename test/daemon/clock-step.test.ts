import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestDaemon, until } from "./harness.ts";

/** The wall clock of one process, shifted by the seconds in a file. A test cannot change the machine's clock, because other programs use it. */
const shim = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset(void) {
  char text[32] = {0};
  const char *path = getenv("CLOCK_OFFSET_FILE");
  int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  if (read(fd, text, sizeof text - 1) < 0) text[0] = 0;
  close(fd);
  return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*real)(clockid_t, struct timespec *);
  if (real == NULL) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += offset();
  return result;
}
int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  static int (*real)(struct timeval *, void *);
  if (real == NULL) real = dlsym(RTLD_NEXT, "gettimeofday");
  int result = real(time, zone);
  if (result == 0 && time != NULL) time->tv_sec += offset();
  return result;
}
`;

const files = mkdtempSync(join(tmpdir(), "fathom-clock-shim-"));
const offsetFile = join(files, "offset");
const setOffset = (seconds: number): void => writeFileSync(offsetFile, `${seconds}\n`);
let daemon: TestDaemon;

beforeAll(async () => {
  writeFileSync(join(files, "shim.c"), shim);
  const made = Bun.spawnSync(["gcc", "-shared", "-fPIC", "-o", join(files, "shim.so"), join(files, "shim.c"), "-ldl"]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  setOffset(0);
  daemon = new TestDaemon("clock", {
    environment: { LD_PRELOAD: join(files, "shim.so"), CLOCK_OFFSET_FILE: offsetFile },
  });
  await daemon.start();
  daemon.loadImage();
});
afterAll(async () => {
  await daemon.close();
  rmSync(files, { recursive: true, force: true });
});

const hour = 3600;

async function daemonSeconds(): Promise<number> {
  const { json } = await daemon.api<{ SystemTime: string }>("GET", "/info");
  return Date.parse(json.SystemTime) / 1000;
}

test("a step of the system's clock, forward and back: time, events, ages and --since follow", async () => {
  daemon.docker("run", "-d", "--name", "up", daemon.image, "sleep", "1000");
  const atStart = Date.now() / 1000;
  expect(Math.abs((await daemonSeconds()) - atStart)).toBeLessThan(60);

  setOffset(5 * hour);
  expect((await daemonSeconds()) - atStart).toBeWithin(5 * hour - 60, 6 * hour);
  expect(daemon.docker("ps", "--format", "{{.Status}}")).toMatch(/^Up 5 hours/);
  daemon.docker("pause", "up");
  const since = atStart + 4 * hour;
  const later = await daemon.api<{ Action: string; time: number }>(
    "GET",
    `/events?since=${since}&until=${atStart + 5 * hour - 1}`,
  );
  expect(later.json).toBeUndefined();
  const paused = await daemon.api<{ Action: string; time: number }>(
    "GET",
    `/events?since=${since}&until=${await daemonSeconds()}`,
  );
  expect(paused.json.Action).toBe("pause");
  expect(paused.json.time - atStart).toBeGreaterThanOrEqual(5 * hour - 60);

  setOffset(-hour);
  expect((await daemonSeconds()) - atStart).toBeWithin(-hour - 60, 0);
  daemon.docker("unpause", "up");
  const unpaused = await daemon.api<{ Action: string; time: number }>(
    "GET",
    `/events?since=${atStart - 2 * hour}&until=${await daemonSeconds()}`,
  );
  expect(unpaused.json.Action).toBe("unpause");
  // Durations do not come from the wall clock.
  setOffset(0);
  daemon.docker("stop", "-t", "1", "up");
});

test("a client that attaches after the clock was set back gets the whole log", async () => {
  setOffset(0);
  daemon.docker("run", "-d", "--name", "spoke", daemon.image, "sh", "-c", "echo before; sleep 1000");
  await until("the container has written a line", () => daemon.docker("logs", "spoke") === "before");
  setOffset(-hour);
  const path = "/containers/spoke/attach?logs=1&stream=1&stdout=1";
  const { body } = await daemon.request("POST", path, undefined, AbortSignal.timeout(10_000));
  const reader = body!.getReader();
  const { value } = await reader.read();
  expect(Buffer.from(value!).toString()).toContain("before\n");
  await reader.cancel();
  setOffset(0);
  daemon.docker("rm", "-f", "spoke");
});
