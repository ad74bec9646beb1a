import { describe, expect, test } from "bun:test";
import type { PortRequest } from "../contract.ts";
import { PortAllocator, PortUnavailable, type Reserver } from "./port-allocator.ts";

const request = (
  ports: string,
  containerPort: number,
  hostIp = "",
  protocol: PortRequest["protocol"] = "tcp",
): PortRequest => {
  const [first = "0", last = first] = ports === "" ? [] : ports.split("-");
  return { protocol, containerPort, hostIp, hostPortFirst: Number(first), hostPortLast: Number(last) };
};

/** A host whose sockets are a set of words; `refuse` names those that it rejects. */
function fakeHost(refuse: Readonly<Record<string, string>> = {}, ipv6 = true) {
  const open = new Set<string>();
  const reserver: Reserver = {
    ipv6,
    reserve: (protocol, hostIp, port) => {
      const key = `${hostIp} ${port}/${protocol}`;
      const reason = refuse[key];
      if (reason !== undefined) throw new PortUnavailable(reason);
      if (open.has(key)) throw new Error(`${key} is reserved twice`);
      open.add(key);
      return { [Symbol.dispose]: () => void open.delete(key) };
    },
  };
  return { open, reserver };
}

const range = { first: 32768, last: 32771, excluded: new Set([32769]) };
function make(refuse: Readonly<Record<string, string>> = {}, ipv6 = true) {
  const { open, reserver } = fakeHost(refuse, ipv6);
  const allocator = new PortAllocator(reserver, () => range);
  const allocate = (...requests: PortRequest[]) => allocator.allocate(requests, "172.17.0.2", "0.0.0.0");
  return { open, allocator, allocate };
}
const shown = (lease: { bindings: readonly { hostIp: string; hostPort: number; containerPort: number }[] }): string[] =>
  lease.bindings.map(({ hostIp, hostPort, containerPort }) => `${hostIp} ${hostPort} ${containerPort}`);

describe("fixed ports", () => {
  test("on both families without a host address, on one with it", () => {
    const { allocate, open } = make();
    expect(shown(allocate(request("8080", 80)))).toEqual(["0.0.0.0 8080 80", ":: 8080 80"]);
    expect(shown(allocate(request("8081", 80, "127.0.0.1"), request("8081", 80, "0:0::1")))).toEqual([
      "127.0.0.1 8081 80",
      "::1 8081 80",
    ]);
    expect(open.size).toBe(4);
  });
  test("in a routed family the container's ports, and none of the host", () => {
    const { allocator, open } = make();
    const lease = allocator.allocate([request("8080", 80), request("8081", 80)], "172.17.0.2", "0.0.0.0", ["ipv4"]);
    expect(shown(lease)).toEqual(["0.0.0.0 0 80", ":: 8080 80", ":: 8081 80"]);
    expect([...open]).toEqual([":: 8080/tcp", ":: 8081/tcp"]);
    const both = allocator.allocate([request("9000", 90)], "172.17.0.2", "0.0.0.0", ["ipv4", "ipv6"]);
    expect(shown(both)).toEqual(["0.0.0.0 0 90", ":: 0 90"]);
    const { lease: again, refused } = allocator.restore(both.bindings, "172.17.0.2", false);
    expect([shown(again), refused, open.size]).toEqual([shown(both), [], 2]);
  });
  test("only IPv6 when the container has no IPv4", () => {
    const { allocator } = make();
    expect(shown(allocator.allocate([request("8080", 80)], "fd00::2", "0.0.0.0"))).toEqual([":: 8080 80"]);
    expect(shown(allocator.allocate([request("8081", 80, "127.0.0.1")], "fd00::2", "0.0.0.0"))).toEqual([]);
  });
  test("only IPv4 when the host or the user has no IPv6", () => {
    const { allocate } = make({}, false);
    expect(shown(allocate(request("8080", 80), request("8081", 80, "::1")))).toEqual(["0.0.0.0 8080 80"]);
  });
  test("the error for a taken port names its holder's address; nothing else of the request is kept", () => {
    const { allocate, open } = make();
    allocate(request("8080", 80));
    expect(() => allocate(request("9090", 1), request("8080", 81))).toThrow(
      "Bind for 0.0.0.0:8080 failed: port is already allocated",
    );
    expect(() => allocate(request("8080", 81, "127.0.0.1"))).toThrow("Bind for 0.0.0.0:8080 failed");
    expect(() => allocate(request("8080", 81, "::1"))).toThrow("Bind for [::]:8080 failed");
    expect(() => allocate(request("8453", 80), request("8453", 81))).toThrow("8453 failed: port is already allocated");
    expect([...open].sort()).toEqual(["0.0.0.0 8080/tcp", ":: 8080/tcp"]);
    allocate(request("8080", 80, "", "udp"));
  });
  test("different addresses and families do not collide", () => {
    const { allocate } = make();
    allocate(request("8080", 80, "127.0.0.1"));
    allocate(request("8080", 80, "198.51.100.7"));
    allocate(request("8080", 80, "::1"));
    expect(() => allocate(request("8080", 80))).toThrow("Bind for 127.0.0.1:8080 failed");
  });
  test("a released port is free", () => {
    const { allocate, open } = make();
    allocate(request("8080", 80))[Symbol.dispose]();
    expect(open.size).toBe(0);
    allocate(request("8080", 80));
  });
  test("the error for another program's port has the host's words", () => {
    const { allocate, open } = make({
      ":: 8080/tcp": "address already in use",
      "203.0.113.9 80/tcp": "cannot assign requested address",
    });
    expect(() => allocate(request("8080", 80))).toThrow(
      "failed to bind host port [::]:8080/tcp: address already in use",
    );
    expect(() => allocate(request("80", 80, "203.0.113.9"))).toThrow(
      "failed to bind host port 203.0.113.9:80/tcp: cannot assign requested address",
    );
    expect(open.size).toBe(0);
  });
});

