/** The flags of `fathom registry serve`. */
import { EngineError, messageOf } from "@fathom/base";
import { parseArgs } from "node:util";
import { readAccessRule, type AccessRule } from "../access/rules.ts";

export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly root: string;
  readonly tls: { readonly certificateFile: string; readonly keyFile: string } | undefined;
  readonly htpasswd: string | undefined;
  readonly challenge: "basic" | "token";
  readonly access: readonly AccessRule[];
  readonly anonymousPull: readonly string[];
  /** Patterns of REPOSITORY:TAG. */
  readonly immutableTags: readonly string[];
  readonly mirror: { readonly url: URL; readonly expiryMs: number } | undefined;
  readonly quotas: readonly { readonly pattern: string; readonly bytes: number }[];
  readonly auditLog: string | undefined;
  /** undefined: no garbage collection by time. */
  readonly gcIntervalMs: number | undefined;
  readonly gcGraceMs: number;
  readonly gcUntaggedMs: number | undefined;
  readonly gcDryRun: boolean;
  readonly keepTags: readonly { readonly pattern: string; readonly count: number }[];
  readonly uploadExpiryMs: number;
}

export const serveHelp = `Usage:  fathom registry serve [OPTIONS]

Serve a registry for container images (OCI distribution-spec 1.1)

Options:
      --access RULE              Rights of a user: USER=PATTERN:pull,push,delete. USER may be "*". Without a rule each user may do everything
      --addr HOST:PORT           Where to listen (default "127.0.0.1:5000")
      --anonymous-pull PATTERN   Repositories that everybody may pull, for example "public/*"
      --audit-log FILE           Append a line of JSON for each change and each rejected client
      --auth basic|token         What clients without a token are asked for (default "token")
      --gc-dry-run               Log what the garbage collection would remove, and remove nothing
      --gc-grace DURATION        Unused blobs stay for this time, at least 10m (default "24h")
      --gc-interval DURATION     Time between two garbage collections; 0: only on the signal USR1 (default "24h")
      --gc-untagged DURATION     Remove manifests without a tag after this time, at least 10m
      --htpasswd FILE            Users and their passwords, as "htpasswd -B" writes them
      --immutable-tags PATTERN   Tags that keep their first image, for example "release/*:v*"
      --keep-tags PATTERN=N      The garbage collection removes all but the newest N tags of a repository, for example "dev/*=20"
      --mirror URL               Be a cache of this registry, for example https://registry-1.docker.io; it takes no pushes
      --mirror-expiry DURATION   How long a tag of it is not asked again (default "1h")
      --quota PATTERN=SIZE       Most bytes of one repository, for example "team/*=10g"
      --root DIR                 Where blobs and manifests are stored (default "/var/lib/fathom-registry")
      --tls-cert FILE            The server's certificate with its chain (PEM)
      --tls-key FILE             Its key (PEM)
      --upload-expiry DURATION   Uploads that receive nothing for this time end (default "24h")

A * in a PATTERN stands for any characters. --access, --anonymous-pull, --immutable-tags, --keep-tags and --quota may be given several times.
`;

const one = { type: "string" } as const;
const several = { type: "string", multiple: true } as const;

/** @throws invalid-argument for an unknown flag and a wrong value */
export function readServeOptions(argv: readonly string[]): ServeOptions {
  const values = parsed(argv);
  const { host, port } = readAddress(values.addr ?? "127.0.0.1:5000");
  const certificateFile = values["tls-cert"];
  const keyFile = values["tls-key"];
  if ((certificateFile === undefined) !== (keyFile === undefined))
    throw invalid("--tls-cert and --tls-key belong together: give both");
  const challenge = values.auth ?? "token";
  if (challenge !== "basic" && challenge !== "token") throw invalid(`--auth ${challenge}: expected basic or token`);
  const access = (values.access ?? []).map((text) => {
    const rule = readAccessRule(text);
    if (rule === undefined) throw invalid(`--access ${text}: expected USER=PATTERN:pull,push,delete`);
    return rule;
  });
  const anonymousPull = values["anonymous-pull"] ?? [];
  if (values.htpasswd === undefined && (access.length > 0 || anonymousPull.length > 0 || values.auth !== undefined))
    throw invalid("--access, --anonymous-pull and --auth need users: give --htpasswd too");
  const interval = durationOf("gc-interval", values["gc-interval"] ?? "24h");
  const untagged = values["gc-untagged"];
  return {
    host,
    port,
    root: values.root ?? "/var/lib/fathom-registry",
    tls: certificateFile === undefined || keyFile === undefined ? undefined : { certificateFile, keyFile },
    htpasswd: values.htpasswd,
    challenge,
    access,
    anonymousPull,
    immutableTags: values["immutable-tags"] ?? [],
    mirror: readMirror(values.mirror, values["mirror-expiry"]),
    quotas: (values.quota ?? []).map(readQuota),
    auditLog: values["audit-log"],
    gcIntervalMs: interval === 0 ? undefined : interval,
    gcGraceMs: graceOf("gc-grace", values["gc-grace"] ?? "24h"),
    gcUntaggedMs: untagged === undefined ? undefined : graceOf("gc-untagged", untagged),
    keepTags: (values["keep-tags"] ?? []).map(readKeptTags),
    gcDryRun: values["gc-dry-run"] ?? false,
    uploadExpiryMs: graceOf("upload-expiry", values["upload-expiry"] ?? "24h"),
  };
}

