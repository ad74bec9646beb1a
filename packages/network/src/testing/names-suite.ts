/** What every `NameService` must do, as tests: with sockets in real namespaces, with a helper process, and the fake. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { NamedEndpoint, NameService, NamesState, ServedContainer, UpstreamServer } from "../names/contract.ts";
import type { Protocol } from "../names/upstream.ts";
import { decode, query, questionName, reply, type AskOptions, type Decoded } from "./dns-messages.ts";

/** The answer to a query; undefined: silence. */
export type ServerAnswer = (query: Uint8Array, protocol: Protocol) => Uint8Array | undefined;

/** A host with containers. */
export interface NamesPlace extends AsyncDisposable {
  readonly service: NameService;
  /** Path of a new network namespace with loopback. */
  namespace(): string;
  /** Asks at 127.0.0.11, port 53, from inside. undefined: no answer within a moment. @throws when it is certain that nobody listens */
  ask(namespace: string, query: Uint8Array, protocol: Protocol): Promise<Uint8Array | undefined>;
  /** A server at port 53 of a loopback address: of the host, or inside a namespace. */
  server(where: "host" | { readonly namespace: string }, address: string, answer: ServerAnswer): Promise<void>;
}

const outside = "192.0.2.7";
const outsideAnswer: ServerAnswer = (asked) =>
  reply(asked, { answers: [{ type: "A", name: questionName(asked), ttl: 60, data: outside }] });

