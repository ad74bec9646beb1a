import { describe, expect, test } from "bun:test";
import { parseChainId, sha256Digest } from "@fathom/spec";
import type { Database } from "@fathom/store";
import type { ContainerSpec } from "../container-spec.ts";
import type { RecordOwner } from "../contract.ts";
import type { ContainerRecord } from "../record.ts";
import { RecordForm } from "./record-form.ts";

function spec(hostname: string): ContainerSpec {
  return {
    terminal: false,
    consoleSize: [24, 80],
    stdin: "once",
    hostname,
    domainname: "",
    network: { kind: "none" },
    pid: { kind: "container", container: "other" },
    ipc: { kind: "shareable" },
    sharedMemoryBytes: 1 << 20,
    ports: [{ protocol: "udp", containerPort: 53, hostIp: "", hostPortFirst: 0, hostPortLast: 0 }],
    dns: { servers: ["1.1.1.1"], search: [], options: ["ndots:1"] },
    extraHosts: ["db:10.0.0.1"],
    devicePaths: ["/dev/fuse"],
    init: true,
    stop: { signal: 2, timeoutSeconds: -1 },
    restart: { kind: "on-failure", maximumRetryCount: 3 },
    health: { command: ["true"], intervalMs: 0.5, timeoutMs: 1, startPeriodMs: 2, startIntervalMs: 3, retries: 4 },
    removeOnExit: true,
  };
}

const record: ContainerRecord = {
  id: "a".repeat(64),
  name: "web",
  createdAt: "2026-01-01T00:00:00Z",
  imageId: sha256Digest("image"),
  topLayer: parseChainId(sha256Digest("layer")),
  path: "sh",
  arguments: ["-c", "true"],
  spec: spec("web"),
  extension: { host: "web" },
  mounts: [
    {
      type: "image",
      name: "web",
      source: "/a",
      destination: "/b",
      driver: "local",
      mode: "z",
      readWrite: true,
      propagation: "rprivate",
      copyData: true,
      subpath: "c",
      image: { reference: "a:b", id: "c", layer: "d" },
      createSource: true,
      nonRecursive: true,
      readOnlyNonRecursive: true,
      readOnlyForceRecursive: true,
      tmpfsOptions: ["size=1"],
      anonymous: true,
    },
  ],
  networks: [
    {
      network: "bridge",
      ipv4Address: "172.17.0.9",
      macAddress: "02:42:ac:11:00:09",
      aliases: ["a"],
      links: null,
      driverOptions: { key: "value" },
      gatewayPriority: 1,
      endpoint: undefined,
      networkId: "n".repeat(64),
    },
  ],
  cgroupPath: "/fathom/web",
  state: {
    status: "exited",
    pid: 0,
    exitCode: 137,
    error: "no",
    oomKilled: true,
    startedAt: "2026-01-01T00:00:01Z",
    finishedAt: "2026-01-01T00:00:02Z",
  },
  restartCount: 1,
  restartDelayMs: 100,
  stoppedByUser: true,
  health: { status: "healthy", failingStreak: 0, results: [] },
  pending: "removing",
};
const upgrade: RecordOwner["upgrade"] = ({ host, ...rest }) => ({
  ...rest,
  spec: spec(String(host)),
  extension: { host },
});
const derives = new RecordForm({
  specOf: ({ extension }) => spec((extension as { host: string }).host),
  upgrade,
});
const keeps = new RecordForm({ upgrade });

function read(form: RecordForm, fixed: string, changing: string): ContainerRecord {
  const database: Pick<Database, "readObject"> = {
    readObject: (_row, text) => JSON.parse(String(text)) as Record<string, unknown>,
  };
  return form.readRow(database, { id: record.id, name: record.name, fixed, changing });
}

