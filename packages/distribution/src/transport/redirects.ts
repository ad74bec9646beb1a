/** Redirects, followed by our own code: each step checks the target and which headers it gets. */
import { RegistryError, shownUrl } from "../errors.ts";
import type { Answer, Exchange, Transport } from "./transport.ts";

const maxRedirects = 10;
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Sends the request of `exchangeFor` for the first URL, and then for each URL that a redirect names. Redirects of POST, PUT and PATCH are
 * returned to the caller. The exception is 307 and 308 of a POST to the same origin, which mean "send the same request there".
 * @param insecure A step from HTTPS to plain HTTP is allowed.
 * @throws RegistryError for a redirect without a usable target; TransportError
 */
export async function sendFollowing(
  transport: Transport,
  first: URL,
  exchangeFor: (url: URL) => Exchange,
  insecure: boolean,
): Promise<Answer> {
  const seen = new Set<string>();
  let url = first;
  for (;;) {
    seen.add(url.href);
    const exchange = exchangeFor(url);
    const answer = await transport.send(exchange);
    const location = redirectStatuses.has(answer.status) ? answer.headers.get("location") : null;
    if (location === null) return answer;
    const next = URL.parse(location, url.href);
    const repeats = exchange.method === "POST" && (answer.status === 307 || answer.status === 308);
    if (exchange.method !== "GET" && exchange.method !== "HEAD" && !(repeats && next?.origin === url.origin))
      return answer;
    await answer.discard();
    if (next === null || (next.protocol !== "https:" && next.protocol !== "http:"))
      throw redirectError(first, "leads to an address that is no HTTP URL");
    if (next.protocol === "http:" && url.protocol === "https:" && !insecure)
      throw redirectError(first, `leads from HTTPS to plain HTTP at ${next.host}`);
    if (seen.has(next.href)) throw redirectError(first, "is a loop");
    if (seen.size > maxRedirects) throw redirectError(first, `has more than ${maxRedirects} steps`);
    url = next;
  }
}

function redirectError(url: URL, problem: string): RegistryError {
  return new RegistryError("unavailable", "other", 0, `the redirect of ${shownUrl(url)} ${problem}`);
}
