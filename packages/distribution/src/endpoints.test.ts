import { parseReference } from "@fathom/spec";
import { expect, test } from "bun:test";
import { endpointsOf } from "./endpoints.ts";
import { defaultRegistryConfig } from "./testing/registry-config.ts";

test("a registry whose name leads to this machine itself needs no verified TLS, as in Docker", async () => {
  const resolved: string[] = [];
  const resolve = async (name: string): Promise<string[]> => {
    resolved.push(name);
    if (name === "unknown.example") throw new Error("no such name");
    return name === "here.example" ? ["192.0.2.1", "127.0.1.1"] : ["192.0.2.2"];
  };
  const bases = async (name: string): Promise<string[]> =>
    (await endpointsOf(parseReference(name), defaultRegistryConfig, resolve)).map(({ base }) => base);
  expect(await bases("here.example:5000/app")).toEqual(["https://here.example:5000", "http://here.example:5000"]);
  expect(await bases("there.example/app")).toEqual(["https://there.example"]);
  expect(await bases("unknown.example/app")).toEqual(["https://unknown.example"]);
  // No name is resolved for Docker's own registry.
  expect(await bases("app")).toEqual(["https://registry-1.docker.io"]);
  expect(resolved).toEqual(["here.example", "there.example", "unknown.example"]);
});
