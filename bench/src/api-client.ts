/** The Engine API without a CLI, over one open connection per caller, for rows about the engine itself. */
import { Agent, request } from "node:http";
import type { Engine } from "./engines.ts";

export class ApiClient implements Disposable {
  readonly #engine: Engine;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** One request; returns the parsed answer. Throws on a status of 400 and more. */
  call(method: string, path: string, body?: unknown): Promise<unknown> {
    const text = body === undefined ? "" : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
      const options = { socketPath: this.#engine.socket, agent: this.#agent, method, path: `/v1.41${path}`, headers };
      const outgoing = request(options, (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          const content = Buffer.concat(chunks).toString();
          if ((answer.statusCode ?? 500) >= 400)
            reject(new Error(`${method} ${path}: ${answer.statusCode} ${content}`));
          else resolve(content === "" ? undefined : JSON.parse(content));
        });
      });
      outgoing.on("error", reject);
      outgoing.setTimeout(60_000, () => outgoing.destroy(new Error(`${method} ${path}: no answer after 60 s`)));
      outgoing.end(text);
    });
  }

  async create(config: Readonly<Record<string, unknown>>): Promise<string> {
    const answer = await this.call("POST", "/containers/create", config);
    if (typeof answer === "object" && answer !== null && "Id" in answer && typeof answer.Id === "string")
      return answer.Id;
    throw new Error("create gave no Id");
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}
