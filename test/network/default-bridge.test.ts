/** The default bridge in the kernel: addresses, the route out, published ports from every side, conflicts, leftovers, restarts. */
import { rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { defaultAddressPools, type Endpoint, type NetworkManager } from "@fathom/network";
import {
  addressOf,
  ask,
  attach,
  attachPrepared,
  connectOutside,
  count,
  detach,
  forwarderFiles,
  forwarders,
  hostInterfaces,
  isInside,
  makeNetworks,
  run,
  runInside,
  serveOnHost,
  Space,
} from "./world.ts";
import { memoryState } from "@fathom/network/testing";
import { until } from "@fathom/base/testing";

if (!isInside) {
  test("the default bridge, in a network namespace of its own", async () => {
    const { code, output } = await runInside(import.meta.path);
    if (code !== 0) console.error(output);
    expect(code).toBe(0);
  }, 120_000);
} else {
  describe("default bridge", () => {
    let networks: NetworkManager;
    const state = memoryState();
    let outside: Space;

    beforeAll(async () => {
      run("ip", "link", "set", "lo", "up");
      outside = new Space();
      connectOutside(outside);
      // A route of the host covers the first pool.
      run("ip", "route", "add", "172.17.5.0/24", "via", "198.51.100.50");
      // A new namespace inherits the machine's setting; here it starts switched off.
      writeFileSync("/proc/sys/net/ipv4/ip_forward", "0");
      networks = makeNetworks({}, state);
      const { warnings } = await networks.start([]);
      expect(warnings).toEqual([expect.stringContaining("net.ipv4.ip_forward=1")]);
    });
    afterAll(async () => {
      rmSync(forwarderFiles, { recursive: true, force: true });
      await networks.stop(false);
      await outside[Symbol.asyncDispose]();
    });

    test("skips a pool that a route of the host covers", () => {
      expect(networks.find("bridge")).toMatchObject({
        pools: [{ family: "ipv4", subnet: "172.18.0.0/16", gateway: "172.18.0.1" }],
      });
      expect(run("ip", "-4", "-o", "addr", "show", "fathom0")).toContain("172.18.0.1/16");
      expect(
        networks
          .list()
          .map(({ name, driver }) => `${name} ${driver}`)
          .sort(),
      ).toEqual(["bridge bridge", "host host", "none null"]);
    });

    test("a container gets an interface, an address and a default route, and no IPv6", async () => {
      await using space = new Space();
      const endpoint = await attach(networks, space);
      expect(endpoint).toMatchObject({
        gateways: { ipv4: "172.18.0.1" },
        addresses: [{ family: "ipv4", prefixLength: 16 }],
        interfaceName: "eth0",
        ports: [],
      });
      expect(endpoint.macAddress).toMatch(/^02:42:ac:12:00:/);
      const addresses = space.run("ip", "-o", "addr");
      expect(addresses).toContain(`${addressOf(endpoint)}/16 brd 172.18.255.255`);
      expect(addresses).toContain("127.0.0.1/8");
      expect(addresses).not.toContain("fe80");
      expect(space.run("ip", "route")).toContain("default via 172.18.0.1 dev eth0");
      expect(space.run("ip", "link", "show", "eth0")).toContain(endpoint.macAddress);
      expect(run("ip", "-o", "addr", "show", endpoint.hostInterface)).toBe("");
      await detach(networks, endpoint);
      expect(networks.endpoints(endpoint.networkId)).toEqual([]);
    });

    test("containers reach each other and go out under the host's address; nobody can reach them from outside by their addresses", async () => {
      await using a = new Space();
      await using b = new Space();
      const first = await attach(networks, a);
      const second = await attach(networks, b);
      await b.serve("tcp", 7000);
      await outside.serve("tcp", 7001);
      expect(await a.ask("tcp", addressOf(second), 7000)).toBe(`hello ${addressOf(first)}`);
      expect(await ask("tcp", addressOf(second), 7000)).toBe("hello 172.18.0.1");
      expect(await a.ask("tcp", "198.51.100.50", 7001)).toBe("hello 198.51.100.1");
      outside.run("ip", "route", "add", "172.18.0.0/16", "via", "198.51.100.1");
      expect(await outside.ask("tcp", addressOf(second), 7000)).toBe("silent");
      outside.run("ip", "route", "del", "172.18.0.0/16");
      await detach(networks, first);
      await detach(networks, second);
    });

    for (const bridgeFilter of ["1", "0"])
      test(`a published port answers from every side (bridge-nf-call-iptables ${bridgeFilter})`, async () => {
        const before = run("cat", "/proc/sys/net/bridge/bridge-nf-call-iptables");
        run("sh", "-c", `echo ${bridgeFilter} > /proc/sys/net/bridge/bridge-nf-call-iptables`);
        await networks.stop(true);
        await networks.start([]);
        await using server = new Space();
        await using client = new Space();
        await server.serve("tcp", 80);
        const endpoint = await attach(networks, server, "8401:80");
        const other = await attach(networks, client);
        expect(endpoint.ports).toEqual([
          { protocol: "tcp", containerPort: 80, hostIp: "0.0.0.0", hostPort: 8401 },
          { protocol: "tcp", containerPort: 80, hostIp: "::", hostPort: 8401 },
        ]);
        expect(await ask("tcp", "127.0.0.1", 8401)).toBe("hello 172.18.0.1");
        expect(await ask("tcp", "::1", 8401)).toBe("hello 172.18.0.1");
        expect(await ask("tcp", "198.51.100.1", 8401)).toBe("hello 198.51.100.1");
        expect(await ask("tcp", "172.18.0.1", 8401)).toBe("hello 172.18.0.1");
        expect(await outside.ask("tcp", "198.51.100.1", 8401)).toBe("hello 198.51.100.50");
        // If the host bridges and the rule set runs in between, the client's own address is kept; if it routes, the host's address takes its
        // place.
        for (const [space, address] of [
          [client, addressOf(other)],
          [server, addressOf(endpoint)],
        ] as const) {
          const answers = ["hello 172.18.0.1", `hello ${address}`];
          expect(answers).toContain(await space.ask("tcp", "198.51.100.1", 8401));
          expect(answers).toContain(await space.ask("tcp", "172.18.0.1", 8401));
        }
        await detach(networks, endpoint);
        expect(await ask("tcp", "127.0.0.1", 8401)).toBe("refused");
        expect(await ask("tcp", "::1", 8401)).toBe("refused");
        expect(await outside.ask("tcp", "198.51.100.1", 8401)).toBe("refused");
        await detach(networks, other);
        run("sh", "-c", `echo ${before.trim()} > /proc/sys/net/bridge/bridge-nf-call-iptables`);
      }, 20_000);

    test("a port published on one address answers only there", async () => {
      await using server = new Space();
      await server.serve("tcp", 80);
      run("ip", "addr", "add", "198.51.100.7/24", "dev", "out0");
      const endpoint = await attach(networks, server, "198.51.100.7 8441:80", "127.0.0.1 8442:80");
      expect(endpoint.ports.map(({ hostIp, hostPort }) => `${hostIp} ${hostPort}`)).toEqual([
        "198.51.100.7 8441",
        "127.0.0.1 8442",
      ]);
      expect(await outside.ask("tcp", "198.51.100.7", 8441)).toBe("hello 198.51.100.50");
      expect(await outside.ask("tcp", "198.51.100.1", 8441)).toBe("refused");
      expect(await ask("tcp", "127.0.0.1", 8441)).toBe("refused");
      expect(await ask("tcp", "127.0.0.1", 8442)).toBe("hello 172.18.0.1");
      expect(await outside.ask("tcp", "198.51.100.1", 8442)).toBe("refused");
      await detach(networks, endpoint);
      run("ip", "addr", "del", "198.51.100.7/24", "dev", "out0");
    });

    test("the host's loopback stays closed to neighbours and containers (CVE-2020-8558)", async () => {
      await using server = new Space();
      await using client = new Space();
      await server.serve("tcp", 80);
      const endpoint = await attach(networks, server, "127.0.0.1 8443:80");
      const other = await attach(networks, client);
      await using _service = await serveOnHost("tcp", 8444, "127.0.0.1");
      expect(await ask("tcp", "127.0.0.1", 8444)).toBe("hello 127.0.0.1");
      for (const [space, link, gateway] of [
        [outside, "out1", "198.51.100.1"],
        [client, "eth0", "172.18.0.1"],
      ] as const) {
        // The attacker sends packets for 127.0.0.1 to the host, as any raw socket could.
        space.run("sh", "-c", `echo 1 > /proc/sys/net/ipv4/conf/${link}/route_localnet`);
        space.run("ip", "rule", "add", "pref", "1", "lookup", "local");
        space.run("ip", "addr", "del", "127.0.0.1/8", "dev", "lo");
        space.run("ip", "route", "add", "127.0.0.1/32", "via", gateway, "dev", link);
        expect(await space.ask("tcp", "127.0.0.1", 8443)).toBe("silent");
        expect(await space.ask("tcp", "127.0.0.1", 8444)).toBe("silent");
        space.run("ip", "route", "del", "127.0.0.1/32");
        space.run("ip", "addr", "add", "127.0.0.1/8", "dev", "lo");
      }
      expect(await ask("tcp", "127.0.0.1", 8443)).toBe("hello 172.18.0.1");
      await detach(networks, endpoint);
      await detach(networks, other);
    }, 20_000);

    test("UDP, beside TCP on the same number, over IPv6 too", async () => {
      await using server = new Space();
      await server.serve("udp", 9000);
      await server.serve("tcp", 9001);
      const endpoint = await attach(networks, server, "8431:9000/udp", "8431:9001");
      expect(await ask("udp", "127.0.0.1", 8431)).toBe("hello 172.18.0.1");
      expect(await ask("udp", "::1", 8431)).toBe("hello 172.18.0.1");
      expect(await outside.ask("udp", "198.51.100.1", 8431)).toBe("hello 198.51.100.50");
      expect(await ask("tcp", "127.0.0.1", 8431)).toBe("hello 172.18.0.1");
      await detach(networks, endpoint);
      expect(await ask("udp", "127.0.0.1", 8431)).toBe("refused");
    });

    test("a UDP client that sends all the time follows its port from container to container", async () => {
      await using client = new Space();
      run("ip", "link", "add", "out2", "type", "veth", "peer", "name", "out3", "netns", client.path);
      run("ip", "addr", "add", "203.0.113.1/24", "dev", "out2");
      run("ip", "link", "set", "out2", "up");
      client.run("ip", "addr", "add", "203.0.113.50/24", "dev", "out3");
      client.run("ip", "link", "set", "out3", "up");
      // A silent service has the port first, so the kernel tracks the flow without an answer.
      const silent = await Bun.udpSocket({ hostname: "203.0.113.1", port: 8433 });
      const { answers } = client.repeat("203.0.113.1", 8433);
      // sleep: the client sends some datagrams, one every 100 ms
      await Bun.sleep(300);
      silent.close();
      await using first = new Space();
      await first.serve("udp", 9000);
      const one = await attach(networks, first, "203.0.113.1 8433:9000/udp");
      await until("the neighbour gets its answer", () => answers.at(-1) === "hello 203.0.113.50");
      await detach(networks, one);
      await until("the neighbour gets a refusal", () => answers.at(-1) === "refused");
      await using second = new Space();
      await second.serve("udp", 9000);
      const two = await attach(networks, second, "203.0.113.1 8433:9000/udp");
      expect(addressOf(two)).not.toBe(addressOf(one));
      await until("the neighbour gets its answer", () => answers.at(-1) === "hello 203.0.113.50");
      await detach(networks, two);
    }, 20_000);

    test("a large transfer over the IPv6 forwarder comes back complete", async () => {
      await using server = new Space();
      await server.echo(80);
      const endpoint = await attach(networks, server, "8432:80");
      expect(await count("::1", 8432, 20_000_000)).toBe("20000000");
      await detach(networks, endpoint);
    }, 20_000);

    test("a taken port is reported before anything is made", async () => {
      await using one = new Space();
      await using two = new Space();
      const endpoint = await attach(networks, one, "8451:80");
      await until("one interface is left", () => hostInterfaces().length === 1);
      const links = hostInterfaces();
      await expect(attach(networks, two, "8451:80")).rejects.toThrow(
        /^driver failed programming external connectivity on endpoint container\d+ \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8451 failed: port is already allocated$/,
      );
      await expect(attach(networks, two, "127.0.0.1 8451:80")).rejects.toThrow(
        "Bind for 0.0.0.0:8451 failed: port is already allocated",
      );
      await expect(attach(networks, two, "8453:80", "8453:81")).rejects.toThrow(
        "8453 failed: port is already allocated",
      );
      await expect(attach(networks, two, "203.0.113.99 8445:80")).rejects.toThrow(
        "failed to bind host port 203.0.113.99:8445/tcp: cannot assign requested address",
      );
      await using _foreign = await serveOnHost("tcp", 8452, "0.0.0.0");
      await expect(attach(networks, two, "8452:80")).rejects.toThrow(
        "failed to bind host port 0.0.0.0:8452/tcp: address already in use",
      );
      expect(hostInterfaces()).toEqual(links);
      // The kernel also rejects other programs that want our port.
      expect(() => Bun.listen({ hostname: "0.0.0.0", port: 8451, socket: { data() {} } })).toThrow("Failed to listen");
      const fine = await attach(networks, two, "8453:80", "8451:80/udp");
      await detach(networks, fine);
      await detach(networks, endpoint);
      using _free = Bun.listen({ hostname: "0.0.0.0", port: 8451, socket: { data() {} } });
    });

    test("a range gives the next free port, a random one comes from the ephemeral range", async () => {
      await using space = new Space();
      const endpoints: Endpoint[] = [];
      for (const expected of [8421, 8422]) {
        await using inner = new Space();
        const endpoint = await attach(networks, inner, "8421-8422:80");
        expect(endpoint.ports.map(({ hostPort }) => hostPort)).toEqual([expected, expected]);
        endpoints.push(endpoint);
      }
      await expect(attach(networks, space, "8421-8422:80")).rejects.toThrow(/: all ports are allocated$/);
      const random = await attach(networks, space, ":80");
      expect(random.ports[0]!.hostPort).toBeGreaterThanOrEqual(32768);
      expect(new Set(random.ports.map(({ hostPort }) => hostPort)).size).toBe(1);
      for (const endpoint of [...endpoints, random]) await detach(networks, endpoint);
    });

    test("a failure in the middle leaves nothing", async () => {
      await using space = new Space();
      space.run("ip", "link", "add", "eth0", "type", "bridge");
      await expect(attach(networks, space, "8461:80")).rejects.toThrow("failed to create interface pair");
      await until("no interface of a container is left", () => hostInterfaces().length === 0);
      expect(run("nft", "list", "map", "ip", "fathom", "published_any")).not.toContain("8461");
      space.run("ip", "link", "del", "eth0");
      await detach(networks, await attach(networks, space, "8461:80"));
    });

    test("nothing is left of a container, also when its namespace stays", async () => {
      await until("no interface of a container is left", () => hostInterfaces().length === 0);
      const space = new Space();
      const endpoint = await attach(networks, space, "8471:80", "8472:80/udp");
      expect(hostInterfaces()).toEqual([endpoint.hostInterface]);
      await detach(networks, endpoint);
      await detach(networks, endpoint);
      expect(run("nft", "list", "ruleset")).not.toMatch(/84[0-9]{2}/);
      await until("no interface of a container is left", () => hostInterfaces().length === 0);
      await space[Symbol.asyncDispose]();
    });

    test("after a crash ports answer all the time, leftovers are removed, reservations are made again", async () => {
      await until("no interface of a container is left", () => hostInterfaces().length === 0);
      await using kept = new Space();
      await using lost = new Space();
      await kept.serve("tcp", 80);
      const known = await attach(networks, kept, "8481:80");
      await attach(networks, lost, "8482:80");
      // The sockets of a killed daemon are closed; its links, rules and forwarders stay.
      await networks.stop(true);
      expect(hostInterfaces()).toHaveLength(2);
      expect(await ask("tcp", "127.0.0.1", 8481)).toBe("hello 172.18.0.1");
      expect(await outside.ask("tcp", "198.51.100.1", 8481)).toBe("hello 198.51.100.50");
      expect(await ask("tcp", "::1", 8481)).toBe("hello 172.18.0.1");
      expect(forwarders.list()).toHaveLength(2);

      networks = makeNetworks({}, state);
      const { warnings } = await networks.start([known]);
      expect(warnings).toEqual([]);
      expect(hostInterfaces()).toEqual([known.hostInterface]);
      expect(networks.endpoints(known.networkId)).toEqual([known]);
      const rules = run("nft", "list", "ruleset");
      expect(rules).toContain("tcp . 8481");
      expect(rules).not.toContain("tcp . 8482");
      expect(rules.match(/table ip fathom/g)).toHaveLength(1);
      expect(rules).toContain("chain guard");
      expect(await ask("tcp", "127.0.0.1", 8481)).toBe("hello 172.18.0.1");
      expect(await ask("tcp", "::1", 8481)).toBe("hello 172.18.0.1");
      expect(forwarders.list()).toEqual([known.endpointId]);
      expect(await ask("tcp", "::1", 8482)).toBe("refused");
      await using other = new Space();
      await expect(attach(networks, other, "8481:80")).rejects.toThrow("port is already allocated");
      const next = await attach(networks, other);
      expect(addressOf(next)).not.toBe(addressOf(known));
      await detach(networks, next);
      await detach(networks, known);
      expect(await ask("tcp", "127.0.0.1", 8481)).toBe("refused");
      expect(await ask("tcp", "::1", 8481)).toBe("refused");
      expect(forwarders.list()).toEqual([]);
    }, 20_000);

    test("two engines side by side, and a chain of another program that drops packets is reported", async () => {
      run(
        "nft",
        "add table ip other; add chain ip other FORWARD { type filter hook forward priority 0; policy drop; }",
      );
      const second = makeNetworks({ bridgeName: "second0", bridgeAddress: "10.99.0.1/24" });
      const { warnings } = await second.start([]);
      expect(warnings).toEqual([expect.stringContaining("chain FORWARD of table other drops forwarded packets")]);
      run("nft", "delete", "table", "ip", "other");
      expect(second.find("bridge")).toMatchObject({
        pools: [{ family: "ipv4", subnet: "10.99.0.0/24", gateway: "10.99.0.1" }],
      });
      await second.stop(false);
      expect(run("nft", "list", "tables")).toBe("table ip fathom\n");
      expect(run("ip", "-o", "link")).not.toContain("second0");
    });

    test("when every pool is used up, the error reports this", async () => {
      run("ip", "route", "add", "10.77.0.0/16", "via", "198.51.100.50");
      const none = makeNetworks({ bridgeName: "none0", addressPools: [{ base: "10.77.0.0/16", size: 24 }] });
      await expect(none.start([])).rejects.toThrow("all predefined address pools have been fully subnetted");
      await none.stop(true);
      run("ip", "route", "del", "10.77.0.0/16");
      expect(defaultAddressPools.length).toBeGreaterThan(0);
    });

    test("a rule set that another program flushed is restored at the next attach", async () => {
      await using kept = new Space();
      await using next = new Space();
      await kept.serve("tcp", 80);
      const first = await attach(networks, kept, "8491:80");
      run("nft", "flush", "ruleset");
      expect(await outside.ask("tcp", "198.51.100.1", 8491)).not.toContain("hello");
      const second = await attach(networks, next, "8492:80");
      expect(await outside.ask("tcp", "198.51.100.1", 8491)).toBe("hello 198.51.100.50");
      expect(run("nft", "list", "ruleset")).toContain("chain guard");
      await detach(networks, first);
      run("nft", "flush", "ruleset");
      await detach(networks, second);
    });

    test("a bridge that another program deleted is restored at the next attach", async () => {
      await using kept = new Space();
      await using next = new Space();
      await kept.serve("tcp", 80);
      const first = await attach(networks, kept, "8493:80");
      const prepared = networks.prepareLink("bridge", next.fd)!;
      run("ip", "link", "del", "fathom0");
      const second = await attachPrepared(networks, next, prepared);
      expect(await outside.ask("tcp", "198.51.100.1", 8493)).toBe("hello 198.51.100.50");
      expect(await next.ask("tcp", addressOf(first), 80)).toBe(`hello ${addressOf(second)}`);
      await detach(networks, first);
      await detach(networks, second);
    });

    test("an interface made ahead of time", async () => {
      await using space = new Space();
      const prepared = networks.prepareLink("bridge", space.fd)!;
      expect(hostInterfaces()).toContain(prepared.hostInterface);
      const endpoint = await attachPrepared(networks, space, prepared);
      expect(endpoint.hostInterface).toBe(prepared.hostInterface);
      await outside.serve("tcp", 7002);
      expect(await space.ask("tcp", "198.51.100.50", 7002)).toBe("hello 198.51.100.1");
      await detach(networks, endpoint);
    });

    for (const bridgeFilter of ["1", "0"])
      test(`isolated containers reach only published ports (bridge-nf-call-iptables ${bridgeFilter})`, async () => {
        run("sh", "-c", `echo ${bridgeFilter} > /proc/sys/net/bridge/bridge-nf-call-iptables`);
        const apart = makeNetworks({
          bridgeName: "apart0",
          bridgeAddress: "10.98.0.1/24",
          interContainerCommunication: false,
        });
        await apart.start([]);
        await using server = new Space();
        await using client = new Space();
        await server.serve("tcp", 80);
        const one = await attach(apart, server, "8493:80");
        const two = await attach(apart, client);
        expect(["silent", "refused"]).toContain(await client.ask("tcp", addressOf(one), 80));
        expect(await client.ask("tcp", "198.51.100.1", 8493)).toStartWith("hello");
        expect(await ask("tcp", "127.0.0.1", 8493)).toBe("hello 10.98.0.1");
        // Also from the other engine's network, only by the published port.
        await using stranger = new Space();
        const three = await attach(networks, stranger);
        expect(await stranger.ask("tcp", addressOf(one), 80)).toBe("silent");
        expect(await stranger.ask("tcp", "198.51.100.1", 8493)).toStartWith("hello");
        await detach(networks, three);
        await detach(apart, one);
        await detach(apart, two);
        await apart.stop(false);
      }, 20_000);

    test("a clean stop without containers leaves nothing of ours", async () => {
      await networks.stop(false);
      expect(run("nft", "list", "ruleset")).toBe("");
      expect(run("ip", "-o", "link")).not.toContain("fathom0");
      await networks.start([]);
      expect(networks.find("bridge")!.pools.map(({ subnet }) => subnet)).toEqual(["172.18.0.0/16"]);
    });
  });
}
