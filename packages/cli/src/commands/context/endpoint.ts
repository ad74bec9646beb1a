/** `--docker host=…,ca=…,cert=…,key=…,skip-tls-verify=…` of context create and update. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseHost } from "@fathom/client";
import { messageOf } from "@fathom/base";
import { parseBool } from "@fathom/spec";
import { readContext, readTls, type Endpoint, type TlsFiles } from "../../config/contexts.ts";
import { fileFailure } from "../../run-options/files.ts";
import { parsePairs } from "../../run-options/values.ts";

const keys = ["from", "host", "ca", "cert", "key", "skip-tls-verify"];

function fileOf(path: string | undefined): Uint8Array | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileFailure("open", path, error);
  }
}

function checkAuthority(pem: Uint8Array): void {
  try {
    void new X509Certificate(pem).subject;
  } catch (error) {
    throw new Error("invalid docker endpoint options: failed to retrieve context tls info: ca.pem seems invalid", {
      cause: error,
    });
  }
}

/** @throws Error in docker's words */
export function endpointOf(
  configDirectory: string,
  given: readonly string[],
): { readonly endpoint: Endpoint; readonly tls: TlsFiles } {
  try {
    const pairs = new Map(given.flatMap(parsePairs));
    const unknown = [...pairs.keys()].filter((key) => !keys.includes(key));
    if (unknown.length > 0) throw new Error(unknown.map((key) => `unrecognized config key: ${key}`).join("\n"));
    const from = pairs.get("from");
    if (from !== undefined) {
      const endpoint = readContext(configDirectory, from).Endpoints["docker"];
      if (endpoint === undefined) throw new Error(`unable to get endpoint from context ${JSON.stringify(from)}`);
      return { endpoint, tls: readTls(configDirectory, from) };
    }
    const [ca, cert, key] = [fileOf(pairs.get("ca")), fileOf(pairs.get("cert")), fileOf(pairs.get("key"))];
    if (ca !== undefined) checkAuthority(ca);
    const skip = pairs.get("skip-tls-verify");
    const skipped = skip === undefined ? false : parseBool(skip);
    if (skipped === undefined) throw new Error(`skip-tls-verify: parsing ${JSON.stringify(skip)}: invalid syntax`);
    const host = pairs.get("host") ?? "";
    // An ssh address is for the docker CLI, which reads the same files.
    if (host !== "" && !host.startsWith("ssh://")) parseHost(host);
    return {
      endpoint: { ...(host === "" ? {} : { Host: host }), SkipTLSVerify: skipped },
      tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) },
    };
  } catch (error) {
    throw new Error(`unable to create docker endpoint config: ${messageOf(error)}`, { cause: error });
  }
}
