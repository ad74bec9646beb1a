/**
 * Image references by Docker's rules (module github.com/distribution/reference): what a user types becomes a registry, a repository and a tag
 * or digest, and goes back to the short form that users see.
 *
 * Terms: a *canonical* string always names the registry ("docker.io/library/alpine:3.20"); a *familiar* one leaves out what Docker adds
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
export const defaultTag = "latest";

const officialPrefix = "library/";
const maxRepositoryLength = 255;
/** No valid reference is longer: host 255, port 6, path 255, tag 129, digest 136. Keeps the patterns below off hostile input. */
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

/** Cuts the registry off a name. Only a first part with a dot, a port, an upper-case letter, or "localhost" is one. */
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

/** What is wrong with a digest that has the outer shape of one. */
function digestProblem(text: string): string {
  const [algorithm, hex] = text.split(":") as [string, string];
  const length = { sha256: 64, sha384: 96, sha512: 128 }[algorithm];
  if (length === undefined || algorithm === "sha384") return "unsupported digest algorithm";
  return hex.length === length ? "invalid checksum digest format" : "invalid checksum digest length";
}

/**
 * Parses what a user typed. No tag is added: see `withDefaultTag`.
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

/** As parseReference, with undefined for what is no reference. */
export function tryParseReference(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

/**
 * Refuses what no image may be called: "sha256:abcd" reads as an id, in front of a tag as well as alone.
 * @throws invalid-argument in Docker's words
 */
export function refuseAmbiguousName(reference: Reference): void {
  if (familiarName(reference) === "sha256")
    throw invalid("refusing to create an ambiguous tag using digest algorithm as name");
}

/** Refuses what no tag may be: only content gives a digest. @throws invalid-argument in Docker's words */
export function refuseAsTag(reference: Reference): void {
  if (reference.digest !== undefined) throw invalid("refusing to create a tag with a digest reference");
  refuseAmbiguousName(reference);
}

/** The reference itself, or with tag "latest" where it has neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: defaultTag } : reference;
}

/** The repository alone, with another tag. @throws invalid-argument for a tag that is none. */
export function withTag(reference: Reference, tag: string): Reference {
  if (!tagPattern.test(tag)) throw invalid("invalid tag format");
  return { ...reference, tag, digest: undefined };
}

/** The repository alone, with a digest. */
export function withDigest(reference: Reference, digest: Digest): Reference {
  return { ...reference, tag: undefined, digest };
}

/** "docker.io/library/alpine" */
export function canonicalName(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}

/** "docker.io/library/alpine:3.20@sha256:…", as far as tag and digest are there. */
export function canonicalString(reference: Reference): string {
  return canonicalName(reference) + suffix(reference);
}

/** "alpine", "user/name", "ghcr.io/a/b". */
export function familiarName(reference: Reference): string {
  if (reference.registry !== defaultRegistry) return canonicalName(reference);
  const short = reference.repository.slice(officialPrefix.length);
  return reference.repository.startsWith(officialPrefix) && !short.includes("/") ? short : reference.repository;
}

/** "alpine:3.20@sha256:…", as far as tag and digest are there. */
export function familiarString(reference: Reference): string {
  return familiarName(reference) + suffix(reference);
}

function suffix(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`;
}
