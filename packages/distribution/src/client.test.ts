import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { ServerResponse } from "node:http";
import { systemClock, type Clock } from "@fathom/base";
import { mediaTypes, parsePlatform, parseReference, type Descriptor, type Reference } from "@fathom/spec";
import { openBlob } from "./blob.ts";
import { createRegistryClient } from "./client.ts";
import type { Credentials, RegistryClient, RegistryConfig } from "./contract.ts";
import { forgetSchemes } from "./endpoints.ts";
import { RegistryError, TransportError } from "./errors.ts";
import { respondError, ScriptedRegistry } from "./testing/scripted-registry.ts";
import { failureOf, until } from "@fathom/base/testing";
import { defaultRegistryConfig } from "./testing/registry-config.ts";

/** The test records the waits but does not wait. */
class QuickClock implements Clock {
  readonly sleeps: number[] = [];
  nowNs = systemClock.nowNs;
  monotonicMs = systemClock.monotonicMs;
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.sleeps.push(ms);
    return systemClock.sleep(0, signal);
  }
}

let registry: ScriptedRegistry;
let clock: QuickClock;

beforeEach(async () => {
  forgetSchemes();
  clock = new QuickClock();
  registry = await ScriptedRegistry.start();
});
afterEach(async () => {
  await registry[Symbol.asyncDispose]();
});

function client(credentials?: Credentials, config: Partial<RegistryConfig> = {}): RegistryClient {
  return createRegistryClient({
    config: { ...defaultRegistryConfig, proxy: {}, certificateDirectories: [], ...config },
    credentials,
    clock,
  });
}

function reference(name: string): Reference {
  return parseReference(`${registry.host}/${name}`);
}

async function download(
  of: RegistryClient,
  name: string,
  descriptor: Descriptor,
  signal: AbortSignal = new AbortController().signal,
): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of openBlob(of.blobSource(reference(name)), descriptor, signal, clock)) parts.push(chunk);
  return Buffer.concat(parts);
}

const layerBytes = Buffer.alloc(300_000, "layer ");

function addImage(name = "app:1"): { config: Descriptor; layer: Descriptor; manifest: Descriptor } {
  const config = registry.addBlob(Buffer.from('{"rootfs":{"diff_ids":[]}}'), mediaTypes.ociConfig);
  const layer = registry.addBlob(layerBytes);
  const manifest = registry.addManifest(name, mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config,
    layers: [layer],
  });
  return { config, layer, manifest };
}

