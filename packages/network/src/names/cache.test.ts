import { expect, test } from "bun:test";
import { decode, query, reply, type AskOptions } from "../testing/dns-messages.ts";
import { cacheKey, ResponseCache } from "./cache.ts";
import { readQuery, type Question } from "./question.ts";
import { readResponse, type UpstreamResponse } from "./response.ts";

let nowMs = 0;
const clock = { monotonicMs: () => nowMs };

function questionOf(bytes: Uint8Array): Question {
  const reading = readQuery(bytes);
  if (reading.kind !== "question") throw new Error(reading.kind);
  return reading.question;
}

function response(asked: Uint8Array, ...ttls: number[]): UpstreamResponse {
  const answers = ttls.map((ttl, index) => ({ type: "A" as const, name: "a.example", ttl, data: `192.0.2.${index}` }));
  return readResponse(reply(asked, { answers }), questionOf(asked));
}

test("an answer is kept for its shortest time; times run down, and the query's id and spelling are the client's", () => {
  const cache = new ResponseCache(clock);
  const asked = query("a.example", { id: 1 });
  cache.set("key", response(asked, 30, 90));
  nowMs += 10_900;
  const again = query("A.Example", { id: 2 });
  expect(decode(cache.get("key", again, questionOf(again))!)).toMatchObject({
    id: 2,
    question: "A.Example",
    ttls: [20, 80],
  });
  nowMs += 19_200;
  expect(cache.get("key", again, questionOf(again))).toBeUndefined();
  expect([cache.size, cache.bytes]).toEqual([0, 0]);
});

test("no answer: kept as long as the zone says, not at all without its word; nor are failures, cut answers, and times of 0", () => {
  const cache = new ResponseCache(clock);
  const asked = query("a.example");
  const question = questionOf(asked);
  const soa = {
    type: "SOA" as const,
    name: "example",
    ttl: 900,
    data: { mname: "a", rname: "b", serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 20 },
  };
  const kept = (options: Parameters<typeof reply>[1]): number =>
    readResponse(reply(asked, options), question).keepSeconds;
  expect(kept({ code: 3, authorities: [soa] })).toBe(20);
  expect(kept({ authorities: [soa] })).toBe(20);
  expect([kept({ code: 3 }), kept({}), kept({ code: 2, authorities: [soa] })]).toEqual([0, 0, 0]);
  const answers = [{ type: "A" as const, name: "a.example", ttl: 30, data: "192.0.2.1" }];
  expect([kept({ answers }), kept({ answers, truncated: true })]).toEqual([30, 0]);
  cache.set("key", response(asked, 0));
  expect(cache.size).toBe(0);
  cache.set(
    "key",
    readResponse(reply(asked, { code: 3, authorities: [{ ...soa, data: { ...soa.data, minimum: 9999 } }] }), question),
  );
  nowMs += 300_001;
  expect(cache.get("key", asked, question)).toBeUndefined();
});

test("the flags of EDNS are where other records have their time, and stay", () => {
  const cache = new ResponseCache(clock);
  const asked = query("a.example", { edns: {} });
  const question = questionOf(asked);
  const answers = [{ type: "A" as const, name: "a.example", ttl: 30, data: "192.0.2.1" }];
  const sent = reply(asked, { answers, edns: true });
  cache.set("key", readResponse(sent, question));
  nowMs += 10_000;
  const kept = cache.get("key", asked, question)!;
  expect(kept.subarray(-11)).toEqual(Uint8Array.from(sent.subarray(-11)));
  expect(decode(kept)).toMatchObject({ ttls: [20], hasEdns: true });
});

test("its size is bounded; the answer unused for longest goes first", () => {
  const cache = new ResponseCache(clock);
  const asked = query("a.example");
  const question = questionOf(asked);
  const one = response(asked, 3000);
  cache.set("used", one);
  for (let index = 0; index < 20_000; index++) {
    cache.set(`key ${index}`, one);
    if (index % 100 === 0) expect(cache.get("used", asked, question)).toBeDefined();
  }
  expect(cache.bytes).toBeLessThanOrEqual(2 << 20);
  expect(cache.size).toBeGreaterThan(1000);
  expect(cache.get("key 0", asked, question)).toBeUndefined();
  expect(cache.get("key 19999", asked, question)).toBeDefined();
});

test("questions differ by servers, type, flags, EDNS; those with options of their own are never kept", () => {
  const of = (name: string, options: AskOptions = {}, servers = "192.0.2.53"): string | undefined => {
    const asked = query(name, options);
    return cacheKey(servers, asked, questionOf(asked));
  };
  expect(of("A.example", { id: 5 })).toBe(of("a.example")!);
  const keys = [
    of("a.example"),
    of("b.example"),
    of("a.example", {}, "192.0.2.54"),
    of("a.example", { type: "AAAA" }),
    of("a.example", { flags: 0 }),
    of("a.example", { edns: {} }),
    of("a.example", { edns: { wantsSignatures: true } }),
  ];
  expect(new Set(keys).size).toBe(keys.length);
  expect(of("a.example", { edns: { padding: true } })).toBeUndefined();
});
