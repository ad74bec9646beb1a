import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { query, reply } from "../testing/dns-messages.ts";
import { createFakeNames } from "../testing/fake-names.ts";
import { addressAnswer, emptyAnswer, encodeName, pointerAnswer } from "./answer.ts";
import { readQuery, type Question } from "./question.ts";
import { answersQuestion, readResponse } from "./response.ts";

function questionOf(bytes: Uint8Array): Question {
  const reading = readQuery(bytes);
  if (reading.kind !== "question") throw new Error(reading.kind);
  return reading.question;
}

const labels = fc.array(fc.stringMatching(/^[a-zA-Z0-9_-]{1,12}$/), { minLength: 1, maxLength: 6 });

describe("what another implementation writes", () => {
  test("is read: name, type, class, EDNS", () => {
    const options = fc.record({
      parts: labels,
      id: fc.nat(65535),
      type: fc.constantFrom("A", "AAAA", "PTR", "TXT", "MX"),
      edns: fc.option(fc.record({ udpBytes: fc.integer({ min: 512, max: 65535 }), wantsSignatures: fc.boolean() }), {
        nil: undefined,
      }),
    });
    fc.assert(
      fc.property(options, ({ parts, id, type, edns }) => {
        const bytes = query(parts.join("."), { id, type, ...(edns === undefined ? {} : { edns }) });
        expect(questionOf(bytes)).toMatchObject({
          id,
          name: parts.join(".").toLowerCase(),
          labels: parts.length,
          class: 1,
          odd: false,
          ...(edns === undefined ? {} : { edns: { ...edns, hasOptions: false } }),
        });
      }),
    );
    expect(questionOf(query("a", { edns: { padding: true } })).edns?.hasOptions).toBe(true);
    expect(questionOf(query(".")).labels).toBe(0);
  });

  test("is accepted as the answer to its question alone", () => {
    const asked = query("A.example", { id: 7 });
    const question = questionOf(asked);
    const answer = reply(asked, { answers: [{ type: "A", name: "A.example", ttl: 30, data: "192.0.2.1" }] });
    expect(answersQuestion(answer, 7, asked, question)).toBe(true);
    expect(answersQuestion(reply(query("a.EXAMPLE", { id: 7 })), 7, asked, question)).toBe(true);
    for (const other of [query("b.example", { id: 7 }), query("A.example", { id: 7, type: "AAAA" })])
      expect(answersQuestion(reply(other), 7, asked, question)).toBe(false);
    expect(answersQuestion(answer, 8, asked, question)).toBe(false);
    expect(answersQuestion(asked, 7, asked, question)).toBe(false);
    expect(readResponse(answer, question)).toMatchObject({ code: 0, truncated: false, keepSeconds: 30 });
  });
});

describe("any bytes", () => {
  const good = query("db.front", { edns: { udpBytes: 1232, padding: true } });
  /** Bytes of any kind, and good queries with some bytes changed, cut or added. */
  const input = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    fc
      .tuple(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 8 }),
        fc.nat(good.length),
        fc.uint8Array(),
      )
      .map(([changes, length, more]) => {
        const bytes = Buffer.concat([good.subarray(0, length), more]);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        return new Uint8Array(bytes);
      }),
  );

  test("never throw, and every answer fits the client's limits", async () => {
    const fake = createFakeNames();
    await fake.service.serve({ containerId: "c", namespace: "n", servers: [], asksSingleLabels: true });
    for (let index = 0; index < 60; index++)
      await fake.service.setEndpoint({
        endpointId: String(index),
        containerId: index === 0 ? "c" : "others",
        networkId: "front",
        networkName: "front",
        names: ["db", `n${index}`],
        addresses: [`10.0.0.${index}`],
        leadsOutside: true,
      });
    await fc.assert(
      fc.asyncProperty(input, fc.constantFrom("udp" as const, "tcp" as const), async (bytes, protocol) => {
        const answer = await fake.ask("n", bytes, protocol);
        if (answer === undefined) return;
        expect([answer[0], answer[1]]).toEqual([bytes[0]!, bytes[1]!]);
        expect(answer[2]! & 0x80).toBe(0x80);
        const reading = readQuery(bytes);
        const size = reading.kind === "question" ? (reading.question.edns?.udpBytes ?? 512) : 512;
        if (protocol === "udp") expect(answer.length).toBeLessThanOrEqual(size);
      }),
      { numRuns: 2000 },
    );
  });

  test("from a server never throw", () => {
    const asked = query("a.example", { id: 7 });
    const question = questionOf(asked);
    const answer = reply(asked, {
      answers: [
        { type: "A", name: "a.example", ttl: 30, data: "192.0.2.1" },
        { type: "MX", name: "a.example", ttl: 30, data: { preference: 1, exchange: "mail.a.example" } },
      ],
    });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(answer.length - 1), fc.nat(255)), { maxLength: 6 }),
        fc.nat(answer.length),
        (changes, length) => {
          const bytes = Uint8Array.from(answer.subarray(0, length));
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          if (!answersQuestion(bytes, 7, asked, question)) return;
          const { keepSeconds, ttlOffsets } = readResponse(bytes, question);
          expect(keepSeconds).toBeGreaterThanOrEqual(0);
          for (const at of ttlOffsets) expect(at + 4).toBeLessThanOrEqual(bytes.length);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("lengths", () => {
  test("a name has at most 255 bytes and a label 63", () => {
    const long = Array.from({ length: 4 }, () => "x".repeat(63));
    expect(readQuery(query([...long.slice(0, 3), "x".repeat(61)].join("."))).kind).toBe("question");
    expect(readQuery(query(long.join("."))).kind).toBe("wrong");
    expect(encodeName([...long.slice(0, 3), "x".repeat(61)].join("."))).toHaveLength(255);
    expect([encodeName(long.join(".")), encodeName("x".repeat(64)), encodeName("a..b")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test("a label that contains a dot is no name of ours", () => {
    const bytes = query("dbxfront");
    bytes[15] = 0x2e;
    expect(questionOf(bytes)).toMatchObject({ name: "db.front", odd: true });
  });

  test("answers have exactly the length of their records", () => {
    const asked = query("db", { edns: {} });
    const question = questionOf(asked);
    const four = Uint8Array.of(10, 0, 0, 1);
    expect(emptyAnswer(asked, question)).toHaveLength(question.end + 11);
    expect(addressAnswer(asked, question, [four, four], 0, 5, 512)).toHaveLength(question.end + 32 + 11);
    expect(addressAnswer(asked, question, [four], 0, 5, question.end + 16 + 10)).toHaveLength(question.end + 11);
    expect(pointerAnswer(asked, question, encodeName("a.b")!, 5)).toHaveLength(question.end + 12 + 5 + 11);
  });
});
