/** What every implementation of the networks must do, with the real kernel. */
import { rmSync } from "node:fs";
import { expect, test } from "bun:test";
import { networkSuite, memoryState } from "@fathom/network/testing";
import { forwarderFiles, isInside, makeNetworks, run, runInside, Space } from "./world.ts";

if (!isInside) {
  test("the contract of the networks, in a network namespace of its own", async () => {
    const { code, output } = await runInside(import.meta.path);
    if (code !== 0) console.error(output);
    expect(code).toBe(0);
  }, 120_000);
} else {
  run("ip", "link", "set", "lo", "up");
  networkSuite("the manager over the kernel", async () => {
    const state = memoryState();
    const spaces: Space[] = [];
    return {
      open: () => makeNetworks({}, state),
      namespace: () => {
        const space = new Space();
        spaces.push(space);
        return space.fd;
      },
      [Symbol.asyncDispose]: async () => {
        for (const space of spaces) await space[Symbol.asyncDispose]();
        rmSync(forwarderFiles, { recursive: true, force: true });
      },
    };
  });
}
