/**
 * Asks upstream servers. The next server is asked too when one has failed, or has said nothing for a while; the first good answer counts. A
 * server that fails or rejects a question may know less than the next one, so its answer counts only when no other comes.
 */
import { startTimer } from "@fathom/base";
import type { UpstreamServer } from "./contract.ts";
import { put } from "./answer.ts";
import { responseCodes, type Question } from "./question.ts";
import { answersQuestion, readResponse, type UpstreamResponse } from "./response.ts";

export type Protocol = "udp" | "tcp";

export interface Exchange {
  readonly server: UpstreamServer;
  /** Where a server with `from: "container"` is asked from. */
  readonly namespaceFd: number;
  readonly protocol: Protocol;
  readonly query: Uint8Array;
  /** Other messages are ignored. */
  readonly accepts: (response: Uint8Array) => boolean;
  /** Ends the exchange; its sockets are closed then. */
  readonly signal: AbortSignal;
}

/** One question to one server. Rejects when the server cannot be reached. */
export type Transport = (exchange: Exchange) => Promise<Uint8Array>;

export interface UpstreamQuestion {
  readonly servers: readonly UpstreamServer[];
  readonly namespaceFd: number;
  readonly protocol: Protocol;
  readonly query: Uint8Array;
  readonly question: Question;
  /** The container ends, and `namespaceFd` is closed: nothing may use it any more. Absent for a question that uses no namespace. */
  readonly ended: AbortSignal | undefined;
}

export interface UpstreamTimes {
  /** A silent server gets this long before the next one is asked as well. */
  readonly patienceMs: number;
  /** Then there is no answer. Resolver libraries wait five seconds, and a late answer helps nobody. */
  readonly limitMs: number;
}

export const defaultTimes: UpstreamTimes = { patienceMs: 1500, limitMs: 4500 };

/** @returns undefined when no server gave an answer */
export function askUpstream(
  transport: Transport,
  { servers, namespaceFd, protocol, query, question, ended }: UpstreamQuestion,
  { patienceMs, limitMs }: UpstreamTimes,
): Promise<UpstreamResponse | undefined> {
  const over = new AbortController();
  const timers: (() => void)[] = [];
  let stop = (): void => undefined;
  return new Promise<UpstreamResponse | undefined>((resolve) => {
    let begun = 0;
    let open = 0;
    let worse: UpstreamResponse | undefined;
    stop = () => {
      over.abort(new Error("the container has ended"));
      resolve(undefined);
    };
    if (ended?.aborted) return stop();
    ended?.addEventListener("abort", stop, { once: true });
    const begin = (): void => {
      if (over.signal.aborted) return;
      const server = servers[begun];
      if (server === undefined) {
        if (open === 0) resolve(worse);
        return;
      }
      begun++;
      open++;
      let isNextBegun = false;
      const next = (): void => {
        if (isNextBegun) return;
        isNextBegun = true;
        begin();
      };
      timers.push(startTimer(next, patienceMs));
      // A number of our own: a client that also controls a server cannot prepare answers for other clients.
      const id = crypto.getRandomValues(new Uint16Array(1))[0]!;
      const sent = Uint8Array.from(query);
      put(sent, 0, id);
      const accepts = (response: Uint8Array): boolean => answersQuestion(response, id, query, question);
      transport({ server, namespaceFd, protocol, query: sent, accepts, signal: over.signal })
        .then(
          (bytes) => {
            const response = readResponse(bytes, question);
            if (response.code !== responseCodes.serverFailure && response.code !== responseCodes.refused)
              resolve(response);
            else worse ??= response;
          },
          () => undefined,
        )
        .finally(() => {
          open--;
          next();
          if (open === 0 && begun === servers.length) resolve(worse);
        });
    };
    timers.push(startTimer(() => resolve(worse), limitMs));
    begin();
  }).finally(() => {
    ended?.removeEventListener("abort", stop);
    over.abort(new Error("the question is answered"));
    for (const stop of timers) stop();
  });
}
