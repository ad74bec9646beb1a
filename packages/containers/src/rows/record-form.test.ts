import { describe, expect, test } from "bun:test";
import type { Database } from "@fathom/store";
import type { ContainerSpec } from "../container-spec.ts";
import type { RecordOwner } from "../contract.ts";
import type { ContainerRecord } from "../record.ts";
import { RecordForm } from "./record-form.ts";

const spec = (hostname: string): ContainerSpec => ({ hostname }) as ContainerSpec;
const record = {
  id: "a".repeat(64),
  name: "web",
  spec: spec("web"),
  extension: { host: "web" },
  mounts: [],
  networks: [],
  state: { status: "created" },
  health: undefined,
} as unknown as ContainerRecord;
const upgrade: RecordOwner["upgrade"] = ({ host, ...rest }) =>
  ({ ...rest, spec: spec(String(host)), extension: { host } }) as unknown as ContainerRecord;
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
    const { networks: today } = read(keeps, keeps.fixedPart(record), JSON.stringify({ state: {}, networks }));
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
    expect(Object.keys(JSON.parse(derives.changingPart(record)) as object)).toEqual(["state", "networks"]);
    expect(Object.keys(JSON.parse(derives.fixedPart(record)) as object)).toEqual(["id", "name", "extension", "mounts"]);
  });
});