export function namesSuite(name: string, openPlace: () => Promise<NamesPlace>): void {
  describe(name, () => {
    let place: NamesPlace;
    let names: NameService;
    let counter = 0;
    beforeEach(async () => {
      place = await openPlace();
      names = place.service;
    });
    afterEach(async () => {
      await place[Symbol.asyncDispose]();
    });

    interface TestContainer {
      readonly id: string;
      readonly served: ServedContainer;
      ask(name: string, options?: AskOptions, protocol?: Protocol): Promise<Decoded>;
      connect(network: string, change?: Partial<NamedEndpoint>): Promise<NamedEndpoint>;
    }

    async function container(name: string, change: Partial<ServedContainer> = {}): Promise<TestContainer> {
      const id = `${name}-${++counter}`;
      const namespace = change.namespace ?? place.namespace();
      const served = { containerId: id, namespace, servers: [], asksSingleLabels: true, ...change };
      expect(await names.serve(served)).toEqual([]);
      let last = 0;
      return {
        id,
        served,
        ask: async (asked, options = {}, protocol = "udp") => {
          const message = query(asked, { id: 100 + ++last, ...options });
          const answer = await place.ask(namespace, message, protocol);
          if (answer === undefined) throw new Error(`no answer about ${asked}`);
          const decoded = decode(answer);
          expect(decoded.id).toBe(options.id ?? 100 + last);
          return decoded;
        },
        connect: async (network, endpointChange = {}) => {
          const endpoint = {
            endpointId: `${id} in ${network}`,
            containerId: id,
            networkId: `id of ${network}`,
            networkName: network,
            names: [name],
            addresses: [`10.1.${network.length}.${counter}`],
            leadsOutside: true,
            ...endpointChange,
          };
          await names.setEndpoint(endpoint);
          return endpoint;
        },
      };
    }
    const hasResolver = async (namespace: string): Promise<boolean> =>
      (await place.ask(namespace, query("a"), "udp").catch(() => undefined)) !== undefined;
    const hostServer = (address: string): UpstreamServer => ({ address, from: "host" });
    const ownServer = (address: string): UpstreamServer => ({ address, from: "container" });
    function state(endpoints: readonly NamedEndpoint[], containers: readonly ServedContainer[]): () => NamesState {
      return () => ({ endpoints, containers, [Symbol.dispose]: () => undefined });
    }

    describe("names of a network", () => {
      test("name, alias, short id, NAME.NETWORK; upper and lower case mean the same", async () => {
        const db = await container("db");
        const web = await container("web");
        await db.connect("front", { names: ["db", "Store", "0123456789ab"], addresses: ["10.1.0.2", "fd00::2"] });
        await web.connect("front");
        for (const asked of ["db", "DB", "store", "0123456789ab", "db.front", "Store.Front"]) {
          const found = await web.ask(asked);
          expect([asked, found.code, found.data]).toEqual([asked, "NOERROR", ["10.1.0.2"]]);
          expect(found.question).toBe(asked);
        }
        expect((await web.ask("db", { type: "AAAA" })).data).toEqual(["fd00::2"]);
        expect((await db.ask("db", {}, "tcp")).data).toEqual(["10.1.0.2"]);
      });

      test("reverse look-ups give the first name and the network's", async () => {
        const db = await container("db");
        await db.connect("front", { names: ["db", "alias"], addresses: ["10.1.0.2", "fd00::2"] });
        expect((await db.ask("2.0.1.10.in-addr.arpa", { type: "PTR" })).data).toEqual(["db.front"]);
        const nibbles = [..."fd000000000000000000000000000002"].toReversed().join(".");
        expect((await db.ask(`${nibbles}.ip6.arpa`, { type: "PTR" })).data).toEqual(["db.front"]);
      });

      test("a link is a name that only the container itself has for another, with the name of the network too", async () => {
        const [db, web, other] = [await container("db"), await container("web"), await container("other")];
        await db.connect("front", { names: ["db"], addresses: ["10.1.0.2"] });
        await other.connect("front", { names: ["other"], addresses: ["10.1.0.4"] });
        await web.connect("front", { names: ["web"], addresses: ["10.1.0.3"], links: { Store: "DB", other: "db" } });
        expect((await web.ask("store")).data).toEqual(["10.1.0.2"]);
        expect((await web.ask("store.front")).data).toEqual(["10.1.0.2"]);
        // The link is stronger than the name of a container.
        expect((await web.ask("other")).data).toEqual(["10.1.0.2"]);
        expect((await other.ask("other")).data).toEqual(["10.1.0.4"]);
        expect((await other.ask("store")).data).toEqual([]);
      });

      test("several containers behind one alias are each the first in turn", async () => {
        const client = await container("client");
        await client.connect("front");
        for (const index of [1, 2, 3])
          await (await container(`w${index}`)).connect("front", { names: ["web"], addresses: [`10.1.0.${index}`] });
        const firsts: (string | undefined)[] = [];
        for (let round = 0; round < 6; round++) {
          const { data } = await client.ask("web");
          expect(data.toSorted()).toEqual(["10.1.0.1", "10.1.0.2", "10.1.0.3"]);
          firsts.push(data[0]);
        }
        expect(firsts.slice(0, 3).toSorted()).toEqual(["10.1.0.1", "10.1.0.2", "10.1.0.3"]);
        expect(firsts.slice(3)).toEqual(firsts.slice(0, 3));
      });

      test("more addresses than UDP carries: the answer is marked, and TCP has all; EDNS makes room", async () => {
        const client = await container("client");
        await client.connect("front");
        const addresses = Array.from({ length: 50 }, (_, index) => `10.9.0.${index + 1}`);
        for (const address of addresses)
          await names.setEndpoint({
            endpointId: address,
            containerId: address,
            networkId: "id of front",
            networkName: "front",
            names: ["web"],
            addresses: [address],
            leadsOutside: true,
          });
        const short = await client.ask("web");
        expect([short.truncated, short.data.length]).toEqual([true, 30]);
        const long = await client.ask("web", { edns: { udpBytes: 1232 } });
        expect([long.truncated, long.data.length, long.hasEdns]).toEqual([false, 50, true]);
        const whole = await client.ask("web", {}, "tcp");
        expect([whole.truncated, whole.data.toSorted()]).toEqual([false, addresses.toSorted()]);
      });

      test("a container in several networks asks all of them; names of other networks do not exist for it", async () => {
        const both = await container("both");
        const front = await container("f");
        const back = await container("b");
        await both.connect("front");
        await both.connect("back");
        await front.connect("front", { addresses: ["10.1.0.2"] });
        await back.connect("back", { addresses: ["10.2.0.2"] });
        expect([(await both.ask("f")).data, (await both.ask("b")).data]).toEqual([["10.1.0.2"], ["10.2.0.2"]]);
        expect((await both.ask("b.back")).data).toEqual(["10.2.0.2"]);
        // "both.xfront" ends with a network's name, but its own network is another one.
        expect((await both.ask("both.xfront")).code).toBe("SERVFAIL");
        for (const asked of ["b", "b.back", "f.back"]) expect((await front.ask(asked)).code).toBe("SERVFAIL");
        expect((await front.ask("2.0.2.10.in-addr.arpa", { type: "PTR" })).code).toBe("SERVFAIL");
      });

      test("follow a change of names and the end of an endpoint", async () => {
        const client = await container("client");
        await client.connect("front");
        const db = await container("db");
        const endpoint = await db.connect("front", { addresses: ["10.1.0.2"] });
        await names.setEndpoint({ ...endpoint, names: ["other"] });
        expect((await client.ask("db")).code).toBe("SERVFAIL");
        expect((await client.ask("other")).data).toEqual(["10.1.0.2"]);
        expect((await client.ask("2.0.1.10.in-addr.arpa", { type: "PTR" })).data).toEqual(["other.front"]);
        await names.removeEndpoint(endpoint.endpointId);
        await names.removeEndpoint(endpoint.endpointId);
        expect((await client.ask("other")).code).toBe("SERVFAIL");
        expect((await client.ask("2.0.1.10.in-addr.arpa", { type: "PTR" })).code).toBe("SERVFAIL");
      });
    });

    describe("other names", () => {
      test("are asked at the host's servers, and at the user's from inside the container", async () => {
        const from: string[] = [];
        await place.server("host", "127.0.0.53", (asked) => {
          from.push("host");
          return outsideAnswer(asked, "udp");
        });
        const one = await container("one", { servers: [hostServer("127.0.0.53")] });
        await one.connect("front");
        const two = await container("two", { servers: [ownServer("127.0.0.54")] });
        await two.connect("front");
        await place.server({ namespace: two.served.namespace }, "127.0.0.54", (asked) => {
          from.push("container");
          return outsideAnswer(asked, "udp");
        });
        expect((await one.ask("one.example")).data).toEqual([outside]);
        expect((await two.ask("two.example")).data).toEqual([outside]);
        expect(from).toEqual(["host", "container"]);
      });

      test("a name of ours is asked nowhere, whatever type of record is wanted", async () => {
        const asked: string[] = [];
        await place.server("host", "127.0.0.53", (message) => {
          asked.push(questionName(message));
          return outsideAnswer(message, "udp");
        });
        const db = await container("db", { servers: [hostServer("127.0.0.53")] });
        await db.connect("front");
        for (const type of ["AAAA", "MX", "TXT", "SRV", "NS"] as const) {
          const { code, data } = await db.ask("db", { type });
          expect([type, code, data]).toEqual([type, "NOERROR", []]);
        }
        expect((await db.ask("db.front", { type: "TXT" })).code).toBe("NOERROR");
        expect(asked).toEqual([]);
        expect((await db.ask("other")).data).toEqual([outside]);
        expect(asked).toEqual(["other"]);
      });

      test("a container of internal networks alone asks no server from the host, but its own network's", async () => {
        const asked: string[] = [];
        await place.server("host", "127.0.0.53", (message) => {
          asked.push(questionName(message));
          return outsideAnswer(message, "udp");
        });
        const inner = await container("inner", { servers: [hostServer("127.0.0.53"), ownServer("127.0.0.54")] });
        const endpoint = await inner.connect("secret", { leadsOutside: false });
        expect((await inner.ask("a.example")).code).toBe("SERVFAIL");
        await place.server({ namespace: inner.served.namespace }, "127.0.0.54", outsideAnswer);
        expect((await inner.ask("b.example")).data).toEqual([outside]);
        expect(asked).toEqual([]);
        await inner.connect("front");
        expect((await inner.ask("c.example")).data).toEqual([outside]);
        expect(asked).toEqual(["c.example"]);
        expect(endpoint.leadsOutside).toBe(false);
      });

      test("a server that fails, rejects or does not exist is followed by the next; its failure is the answer when it is the only one", async () => {
        const one = await container("one", {
          servers: ["127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"].map(hostServer),
        });
        await one.connect("front");
        await place.server("host", "127.0.1.2", (asked) => reply(asked, { code: 2 }));
        await place.server("host", "127.0.1.3", (asked) => reply(asked, { code: 5 }));
        expect((await one.ask("a.example")).code).toBe("SERVFAIL");
        await place.server("host", "127.0.1.4", outsideAnswer);
        expect((await one.ask("b.example")).data).toEqual([outside]);
        expect((await one.ask("b2.example", {}, "tcp")).data).toEqual([outside]);
      });

      test("what a server says passes unchanged: no such name, an answer that is cut, records that nobody here knows", async () => {
        await place.server("host", "127.0.0.53", (asked, protocol) => {
          const asName = questionName(asked);
          if (asName === "gone.example") return reply(asked, { code: 3 });
          if (asName === "long.example" && protocol === "udp") return reply(asked, { truncated: true });
          return reply(asked, { answers: [{ type: "TXT", name: asName, ttl: 9, data: ["x".repeat(40)] }] });
        });
        const one = await container("one", { servers: [hostServer("127.0.0.53")] });
        await one.connect("front");
        expect((await one.ask("gone.example")).code).toBe("NXDOMAIN");
        expect((await one.ask("long.example", { type: "TXT" })).truncated).toBe(true);
        expect((await one.ask("long.example", { type: "TXT" }, "tcp")).data).toEqual(["x".repeat(40)]);
        expect((await one.ask("kept.example", { type: "TXT" })).data).toEqual(["x".repeat(40)]);
      });

      test("are asked once while the answer may be kept, for all containers with the same servers", async () => {
        let count = 0;
        await place.server("host", "127.0.0.53", (asked) => {
          count++;
          return outsideAnswer(asked, "udp");
        });
        const one = await container("one", { servers: [hostServer("127.0.0.53")] });
        const two = await container("two", { servers: [hostServer("127.0.0.53")] });
        await one.connect("front");
        await two.connect("back");
        expect((await one.ask("a.example")).data).toEqual([outside]);
        const again = await two.ask("A.Example");
        expect([again.data, again.question, count]).toEqual([[outside], "A.Example", 1]);
        expect((await one.ask("a.example", { edns: { wantsSignatures: true } })).data).toEqual([outside]);
        expect(count).toBe(2);
      });

      test("are asked again for a container that asks servers from inside: they may be others there", async () => {
        for (const last of [1, 2]) {
          const one = await container(`c${last}`, { servers: [ownServer("127.0.0.54")] });
          await one.connect("front");
          const data = `192.0.2.${last}`;
          await place.server({ namespace: one.served.namespace }, "127.0.0.54", (asked) =>
            reply(asked, { answers: [{ type: "A", name: questionName(asked), ttl: 60, data }] }),
          );
          expect((await one.ask("a.example")).data).toEqual([data]);
        }
      });

      test("of one label are not asked when the container adds search domains to them", async () => {
        const asked: string[] = [];
        await place.server("host", "127.0.0.53", (message) => {
          asked.push(questionName(message));
          return outsideAnswer(message, "udp");
        });
        const one = await container("one", { servers: [hostServer("127.0.0.53")], asksSingleLabels: false });
        await one.connect("front");
        const found = await one.ask("nobody");
        expect([found.code, found.data]).toEqual(["NOERROR", []]);
        expect((await one.ask("nobody.example")).data).toEqual([outside]);
        expect(asked).toEqual(["nobody.example"]);
      });

      test("the resolver never asks itself", async () => {
        const one = await container("one", { servers: [ownServer("127.0.0.11")] });
        await one.connect("front");
        await place.server({ namespace: one.served.namespace }, "127.0.0.11", outsideAnswer);
        expect((await one.ask("a.example")).code).toBe("SERVFAIL");
      });
    });

    describe("input that is no question", () => {
      test("gets an error or nothing, and ends nothing", async () => {
        const one = await container("one");
        await one.connect("front", { addresses: ["10.1.0.2"] });
        const ask = (bytes: Uint8Array): Promise<Uint8Array | undefined> =>
          place.ask(one.served.namespace, bytes, "udp");
        expect(await ask(Uint8Array.of(1, 2, 3))).toBeUndefined();
        const good = query("one", { id: 7 });
        const response = Uint8Array.from(good);
        response[2] = 0x80;
        expect(await ask(response)).toBeUndefined();
        expect(decode((await ask(good.subarray(0, 14)))!).code).toBe("FORMERR");
        const update = Uint8Array.from(good);
        update[2] = 5 << 3;
        expect(decode((await ask(update))!).code).toBe("NOTIMP");
        expect((await one.ask("one")).data).toEqual(["10.1.0.2"]);
      });
    });

    describe("containers", () => {
      test("one that is released has no resolver any more; it can have one again", async () => {
        const one = await container("one");
        await one.connect("front", { addresses: ["10.1.0.2"] });
        await names.release(one.id);
        await names.release(one.id);
        expect(await hasResolver(one.served.namespace)).toBe(false);
        await expect(place.ask(one.served.namespace, query("one"), "tcp")).rejects.toThrow();
        await names.serve(one.served);
        expect((await one.ask("one")).data).toEqual(["10.1.0.2"]);
      });

      test("one that runs again in another namespace has its resolver there, also when nobody released the first", async () => {
        const one = await container("one");
        await one.connect("front", { addresses: ["10.1.0.2"] });
        const again = { ...one.served, namespace: place.namespace() };
        expect(await names.serve(again)).toEqual([]);
        expect([await hasResolver(one.served.namespace), await hasResolver(again.namespace)]).toEqual([false, true]);
        await names.release(one.id);
        expect(await hasResolver(again.namespace)).toBe(false);
      });

      test("one whose namespace does not exist has none, and the error names it", async () => {
        const served = { containerId: "f".repeat(64), namespace: "/nowhere", servers: [], asksSingleLabels: true };
        await expect(names.serve(served)).rejects.toThrow(/^the resolver of container ffffffffffff cannot be opened: /);
      });

      test("a new list of servers is used at once", async () => {
        await place.server("host", "127.0.0.53", outsideAnswer);
        const one = await container("one");
        await one.connect("front");
        expect((await one.ask("a.example")).code).toBe("SERVFAIL");
        await names.serve({ ...one.served, servers: [hostServer("127.0.0.53")] });
        expect((await one.ask("a.example")).data).toEqual([outside]);
      });

      test("restore: what is known stays, the rest goes, and a container that has ended is a warning", async () => {
        const one = await container("one");
        const two = await container("two");
        const endpoint = await one.connect("front", { addresses: ["10.1.0.2"] });
        await two.connect("front", { addresses: ["10.1.0.3"] });
        const three = { ...one.served, containerId: "three", namespace: place.namespace() };
        const added = { ...endpoint, endpointId: "third", containerId: "three", names: ["three"] };
        const lost = { ...one.served, containerId: "e".repeat(64), namespace: "/nowhere" };
        const warnings = await names.restore(state([endpoint, added], [one.served, three, lost]));
        expect(warnings).toHaveLength(1);
        expect(warnings[0]).toStartWith("the resolver of container eeeeeeeeeeee cannot be opened: ");
        expect((await one.ask("one")).data).toEqual(["10.1.0.2"]);
        expect((await one.ask("three")).data).toEqual(["10.1.0.2"]);
        expect((await one.ask("two")).code).toBe("SERVFAIL");
        expect([await hasResolver(two.served.namespace), await hasResolver(three.namespace)]).toEqual([false, true]);
        await names.restore(state([], []));
        expect(await hasResolver(one.served.namespace)).toBe(false);
      });
    });
  });
}
