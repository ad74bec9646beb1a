/** The daemon's address and certificates of a context, or of the --tls flags. */
import type { DaemonAddress } from "@fathom/client";
import { messageOf } from "@fathom/base";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readUserFile } from "../run-options/files.ts";
import { readContext, readTls } from "./contexts.ts";

type Tls = NonNullable<DaemonAddress["tls"]>;

/** @throws Error in docker's words */
export function contextAddress(configDirectory: string, name: string): DaemonAddress {
  try {
    const { Endpoints } = readContext(configDirectory, name);
    const endpoint = Endpoints["docker"];
    if (endpoint === undefined) throw new Error(`cannot find docker endpoint in context ${JSON.stringify(name)}`);
    const { ca, cert, key } = readTls(configDirectory, name);
    const host = endpoint.Host ?? "";
    if (ca === undefined && cert === undefined && key === undefined && endpoint.SkipTLSVerify !== true) return { host };
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
    return {
      host,
      tls: {
        verify: endpoint.SkipTLSVerify !== true,
        ...(ca && { authorities: text(ca) }),
        ...(cert && { certificate: text(cert) }),
        ...(key && { key: text(key) }),
      },
    };
  } catch (error) {
    throw new Error(`Failed to initialize: unable to resolve docker endpoint: ${messageOf(error)}`, { cause: error });
  }
}

/** "" is the file of that kind in the folder; there the client's own certificate and key may be missing. @throws Error when a file cannot be read */
export function tlsFromFiles(files: {
  readonly folder: string;
  readonly authorities: string;
  readonly certificate: string;
  readonly key: string;
  readonly verify: boolean;
}): Tls {
  const own = (given: string, name: string): string | undefined => {
    const path = given === "" ? join(files.folder, name) : given;
    return given === "" && !existsSync(path) ? undefined : readUserFile(path);
  };
  const authorities = files.verify ? readUserFile(files.authorities || join(files.folder, "ca.pem")) : undefined;
  const certificate = own(files.certificate, "cert.pem");
  const key = own(files.key, "key.pem");
  return {
    verify: files.verify,
    ...(authorities === undefined ? {} : { authorities }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(key === undefined ? {} : { key }),
  };
}