describe("manifests", () => {
  test("head is one request; resolve returns the original bytes", async () => {
    const { manifest } = addImage();
    const mine = client();
    expect((await mine.head(reference("app:1"))).digest).toBe(manifest.digest);
    expect(registry.requests.map((request) => request.method)).toEqual(["HEAD"]);
    const image = await mine.resolve(reference("app:1"), undefined);
    expect(image.target.digest).toBe(manifest.digest);
    expect(image.manifest).toBe(image.target);
    expect(image.target.raw).toEqual(new Uint8Array(registry.manifests.get("app:1")!.raw));
  });

  test("head falls back to GET", async () => {
    const { manifest } = addImage();
    registry.script = (request, response) =>
      request.method === "HEAD" && respondError(response, 405, "UNSUPPORTED", "no HEAD here");
    expect((await client().head(reference("app:1"))).digest).toBe(manifest.digest);
  });

  test("an index leads to the platform's manifest; the error names a missing platform", async () => {
    const { manifest } = addImage();
    const arm = registry.addManifest("app:arm", mediaTypes.ociManifest, {
      schemaVersion: 2,
      config: registry.addBlob(Buffer.from("{}"), mediaTypes.ociConfig),
      layers: [],
    });
    registry.addManifest("app:all", mediaTypes.ociIndex, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [
        { ...arm, platform: { os: "linux", architecture: "arm", variant: "v6" } },
        { ...manifest, platform: { os: "linux", architecture: "amd64" } },
        { ...manifest, platform: { os: "unknown", architecture: "unknown" } },
      ],
    });
    const mine = client();
    const found = await mine.resolve(reference("app:all"), parsePlatform("linux/arm/v7"));
    expect(found.manifest.digest).toBe(arm.digest);
    expect(found.target.mediaType).toBe(mediaTypes.ociIndex);
    // An arm64 machine also runs the 32-bit image.
    expect((await mine.resolve(reference("app:all"), parsePlatform("linux/arm64"))).manifest.digest).toBe(arm.digest);
  });

  test("no entry for the platform", async () => {
    const { manifest } = addImage();
    registry.addManifest("app:all", mediaTypes.ociIndex, {
      schemaVersion: 2,
      manifests: [{ ...manifest, platform: { os: "linux", architecture: "amd64" } }],
    });
    const error = await failureOf(client().resolve(reference("app:all"), parsePlatform("linux/arm64/v8")));
    expect(error.message).toBe("no matching manifest for linux/arm64/v8 in the manifest list entries");
    expect(error.code).toBe("not-found");
  });

  test("for a missing manifest, the error has the registry's words", async () => {
    const error = await failureOf(client().resolve(reference("app:no"), undefined));
    expect(error).toBeInstanceOf(RegistryError);
    expect(error.message).toBe("manifest unknown: manifest unknown");
    expect(error.reason).toBe("manifest-unknown");
  });

  test("when the answer is a web page, the error names the reference", async () => {
    registry.script = (_request, response) => {
      response.writeHead(200, { "content-type": "text/html" });
      response.end("<html>please log in</html>");
      return true;
    };
    const error = await failureOf(client().resolve(reference("app:1"), undefined));
    expect(error.message).toStartWith(`manifest of ${registry.host}/app:1: `);
  });

  test("wrong digest, wrong size, schema 1, unknown type, too large", async () => {
    const { manifest } = addImage();
    const mine = client();
    registry.script = (request, response) => {
      if (!request.path.endsWith("/manifests/lies")) return false;
      response.writeHead(200, { "content-type": mediaTypes.ociManifest, "docker-content-digest": manifest.digest });
      response.end("{}");
      return true;
    };
    expect((await failureOf(mine.resolve(reference("app:lies"), undefined))).code).toBe("data-loss");
    registry.addManifest("app:index", mediaTypes.ociIndex, {
      schemaVersion: 2,
      manifests: [{ ...manifest, size: manifest.size + 1 }],
    });
    expect((await failureOf(mine.resolve(reference("app:index"), undefined))).message).toContain("as its index says");
    registry.addManifest("app:old", mediaTypes.dockerSchema1Signed, { schemaVersion: 1, fsLayers: [] });
    expect((await failureOf(mine.resolve(reference("app:old"), undefined))).message).toContain("schema 1");
    registry.addManifest("app:odd", "application/vnd.odd+json", { schemaVersion: 2 });
    expect((await failureOf(mine.resolve(reference("app:odd"), undefined))).message).toContain(
      "application/vnd.odd+json",
    );
    registry.addManifest("app:big", mediaTypes.ociManifest, { schemaVersion: 2, pad: "x".repeat(4 * 1024 * 1024) });
    expect((await failureOf(mine.resolve(reference("app:big"), undefined))).message).toContain("limit of 4 MiB");
    const { digest } = manifest;
    registry.manifests.set(`app@${digest}`, { mediaType: mediaTypes.ociManifest, raw: Buffer.from("{}") });
    expect((await failureOf(mine.resolve(reference(`app@${digest}`), undefined))).code).toBe("data-loss");
  });
});

