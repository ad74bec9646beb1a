import { describe, expect, test } from "bun:test";
import type { ContainerUpdateRequest, HostConfig } from "@fathom/spec";
import { useEngine } from "../testing/engine-world.ts";

const world = useEngine();

async function settings(): Promise<HostConfig> {
  return (await world.engine.containers.inspect("one", false)).HostConfig;
}

test("an update with 0 removes the limit of processes; without a value the limit stays", async () => {
  await world.run("one", { PidsLimit: 20 });
  await world.engine.containers.update("one", { PidsLimit: null, CpuShares: 512 });
  expect(await settings()).toMatchObject({ PidsLimit: 20, CpuShares: 512 });
  for (const unlimited of [0, -1]) {
    await world.engine.containers.update("one", { PidsLimit: 20 });
    await world.engine.containers.update("one", { PidsLimit: unlimited });
    expect(await settings()).toMatchObject({ PidsLimit: 0, CpuShares: 512 });
  }
});

describe("an update that contradicts what the container has is a conflict, with the container's id", () => {
  test.each<[Partial<HostConfig>, Partial<ContainerUpdateRequest>, string]>([
    [{ CpuPeriod: 10_000 }, { NanoCpus: 1e8 }, "Nano CPUs cannot be updated as CPU Period has already been set"],
    [{ CpuQuota: 10_000 }, { NanoCpus: 1e8 }, "Nano CPUs cannot be updated as CPU Quota has already been set"],
    [{ NanoCpus: 1e8 }, { CpuPeriod: 10_000 }, "CPU Period cannot be updated as NanoCPUs has already been set"],
    [{ NanoCpus: 1e8 }, { CpuQuota: 10_000 }, "CPU Quota cannot be updated as NanoCPUs has already been set"],
    [
      { AutoRemove: true },
      { RestartPolicy: { Name: "always", MaximumRetryCount: 0 } },
      "Restart policy cannot be updated because AutoRemove is enabled for the container",
    ],
  ])("%j and then %j", async (before, change, message) => {
    const id = await world.run("one", before);
    const update = world.engine.containers.update("one", change);
    await expect(update).rejects.toMatchObject({ code: "conflict" });
    await expect(update).rejects.toThrow(`Cannot update container ${id}: `);
    await expect(update).rejects.toThrow(message);
  });
});

test("an update changes only what Docker lets it change; limits that are not supported are rejected", async () => {
  await world.run("one", { CpuShares: 2 });
  await world.engine.containers.update("one", {
    CgroupParent: "/other",
    OomKillDisable: true,
    Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/x", CgroupPermissions: "rwm" }],
    CpuQuota: 50_000,
  });
  expect(await settings()).toMatchObject({ CgroupParent: "", OomKillDisable: null, Devices: [], CpuQuota: 50_000 });
  await expect(
    world.engine.containers.update("one", { BlkioDeviceReadBps: [{ Path: "/dev/sda", Rate: 1 }] }),
  ).rejects.toThrow("updating BlkioDeviceReadBps is not supported yet");
  await expect(world.engine.containers.update("one", { CpuRealtimeRuntime: 5 })).rejects.toThrow("CpuRealtimeRuntime");
});
