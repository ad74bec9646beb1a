import { expect, test } from "bun:test";
import { ipv4Bytes, parseIpv4 } from "../ipam/ip.ts";
import { deletionOf, type FlowFilter } from "./conntrack.ts";
import { listAttributes, PayloadWriter } from "./message.ts";

const address = (text: string): number => parseIpv4(text)!;

function flow(protocol: number, to: string, port: number, answeredFrom: string) {
  const tuple = (source: string, destination: string, destinationPort: number) => (writer: PayloadWriter) =>
    writer
      .nest(1, (ip) => ip.attribute(1, ipv4Bytes(address(source))).attribute(2, ipv4Bytes(address(destination))))
      .nest(2, (inner) =>
        inner
          .attributeU8(1, protocol)
          .attribute(2, Uint8Array.of(1, 2))
          .attribute(3, Uint8Array.of(destinationPort >> 8, destinationPort & 255)),
      );
  const payload = new PayloadWriter()
    .u32(2)
    .nest(1, tuple("198.51.100.50", to, port))
    .nest(2, tuple(answeredFrom, "198.51.100.50", 40000))
    .attributeU32be(12, 99)
    .finish();
  return { type: 0x100, flags: 0, sequence: 1, payload };
}
const meant = (message: ReturnType<typeof flow>, filter: FlowFilter): boolean =>
  deletionOf(message, [{ kind: "to-port", port: 1 }, filter]) !== undefined;

test("flows to a port that are not redirected", () => {
  const filter = { kind: "to-port", port: 8080 } as const;
  expect(meant(flow(17, "192.0.2.1", 8080, "192.0.2.1"), filter)).toBe(true);
  expect(meant(flow(17, "192.0.2.1", 8080, "172.17.0.2"), filter)).toBe(false);
  expect(meant(flow(17, "192.0.2.1", 8081, "192.0.2.1"), filter)).toBe(false);
  expect(meant(flow(6, "192.0.2.1", 8080, "192.0.2.1"), filter)).toBe(false);
});

test("flows to a container", () => {
  const filter = { kind: "from-container", address: address("172.17.0.2") } as const;
  expect(meant(flow(17, "192.0.2.1", 8080, "172.17.0.2"), filter)).toBe(true);
  expect(meant(flow(17, "192.0.2.1", 8080, "172.17.0.3"), filter)).toBe(false);
});

test("a deletion names the flow by its tuple and id; messages that are no flow are ignored", () => {
  const deletion = deletionOf(flow(17, "192.0.2.1", 8080, "192.0.2.1"), [{ kind: "to-port", port: 8080 }])!;
  expect(deletion.type).toBe(0x102);
  expect(listAttributes(deletion.payload.subarray(4)).map(([type]) => type)).toEqual([1, 12]);
  expect(
    deletionOf({ type: 3, flags: 0, sequence: 1, payload: new Uint8Array(4) }, [{ kind: "to-port", port: 1 }]),
  ).toBeUndefined();
  expect(
    deletionOf({ type: 0x100, flags: 0, sequence: 1, payload: new Uint8Array(8) }, [{ kind: "to-port", port: 1 }]),
  ).toBeUndefined();
});