describe("blobs", () => {
  test("the client continues a broken transfer with Range", async () => {
    const { layer } = addImage();
    registry.script = (request, response) => {
      if (!request.path.includes("/blobs/") || request.headers["range"] !== undefined) return false;
      response.writeHead(200, { "content-length": layer.size });
      // sleep: the written bytes must be sent before the connection breaks
      response.write(layerBytes.subarray(0, 100_000), () => setTimeout(() => response.socket?.destroy(), 30));
      return true;
    };
    expect(await download(client(), "app:1", layer)).toEqual(layerBytes);
    const [, second] = registry.requests;
    expect(second?.headers["range"]).toBe("bytes=100000-");
    expect(registry.requests).toHaveLength(2);
  });

  test("a transfer whose connection breaks every 100 kB completes, in smaller pieces", async () => {
    const { layer } = addImage();
    const large = Buffer.alloc(3_000_000, "piece ");
    const descriptor = registry.addBlob(large);
    expect(descriptor.digest).not.toBe(layer.digest);
    let asked = 0;
    registry.script = (request, response) => {
      if (!request.path.includes("/blobs/")) return false;
      asked++;
      const range = /^bytes=(\d+)-(\d*)$/.exec(String(request.headers["range"] ?? ""));
      const from = Number(range?.[1] ?? 0);
      const to = range?.[2] ? Math.min(Number(range[2]) + 1, large.length) : large.length;
      response.writeHead(range ? 206 : 200, {
        "content-length": to - from,
        ...(range ? { "content-range": `bytes ${from}-${to - 1}/${large.length}` } : {}),
      });
      if (to - from <= 100_000) response.end(large.subarray(from, to));
      else response.write(large.subarray(from, from + 100_000), () => response.socket?.end());
      return true;
    };
    expect(await download(client(), "app:1", descriptor)).toEqual(large);
    // Pieces of 64 KiB, and now and then a larger piece as a try.
    expect(asked).toBeLessThan(80);
  });

  test("when a registry ignores Range, the client skips the bytes that it has", async () => {
    const { layer } = addImage();
    registry.script = (request, response, nth) => {
      if (!request.path.includes("/blobs/")) return false;
      response.writeHead(200, { "content-length": layer.size });
      // sleep: the written bytes must be sent before the connection breaks
      if (nth === 1) response.write(layerBytes.subarray(0, 123_457), () => setTimeout(() => response.destroy(), 30));
      else response.end(layerBytes);
      return true;
    };
    expect(await download(client(), "app:1", layer)).toEqual(layerBytes);
  });

  test("a wrong Content-Range, then 416: the client asks for the whole blob again", async () => {
    const { layer } = addImage();
    registry.script = (request, response, nth) => {
      if (!request.path.includes("/blobs/")) return false;
      if (nth === 1) {
        response.writeHead(200, { "content-length": layer.size });
        // sleep: the written bytes must be sent before the connection breaks
        response.write(layerBytes.subarray(0, 70_000), () => setTimeout(() => response.destroy(), 30));
      } else if (request.headers["range"] !== undefined) {
        response.writeHead(206, { "content-range": `bytes 0-${layer.size - 1}/${layer.size}` });
        response.end(layerBytes);
      } else return false;
      return true;
    };
    expect(await download(client(), "app:1", layer)).toEqual(layerBytes);
  });

  test("the client fails after its tries when no byte arrives", async () => {
    const { layer } = addImage();
    registry.script = (request, response) => {
      if (!request.path.includes("/blobs/")) return false;
      response.writeHead(200, { "content-length": layer.size });
      // sleep: the written bytes must be sent before the connection breaks
      response.write("x", () => setTimeout(() => response.destroy(), 5));
      return true;
    };
    const error = await failureOf(download(client(undefined, { attempts: 3 }), "app:1", layer));
    expect(error.code).toBe("unavailable");
    expect(error.message).toContain("failed after 3 tries");
    expect(clock.sleeps.length).toBeGreaterThanOrEqual(2);
  });

  test("a blob that is longer than its descriptor (announced or not), or shorter", async () => {
    const { layer } = addImage();
    const less = { ...layer, size: layer.size - 1 };
    expect((await failureOf(download(client(), "app:1", less))).message).toContain("more than the 299999");
    registry.script = (request, response) => {
      if (!request.path.includes("/blobs/")) return false;
      response.writeHead(200, { "transfer-encoding": "chunked" });
      response.end(layerBytes);
      return true;
    };
    expect((await failureOf(download(client(), "app:1", less))).code).toBe("data-loss");
    registry.script = () => false;
    const more = { ...layer, size: layer.size + 1 };
    expect((await failureOf(download(client(), "app:1", more))).code).toBe("data-loss");
  });

  test("the client stops waiting for a silent registry", async () => {
    const { layer } = addImage();
    const held: ServerResponse[] = [];
    registry.script = (request, response) => {
      if (!request.path.includes("/blobs/")) return false;
      response.writeHead(200, { "content-length": layer.size });
      response.write(layerBytes.subarray(0, 10));
      held.push(response);
      return true;
    };
    const mine = client(undefined, { idleTimeoutMs: 100, attempts: 2 });
    await mine.head(reference("app:1"));
    const error = await failureOf(download(mine, "app:1", layer));
    expect(error.message).toContain("no byte arrived for 0.1 seconds");
    expect(held).toHaveLength(2);
  });

  test("abort ends the transfer at once and closes the connection", async () => {
    const { layer } = addImage();
    let closed = false;
    registry.script = (request, response) => {
      if (!request.path.includes("/blobs/")) return false;
      response.on("close", () => (closed = true));
      response.writeHead(200, { "content-length": layer.size });
      response.write(layerBytes.subarray(0, 10));
      return true;
    };
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50); // sleep: a user who thinks for a moment
    const error = await failureOf(download(client(), "app:1", layer, controller.signal));
    expect(error.code).toBe("aborted");
    await until("the connection is closed", () => closed);
  });

  test("fetchBlob checks the digest and the limit", async () => {
    const { config } = addImage();
    const mine = client();
    expect(await mine.fetchBlob(reference("app:1"), config, 1000)).toEqual(
      new Uint8Array(registry.blobs.get(config.digest)!),
    );
    expect((await failureOf(mine.fetchBlob(reference("app:1"), config, 10))).message).toContain("limit of 10");
    registry.blobs.set(config.digest, Buffer.alloc(config.size, "x"));
    expect((await failureOf(mine.fetchBlob(reference("app:1"), config, 1000))).code).toBe("data-loss");
  });
});

