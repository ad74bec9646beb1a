/**
 * What a daemon and its name helper send to each other: one JSON object a line, calls in one direction and their results in the other, in the
 * same order. Both are always the same program (`helper-socket.ts`), so there are no versions.
 */
import { EngineError } from "@fathom/base";
import type { NamedEndpoint, NamesState, ServedContainer } from "../contract.ts";

export type Call =
  | { readonly call: "restore"; readonly state: Omit<NamesState, typeof Symbol.dispose> }
  | { readonly call: "set-endpoint"; readonly endpoint: NamedEndpoint }
  | { readonly call: "remove-endpoint"; readonly endpointId: string }
  | { readonly call: "serve"; readonly container: ServedContainer }
  | { readonly call: "release"; readonly containerId: string }
  /** Ends the helper. */
  | { readonly call: "end" }
  /** Another helper has taken over: this one ends when its last questions have their answers. */
  | { readonly call: "retire" };

export type Result = { readonly warnings: readonly string[] } | { readonly error: string };

type Fields = Readonly<Record<string, unknown>>;

function unreadable(what: string): never {
  throw new EngineError("internal", `a message between the daemon and its name helper is not readable: ${what}`);
}

function fields(value: unknown, what: string): Fields {
  return typeof value === "object" && value !== null ? { ...value } : unreadable(what);
}

function text(value: unknown, what: string): string {
  return typeof value === "string" ? value : unreadable(what);
}

function yes(value: unknown, what: string): boolean {
  return typeof value === "boolean" ? value : unreadable(what);
}

function list<T>(value: unknown, what: string, read: (entry: unknown, what: string) => T): T[] {
  return Array.isArray(value) ? value.map((entry: unknown) => read(entry, what)) : unreadable(what);
}

function texts(value: unknown, what: string): Record<string, string> {
  return Object.fromEntries(Object.entries(fields(value, what)).map(([name, entry]) => [name, text(entry, what)]));
}

export function readCall(line: string): Call {
  const call = fields(JSON.parse(line), "a call");
  const name = text(call["call"], "its name");
  switch (name) {
    case "restore": {
      const state = fields(call["state"], "a state");
      const endpoints = list(state["endpoints"], "endpoints", readEndpoint);
      return { call: name, state: { endpoints, containers: list(state["containers"], "containers", readContainer) } };
    }
    case "set-endpoint":
      return { call: name, endpoint: readEndpoint(call["endpoint"]) };
    case "remove-endpoint":
      return { call: name, endpointId: text(call["endpointId"], "an endpoint's id") };
    case "serve":
      return { call: name, container: readContainer(call["container"]) };
    case "release":
      return { call: name, containerId: text(call["containerId"], "a container's id") };
    case "end":
    case "retire":
      return { call: name };
    default:
      return unreadable(name);
  }
}

function readEndpoint(value: unknown): NamedEndpoint {
  const endpoint = fields(value, "an endpoint");
  return {
    endpointId: text(endpoint["endpointId"], "endpointId"),
    containerId: text(endpoint["containerId"], "containerId"),
    networkId: text(endpoint["networkId"], "networkId"),
    networkName: text(endpoint["networkName"], "networkName"),
    names: list(endpoint["names"], "names", text),
    ...(endpoint["links"] === undefined ? {} : { links: texts(endpoint["links"], "links") }),
    addresses: list(endpoint["addresses"], "addresses", text),
    leadsOutside: yes(endpoint["leadsOutside"], "leadsOutside"),
  };
}

function readContainer(value: unknown): ServedContainer {
  const container = fields(value, "a container");
  return {
    containerId: text(container["containerId"], "containerId"),
    namespace: text(container["namespace"], "namespace"),
    servers: list(container["servers"], "servers", (entry) => {
      const server = fields(entry, "a server");
      const from = server["from"];
      if (from !== "host" && from !== "container") return unreadable("from");
      return { address: text(server["address"], "address"), from };
    }),
    asksSingleLabels: yes(container["asksSingleLabels"], "asksSingleLabels"),
  };
}

export function readResult(line: string): Result {
  const result = fields(JSON.parse(line), "a result");
  return "error" in result
    ? { error: text(result["error"], "error") }
    : { warnings: list(result["warnings"], "warnings", text) };
}

/** Cuts a stream of text into lines. */
export class LineReader {
  #rest: string[] = [];

  push(chunk: string): string[] {
    const lines = chunk.split("\n");
    const rest = lines.pop() ?? "";
    if (lines.length > 0) {
      lines[0] = this.#rest.join("") + (lines[0] ?? "");
      this.#rest = [];
    }
    if (rest !== "") this.#rest.push(rest);
    return lines;
  }
}
