/**
 * Makes the failures of an exchange from the errors of the runtime's fetch: their kind, and the words of Go's net package, because people
 * search the web for those words.
 */
import { messageOf } from "@fathom/base";
import type { TransportFailure } from "../errors.ts";

const fetchFailures: Readonly<Record<string, TransportFailure>> = {
  ECONNREFUSED: "connect",
  EHOSTUNREACH: "connect",
  ENETUNREACH: "connect",
  EADDRNOTAVAIL: "connect",
  ConnectionRefused: "connect",
  FailedToOpenSocket: "connect",
  ENOTFOUND: "lookup",
  EAI_AGAIN: "lookup",
  EPROTO: "not-tls",
  ETIMEDOUT: "idle",
};

/** The end of a message in the words of Go's net package, because people search the web for those words. */
export function wordsOf(failure: TransportFailure, error: unknown, url: URL): string {
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  switch (failure) {
    case "connect":
      return `dial tcp ${url.hostname}:${port}: connect: ${connectWords[codeOf(error)] ?? "connection refused"}`;
    case "lookup":
      return `dial tcp: lookup ${url.hostname}: no such host`;
    case "not-tls":
      return "http: server gave HTTP response to HTTPS client";
    case "idle":
      return plainMessage(error);
    case "tls":
      return `tls: failed to verify certificate: x509: ${certificateWords(error, url)}`;
    case "cut":
      return "unexpected EOF: the connection was closed in the middle";
  }
}

const connectWords: Readonly<Record<string, string>> = {
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  EADDRNOTAVAIL: "cannot assign requested address",
};

function certificateWords(error: unknown, url: URL): string {
  const code = codeOf(error);
  if (/SELF_SIGNED|ISSUER|UNABLE_TO_VERIFY/.test(code))
    return `certificate signed by unknown authority (put the registry's CA certificate into certs.d/${url.host}/ca.crt)`;
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID")
    return `certificate has expired or is not yet valid: ${plainMessage(error)}`;
  if (/ALTNAME|HOSTNAME/.test(code)) return `certificate is not valid for ${url.hostname}`;
  return plainMessage(error);
}

/** The message without the runtime's advice to programmers. */
function plainMessage(error: unknown): string {
  return messageOf(error).replace(/ fetching "[^"]*"|\.? *For more information, pass `verbose: true`.*$/g, "");
}

/** What the server said in the handshake, in Go's words, and a hint for the user. */
export function refusedWords(reason: string, url: URL, hasCertificate: boolean): string {
  const alert = /ALERT_(.*)$/.exec(reason)?.[1]?.toLowerCase().replaceAll("_", " ");
  if (alert === undefined) return `tls: handshake failed: ${reason}`;
  const folder = `certs.d/${url.host}`;
  const help = !/certificate|handshake|unknown ca|access/.test(alert)
    ? ""
    : hasCertificate
      ? ` (the server does not accept the client certificate of ${folder})`
      : ` (the server may want a client certificate: client.cert and client.key in ${folder})`;
  return `remote error: tls: ${alert}${help}`;
}

function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
}

const verificationCodes =
  /CERT|ISSUER|SELF_SIGNED|ALTNAME|UNABLE_TO|HOSTNAME|INVALID_CA|PATH_LENGTH|UNSPECIFIED|ERR_TLS|ERR_SSL/;

export function failureOf(error: unknown): TransportFailure {
  const code = codeOf(error);
  return fetchFailures[code] ?? (verificationCodes.test(code) ? "tls" : "cut");
}

/** The certificate is for another name. */
export function isMisnamed(error: unknown): boolean {
  return /ALTNAME|HOSTNAME/.test(codeOf(error));
}
