/** Another program flushes the rules, or removes a bridge or its address: everything works again, and nobody calls the engine. */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { silentLogger } from "@fathom/base";
import {
  createHostMonitor,
  createNetworkManager,
  networkConfig,
  type Endpoint,
  type NetworkManager,
} from "@fathom/network";
import { defaultOptions, memoryState } from "@fathom/network/testing";
import { until } from "@fathom/base/testing";
import {
  addressOf,
  attach,
  detach,
  forwarderFiles,
  forwarders,
  isInside,
  run,
  runInside,
  Space,
  sys,
} from "./world.ts";

if (!isInside) {
  test("repairs of the host, in a network namespace of their own", async () => {
    const { code, output } = await runInside(import.meta.path);
    if (code !== 0) console.error(output);
    expect(code).toBe(0);
  }, 120_000);
} else {
  describe("repairs of the host", () => {
    const warnings: string[] = [];
    const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
    let networks: NetworkManager;
    let space: Space;
    let endpoint: Endpoint;
    beforeAll(async () => {
      run("ip", "link", "set", "lo", "up");
      const config = networkConfig(defaultOptions);
      const monitor = createHostMonitor(sys, logger);
      networks = createNetworkManager({ sys, config, state: memoryState(), forwarders, monitor, logger });
      await networks.start([]);
      space = new Space();
      endpoint = await attach(networks, space, "8099:80");
    });
    afterAll(async () => {
      await detach(networks, endpoint);
      await networks.stop(false);
      await space[Symbol.asyncDispose]();
      rmSync(forwarderFiles, { recursive: true, force: true });
    });

    const rules = (): string => run("nft", "list", "ruleset").replace(/counter packets \d+ bytes \d+/g, "");
    const reaches = (): boolean => {
      try {
        space.run("busybox", "ping", "-c1", "-W1", endpoint.gateways.ipv4 ?? "");
        return true;
      } catch {
        return false;
      }
    };

    test("nft flush ruleset", async () => {
      const before = rules();
      expect(before).toContain(addressOf(endpoint));
      for (let turn = 0; turn < 3; turn++) {
        run("nft", "flush", "ruleset");
        await until("the rules are back", () => rules() === before);
      }
      expect(warnings.filter((text) => text.includes("was removed by someone else"))).toHaveLength(3);
    });

    test("the bridge's addresses", async () => {
      expect(reaches()).toBe(true);
      run("ip", "addr", "flush", "dev", "fathom0");
      await until("the address is back", reaches);
    });

    test("the bridge", async () => {
      const before = rules();
      run("ip", "link", "del", "fathom0");
      await until("the container reaches the host again", reaches);
      expect(rules()).toBe(before);
    });

    test("the interface of a container is reported", async () => {
      run("ip", "link", "del", endpoint.hostInterface);
      await until("there is a warning", () =>
        warnings.some((text) => text.includes("interface of a container is gone")),
      );
    });
  });
}
