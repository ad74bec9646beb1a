/** ADD of a URL. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { EngineError, isEngineError, messageOf, within } from "@fathom/base";

/** A server that sends nothing for so long has failed. */
const silenceMs = 60_000;
const mostBytes = 16 * 2 ** 30;

export function isUrl(source: string): boolean {
  return /^https?:\/\//i.test(source);
}

export function isGitSource(source: string): boolean {
  return /^(git@|git:\/\/|ssh:\/\/)/i.test(source) || /^https?:\/\/[^?#]+\.git(#|\?|$)/i.test(source);
}

/** The file's name: the last part of the URL's path. @throws EngineError */
export function urlFileName(url: string): string {
  const name = decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "");
  if (name === "" || name.includes("/") || name === "." || name === "..")
    throw new EngineError("invalid-argument", `cannot determine filename for source ${url}`);
  return name;
}

export interface Downloaded {
  readonly name: string;
  readonly digest: string;
  /** Nanoseconds since the epoch. */
  readonly mtimeNs: bigint;
}

/** The file is `directory`/`name`, mode 0600. @throws EngineError with the URL and the status */
export async function download(url: string, directory: string, name: string, signal: AbortSignal): Promise<Downloaded> {
  const failed = (why: string, cause?: unknown): EngineError =>
    new EngineError("unavailable", `ADD failed: failed to GET ${url}${why}`, { cause });
  const late = (): never => {
    signal.throwIfAborted();
    throw failed(`: the server sent nothing for ${silenceMs / 1000} s`);
  };
  const ended = new AbortController();
  const both = AbortSignal.any([signal, ended.signal]);
  try {
    const response = await within(fetch(url, { signal: both }), silenceMs, late, { signal });
    if (!response.ok) throw failed(` with status ${response.status} ${response.statusText}`);
    await using file = await open(join(directory, name), "wx", 0o600);
    const hash = createHash("sha256");
    let bytes = 0;
    const reader = response.body?.getReader();
    while (reader !== undefined) {
      const { done, value } = await within(reader.read(), silenceMs, late, { signal });
      if (done || value === undefined) break;
      bytes += value.length;
      if (bytes > mostBytes) throw failed(`: it is larger than ${mostBytes} bytes`);
      hash.update(value);
      await file.writeFile(value);
    }
    const modified = Date.parse(response.headers.get("last-modified") ?? "");
    return {
      name,
      digest: `sha256:${hash.digest("hex")}`,
      mtimeNs: Number.isNaN(modified) ? 0n : BigInt(modified) * 1_000_000n,
    };
  } catch (error) {
    signal.throwIfAborted();
    throw isEngineError(error) ? error : failed(`: ${messageOf(error)}`, error);
  } finally {
    ended.abort();
  }
}
