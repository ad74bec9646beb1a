import { expect, test } from "bun:test";
import { printProgress, progressBar, type ProgressMessage } from "./progress.ts";

async function* stream(...messages: ProgressMessage[]): AsyncGenerator<ProgressMessage> {
  yield* messages;
}

function output(isTerminal: boolean) {
  const written: string[] = [];
  return { written, isTerminal, columns: 120, write: (text: string | Uint8Array) => void written.push(String(text)) };
}

test("bars", () => {
  expect(progressBar(50, 100, 120)).toBe(`[${"=".repeat(25)}>${" ".repeat(24)}]      50B/100B`);
  expect(progressBar(100, 100, 80)).toBe("    100B/100B");
  expect(progressBar(0, 0, 80)).toBe("");
});

test("without a terminal only changes of state are printed", async () => {
  const out = output(false);
  await printProgress(
    stream(
      { status: "Pulling from library/alpine", id: "3.20" },
      { status: "Pulling fs layer", id: "abc" },
      { status: "Downloading", id: "abc", progressDetail: { current: 1, total: 2 } },
      { status: "Pull complete", id: "abc" },
      { status: "Digest: sha256:x" },
    ),
    out,
  );
  expect(out.written.join("")).toBe(
    "3.20: Pulling from library/alpine\nabc: Pulling fs layer\nabc: Pull complete\nDigest: sha256:x\n",
  );
});

test("on a terminal rows are drawn again in place", async () => {
  const out = output(true);
  await printProgress(
    stream({ status: "Waiting", id: "a" }, { status: "Waiting", id: "b" }, { status: "Done", id: "a" }),
    out,
  );
  expect(out.written.at(-1)).toBe("\x1b[2A\r\x1b[2Ka: Done\x1b[2B\r");
});

test("the stream's error is thrown", async () => {
  await expect(
    printProgress(stream({ errorDetail: { message: "manifest unknown" }, error: "manifest unknown" }), output(false)),
  ).rejects.toThrow("manifest unknown");
});
