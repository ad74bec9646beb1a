import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSys, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "@fathom/sys";
import { beginFilling, completeFilling } from "./filling.ts";

test("the many files of a first content are moved in turns: other work is done meanwhile, and a newer file stays", async () => {
  const sys = createSys();
  const volume = mkdtempSync(join(tmpdir(), "fathom-filling-"));
  const data = join(volume, "_data");
  mkdirSync(data);
  const names = Array.from({ length: 2000 }, (_, index) => `f${index}`);
  const open = (path: string): number => sys.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const [volumeFd, dataFd] = [open(volume), open(data)];
  let rounds = 0;
  const round = (): void => {
    rounds++;
    timer = setImmediate(round);
  };
  let timer = setImmediate(round);
  try {
    sys.close(beginFilling(sys, volumeFd));
    for (const name of names) writeFileSync(join(volume, ".filling", name), "first");
    writeFileSync(join(data, "f77"), "newer");
    await completeFilling(sys, volumeFd, dataFd, "");
    expect(rounds).toBeGreaterThan(20);
    expect(readdirSync(data).sort()).toEqual([...names].sort());
    expect([readFileSync(join(data, "f77"), "utf8"), readFileSync(join(data, "f78"), "utf8")]).toEqual([
      "newer",
      "first",
    ]);
    expect(readdirSync(volume).sort()).toEqual([".filling", "_data"]);
  } finally {
    clearImmediate(timer);
    sys.close(volumeFd);
    sys.close(dataFd);
    rmSync(volume, { recursive: true });
  }
});
