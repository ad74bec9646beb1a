import { createFakeNames } from "./fake-names.ts";
import { namesSuite, type ServerAnswer } from "./names-suite.ts";

namesSuite("names without sockets", async () => {
  const namespaces: string[] = [];
  /** By where and address. */
  const servers = new Map<string, ServerAnswer>();
  const fake = createFakeNames({
    exists: (namespace) => namespaces.includes(namespace),
    transport: async ({ server, namespaceFd, protocol, query, accepts, signal }) => {
      const where = server.from === "host" ? "host" : fake.namespaceOf(namespaceFd);
      const answer = servers.get(`${where} ${server.address}`);
      if (answer === undefined) throw new Error("nobody listens there");
      const bytes = answer(query, protocol);
      if (bytes !== undefined && accepts(bytes)) return bytes;
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
    },
  });
  return {
    service: fake.service,
    namespace: () => {
      namespaces.push(`/namespace/${namespaces.length}`);
      return namespaces.at(-1)!;
    },
    ask: (namespace, query, protocol) => fake.ask(namespace, query, protocol),
    server: async (where, address, answer) =>
      void servers.set(`${where === "host" ? "host" : where.namespace} ${address}`, answer),
    [Symbol.asyncDispose]: () => fake.service[Symbol.asyncDispose](),
  };
});
