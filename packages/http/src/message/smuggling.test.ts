import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { readRequests, readResponses } from "../testing/read-messages.ts";
import { marker, smugglingCorpus, type SmugglingCase } from "../testing/smuggling-corpus.ts";

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

/** Cut before each of these positions. */
function cut(bytes: Buffer, positions: readonly number[]): Buffer[] {
  const places = [0, ...positions.map((at) => at % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

function expected({ outcome }: SmugglingCase): string[] {
  return typeof outcome === "number" ? [`refused ${outcome}`] : [...outcome, "GET /marker "];
}

describe("requests that two programs could read differently have one reading", () => {
  test.each(smugglingCorpus.map((one) => [one.name, one] as const))("%s", async (_name, one) => {
    const bytes = latin1(one.bytes + marker);
    expect(await readRequests([bytes])).toEqual(expected(one));
    // However they are split: a short one in two, at each place; and in single bytes.
    const step = Math.max(1, Math.floor(bytes.length / 300));
    for (let at = 1; at < bytes.length; at += step) expect(await readRequests(cut(bytes, [at]))).toEqual(expected(one));
    if (bytes.length < 50_000)
      expect(await readRequests(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(expected(one));
  });

  test("names are given once", () => {
    const names = smugglingCorpus.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});

const seed = Number(process.env["FATHOM_FUZZ_SEED"] ?? 9112);
const bounded = { seed, numRuns: Number(process.env["FATHOM_FUZZ_COUNT"] ?? 2000) };

/** Pieces of HTTP that are right alone, and pieces that are not, in any order. */
const words = fc.constantFrom(
  ..."GET|POST|HTTP/1.1|HTTP/1.0|/|/a|http://h/a| |  |\t|\r\n|\r\n\r\n|\n|\r|\n\n|\u0000|:|;|,|0|1|5|a|00000005|100000000|\u00a0|\u00e4".split(
    "|",
  ),
  ..."Host: d\r\n|X: y\r\n| folded\r\n|Content-Length: 5\r\n|Content-Length: 0\r\n|Transfer-Encoding: chunked\r\n".split(
    "|",
  ),
  ..."Transfer-Encoding|Content-Length|chunked|5\r\nhello\r\n|0\r\n\r\n|0\r\n|hello|5;a=b\r\n|X : y\r\n".split("|"),
  ..."GET / HTTP/1.1\r\n|GET / HTTP/1.1\r\nHost: d\r\n\r\n|POST /a HTTP/1.1\r\nHost: d\r\n".split("|"),
  "POST /b HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n",
  "POST /c HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\n",
);
const positions = fc.array(fc.nat({ max: 1_000_000 }), { maxLength: 12 });
const requests = fc.oneof(
  fc.array(words, { maxLength: 25 }).map((list) => latin1(list.join(""))),
  // A case of the corpus with some changed bytes.
  fc
    .tuple(
      fc.constantFrom(...smugglingCorpus.filter(({ bytes }) => bytes.length < 1000)),
      fc.array(fc.tuple(fc.nat({ max: 999 }), fc.constantFrom(0, 9, 10, 13, 32, 48, 58, 59, 65, 255)), {
        maxLength: 3,
      }),
    )
    .map(([one, changes]) => {
      const bytes = latin1(one.bytes + marker);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      return bytes;
    }),
);

test("the splitting of requests changes nothing", async () => {
  const kinds = new Set<string>();
  await fc.assert(
    fc.asyncProperty(requests, positions, async (bytes, places) => {
      const whole = await readRequests([bytes]);
      kinds.add(whole.at(-1)?.split(" ").slice(0, 2).join(" ") ?? "nothing");
      expect(await readRequests(cut(bytes, places))).toEqual(whole);
      expect(await readRequests(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
    }),
    bounded,
  );
  // The bytes are neither all wrong nor all right.
  for (const kind of ["refused 400", "refused 501", "cut", "GET /marker", "nothing"]) expect(kinds).toContain(kind);
});

const answers = fc
  .array(
    fc.constantFrom(
      ..."HTTP/1.1 200 OK\r\n|HTTP/1.1 100 Continue\r\n\r\n|HTTP/1.0 200\r\n|HTTP/1.1 304 Not Modified\r\n\r\n".split(
        "|",
      ),
      ..."Content-Length: 5\r\n\r\nhello|Transfer-Encoding: chunked\r\n\r\n|5\r\nhello\r\n|0\r\n\r\n|0\r\nX: y\r\n\r\n".split(
        "|",
      ),
      ..."\r\n|\n|\r|X: y\r\n| z\r\n|5\nhello|hello|\u0000|Content-Length: 6\r\n".split("|"),
    ),
    { maxLength: 12 },
  )
  .map((list) => latin1(list.join("")));

test("the splitting of answers changes nothing", async () => {
  await fc.assert(
    fc.asyncProperty(answers, positions, fc.constantFrom("GET", "HEAD", "POST"), async (bytes, places, method) => {
      const whole = await readResponses([bytes], method);
      expect(await readResponses(cut(bytes, places), method)).toEqual(whole);
      expect(
        await readResponses(
          Array.from(bytes, (byte) => Uint8Array.of(byte)),
          method,
        ),
      ).toEqual(whole);
    }),
    bounded,
  );
});

const headEnd = "\r\n\r\n";
test.each([0, 1, 2, 3, 4, 5])(
  "a head of %d bytes less than the limit is judged the same wherever it is split",
  async (less) => {
    const start = "GET /a HTTP/1.1\r\nHost: d\r\nX: ";
    const bytes = latin1(start.padEnd((1 << 20) - headEnd.length - less + 1, "y") + headEnd);
    const whole = await readRequests([bytes]);
    expect(whole).toEqual(less === 0 ? ["refused 431"] : ["GET /a "]);
    for (let behind = 1; behind < 8; behind++)
      expect(await readRequests(cut(bytes, [bytes.length - behind]))).toEqual(whole);
  },
);
