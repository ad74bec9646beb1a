/**
 * A container fills the disk of the data root to its last byte, and ends. The daemon knows that it has ended, and a user can remove it to make
 * room.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, statfsSync } from "node:fs";
import { createSys, MNT_DETACH } from "@fathom/sys";
import { TestDaemon, until } from "./harness.ts";

const sys = createSys();
let daemon: TestDaemon;
let disk: string;

beforeAll(async () => {
  daemon = new TestDaemon("no-room", { dataRoot: "disk" });
  disk = daemon.dataRoot;
  mkdirSync(disk);
  sys.mount("tmpfs", disk, "tmpfs", 0, "size=70m,mode=710");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(async () => {
  await daemon.close(() => sys.umount(disk, MNT_DETACH));
}, 60_000);

/** Fills it with its log and with a file. */
const script = "yes | head -c 90000000; dd if=/dev/zero of=/filler bs=64k 2>/dev/null; sleep 1; exit 4";
const state = (name: string): string => daemon.fathom("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name);

test("the daemon knows its end, and it can be removed", async () => {
  daemon.fathom("run", "-d", "--name", "lives", daemon.image, "sleep", "1000");
  daemon.fathom("run", "-d", "--name", "full", "--log-opt", "max-size=-1", daemon.image, "sh", "-c", script);
  expect(daemon.fathom("wait", "full")).toBe("4");
  expect(statfsSync(disk).bavail).toBeLessThan(2000);
  expect(state("full")).toBe("exited 4");
  daemon.fathom("stop", "-t", "0", "lives");
  expect(state("lives")).toBe("exited 137");
  daemon.fathom("rm", "-f", "full");
  await until("there is room", () => statfsSync(disk).bavail > 10_000);
  daemon.fathom("rm", "lives");
  expect(daemon.fathom("ps", "-aq")).toBe("");
}, 60_000);

test("a daemon that starts on a full disk knows the end, and the image can be removed", async () => {
  daemon.fathom(
    "run",
    "-d",
    "--name",
    "full",
    daemon.image,
    "sh",
    "-c",
    "dd if=/dev/zero of=/filler bs=64k; sleep 2; exit 4",
  );
  const processes = (): number => Number(daemon.run("pgrep", "-c", "-f", "[o]f=/filler bs=64k; sleep").out);
  await until("the disk is full", () => statfsSync(disk).bavail < 8);
  await daemon.kill();
  await until("it has ended", () => processes() === 0);
  await daemon.start();
  expect(state("full")).toBe("exited 4");
  daemon.fathom("rm", "full");
  daemon.fathom("rmi", daemon.image);
  expect(daemon.fathom("images", "-q")).toBe("");
}, 60_000);
