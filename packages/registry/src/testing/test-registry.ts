/** For tests: a registry on loopback, and raw requests to it. */
import { silentLogger } from "@fathom/base";
import { sha256Digest, type Digest } from "@fathom/spec";
import { openAccess, type Access } from "../access/access.ts";
import type { RegistryStore } from "../contract.ts";
import type { Mirror } from "../mirror/mirror.ts";
import type { AuditEntry, AuditLog } from "../server/audit.ts";
import type { Policies } from "../server/call.ts";
import { listen } from "../server/listen.ts";
import { Metrics } from "../server/metrics.ts";
import { createRegistry } from "../server/registry.ts";
import { MemoryStore } from "../storage/memory-store.ts";

export interface TestRegistryOptions {
  readonly store?: RegistryStore;
  readonly access?: Access;
  readonly policies?: Partial<Policies>;
  readonly mirror?: Mirror;
  /** Instead of the one that fills `audited`. */
  readonly audit?: AuditLog;
}

export interface TestRegistry extends AsyncDisposable {
  readonly store: RegistryStore;
  readonly url: string;
  readonly port: number;
  readonly audited: readonly AuditEntry[];
  fetch(method: string, path: string, options?: RequestInit): Promise<Response>;
  /** @return its digest */
  pushBlob(repository: string, data: string): Promise<Digest>;
  pushManifest(repository: string, reference: string, value: object, type?: string): Promise<Response>;
}

export async function startTestRegistry(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const { store = new MemoryStore(), access = openAccess, policies, mirror } = options;
  const audited: AuditEntry[] = [];
  const registry = createRegistry({
    store,
    access,
    policies: { isImmutable: () => false, quotaOf: () => undefined, ...policies },
    mirror,
    logger: silentLogger,
    metrics: new Metrics(),
    audit: options.audit ?? { write: (entry) => void audited.push(entry), [Symbol.dispose]: () => undefined },
    scheme: "http",
  });
  const server = await listen({ host: "127.0.0.1", port: 0, registry, logger: silentLogger, version: "test" });
  const url = `http://127.0.0.1:${server.port}`;
  const send = (method: string, path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(path.startsWith("http") ? path : url + path, { method, redirect: "manual", ...init });
  return {
    store,
    url,
    port: server.port,
    audited,
    fetch: send,
    async pushBlob(repository, data) {
      const digest = sha256Digest(data);
      const { status } = await send("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: data });
      if (status !== 201) throw new Error(`the push of a blob was answered with ${status}`);
      return digest;
    },
    pushManifest(repository, reference, value, type = "application/vnd.oci.image.manifest.v1+json") {
      const init = { body: JSON.stringify(value), headers: { "Content-Type": type } };
      return send("PUT", `/v2/${repository}/manifests/${reference}`, init);
    },
    [Symbol.asyncDispose]: () => server.close(1000),
  };
}
