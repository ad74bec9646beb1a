/** `docker login`: does the registry accept these credentials? */
import { EngineError, systemClock, type Clock } from "@fathom/base";
import { defaultRegistry } from "@fathom/spec";
import type { Credentials, RegistryConfig } from "./contract.ts";
import { RegistryError, shownUrl } from "./errors.ts";
import { Session } from "./session.ts";

const statusWords: Readonly<Record<number, string>> = { 401: "Unauthorized", 403: "Forbidden", 404: "Not Found" };

/** The host in the server address that clients send: "https://index.docker.io/v1/", "registry.example:5000", "". */
function registryOfAddress(address: string | undefined): string {
  const host = (address ?? "").replace(/^https?:\/\//, "").split("/")[0]!;
  return host === "" || host === "index.docker.io" || host === "registry-1.docker.io" ? defaultRegistry : host;
}

/**
 * @returns when the registry accepted the credentials (or needs none).
 * @throws unauthenticated with a message that names the registry and contains no part of the credentials.
 */
export async function login(
  address: string | undefined,
  credentials: Credentials,
  options: { readonly config: RegistryConfig; readonly clock?: Clock; readonly signal?: AbortSignal },
): Promise<void> {
  const session = new Session({
    reference: { registry: registryOfAddress(address), repository: "", tag: undefined, digest: undefined },
    config: { ...options.config, mirrors: [] },
    credentials,
    clock: options.clock ?? systemClock,
  });
  const answer = await session
    .request({ method: "GET", path: "", scope: "", allowed: [401, 403, 404], signal: options.signal })
    .catch((error: unknown) => {
      if (error instanceof RegistryError && error.reason === "no-credentials")
        throw new EngineError("unauthenticated", "login needs a user name and a password", { cause: error });
      throw error;
    });
  await answer.discard();
  if (answer.status === 200) return;
  throw new EngineError(
    "unauthenticated",
    `login attempt to ${shownUrl(answer.url)} failed with status: ${answer.status} ${statusWords[answer.status] ?? ""}`.trimEnd(),
  );
}
