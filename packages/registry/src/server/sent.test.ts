import { expect, test } from "bun:test";
import type { Response } from "@fathom/http";
import { send } from "./sent.ts";

/** A response whose socket accepts bytes as the test says. */
const accepting = (write: () => Promise<void> | undefined): Response => ({ write }) as unknown as Response;

test("a client that reads nothing ends the answer, one that reads does not", async () => {
  const piece = new Uint8Array(1);
  const never = accepting(() => new Promise<void>(() => undefined));
  await expect(send(never, piece, 20)).rejects.toMatchObject({ code: "timeout" });
  await send(
    accepting(() => Promise.resolve()),
    piece,
    20,
  );
  await send(
    accepting(() => undefined),
    piece,
    20,
  );
});

test("the error of a client that has gone is passed on", async () => {
  const gone = accepting(() => Promise.reject(new Error("gone")));
  await expect(send(gone, new Uint8Array(1))).rejects.toThrow("gone");
});
