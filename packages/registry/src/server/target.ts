/** What a request's target asks for. The words are looked for from its end, because they can be parts of a repository's name too. */
import { isRepository } from "../names/names.ts";

export type Target =
  | { readonly kind: "base" | "catalog" }
  | { readonly kind: "tags" | "uploads"; readonly repository: string }
  | { readonly kind: "manifest" | "blob" | "referrers"; readonly repository: string; readonly reference: string }
  | { readonly kind: "upload"; readonly repository: string; readonly id: string };

export type TargetReading =
  | Target
  | { readonly kind: "unknown" }
  | { readonly kind: "bad-name"; readonly name: string };

/** @param path Without the query; its escapes are decoded. */
export function readTarget(path: string): TargetReading {
  if (path === "/v2" || path === "/v2/") return { kind: "base" };
  if (path === "/v2/_catalog") return { kind: "catalog" };
  if (!path.startsWith("/v2/")) return { kind: "unknown" };
  const parts = path.slice("/v2/".length).split("/");
  const found = readParts(parts);
  if (found.kind === "unknown" || !("repository" in found) || isRepository(found.repository)) return found;
  return { kind: "bad-name", name: found.repository };
}

function readParts(parts: readonly string[]): Target | { readonly kind: "unknown" } {
  const last = parts.at(-1)!;
  const word = parts.at(-2);
  const before = (count: number): string => parts.slice(0, -count).join("/");
  if (parts.length > 3 && parts.at(-3) === "blobs" && word === "uploads")
    return last === ""
      ? { kind: "uploads", repository: before(3) }
      : { kind: "upload", repository: before(3), id: last };
  if (parts.length < 3 || last === "") return { kind: "unknown" };
  const repository = before(2);
  if (word === "blobs" && last === "uploads") return { kind: "uploads", repository };
  if (word === "blobs") return { kind: "blob", repository, reference: last };
  if (word === "manifests") return { kind: "manifest", repository, reference: last };
  if (word === "referrers") return { kind: "referrers", repository, reference: last };
  if (word === "tags" && last === "list") return { kind: "tags", repository };
  return { kind: "unknown" };
}
