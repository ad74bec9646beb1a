/**
 * A registry for tests that follows a script. It serves manifests and blobs from memory. For each request it first calls the script, which may
 * answer in any faulty or hostile way. It records every request.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { sha256Digest, type Descriptor, type Digest } from "@fathom/spec";

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
}

/** Returns true when the script has answered (or never will). */
export type Script = (request: RecordedRequest, response: ServerResponse, nth: number) => boolean | Promise<boolean>;

export class ScriptedRegistry implements AsyncDisposable {
  readonly requests: RecordedRequest[] = [];
  readonly blobs = new Map<Digest, Uint8Array>();
  readonly manifests = new Map<string, { readonly mediaType: string; readonly raw: Uint8Array }>();
  script: Script = () => false;
  readonly #server: Server;
  readonly #tls: boolean;

  private constructor(server: Server, tls: boolean) {
    this.#server = server;
    this.#tls = tls;
  }

  static async start(
    tls?: { key: string; cert: string; ca?: string; requestCert?: boolean },
    hostname = "127.0.0.1",
  ): Promise<ScriptedRegistry> {
    const listener = (request: IncomingMessage, response: ServerResponse): void =>
      void registry.#handle(request, response);
    const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
    const registry = new ScriptedRegistry(server, tls !== undefined);
    await new Promise<void>((resolve) => server.listen(0, hostname, resolve));
    return registry;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return address.port;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `${this.#tls ? "https" : "http"}://${this.host}`;
  }

  addBlob(data: Uint8Array, mediaType = "application/vnd.oci.image.layer.v1.tar"): Descriptor {
    const digest = sha256Digest(data);
    this.blobs.set(digest, data);
    return { mediaType, digest, size: data.length };
  }

  /** @param name "repository:tag". The registry also serves it by digest. */
  addManifest(name: string, mediaType: string, value: unknown): Descriptor {
    const raw = new TextEncoder().encode(JSON.stringify(value));
    const digest = sha256Digest(raw);
    const repository = name.split(":")[0]!;
    this.manifests.set(name, { mediaType, raw });
    this.manifests.set(`${repository}@${digest}`, { mediaType, raw });
    return { mediaType, digest, size: raw.length };
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const chunk of request) parts.push(chunk as Uint8Array);
    const recorded: RecordedRequest = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      body: Buffer.concat(parts),
    };
    this.requests.push(recorded);
    if (await this.script(recorded, response, this.requests.length)) return;
    this.#serve(recorded, response);
  }

  #serve(request: RecordedRequest, response: ServerResponse): void {
    const blob = /^\/v2\/(.+)\/blobs\/([^/?]+)$/.exec(request.path);
    const data = blob ? this.blobs.get(blob[2] as Digest) : undefined;
    if (data !== undefined) {
      const from = Number(/^bytes=(\d+)-$/.exec(String(request.headers["range"] ?? ""))?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200, {
        "content-length": data.length - from,
        ...(from > 0 ? { "content-range": `bytes ${from}-${data.length - 1}/${data.length}` } : {}),
      });
      response.end(request.method === "HEAD" ? undefined : data.subarray(from));
      return;
    }
    const name = /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(request.path);
    const manifest = name
      ? this.manifests.get(name[2]!.includes(":") ? `${name[1]}@${name[2]}` : `${name[1]}:${name[2]}`)
      : undefined;
    if (manifest !== undefined) {
      response.writeHead(200, {
        "content-type": manifest.mediaType,
        "content-length": manifest.raw.length,
        "docker-content-digest": sha256Digest(manifest.raw),
      });
      response.end(request.method === "HEAD" ? undefined : manifest.raw);
      return;
    }
    respondError(response, 404, name ? "MANIFEST_UNKNOWN" : "BLOB_UNKNOWN", name ? "manifest unknown" : "blob unknown");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** An error in the form of a registry. */
export function respondError(
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): true {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
  return true;
}