describe("ranges and random ports", () => {
  test("a range gives one after the other, then is full", () => {
    const { allocate } = make();
    expect(shown(allocate(request("8421-8422", 80)))[0]).toBe("0.0.0.0 8421 80");
    const second = allocate(request("8421-8422", 80));
    expect(shown(second)[0]).toBe("0.0.0.0 8422 80");
    expect(() => allocate(request("8421-8422", 80))).toThrow(/^all ports are allocated$/);
    second[Symbol.dispose]();
    expect(shown(allocate(request("8421-8422", 80)))[0]).toBe("0.0.0.0 8422 80");
  });
  test("ports of other programs are skipped, also on one family only", () => {
    const { allocate, open } = make({ ":: 8421/tcp": "address already in use" });
    expect(shown(allocate(request("8421-8422", 80)))).toEqual(["0.0.0.0 8422 80", ":: 8422 80"]);
    expect(open.size).toBe(2);
    const full = make({ "0.0.0.0 1/tcp": "address already in use", "0.0.0.0 2/tcp": "address already in use" });
    expect(() => full.allocate(request("1-2", 80))).toThrow(
      "failed to bind host port 0.0.0.0:2/tcp: address already in use",
    );
    const forbidden = make({ "0.0.0.0 1/tcp": "permission denied" });
    expect(() => forbidden.allocate(request("1-2", 80))).toThrow("permission denied");
  });
  test("a random one comes from the kernel's range, without the reserved ones, the same on every address", () => {
    const { allocate } = make();
    expect(shown(allocate(request("", 80)))).toEqual(["0.0.0.0 32768 80", ":: 32768 80"]);
    expect(shown(allocate(request("", 80, "127.0.0.1")))).toEqual(["127.0.0.1 32770 80"]);
    expect(shown(allocate(request("", 80)))[0]).toBe("0.0.0.0 32771 80");
    expect(() => allocate(request("", 80))).toThrow("all ports are allocated");
  });
  test("an exact port is taken before a range that contains it", () => {
    const { allocate } = make();
    expect(shown(allocate(request("8080-8081", 80, "0.0.0.0"), request("8080", 90, "0.0.0.0")))).toEqual([
      "0.0.0.0 8080 90",
      "0.0.0.0 8081 80",
    ]);
  });
});

describe("restart", () => {
  test("ports of running containers are taken again; if the host rejects one, that is an error and the port stays taken", () => {
    const { allocator, allocate } = make({ "0.0.0.0 8080/tcp": "address already in use" });
    const bindings = [
      { protocol: "tcp", containerPort: 80, hostIp: "0.0.0.0", hostPort: 8080 },
      { protocol: "tcp", containerPort: 80, hostIp: "::", hostPort: 8080 },
    ] as const;
    const { lease, refused } = allocator.restore(bindings, "172.17.0.2", false);
    expect(refused).toEqual(["host port 0.0.0.0:8080/tcp could not be taken again: address already in use"]);
    expect(() => allocate(request("8080", 80))).toThrow("port is already allocated");
    lease[Symbol.dispose]();
    expect(() => allocate(request("8080", 80))).toThrow("address already in use");
  });
});