describe("faults", () => {
  test("429 with Retry-After, then 503, then success", async () => {
    addImage();
    registry.script = (_request, response, nth) =>
      nth === 1
        ? respondError(response, 429, "TOOMANYREQUESTS", "slow down", { "retry-after": "3" })
        : nth === 2 && respondError(response, 503, "UNAVAILABLE", "later");
    await client().head(reference("app:1"));
    expect(clock.sleeps[0]).toBe(3000);
    expect(clock.sleeps[1]).toBeGreaterThanOrEqual(250);
    expect(clock.sleeps[1]).toBeLessThanOrEqual(500);
  });

  test("500 every time: the error has the last answer", async () => {
    registry.script = (_request, response) => respondError(response, 500, "UNKNOWN", "broken disk");
    const error = await failureOf(client().resolve(reference("app:1"), undefined));
    expect(error).toBeInstanceOf(RegistryError);
    expect(error.message).toBe("unknown: broken disk");
    expect(error.code).toBe("unavailable");
    expect(registry.requests).toHaveLength(defaultRegistryConfig.attempts);
  });

  test("nobody there", async () => {
    const error = await failureOf(client().resolve(parseReference("127.0.0.1:1/x:1"), undefined));
    expect(error).toBeInstanceOf(TransportError);
    expect(error.message).toContain("connection refused");
    expect(clock.sleeps).toEqual([]);
  });

  test("a redirect loop, too many redirects, a redirect to a file", async () => {
    const { layer } = addImage();
    registry.script = (request, response) => {
      if (!request.path.includes("/blobs/") && !request.path.startsWith("/loop")) return false;
      response.writeHead(307, { location: request.path === "/loop1" ? "/loop2" : "/loop1" });
      response.end();
      return true;
    };
    expect((await failureOf(download(client(), "app:1", layer))).message).toContain("is a loop");
    let step = 0;
    registry.script = (_request, response) => {
      response.writeHead(302, { location: `/step${step++}` });
      response.end();
      return true;
    };
    expect((await failureOf(download(client(), "app:1", layer))).message).toContain("more than 10 steps");
    registry.script = (_request, response) => {
      response.writeHead(302, { location: "file:///etc/passwd" });
      response.end();
      return true;
    };
    expect((await failureOf(download(client(), "app:1", layer))).message).toContain("no HTTP URL");
  });
});
