/** A program that ends before it has read its input: its output and its status still arrive, with the docker CLI. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon } from "./harness.ts";

const daemon = new TestDaemon("unread-input");
const input = join(daemon.work, "input");

beforeAll(async () => {
  // More than all sockets and pipes on the way can hold.
  writeFileSync(input, Buffer.alloc(4 << 20, "0123456789\n"));
  await daemon.start();
  daemon.loadImage();
}, 60_000);
afterAll(() => daemon.close(), 60_000);

/** Runs a docker command 200 times and counts the results. */
function outcomes(command: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let turn = 0; turn < 200; turn++) {
    const { code, out, err } = daemon.run("sh", "-c", `${command} < ${input}`);
    const outcome = `${code} ${JSON.stringify(out)} ${JSON.stringify(err)}`;
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}

test("docker run -i", () => {
  const said = outcomes(`docker run -i --rm --network none ${daemon.image} sh -c 'head -c 5; echo end >&2; exit 7'`);
  expect(said).toEqual({ '7 "01234" "end\\n"': 200 });
}, 180_000);

test("docker exec -i", () => {
  daemon.docker("run", "-d", "--name", "host", "--network", "none", daemon.image, "sleep", "1000");
  const said = outcomes(`docker exec -i host sh -c 'head -c 5; echo end >&2; exit 7'`);
  expect(said).toEqual({ '7 "01234" "end\\n"': 200 });
}, 180_000);

test("input through a pipe that stays open", () => {
  const said = outcomes(`sh -c "cat ${input}; cat ${input}" | docker exec -i host head -c 5`);
  expect(said).toEqual({ '0 "01234" ""': 200 });
}, 180_000);
