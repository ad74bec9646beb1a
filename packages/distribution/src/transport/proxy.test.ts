import { afterEach, beforeEach, expect, test } from "bun:test";
import { parseReference } from "@fathom/spec";
import type { ProxyRun } from "../testing/download-in-worker.ts";
import { ScriptedRegistry } from "../testing/scripted-registry.ts";
import { defaultRegistryConfig } from "../testing/registry-config.ts";

let registry: ScriptedRegistry;
let proxy: ScriptedRegistry;

beforeEach(async () => {
  registry = await ScriptedRegistry.start();
  proxy = await ScriptedRegistry.start();
});
afterEach(async () => {
  await registry[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
});

/** A program of its own, because each process cleans its environment only once. */
async function downloadInWorker(environment: Record<string, string>, run: ProxyRun): Promise<string> {
  const script = new URL("../testing/download-in-worker.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, script, JSON.stringify(run)], {
    env: { PATH: process.env["PATH"] ?? "", ...environment },
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  await child.exited;
  return text;
}

test("a worker thread connects to loopback directly, whatever the environment says", async () => {
  const descriptor = registry.addBlob(Buffer.from("layer bytes"));
  const reference = parseReference(`${registry.host}/app:1`);
  const url = `http://ann:secret@${proxy.host}`;
  const blob = { reference, config: { ...defaultRegistryConfig, proxy: { http: url } }, credentials: undefined };
  for (const name of ["HTTP_PROXY", "http_proxy"]) {
    const text = await downloadInWorker({ [name]: url }, { blob: { ...blob, session: undefined }, descriptor });
    expect(text).toBe("layer bytes");
  }
  expect(proxy.requests).toEqual([]);
});

test("a worker thread follows NO_PROXY, and uses the proxy otherwise", async () => {
  const descriptor = registry.addBlob(Buffer.from("layer bytes"));
  const config = {
    ...defaultRegistryConfig,
    attempts: 1,
    insecureRegistries: ["registry.test"],
    proxy: { http: `http://${proxy.host}`, no: "*" },
  };
  const reference = parseReference("registry.test/app:1");
  const environment = { HTTP_PROXY: `http://${proxy.host}` };
  const session = {
    endpoints: [{ base: "http://registry.test", insecure: true, mirror: false, auth: { basic: false, tokens: [] } }],
  };
  const blob = { reference, config, credentials: undefined, session };
  expect(await downloadInWorker(environment, { blob, descriptor })).toContain("registry.test");
  expect(proxy.requests).toEqual([]);
  proxy.blobs.set(descriptor.digest, Buffer.from("layer bytes"));
  proxy.script = (_request, response) => {
    response.end("layer bytes");
    return true;
  };
  const through = { ...blob, config: { ...config, proxy: { http: `http://${proxy.host}` } } };
  expect(await downloadInWorker(environment, { blob: through, descriptor })).toBe("layer bytes");
  expect(proxy.requests).toHaveLength(1);
});
