/** Names in a user-defined network, with real containers and the daemon's own helper. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { readOrEmpty } from "@fathom/base/testing";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = new TestDaemon("names");
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

const files = (): readonly string[] => {
  const directory = join(daemon.work, "run/names");
  return existsSync(directory) ? readdirSync(directory) : [];
};
/** Processes of helpers of this daemon. */
const helpers = (): number[] =>
  readdirSync("/proc").flatMap((name) =>
    readOrEmpty(`/proc/${name}/cmdline`).startsWith(`fathom-names\0name-helper\0${daemon.work}/`) ? [Number(name)] : [],
  );
const begin = (name: string, ...flags: string[]): string =>
  daemon.fathom("run", "-d", "--name", name, ...flags, daemon.image, "sleep", "1000");
/** The addresses of a name, as a program in the container finds them. */
function lookUp(container: string, name: string): string[] {
  const { out } = daemon.cli("exec", container, "nslookup", "-type=a", name, "127.0.0.11");
  return [...out.matchAll(/^Address(?: \d)?: ([\d.]+)(?!.*:53)/gm)]
    .map(([, address]) => address!)
    .filter((address) => address !== "127.0.0.11")
    .toSorted();
}
const addressOf = (container: string, network: string): string =>
  daemon.docker("inspect", "-f", `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, container);

test("containers find each other; a daemon that is killed interrupts nothing, and the next one goes on with the same helper", async () => {
  daemon.docker("network", "create", "front");
  begin("db", "--network", "front", "--network-alias", "store");
  begin("web", "--network", "front");
  const address = addressOf("db", "front");
  expect([lookUp("web", "db"), lookUp("web", "store"), lookUp("web", "db.front")]).toEqual([
    [address],
    [address],
    [address],
  ]);
  expect(lookUp("web", "nobody")).toEqual([]);
  const [pid] = helpers();
  expect(helpers()).toHaveLength(1);
  // It does not end with the daemon's cgroup.
  expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toContain(`${daemon.cgroupParent}/supervisors\n`);
  // One question after another, while the daemon is killed and another one starts.
  const loop = "while [ ! -e /stop ]; do nslookup -type=a db 127.0.0.11 >/dev/null && echo good || echo bad; done";
  const client = daemon.begin("nsenter", "-t", `${daemon.pidOf("web")}`, "-a", "busybox", "sh", "-c", `${loop} >/said`);
  const webPid = daemon.pidOf("web");
  const said = (): string[] => readOrEmpty(`/proc/${webPid}/root/said`).trim().split("\n");
  const moreAnswers = async (): Promise<void> => {
    const before = said().length;
    await until("more questions are answered", () => said().length > before + 5);
  };
  await moreAnswers();
  await daemon.kill();
  await moreAnswers();
  await daemon.start();
  await moreAnswers();
  daemon.fathom("exec", "web", "touch", "/stop");
  await client.exited;
  expect(new Set(said())).toEqual(new Set(["good"]));
  expect(helpers()).toEqual([pid!]);
  // What the next daemon changes is in the helper too.
  begin("late", "--network", "front", "--network-alias", "store");
  expect(lookUp("web", "store")).toEqual([address, addressOf("late", "front")].toSorted());
  daemon.docker("rename", "late", "later");
  expect([lookUp("web", "later"), lookUp("web", "late")]).toEqual([[addressOf("later", "front")], []]);
  daemon.removeContainers();
}, 60_000);

test("a running container gets a resolver with its first network, and keeps a file that somebody changed", () => {
  begin("plain");
  begin("edited");
  begin("db", "--network", "front");
  const file = (container: string): string => daemon.fathom("exec", container, "cat", "/etc/resolv.conf");
  daemon.fathom("exec", "edited", "sh", "-c", "echo nameserver 192.0.2.1 >/etc/resolv.conf");
  expect(file("plain")).not.toContain("127.0.0.11");
  for (const container of ["plain", "edited"]) daemon.docker("network", "connect", "front", container);
  expect(file("plain")).toContain("nameserver 127.0.0.11\noptions ndots:0\n");
  expect(file("edited")).toBe("nameserver 192.0.2.1");
  expect(lookUp("plain", "db")).toEqual([addressOf("db", "front")]);
  daemon.docker("network", "disconnect", "front", "plain");
  expect(lookUp("plain", "db")).toEqual([]);
  daemon.removeContainers();
}, 60_000);

test("a helper that is killed is started again with all names", async () => {
  begin("db", "--network", "front");
  const [pid] = helpers();
  process.kill(pid!, "SIGKILL");
  await until("another helper answers", () => lookUp("db", "db").length === 1);
  expect(helpers()).not.toContain(pid!);
  daemon.removeContainers();
}, 60_000);

test("a container that ended while no daemon ran leaves neither names nor its namespace", async () => {
  begin("short", "--network", "front");
  begin("long", "--network", "front");
  const pid = daemon.pidOf("short");
  await daemon.kill();
  process.kill(pid, "SIGKILL");
  await until("it has ended", () => !existsSync(`/proc/${pid}`));
  await daemon.start();
  expect(lookUp("long", "short")).toEqual([]);
  const [helper] = helpers();
  const namespaces = readdirSync(`/proc/${helper}/fd`).filter((fd) =>
    readLink(`/proc/${helper}/fd/${fd}`).startsWith("net:"),
  );
  expect(namespaces).toHaveLength(1);
  daemon.removeContainers();
}, 60_000);

test("nothing is left when the daemon stops and no container runs", async () => {
  begin("last", "--network", "front");
  daemon.removeContainers();
  expect(helpers()).toHaveLength(1);
  daemon.docker("network", "rm", "front");
  await daemon.stop();
  await until("the helper has ended", () => helpers().length === 0);
  expect(files()).toEqual([]);
  await daemon.start();
  expect([helpers(), files()]).toEqual([[], []]);
}, 60_000);

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
