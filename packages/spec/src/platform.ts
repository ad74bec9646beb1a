/**
 * Platforms: parses what users type, normalises the names that tools write, and chooses an entry of an index.
 * The choice follows the fallback rules of containerd's `platforms` package. An ARMv7 machine also runs v6 and v5 images. An arm64 machine also
 * runs 32-bit ARM. An amd64 machine also runs lower micro-architecture levels, and 386 when the index has nothing else.
 */
import { EngineError } from "@fathom/base";
import type { Platform } from "./oci/image.ts";

const component = /^[A-Za-z0-9_.-]+$/;

const knownSystems: ReadonlySet<string> = new Set(
  "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos".split(
    " ",
  ),
);
const knownArchitectures: ReadonlySet<string> = new Set(
  (
    "386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64 ppc64le " +
    "riscv riscv64 s390 s390x sparc sparc64 wasm"
  ).split(" "),
);

/** The platform of this process. A 32-bit ARM machine counts as v7, because Bun needs at least v7. */
export function hostPlatform(): Platform {
  const architecture = { x64: "amd64", ia32: "386", arm64: "arm64", arm: "arm", s390x: "s390x", ppc64: "ppc64le" }[
    process.arch as string
  ];
  return normalizePlatform({ os: process.platform, architecture: architecture ?? process.arch });
}

function normalizeSystem(os: string): string {
  const lower = os.toLowerCase();
  return lower === "macos" ? "darwin" : lower;
}

function normalizeArchitecture(architecture: string, variant: string): { architecture: string; variant: string } {
  const name = architecture.toLowerCase();
  const level = variant.toLowerCase();
  switch (name) {
    case "i386":
      return { architecture: "386", variant: "" };
    case "x86_64":
    case "x86-64":
    case "amd64":
      return { architecture: "amd64", variant: level === "v1" ? "" : level };
    case "aarch64":
    case "arm64":
      return { architecture: "arm64", variant: level === "" || level === "8" ? "v8" : level };
    case "armhf":
      return { architecture: "arm", variant: "v7" };
    case "armel":
      return { architecture: "arm", variant: "v6" };
    case "arm":
      return { architecture: "arm", variant: level === "" ? "v7" : /^\d+$/.test(level) ? `v${level}` : level };
    default:
      return { architecture: name, variant: level };
  }
}

/** Lower case, one name for each architecture, and the default variant of ARM written out. */
export function normalizePlatform(platform: Platform): Platform {
  const { architecture, variant } = normalizeArchitecture(platform.architecture, platform.variant ?? "");
  const { variant: _, ...rest } = platform;
  return { ...rest, os: normalizeSystem(platform.os), architecture, ...(variant === "" ? {} : { variant }) };
}

/**
 * Parses "os", "arch", "os/arch" or "os/arch/variant". Missing parts come from `host`.
 * @throws invalid-argument in containerd's words, which the docker CLI shows.
 */
export function parsePlatform(text: string, host: Platform = hostPlatform()): Platform {
  const quoted = JSON.stringify(text.slice(0, 256));
  if (text.includes("*")) throw invalid(`${quoted}: wildcards not yet supported: invalid argument`);
  const parts = text.split("/");
  if (parts.length > 3) throw invalid(`${quoted}: cannot parse platform specifier: invalid argument`);
  for (const part of parts)
    if (!component.test(part) || part.length > 64)
      throw invalid(
        `${JSON.stringify(part.slice(0, 64))} is an invalid component of ${quoted}: platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument`,
      );
  const [first, second, variant] = parts as [string, string?, string?];
  if (variant !== undefined) return normalizePlatform({ os: first, architecture: second!, variant });
  if (second !== undefined) return withoutImpliedVariant(normalizePlatform({ os: first, architecture: second }));
  const os = normalizeSystem(first);
  if (knownSystems.has(os)) return normalizePlatform({ ...host, os });
  const { architecture } = normalizeArchitecture(first, "");
  if (knownArchitectures.has(architecture)) return normalizePlatform({ os: host.os, architecture: first });
  throw invalid(`${quoted}: unknown operating system or architecture: invalid argument`);
}

/** "linux/arm64" is shown as the user typed it, without the v8 that it implies. Matching adds the v8 again. */
function withoutImpliedVariant(platform: Platform): Platform {
  const implied = { arm64: "v8", arm: "v7" }[platform.architecture];
  if (implied === undefined || platform.variant !== implied) return platform;
  const { variant: _, ...rest } = platform;
  return rest;
}

function invalid(message: string): EngineError {
  return new EngineError("invalid-argument", message);
}

/** "linux/arm64/v8" */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant]
    .filter((part) => part !== undefined && part !== "")
    .join("/");
}

function downTo(name: string, from: number, lowest: number): string[] {
  return Array.from({ length: Math.max(0, from - lowest + 1) }, (_, index) => `${name}/v${from - index}`);
}

/** The "arch/variant" pairs that `wanted` can run, the best first. */
function runnable(wanted: Platform): string[] {
  const { architecture, variant = "" } = wanted;
  const version = /^v(\d+)/.exec(variant)?.[1];
  switch (architecture) {
    case "amd64": {
      const level = Math.min(Number(version ?? 1), 9);
      return [...downTo("amd64", level, 2), "amd64/", "386/"];
    }
    case "arm":
      return [`arm/${variant}`, ...(version === undefined ? [] : downTo("arm", Math.min(Number(version), 8) - 1, 5))];
    case "arm64":
      return [`arm64/${variant}`, ...(variant === "v8" ? [] : ["arm64/v8"]), ...downTo("arm", 8, 5)];
    default:
      return [`${architecture}/${variant}`];
  }
}

function rank(wanted: Platform, offered: Platform): number {
  const image = normalizePlatform(offered);
  if (image.os !== wanted.os) return -1;
  return runnable(wanted).indexOf(`${image.architecture}/${image.variant ?? ""}`);
}

/** Whether an image for platform `image` can be used for `wanted`. */
export function platformMatches(wanted: Platform, image: Platform): boolean {
  return rank(normalizePlatform(wanted), image) !== -1;
}

/** The best of the given entries. Entries without a platform come last. Returns undefined when none fits. */
export function pickPlatform<T extends { readonly platform?: Platform | undefined }>(
  wanted: Platform,
  offered: readonly T[],
): T | undefined {
  const wish = normalizePlatform(wanted);
  let best: T | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const entry of offered) {
    const place = entry.platform === undefined ? Number.MAX_SAFE_INTEGER : rank(wish, entry.platform);
    if (place !== -1 && place < bestRank) [best, bestRank] = [entry, place];
  }
  return best;
}
