import { expect, test } from "bun:test";
import { EngineError } from "@fathom/base";
import { RegistryError, type RegistryReason } from "@fathom/distribution";
import { parseReference } from "@fathom/spec";
import { pullError } from "./registry-words.ts";

const reference = parseReference("registry.example/team/app:1");

function ofRegistry(reason: RegistryReason, status: number, message: string, withCredentials = false): unknown {
  return pullError(new RegistryError("unauthenticated", reason, status, message), reference, withCredentials);
}

test("a wrong password is 401 in the registry's words; a repository that is denied to a known user is not", () => {
  const words = "unauthorized: incorrect username or password";
  expect(ofRegistry("unauthorized", 401, words, true)).toMatchObject({ code: "unauthenticated", message: words });
  expect(ofRegistry("denied", 403, "denied", true)).toMatchObject({ code: "not-found" });
});

test("a rejection of a client without credentials is not 401, because the docker CLI would then ask for a password", () => {
  const start =
    "pull access denied for registry.example/team/app, repository does not exist or may require 'docker login': ";
  const words = "unauthorized: incorrect username or password";
  for (const error of [
    ofRegistry("unauthorized", 401, words),
    ofRegistry("denied", 403, words),
    ofRegistry("other", 403, words),
    pullError(new EngineError("unauthenticated", words), reference, false),
  ])
    expect(error).toMatchObject({ code: "not-found", message: start + words });
});

test("without credentials the error keeps the registry's words", () => {
  const message = 'Head "https://registry.example/v2/team/app/manifests/1": no basic auth credentials';
  expect(ofRegistry("no-credentials", 401, message)).toMatchObject({ code: "internal", message });
});

test("other failures stay unchanged", () => {
  const error = new EngineError("unavailable", "later");
  expect(pullError(error, reference, true)).toBe(error);
});
