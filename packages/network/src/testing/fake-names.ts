/** Names without sockets: what the resolvers of containers would answer. */
import { systemClock, type Clock } from "@fathom/base";
import type { Answer } from "../names/container-sockets.ts";
import type { NameService } from "../names/contract.ts";
import { createNameServerWith } from "../names/name-server.ts";
import type { Protocol, Transport, UpstreamTimes } from "../names/upstream.ts";

export interface FakeNamesOptions {
  /** For upstream servers; absent: none can be reached. */
  readonly transport?: Transport;
  readonly clock?: Pick<Clock, "monotonicMs">;
  readonly times?: UpstreamTimes;
  /** Whether a namespace exists; absent: all do. */
  readonly exists?: (namespace: string) => boolean;
}

export interface FakeNames {
  readonly service: NameService;
  /** Namespaces with a resolver. */
  readonly served: ReadonlySet<string>;
  /** Of a descriptor that the transport gets. */
  namespaceOf(fd: number): string | undefined;
  /** Asks the resolver in a namespace. undefined: no answer. @throws when there is no resolver */
  ask(namespace: string, query: Uint8Array, protocol?: Protocol): Promise<Uint8Array | undefined>;
}

export function createFakeNames({
  transport = () => Promise.reject(new Error("no server can be reached")),
  clock = systemClock,
  times,
  exists = () => true,
}: FakeNamesOptions = {}): FakeNames {
  const answers = new Map<string, Answer>();
  const numbers = new Map<number, string>();
  const service = createNameServerWith({
    open: async ({ namespace }, answer) => {
      if (!exists(namespace)) throw new Error(`${namespace} does not exist`);
      const isIn = (other: string): boolean => other === namespace;
      answers.set(namespace, answer);
      const namespaceFd = numbers.size;
      numbers.set(namespaceFd, namespace);
      return { namespaceFd, isIn, [Symbol.dispose]: () => void answers.delete(namespace) };
    },
    transport,
    clock,
    ...(times === undefined ? {} : { times }),
  });
  return {
    service,
    get served() {
      return new Set(answers.keys());
    },
    namespaceOf: (fd) => numbers.get(fd),
    async ask(namespace, query, protocol = "udp") {
      const answer = answers.get(namespace);
      if (answer === undefined) throw new Error(`there is no resolver in ${namespace}`);
      return answer(query, protocol);
    },
  };
}
