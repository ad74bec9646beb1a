import { beforeEach, describe, expect, test } from "bun:test";
import { Faults } from "@fathom/base/testing";
import type { Endpoint, NetworkedContainers, NetworkInfo, NetworkManager, Sandbox } from "../contract.ts";
import { networkConfig } from "../default-networks.ts";
import { createNetworkManager } from "../manager.ts";
import type { NamesState, NameService } from "../names/contract.ts";
import { decode, query } from "../testing/dns-messages.ts";
import { createFakeNames } from "../testing/fake-names.ts";
import { FakeKernel } from "../testing/fake-kernel.ts";
import { memoryState, optionsInMemory } from "../testing/settings.ts";

/** Descriptors of namespaces of running containers, by container. */
const running = new Map<string, number>();
const containers: NetworkedContainers = {
  resolver: () => ({ servers: [], asksSingleLabels: true }),
  openNamespace: (containerId) => {
    const fd = running.get(containerId);
    if (fd !== undefined) kernel.open.set(fd, "a namespace");
    return fd;
  },
};
const pathOf = (fd: number): string => `/proc/${process.pid}/fd/${fd}`;

let kernel: FakeKernel;
let state: ReturnType<typeof memoryState>;
let fake: ReturnType<typeof createFakeNames>;
let faults: Faults;
let networks: NetworkManager;
let front: NetworkInfo;
let back: NetworkInfo;

/** A daemon's start. */
async function start(known: readonly Endpoint[] = []): Promise<readonly string[]> {
  networks = createNetworkManager({
    sys: kernel.sys,
    config: networkConfig(optionsInMemory),
    state,
    names: faults.wrap("names", fake.service),
  });
  return (await networks.start(known, containers)).warnings;
}

beforeEach(async () => {
  running.clear();
  kernel = new FakeKernel();
  state = memoryState();
  fake = createFakeNames();
  faults = new Faults();
  expect(await start()).toEqual([]);
  const plain = { driver: "bridge", pools: [], internal: false, options: {}, labels: {} };
  front = await networks.create({ ...plain, name: "front" });
  back = await networks.create({ ...plain, name: "back" });
});

function sandbox(name: string, fd: number): Sandbox {
  running.set(name, fd);
  return networks.sandbox({ containerId: name, containerName: name, namespaceFd: fd });
}

async function ask(fd: number, name: string): Promise<readonly string[] | string> {
  const answer = decode((await fake.ask(pathOf(fd), query(name)))!);
  return answer.code === "NOERROR" ? answer.data : answer.code;
}

const addressOf = (endpoint: Endpoint | undefined): string => endpoint!.addresses[0]!.address;

