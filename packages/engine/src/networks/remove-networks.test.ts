/** docker network prune beside everything else that the daemon does. */
import { expect, test } from "bun:test";
import { useEngine } from "../testing/engine-world.ts";
import { networkRequest } from "../testing/suites/network-suite.ts";

const world = useEngine();

test("between two networks, a prune lets everything else run", async () => {
  const names = Array.from({ length: 20 }, (_, index) => `n${index}`);
  for (const Name of names) await world.engine.networks.create({ ...networkRequest, Name });
  let rounds = 0;
  let over = false;
  const count = (): void => {
    rounds++;
    if (!over) setImmediate(count);
  };
  setImmediate(count);
  const { NetworksDeleted } = await world.engine.networks.prune({});
  over = true;
  expect([...NetworksDeleted!].sort()).toEqual([...names].sort());
  expect(rounds).toBeGreaterThanOrEqual(names.length - 1);
});
