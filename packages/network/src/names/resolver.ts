/** Answers one query of a container: from the names of its networks, from the cache, or by asking upstream servers. */
import type { Clock } from "@fathom/base";
import { addressAnswer, emptyAnswer, errorAnswer, pointerAnswer, truncatedAnswer } from "./answer.ts";
import { answerFor, cacheKey, ResponseCache } from "./cache.ts";
import type { NamedEndpoint, ServedContainer, UpstreamServer } from "./contract.ts";
import { classInternet, readQuery, recordTypes, responseCodes, smallestUdpBytes, type Question } from "./question.ts";
import type { UpstreamResponse } from "./response.ts";
import { askUpstream, defaultTimes, type Protocol, type Transport, type UpstreamTimes } from "./upstream.ts";
import { Zone } from "./zone.ts";

/**
 * In seconds. Docker's 600 means that a client which keeps answers also keeps the address of a container that has ended. Asking again costs
 * little here.
 */
export const ownTtlSeconds = 5;
/** Questions of one container to upstream servers at a time, as in Docker's resolver. */
const maxPending = 1024;
/** Of all containers together: each has a socket for every server that it has asked. */
const maxPendingOfAll = 8192;
const maxUdpBytes = 65_507;
const maxTcpBytes = 65_535;

/** A container whose queries are answered. */
export interface Asker {
  readonly container: ServedContainer;
  readonly namespaceFd: number;
  /** Aborts before `namespaceFd` is closed. */
  readonly ended: AbortSignal;
  /** Questions to upstream servers in progress. */
  pending: number;
}

export interface ResolverOptions {
  readonly zone: Zone;
  readonly transport: Transport;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly times?: UpstreamTimes;
}

export class Resolver {
  readonly #zone: Zone;
  readonly #transport: Transport;
  readonly #times: UpstreamTimes;
  readonly #cache: ResponseCache;
  /** By cache key and protocol: the same question is asked once at a time. */
  readonly #asked = new Map<string, Promise<UpstreamResponse | undefined>>();
  #pending = 0;

  constructor({ zone, transport, clock, times = defaultTimes }: ResolverOptions) {
    this.#zone = zone;
    this.#transport = transport;
    this.#times = times;
    this.#cache = new ResponseCache(clock);
  }

  /** Never throws and never rejects. @returns undefined when there must be no answer */
  answer(asker: Asker, query: Uint8Array, protocol: Protocol): Uint8Array | undefined | Promise<Uint8Array> {
    const reading = readQuery(query);
    if (reading.kind === "nothing") return undefined;
    if (reading.kind === "wrong") return errorAnswer(query, reading.code);
    const { question } = reading;
    const endpoints = this.#zone.ofContainer(asker.container.containerId);
    return (
      this.#ownAnswer(endpoints, query, question, maxBytesOf(question, protocol)) ??
      this.#outsideAnswer(asker, endpoints, query, question, protocol)
    );
  }

  #ownAnswer(
    endpoints: readonly NamedEndpoint[],
    query: Uint8Array,
    question: Question,
    maxBytes: number,
  ): Uint8Array | undefined {
    const { name, type } = question;
    if (question.class !== classInternet || question.odd) return undefined;
    const entry = this.#zone.find(endpoints, name);
    if (entry !== undefined) {
      const addresses = type === recordTypes.A ? entry.ipv4 : type === recordTypes.AAAA ? entry.ipv6 : [];
      if (addresses.length === 0) return emptyAnswer(query, question);
      return addressAnswer(query, question, addresses, entry.turn++ % addresses.length, ownTtlSeconds, maxBytes);
    }
    if (!name.endsWith(".arpa")) return undefined;
    const pointer = this.#zone.findPointer(endpoints, name);
    if (pointer === undefined) return undefined;
    return type === recordTypes.PTR
      ? pointerAnswer(query, question, pointer, ownTtlSeconds)
      : emptyAnswer(query, question);
  }

  #outsideAnswer(
    asker: Asker,
    endpoints: readonly NamedEndpoint[],
    query: Uint8Array,
    question: Question,
    protocol: Protocol,
  ): Uint8Array | Promise<Uint8Array> {
    const { container } = asker;
    const isAddress = question.type === recordTypes.A || question.type === recordTypes.AAAA;
    if (isAddress && question.labels <= 1 && !container.asksSingleLabels) return emptyAnswer(query, question);
    const leadsOutside = endpoints.some((endpoint) => endpoint.leadsOutside);
    const servers = container.servers.filter(({ from }) => from === "container" || leadsOutside);
    const key = cacheKey(serversKey(container.containerId, servers), query, question);
    const kept = key === undefined ? undefined : this.#cache.get(key, query, question);
    if (kept !== undefined) return fitting(kept, query, question, protocol);
    if (servers.length === 0) return emptyAnswer(query, question, responseCodes.serverFailure);
    if (asker.pending >= maxPending || this.#pending >= maxPendingOfAll)
      return emptyAnswer(query, question, responseCodes.refused);
    return this.#ask(asker, servers, key, query, question, protocol);
  }

  async #ask(
    asker: Asker,
    servers: readonly UpstreamServer[],
    key: string | undefined,
    query: Uint8Array,
    question: Question,
    protocol: Protocol,
  ): Promise<Uint8Array> {
    asker.pending++;
    this.#pending++;
    try {
      const response = await this.#askOnce(asker, servers, key, query, question, protocol);
      if (response === undefined) return emptyAnswer(query, question, responseCodes.serverFailure);
      return fitting(answerFor(response, query, question, 0), query, question, protocol);
    } catch {
      return emptyAnswer(query, question, responseCodes.serverFailure);
    } finally {
      asker.pending--;
      this.#pending--;
    }
  }

  #askOnce(
    { namespaceFd, ended: containerEnded }: Asker,
    servers: readonly UpstreamServer[],
    key: string | undefined,
    query: Uint8Array,
    question: Question,
    protocol: Protocol,
  ): Promise<UpstreamResponse | undefined> {
    // Other containers may wait for the answer to a question that does not use this one's namespace.
    const ended = servers.some(({ from }) => from === "container") ? containerEnded : undefined;
    const ask = (): Promise<UpstreamResponse | undefined> =>
      askUpstream(this.#transport, { servers, namespaceFd, protocol, query, question, ended }, this.#times);
    if (key === undefined) return ask();
    const askedKey = `${protocol} ${key}`;
    const asked = this.#asked.get(askedKey);
    if (asked !== undefined) return asked;
    const asking = ask()
      .then((response) => {
        if (response !== undefined) this.#cache.set(key, response);
        return response;
      })
      .finally(() => this.#asked.delete(askedKey));
    this.#asked.set(askedKey, asking);
    return asking;
  }
}

function maxBytesOf({ edns }: Question, protocol: Protocol): number {
  return protocol === "tcp" ? maxTcpBytes : Math.min(edns?.udpBytes ?? smallestUdpBytes, maxUdpBytes);
}

/** Answers kept from TCP may be too long for UDP. What a server sent over UDP passes, as it passed before. */
function fitting(answer: Uint8Array, query: Uint8Array, question: Question, protocol: Protocol): Uint8Array {
  if (answer.length <= maxBytesOf(question, protocol)) return answer;
  return truncatedAnswer(query, question, answer[3]! & 0x0f);
}

/** Servers that one container reaches may be other ones for another container. */
function serversKey(containerId: string, servers: readonly UpstreamServer[]): string {
  const list = servers.map(({ address }) => address).join();
  return servers.some(({ from }) => from === "container") ? `${containerId} ${list}` : list;
}
