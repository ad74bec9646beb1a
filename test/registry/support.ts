/** For tests: the compiled registry as a process beside a test's daemon. */
import { sha256Digest } from "@fathom/spec";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { binary, until, type Result, type TestDaemon } from "../daemon/harness.ts";

export interface RegistryProcess {
  readonly address: string;
  readonly process: Bun.Subprocess;
}

/** @param flags More flags of `fathom registry serve`. */
export async function startRegistry(
  daemon: TestDaemon,
  port: number,
  root: string,
  ...flags: string[]
): Promise<RegistryProcess> {
  const address = `127.0.0.1:${port}`;
  const process = daemon.begin(binary, "registry", "serve", "--addr", address, "--root", root, ...flags);
  const scheme = flags.includes("--tls-cert") ? "https" : "http";
  await until("the registry answers", () => daemon.run("curl", "-ksf", `${scheme}://${address}/healthz`).code === 0);
  return { address, process };
}

/** Copies with all platforms, and fails with skopeo's words. */
export function skopeoCopy(daemon: TestDaemon, from: string, to: string): void {
  const flags = [
    "--insecure-policy",
    "--all",
    "--preserve-digests",
    "--src-tls-verify=false",
    "--dest-tls-verify=false",
  ];
  expectSuccess(daemon.run("skopeo", "copy", "-q", ...flags, from, to));
}

export function expectSuccess({ code, out, err }: Result): string {
  if (code !== 0) throw new Error(`ended with ${code}: ${err}${out}`);
  return out;
}

/** Status and fields that the program curl got, with the body behind them. */
export function curl(
  daemon: TestDaemon,
  ...args: string[]
): { status: number; fields: Map<string, string>; body: string } {
  const out = expectSuccess(daemon.run("curl", "-sk", "-i", ...args)).replace(/^HTTP\/1.1 100 [^\r]*\r\n\r\n/, "");
  const end = out.indexOf("\r\n\r\n");
  const [first = "", ...lines] = out.slice(0, end).split("\r\n");
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status: Number(first.split(" ")[1]), fields: new Map(fields), body: out.slice(end + 4) };
}

export function digestOfFile(path: string): string {
  return sha256Digest(readFileSync(path));
}

/** The blob of this digest in an OCI layout. */
export function layoutBlob(layout: string, digest: string): string {
  return join(layout, "blobs", digest.replace(":", "/"));
}
