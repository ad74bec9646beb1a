import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@fathom/base";
import type { NetworkInfo } from "@fathom/network";
import { openStore, type Store } from "@fathom/store";
import { createSys } from "@fathom/sys";
import { createNetworkState } from "./network-state.ts";

let root: string;
let store: Store;
const open = (): Promise<Store> =>
  openStore({ root, sys: createSys(), logger: silentLogger, syncFilesystem: async () => undefined });
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "fathom-network-rows-"));
  store = await open();
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});

const network = (id: string, name: string): NetworkInfo => ({
  id,
  name,
  driver: "bridge",
  createdAt: "2026-01-01T00:00:00Z",
  builtin: false,
  internal: false,
  families: ["ipv4", "ipv6"],
  pools: [{ family: "ipv6", subnet: "fd00::/64", gateway: "fd00::1", range: "fd00::/80", reserved: { a: "fd00::9" } }],
  options: { a: "b" },
  labels: {},
  extension: { attachable: true },
});

test("rows are there after the next start, as they were saved last; a removed one is not", async () => {
  const state = createNetworkState(store.database);
  for (const [id, name] of [
    ["b", "back"],
    ["a", "front"],
    ["c", "gone"],
  ] as const)
    state.saveNetwork(network(id, name));
  state.saveNetwork(network("b", "renamed"));
  state.removeNetwork("c");
  const expected = [network("a", "front"), network("b", "renamed")];
  expect(state.networks()).toEqual(expected);
  await store[Symbol.asyncDispose]();
  store = await open();
  expect(createNetworkState(store.database).networks()).toEqual(expected);
});

test("a row that cannot be written changes nothing", () => {
  const state = createNetworkState(store.database);
  state.saveNetwork(network("a", "front"));
  store.database.run("DROP TABLE network_rows");
  expect(() => state.saveNetwork(network("b", "back"))).toThrow();
  expect(() => state.removeNetwork("a")).toThrow();
  expect(state.networks()).toEqual([network("a", "front")]);
});
