/** Networks of a real daemon: our own CLI, and operations on one network or container at the same time. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestDaemon, until } from "./harness.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("networks");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon.close(), 60_000);

interface Inspect {
  readonly State: { readonly Running: boolean };
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, { readonly IPAddress: string }>> };
}

/** Names of the interfaces that the host has of containers and networks. */
const interfaces = (): string[] =>
  [...daemon.run("ip", "-o", "link").out.matchAll(/\d+: ((?:veth|br-|d[mp]-)[0-9a-f]+)/g)].map(([, name]) => name!);

test("our own CLI makes a network, shows it, connects and disconnects, and removes it", () => {
  const id = daemon
    .fathom("network", "create", "--subnet", "203.0.113.0/24", "--gateway", "203.0.113.9", "--label", "a=b", "front")
    .trim();
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  expect(daemon.fathom("network", "ls", "--filter", "label=a", "--format", "{{.Name}} {{.Driver}}")).toBe(
    "front bridge",
  );
  const [config] = JSON.parse(daemon.fathom("network", "inspect", "-f", "{{json .IPAM.Config}}", "front")) as object[];
  expect(config).toEqual({ Subnet: "203.0.113.0/24", Gateway: "203.0.113.9" });
  daemon.fathom("run", "-d", "--name", "app", daemon.image, "sleep", "1000");
  daemon.fathom("network", "connect", "--ip", "203.0.113.77", "--alias", "www,web", "front", "app");
  expect(daemon.fathom("exec", "app", "ip", "-4", "-o", "addr", "show", "eth1")).toContain("203.0.113.77/24");
  expect(daemon.fathom("inspect", "-f", "{{json .NetworkSettings.Networks.front.Aliases}}", "app")).toBe(
    '["www","web"]',
  );
  const refused = daemon.cli("network", "rm", "front");
  expect([refused.code, refused.err]).toEqual([
    1,
    expect.stringMatching(/network front has active endpoints \(name:"app" id:"[0-9a-f]{12}"\)/),
  ]);
  daemon.fathom("network", "disconnect", "front", "app");
  daemon.fathom("rm", "-f", "app");
  expect(daemon.fathom("network", "rm", "front")).toBe("front");
  expect(daemon.fathom("network", "rm", "-f", "front")).toBe("");
  daemon.fathom("network", "create", "-d", "macvlan", "--ipv6", "cell");
  expect(daemon.fathom("network", "prune", "-f")).toBe("Deleted Networks:\ncell");
  expect(daemon.cli("network", "create", "--gateway", "203.0.113.1", "n").err).toContain(
    "every ip-range or gateway must have a corresponding subnet",
  );
});

test("connecting, disconnecting, stopping, starting and removing at once: what the daemon says is inside, and nothing is left", async () => {
  const call = async (method: string, path: string, body?: unknown): Promise<void> => {
    const response = await daemon.request(method, path, body);
    const text = await response.text();
    // Refusals are right; a fault of the daemon is not.
    if (response.status >= 500) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  };
  const before = interfaces();
  const create = (name: string): Promise<void> =>
    call("POST", "/networks/create", { Name: name, EnableIPv6: name === "two" });
  const change = (verb: string, name: string): Promise<void> =>
    call("POST", `/networks/${name}/${verb}`, { Container: "box", Force: false });
  daemon.docker("run", "-d", "--name", "box", "-p", "127.0.0.1::80", daemon.image, "sleep", "1000");
  for (let turn = 0; turn < 25; turn++) {
    await Promise.all([
      create("one"),
      create("two"),
      change("connect", "one"),
      change("connect", "two"),
      turn % 3 === 0 ? call("POST", "/containers/box/stop?t=0") : change("disconnect", "one"),
      call("POST", "/containers/box/start"),
      call("DELETE", "/networks/one"),
      change("disconnect", "two"),
      turn % 2 === 0 ? call("POST", "/networks/prune") : change("connect", "two"),
    ]);
    const { json } = await daemon.api<Inspect>("GET", "/containers/box/json");
    if (!json.State.Running) continue;
    const said = Object.values(json.NetworkSettings.Networks).map(({ IPAddress }) => IPAddress);
    const inside = daemon.docker("exec", "box", "ip", "-4", "-o", "addr");
    const found = [...inside.matchAll(/eth\d+ +inet ([0-9.]+)/g)].map(([, address]) => address);
    expect(found.toSorted()).toEqual(said.toSorted());
  }
  daemon.docker("rm", "-f", "box");
  await call("POST", "/networks/prune");
  expect(daemon.docker("network", "ls", "-q", "--filter", "type=custom")).toBe("");
  expect(interfaces()).toEqual(before);
  expect(daemon.run("nft", "list", "tables").out).not.toContain("ip6");
}, 60_000);

test("rules that another program flushes are back, and nobody asks the daemon for anything", async () => {
  daemon.docker("run", "-d", "--name", "served", "-p", "8123:80", daemon.image, "sleep", "1000");
  const rules = (): string => daemon.run("nft", "list", "ruleset").out.replace(/packets \d+ bytes \d+/g, "");
  const before = rules();
  expect(before).toContain("8123");
  daemon.run("nft", "flush", "ruleset");
  await until("the rules are back", () => rules() === before);
  daemon.docker("rm", "-f", "served");
});