describe("how a record is stored", () => {
  test("without the spec when its owner derives it from the extension; a spec that another version stored does not count", () => {
    expect(JSON.parse(derives.fixedPart(record))).not.toHaveProperty("spec");
    expect(derives.stored(record)).not.toHaveProperty("spec");
    expect(read(derives, derives.fixedPart(record), derives.changingPart(record))).toEqual(record);
    const before = keeps.fixedPart({ ...record, spec: spec("of an earlier version") });
    expect(read(derives, before, derives.changingPart(record)).spec).toEqual(spec("web"));
  });

  test("with the spec when the spec is the data, also without an extension", () => {
    expect(read(keeps, keeps.fixedPart(record), keeps.changingPart(record))).toEqual(record);
    const bare = { ...record, extension: undefined };
    expect(read(keeps, keeps.fixedPart(bare), keeps.changingPart(bare))).toEqual(bare);
  });

  test("a record with neither is from an earlier version, and its owner reads it", () => {
    const { spec: _spec, extension: _extension, ...rest } = record;
    const old = JSON.stringify({ ...rest, host: "old" });
    expect(read(derives, old, derives.changingPart(record)).spec).toEqual(spec("old"));
    expect(read(keeps, old, keeps.changingPart(record)).spec).toEqual(spec("old"));
  });

  test("an endpoint of an earlier version has one address, and is read in today's form", () => {
    const endpoint = {
      endpointId: "e".repeat(64),
      networkId: "n".repeat(64),
      containerId: record.id,
      interfaceName: "eth0",
      hostInterface: "veth1234567",
      macAddress: "02:42:ac:11:00:02",
      ipv4Address: "172.17.0.2",
      ipv4PrefixLength: 16,
      gateway: "172.17.0.1",
      ports: [{ protocol: "tcp", containerPort: 80, hostIp: "0.0.0.0", hostPort: 8080 }],
    };
    const networks = [{ network: "bridge", gatewayPriority: 0, endpoint, networkId: endpoint.networkId }];
    const { networks: today } = read(keeps, keeps.fixedPart(record), JSON.stringify({ state: record.state, networks }));
    expect(today).toMatchObject([
      {
        network: "bridge",
        endpoint: {
          networkName: "bridge",
          addresses: [{ family: "ipv4", address: "172.17.0.2", prefixLength: 16 }],
          gateways: { ipv4: "172.17.0.1" },
          ports: endpoint.ports,
        },
      },
    ]);
    const stored = keeps.changingPart({ ...record, networks: today });
    expect(read(keeps, keeps.fixedPart(record), stored).networks).toEqual(today);
  });

  test("members that change with the state are in one part, all others in the other part", () => {
    expect(Object.keys(JSON.parse(derives.changingPart(record))).join(" ")).toBe(
      "state networks restartCount restartDelayMs stoppedByUser health pending",
    );
    expect(Object.keys(JSON.parse(derives.fixedPart(record))).join(" ")).toBe(
      "id name createdAt imageId topLayer path arguments extension mounts cgroupPath",
    );
  });

  test("a row of an earlier version without some of today's members gets zero values for them", () => {
    const { id, name, path, extension } = record;
    const old = JSON.stringify({ id, name, path, extension, mounts: [{ type: "tmpfs", destination: "/run" }] });
    const found = read(derives, old, JSON.stringify({ state: { status: "created" }, networks: [{ network: "n" }] }));
    expect(found.mounts[0]).toMatchObject({ source: "", readWrite: false, tmpfsOptions: [] });
    expect(found.networks[0]).toMatchObject({ aliases: null, gatewayPriority: 0, networkId: "" });
    expect(found).toMatchObject({ imageId: "", arguments: [], restartCount: 0, stoppedByUser: false });
    expect(found.state).toMatchObject({ pid: 0, error: "" });
  });
});

describe("the error for a value of the wrong form names the row and the member", () => {
  const fixed = JSON.parse(keeps.fixedPart(record));
  const changing = JSON.parse(keeps.changingPart(record));
  test.each<[string, object, object]>([
    ["mounts[0].type", { mounts: [{ ...record.mounts[0], type: "other" }] }, {}],
    ["mounts[0].tmpfsOptions[0]", { mounts: [{ ...record.mounts[0], tmpfsOptions: [1] }] }, {}],
    ["arguments", { arguments: "sh" }, {}],
    ["topLayer", { topLayer: "layer" }, {}],
    ["spec.stop.signal", { spec: { ...record.spec, stop: { signal: "TERM" } } }, {}],
    ["spec.pid.container", { spec: { ...record.spec, pid: { kind: "container" } } }, {}],
    ["state.status", {}, { state: { ...record.state, status: "asleep" } }],
    ["networks[0].endpoint", {}, { networks: [{ ...record.networks[0], endpoint: { endpointId: 1 } }] }],
    ["restartCount", {}, { restartCount: "1" }],
  ])("%s", (member, otherFixed, otherChanging) => {
    expect(() =>
      read(keeps, JSON.stringify({ ...fixed, ...otherFixed }), JSON.stringify({ ...changing, ...otherChanging })),
    ).toThrow(`the row of container web cannot be read: ${member}: `);
  });

  test("the error for an extension that its owner cannot read, and for a missing spec", () => {
    const row = JSON.stringify({ ...fixed, extension: null });
    expect(() => read(derives, row, JSON.stringify(changing))).toThrow(/^the row of container web cannot be read: /);
    const bare = JSON.stringify({ ...fixed, spec: undefined });
    expect(() => read(keeps, bare, JSON.stringify(changing))).toThrow(
      "the row of container web cannot be read: it has no spec; --rebuild-database",
    );
  });

  test("a health value of the wrong form counts as no value", () => {
    expect(
      read(keeps, JSON.stringify(fixed), JSON.stringify({ ...changing, health: { status: 1 } })).health,
    ).toBeUndefined();
  });
});
