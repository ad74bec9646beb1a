/**
 * Image references by Docker's rules (module github.com/distribution/reference). A text from a user becomes a registry, a repository and a tag
 * or digest; the short form that users see can be made again.
 *
 * Terms: a *canonical* string always names the registry ("docker.io/library/alpine:3.20"). A *familiar* string leaves out what Docker adds
 * ("alpine:3.20").
 */
import { EngineError } from "@fathom/base";
import { isDigest, type Digest } from "./digest.ts";

export interface Reference {
  /** Registry host with port: "docker.io" for names without one. */
  readonly registry: string;
  /** Repository inside the registry: "library/alpine". */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

export const defaultRegistry = "docker.io";
const defaultTag = "latest";

const officialPrefix = "library/";
const maxRepositoryLength = 255;
/** Longest valid reference: host 255, port 6, path 255, tag 129, digest 136. Longer (hostile) input never reaches the patterns below. */
const maxReferenceLength = 1024;

const domainComponent = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const host = String.raw`(?:${domainComponent}(?:\.${domainComponent})*|\[[a-fA-F0-9:]+\])`;
const domain = `${host}(?::[0-9]+)?`;
const pathComponent = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const path = `${pathComponent}(?:/${pathComponent})*`;
const tagWord = String.raw`\w[\w.-]{0,127}`;
const digestWord = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";

const referencePattern = new RegExp(`^(${domain})/(${path})(?::(${tagWord}))?(?:@(${digestWord}))?$`);
const tagPattern = new RegExp(`^${tagWord}$`);
const identifierPattern = /^[0-9a-f]{64}$/;

/** Splits the registry from a name. The first part is a registry only when it has a dot, a port or an upper-case letter, or is "localhost". */
function splitRegistry(name: string): { registry: string; rest: string } {
  const slash = name.indexOf("/");
  if (slash === -1) return { registry: defaultRegistry, rest: officialPrefix + name };
  const first = name.slice(0, slash);
  const isRegistry = first === "localhost" || /[.:]/.test(first) || first.toLowerCase() !== first;
  const registry = !isRegistry || first === "index.docker.io" ? defaultRegistry : first;
  const rest = isRegistry ? name.slice(slash + 1) : name;
  return { registry, rest: registry === defaultRegistry && !rest.includes("/") ? officialPrefix + rest : rest };
}

function invalid(message: string): EngineError {
  return new EngineError("invalid-argument", message);
}

/** The problem of a text that looks like a digest but is not a valid one. */
function digestProblem(text: string): string {
  const [algorithm, hex] = text.split(":") as [string, string];
  const length = { sha256: 64, sha384: 96, sha512: 128 }[algorithm];
  if (length === undefined || algorithm === "sha384") return "unsupported digest algorithm";
  return hex.length === length ? "invalid checksum digest format" : "invalid checksum digest length";
}

/**
 * Parses what a user typed. It adds no tag: see `withDefaultTag`.
 * @throws invalid-argument in the words of Docker's own parser.
 */
export function parseReference(text: string): Reference {
  if (identifierPattern.test(text))
    throw invalid(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  if (text.length > maxReferenceLength) throw invalid("invalid reference format");
  const { registry, rest } = splitRegistry(text);
  const colon = rest.indexOf(":");
  const remote = colon === -1 ? rest : rest.slice(0, colon);
  if (remote.toLowerCase() !== remote)
    throw invalid(`invalid reference format: repository name (${remote}) must be lowercase`);
  const match = referencePattern.exec(`${registry}/${rest}`);
  if (!match) throw invalid("invalid reference format");
  const [, , repository, tag, digest] = match;
  if (repository!.length > maxRepositoryLength)
    throw invalid(`repository name must not be more than ${maxRepositoryLength} characters`);
  if (digest !== undefined && !isDigest(digest)) throw invalid(digestProblem(digest));
  return { registry, repository: repository!, tag, digest };
}

/** Like parseReference, but returns undefined for an invalid reference. */
export function tryParseReference(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

/**
 * Rejects names that no image may have: "sha256:abcd" looks like an id, with or without a tag behind it.
 * @throws invalid-argument in Docker's words
 */
export function refuseAmbiguousName(reference: Reference): void {
  if (familiarName(reference) === "sha256")
    throw invalid("refusing to create an ambiguous tag using digest algorithm as name");
}

/** Rejects a reference with a digest as a new tag: a digest always comes from content. @throws invalid-argument in Docker's words */
export function refuseAsTag(reference: Reference): void {
  if (reference.digest !== undefined) throw invalid("refusing to create a tag with a digest reference");
  refuseAmbiguousName(reference);
}

/** Returns the reference itself. If it has neither tag nor digest, it gets the tag "latest". */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: defaultTag } : reference;
}

/** The repository with another tag. @throws invalid-argument for an invalid tag. */
export function withTag(reference: Reference, tag: string): Reference {
  if (!tagPattern.test(tag)) throw invalid("invalid tag format");
  return { ...reference, tag, digest: undefined };
}

/** The repository with a digest. */
export function withDigest(reference: Reference, digest: Digest): Reference {
  return { ...reference, tag: undefined, digest };
}

/** "docker.io/library/alpine" */
export function canonicalName(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}

/** "docker.io/library/alpine:3.20@sha256:…", with the tag and digest that the reference has. */
export function canonicalString(reference: Reference): string {
  return canonicalName(reference) + suffix(reference);
}

/** "alpine", "user/name", "ghcr.io/a/b". */
export function familiarName(reference: Reference): string {
  if (reference.registry !== defaultRegistry) return canonicalName(reference);
  const short = reference.repository.slice(officialPrefix.length);
  return reference.repository.startsWith(officialPrefix) && !short.includes("/") ? short : reference.repository;
}

/** "alpine:3.20@sha256:…", with the tag and digest that the reference has. */
export function familiarString(reference: Reference): string {
  return familiarName(reference) + suffix(reference);
}

function suffix(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`;
}