describe("containers find each other by name", () => {
  test("from the connection to the end of the container", async () => {
    const web = sandbox("web", 10);
    const db = sandbox("db", 11);
    await web.connect(front.id, { names: ["web"] });
    const endpoint = await db.connect(front.id, { names: ["db", "store"] });
    expect(endpoint!.names).toEqual(["db", "store"]);
    expect(await ask(10, "db")).toEqual([addressOf(endpoint)]);
    expect(await ask(10, "store.front")).toEqual([addressOf(endpoint)]);
    const other = await db.connect(back.id, { names: ["db"] });
    expect(await ask(11, "db.back")).toEqual([addressOf(other)]);
    await db.disconnect(endpoint!.endpointId);
    expect(await ask(10, "db")).toBe("SERVFAIL");
    await db.close();
    expect([...fake.served]).toEqual([pathOf(10)]);
    await web.close();
    expect([...fake.served]).toEqual([]);
  });

  test("a container without names has no resolver; one that loses its last network keeps it until its end", async () => {
    const plain = sandbox("plain", 12);
    await plain.connect(networks.defaultNetwork()!.id);
    expect(fake.served.size).toBe(0);
    const endpoint = await plain.connect(front.id, { names: ["plain"] });
    expect(fake.served.size).toBe(1);
    await plain.disconnect(endpoint!.endpointId);
    expect(await ask(12, "plain")).toBe("SERVFAIL");
    await plain.close();
    expect(fake.served.size).toBe(0);
  });

  test("a new name counts at once, and is in the row", async () => {
    const web = sandbox("web", 10);
    const endpoint = await web.connect(front.id, { names: ["web", "alias"] });
    expect(await web.rename(endpoint!.endpointId, ["other", "alias"])).toMatchObject({ names: ["other", "alias"] });
    expect(web.endpoints[0]!.names).toEqual(["other", "alias"]);
    expect([await ask(10, "other"), await ask(10, "alias"), await ask(10, "web")]).toEqual([
      [addressOf(endpoint)],
      [addressOf(endpoint)],
      "SERVFAIL",
    ]);
    expect(await web.rename("unknown", ["x"])).toBeUndefined();
    // A name that the resolver does not get now comes with its next start.
    faults.failNext("names.setEndpoint", new Error("no answer"));
    const renamed = await web.rename(endpoint!.endpointId, ["third"]);
    expect([renamed!.names, await ask(10, "third")]).toEqual([["third"], "SERVFAIL"]);
    await networks.stop(true);
    await start([renamed!]);
    expect(await ask(10, "third")).toEqual([addressOf(endpoint)]);
  });

  test("also after the daemon's restart, with a helper that knows everything or nothing; ended containers are forgotten", async () => {
    const web = sandbox("web", 10);
    const gone = sandbox("gone", 13);
    const kept = await web.connect(front.id, { names: ["web"] });
    await gone.connect(front.id, { names: ["gone"] });
    await networks.stop(true);
    running.delete("gone");
    expect(await start([kept!])).toEqual([]);
    expect([...fake.served]).toEqual([pathOf(10)]);
    expect([await ask(10, "web"), await ask(10, "gone")]).toEqual([[addressOf(kept)], "SERVFAIL"]);
    await networks.stop(true);
    fake = createFakeNames();
    expect(await start([kept!])).toEqual([]);
    expect(await ask(10, "web")).toEqual([addressOf(kept)]);
    expect([...kernel.open.values()]).not.toContain("a namespace");
  });

  /** The helper has ended with the removal, and begins again with the state of this moment. */
  test.each(["disconnect", "close", "a failed connection"])(
    "%s: no name stays when the helper begins again meanwhile",
    async (way) => {
      const other = await sandbox("other", 14).connect(front.id, { names: ["other"] });
      await networks.stop(true);
      let restored: (() => NamesState) | undefined;
      const { service } = fake;
      const broken: NameService = {
        restore: (given) => service.restore((restored = given)),
        serve: (container) => service.serve(container),
        setEndpoint: (endpoint) =>
          way === "a failed connection" ? Promise.reject(new Error("no answer")) : service.setEndpoint(endpoint),
        removeEndpoint: async () => void (await service.restore(restored!)),
        release: (containerId) => service.release(containerId),
        [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
      };
      const sys = kernel.sys;
      networks = createNetworkManager({ sys, config: networkConfig(optionsInMemory), state, names: broken });
      await networks.start([other!], containers);
      const web = sandbox("web", 10);
      const connected = web.connect(front.id, { names: ["web"] });
      if (way === "a failed connection") await expect(connected).rejects.toThrow("no answer");
      const endpoint = await connected.catch(() => undefined);
      if (way === "disconnect") await web.disconnect(endpoint!.endpointId);
      if (way === "close") await web.close();
      expect(await ask(14, "web")).toBe("SERVFAIL");
    },
  );

  test("names that cannot be restored are a warning: the daemon starts", async () => {
    const kept = await sandbox("web", 10).connect(front.id, { names: ["web"] });
    await networks.stop(true);
    faults.failNext("names.restore", new Error("no memory"));
    expect(await start([kept!])).toEqual(["containers cannot find each other by name: no memory"]);
  });

  test.each(["names.serve", "names.setEndpoint"])(
    "when %s fails, the connection fails and leaves nothing",
    async (call) => {
      await sandbox("other", 14).connect(front.id, { names: ["other"] });
      const before = new Set(kernel.links.keys());
      const web = sandbox("web", 10);
      faults.failNext(call, new Error("no memory"));
      await expect(web.connect(front.id, { names: ["web"] })).rejects.toThrow("no memory");
      expect(faults.done).toBe(true);
      expect([web.endpoints, [...fake.served], await ask(14, "web")]).toEqual([[], [pathOf(14)], "SERVFAIL"]);
      expect(new Set(kernel.links.keys())).toEqual(before);
      const endpoint = await web.connect(front.id, { names: ["web"] });
      expect(await ask(10, "web")).toEqual([addressOf(endpoint)]);
    },
  );

  test("a failed second connection leaves the first one with its resolver", async () => {
    const web = sandbox("web", 10);
    const endpoint = await web.connect(front.id, { names: ["web"] });
    faults.failNext("names.setEndpoint", new Error("no memory"));
    await expect(web.connect(back.id, { names: ["web"] })).rejects.toThrow("no memory");
    expect([await ask(10, "web"), await ask(10, "web.back")]).toEqual([[addressOf(endpoint)], "SERVFAIL"]);
  });

  test.each(["names.removeEndpoint", "names.release"])(
    "when %s fails, an end removes everything else and says so",
    async (call) => {
      const web = sandbox("web", 10);
      await web.connect(front.id, { names: ["web"] });
      faults.failNext(call, new Error("no answer"));
      await expect(web.close()).rejects.toThrow("no answer");
      expect(web.endpoints).toEqual([]);
      expect(networks.endpoints(front.id)).toEqual([]);
      await web.close();
      if (call === "names.release") expect([...fake.served]).toEqual([]);
    },
  );
});
