/** Tests of networks as servers use them: the engine's part of networks and every fake of it run them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { NetworkCreateRequest } from "@fathom/spec";
import type { NetworkBackend } from "../../backend.ts";
import { expectFailure } from "./expect-failure.ts";

export interface NetworkWorld extends AsyncDisposable {
  readonly backend: NetworkBackend;
}

export const networkRequest: NetworkCreateRequest = {
  Name: "front",
  Driver: "",
  Scope: "",
  EnableIPv4: null,
  EnableIPv6: null,
  IPAM: null,
  Internal: false,
  Attachable: false,
  Ingress: false,
  ConfigOnly: false,
  ConfigFrom: null,
  Options: null,
  Labels: null,
};

export function networkBackendSuite(name: string, open: () => Promise<NetworkWorld>): void {
  describe(`${name} as a backend of networks`, () => {
    let world: NetworkWorld;
    let networks: NetworkBackend;
    beforeEach(async () => {
      world = await open();
      networks = world.backend;
    });
    afterEach(() => world[Symbol.asyncDispose]());
    const inspect = (network: string) => networks.inspect(network, { scope: undefined });
    const listed = async (filters = {}): Promise<string[]> =>
      (await networks.list(filters)).map(({ Name }) => Name).toSorted();

    test("a network is made, listed, shown by name and id, and removed", async () => {
      const { Id, Warning } = await networks.create({ ...networkRequest, Labels: { a: "b" } });
      expect([Id, Warning]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), ""]);
      expect(await inspect("front")).toMatchObject({ Id, Name: "front", Driver: "bridge", Labels: { a: "b" } });
      expect(await inspect(Id)).toEqual(await inspect("front"));
      expect(await listed({ name: ["front"] })).toEqual(["front"]);
      await networks.remove("front");
      await expectFailure(inspect("front"), "not-found", "network front not found");
      await expectFailure(networks.remove("front"), "not-found", "network front not found");
    });

    test("a name is used once, and is not empty", async () => {
      await networks.create(networkRequest);
      await expectFailure(networks.create(networkRequest), "conflict", "network with name front already exists");
      await expectFailure(
        networks.create({ ...networkRequest, Name: "" }),
        "invalid-argument",
        "invalid name: name is empty",
      );
    });

    test("the bridge stays", async () => {
      const before = await listed();
      expect(before).toContain("bridge");
      await expectFailure(
        networks.remove("bridge"),
        "forbidden",
        "bridge is a pre-defined network and cannot be removed",
      );
      expect(await networks.prune({})).toEqual({ NetworksDeleted: null });
      expect(await listed()).toEqual(before);
    });

    test("a prune removes the networks that nobody uses", async () => {
      await networks.create(networkRequest);
      expect(await networks.prune({})).toEqual({ NetworksDeleted: ["front"] });
      await expectFailure(inspect("front"), "not-found", "network front not found");
    });
  });
}
