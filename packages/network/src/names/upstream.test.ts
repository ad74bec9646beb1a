import { expect, test } from "bun:test";
import { query, reply } from "../testing/dns-messages.ts";
import { createFakeNames } from "../testing/fake-names.ts";
import { decode } from "../testing/dns-messages.ts";
import { readQuery } from "./question.ts";
import { askUpstream, type Exchange, type Transport } from "./upstream.ts";

const times = { patienceMs: 20, limitMs: 200 };
const asked = query("a.example", { id: 7 });
const reading = readQuery(asked);
if (reading.kind !== "question") throw new Error(reading.kind);
const { question } = reading;
const servers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map((address) => ({ address, from: "host" as const }));

function never({ signal }: Pick<Exchange, "signal">): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

function ask(transport: Transport, ended?: AbortSignal): ReturnType<typeof askUpstream> {
  return askUpstream(transport, { servers, namespaceFd: 3, protocol: "udp", query: asked, question, ended }, times);
}

test("a silent server is followed by the next, and its late answer still counts", async () => {
  const order: string[] = [];
  const late = Promise.withResolvers<Uint8Array>();
  const result = ask(async (exchange) => {
    order.push(exchange.server.address);
    if (exchange.server.address === "192.0.2.1") return late.promise;
    if (order.length === 3) late.resolve(reply(asked, { code: 3 }));
    return never(exchange);
  });
  expect((await result)?.code).toBe(3);
  expect(order).toEqual(["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
});

test("all exchanges end with the first good answer, and at the limit", async () => {
  let open = 0;
  const counted: Transport = async (exchange) => {
    open++;
    try {
      return await never(exchange);
    } finally {
      open--;
    }
  };
  expect(await ask(counted)).toBeUndefined();
  await Promise.resolve();
  expect(open).toBe(0);
  const good = await ask((exchange) =>
    exchange.server.address === "192.0.2.2" ? Promise.resolve(reply(exchange.query)) : counted(exchange),
  );
  expect(good?.code).toBe(0);
  await Promise.resolve();
  expect(open).toBe(0);
});

test("each question has a number of its own, which is hard to guess", async () => {
  const ids = new Set<number>();
  for (let round = 0; round < 20; round++)
    await ask(async ({ query: sent, accepts }) => {
      ids.add((sent[0]! << 8) | sent[1]!);
      expect(accepts(reply(sent))).toBe(true);
      return reply(sent);
    });
  expect(ids.size).toBeGreaterThan(15);
});

test("when the container ends, no server is asked any more", async () => {
  const ended = new AbortController();
  let count = 0;
  const result = ask((exchange) => {
    count++;
    // As when a socket fails because its namespace ends.
    return never(exchange);
  }, ended.signal);
  ended.abort(new Error("the container has ended"));
  expect(await result).toBeUndefined();
  await Bun.sleep(3 * times.patienceMs); // sleep: longer than the time after which the next server would be asked
  expect(count).toBe(1);
  expect(await ask(() => Promise.reject(new Error("it is asked")), ended.signal)).toBeUndefined();
});

test("questions in progress are bounded, and the same question of several clients is asked once", async () => {
  const exchanges: Exchange[] = [];
  const waiting: ((bytes: Uint8Array) => void)[] = [];
  const fake = createFakeNames({
    times: { patienceMs: 10_000, limitMs: 20_000 },
    transport: (exchange) => {
      exchanges.push(exchange);
      return new Promise((resolve) => waiting.push(resolve));
    },
  });
  const served = { containerId: "c", namespace: "n", servers: [servers[0]!], asksSingleLabels: true };
  await fake.service.serve(served);
  await fake.service.setEndpoint({
    endpointId: "e",
    containerId: "c",
    networkId: "front",
    networkName: "front",
    names: ["c"],
    addresses: [],
    leadsOutside: true,
  });
  const same = [1, 2, 3].map((id) => fake.ask("n", query("same.example", { id })));
  expect(exchanges).toHaveLength(1);
  const others = Array.from({ length: 1021 }, (_, index) => fake.ask("n", query(`n${index}.example`)));
  expect(exchanges).toHaveLength(1022);
  expect(decode((await fake.ask("n", query("one-too-many.example")))!).code).toBe("REFUSED");
  for (const [index, exchange] of exchanges.entries()) waiting[index]!(reply(exchange.query, { code: 3 }));
  expect((await Promise.all(same)).map((answer) => decode(answer!).id)).toEqual([1, 2, 3]);
  await Promise.all(others);
  const more = fake.ask("n", query("again.example"));
  waiting.at(-1)!(reply(exchanges.at(-1)!.query, { code: 3 }));
  expect(decode((await more)!).code).toBe("NXDOMAIN");
});
