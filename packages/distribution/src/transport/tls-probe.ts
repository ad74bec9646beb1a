/** The runtime's fetch says that TLS failed but not why. This connects once more to find the words for the message. */
import { connect, type ConnectionOptions } from "node:tls";
import type { TlsMaterial } from "./certificates.ts";

export interface TlsFinding {
  /** "WRONG_VERSION_NUMBER" when the server does not use TLS; "TLSV1_ALERT_CERTIFICATE_REQUIRED" and similar for what the server rejected. */
  readonly reason: string | undefined;
  /** The names in the server's certificate: "registry.example, 10.0.0.1". */
  readonly names: string | undefined;
}

/** The server's own alert arrives after the handshake (TLS 1.3). The probe waits this long for it. */
const alertWaitMs = 300;
const limitMs = 3_000;

/** An abort ends the probe early; it then returns what it knows. */
export async function probeTls(
  url: URL,
  material: TlsMaterial | undefined,
  signal: AbortSignal | undefined,
): Promise<TlsFinding> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const options: ConnectionOptions = {
    host,
    port: Number(url.port === "" ? 443 : url.port),
    // The probe sends no data and trusts no data. Only the outcome of the handshake matters.
    rejectUnauthorized: false,
    ...(material?.cert === undefined ? {} : { cert: material.cert, key: material.key! }),
  };
  const { promise, resolve } = Promise.withResolvers<TlsFinding>();
  let names: string | undefined;
  const finish = (reason: string | undefined): void => resolve({ reason, names });
  const socket = connect(options, () => {
    names = namesOf(socket.getPeerCertificate().subjectaltname);
    timers.push(setTimeout(() => finish(undefined), alertWaitMs));
  });
  const timers = [setTimeout(() => finish(undefined), limitMs)];
  socket.on("error", (error: Error & { code?: string }) => finish(error.code?.replace(/^ERR_SSL_/, "")));
  socket.on("close", () => finish(undefined));
  const abort = (): void => finish(undefined);
  signal?.addEventListener("abort", abort);
  try {
    return await promise;
  } finally {
    signal?.removeEventListener("abort", abort);
    for (const timer of timers) clearTimeout(timer);
    socket.on("error", () => undefined);
    socket.destroy();
  }
}

/** "DNS:a, IP Address:10.0.0.1" → "a, 10.0.0.1". Users see this text of a server, so its length is limited. */
function namesOf(text: string | undefined): string | undefined {
  const names = text?.split(", ").map((name) => name.replace(/^(?:DNS|IP Address):/, ""));
  return names
    ?.slice(0, 10)
    .join(", ")
    .replace(/\p{Cc}/gu, "")
    .slice(0, 300);
}