function parsed(argv: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...argv],
      strict: true,
      allowPositionals: false,
      options: {
        access: several,
        addr: one,
        "anonymous-pull": several,
        "audit-log": one,
        auth: one,
        "gc-dry-run": { type: "boolean" },
        "gc-grace": one,
        "gc-interval": one,
        "gc-untagged": one,
        htpasswd: one,
        "immutable-tags": several,
        "keep-tags": several,
        mirror: one,
        "mirror-expiry": one,
        quota: several,
        root: one,
        "tls-cert": one,
        "tls-key": one,
        "upload-expiry": one,
      },
    });
    return values;
  } catch (error) {
    const unknown = /Unknown option '(-+[^']*)'/.exec(messageOf(error))?.[1];
    throw invalid(unknown === undefined ? messageOf(error) : `unknown flag: ${unknown}`);
  }
}

function readAddress(text: string): { host: string; port: number } {
  const match = /^(\[[^\]]+\]|[^:]*):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) throw invalid(`--addr ${text}: expected HOST:PORT`);
  const host = match[1]!.replace(/^\[|\]$/g, "");
  return { host: host === "" ? "::" : host, port };
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Longer times overflow timers. */
const maxDurationMs = 20 * 86_400_000;

function durationOf(flag: string, text: string): number {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  if (text === "0") return 0;
  const ms = match === null ? Number.NaN : Number(match[1]) * unitMs[match[2]!]!;
  if (Number.isNaN(ms) || (flag === "gc-interval" && ms > maxDurationMs))
    throw invalid(
      `--${flag} ${text}: expected a time such as 30m, 24h or 7d${flag === "gc-interval" ? ", at most 20d" : ""}`,
    );
  return ms;
}

/** A push must be able to end before its parts count as unused. */
const leastGraceMs = 600_000;

function graceOf(flag: string, text: string): number {
  const ms = durationOf(flag, text);
  if (ms < leastGraceMs) throw invalid(`--${flag} ${text}: a push may take longer; the least is 10m`);
  return ms;
}

function readKeptTags(text: string): { pattern: string; count: number } {
  const match = /^([^=]+)=(\d{1,6})$/.exec(text);
  if (match === null || Number(match[2]) === 0)
    throw invalid(`--keep-tags ${text}: expected PATTERN=N, for example "dev/*=20"`);
  return { pattern: match[1]!, count: Number(match[2]) };
}

function readMirror(text: string | undefined, expiry: string | undefined): ServeOptions["mirror"] {
  if (text === undefined) {
    if (expiry !== undefined) throw invalid("--mirror-expiry needs --mirror");
    return undefined;
  }
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.pathname !== "/")
    throw invalid(`--mirror ${text}: expected https://HOST or http://HOST`);
  return { url, expiryMs: durationOf("mirror-expiry", expiry ?? "1h") };
}

function readQuota(text: string): { pattern: string; bytes: number } {
  const match = /^([^=]+)=(\d{1,12})([kmgt]?)b?$/i.exec(text);
  if (match === null) throw invalid(`--quota ${text}: expected PATTERN=SIZE, for example "team/*=10g"`);
  const power = ["", "k", "m", "g", "t"].indexOf(match[3]!.toLowerCase());
  return { pattern: match[1]!, bytes: Number(match[2]) * 1024 ** power };
}

function invalid(message: string): EngineError {
  return new EngineError("invalid-argument", message);
}
