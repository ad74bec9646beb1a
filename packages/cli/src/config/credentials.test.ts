import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { authHeader, credentialsFor, registryOf } from "./credentials.ts";

let directory: string;
let path: string | undefined;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "fathom-credentials-"));
  writeFileSync(
    join(directory, "config.json"),
    JSON.stringify({
      auths: {
        "https://index.docker.io/v1/": { auth: Buffer.from("me:se:cret").toString("base64") },
        "quay.io": { identitytoken: "token" },
        "broken.test": { auth: "bm9jb2xvbg==" },
      },
      credHelpers: { "helped.test": "fathomtest", "lost.test": "fathom-not-there" },
    }),
  );
  const helper = join(directory, "docker-credential-fathomtest");
  writeFileSync(
    helper,
    '#!/bin/sh\nread server\n[ "$1" = get ] && printf \'{"Username":"u","Secret":"%s"}\' "$server"\n',
  );
  chmodSync(helper, 0o755);
  path = process.env["PATH"];
  process.env["PATH"] = `${directory}:${path}`;
});

afterAll(() => {
  process.env["PATH"] = path;
  rmSync(directory, { recursive: true, force: true });
});

test("the registry of a name", () => {
  expect(registryOf("alpine")).toBe("docker.io");
  expect(registryOf("library/alpine")).toBe("docker.io");
  expect(registryOf("localhost/x")).toBe("localhost");
  expect(registryOf("127.0.0.1:5000/x:1")).toBe("127.0.0.1:5000");
});

test("auths, tokens, helpers", async () => {
  expect(await credentialsFor("alpine", directory)).toEqual({
    username: "me",
    password: "se:cret",
    serveraddress: "https://index.docker.io/v1/",
  });
  expect(await credentialsFor("quay.io/a/b", directory)).toEqual({ identitytoken: "token", serveraddress: "quay.io" });
  expect(await credentialsFor("helped.test/a", directory)).toEqual({
    username: "u",
    password: "helped.test",
    serveraddress: "helped.test",
  });
  expect(await credentialsFor("other.test/a", directory)).toBeUndefined();
  await expect(credentialsFor("broken.test/a", directory)).rejects.toThrow("are not base64 of user:password");
  expect(authHeader(undefined)).toEqual({});
});

test("a helper that is not installed: a warning, and no credentials", async () => {
  const warnings: string[] = [];
  expect(await credentialsFor("lost.test/a", directory, (text) => warnings.push(text))).toBeUndefined();
  expect(warnings).toEqual([
    "WARNING: credential helper docker-credential-fathom-not-there is not in $PATH: continuing without credentials for lost.test",
  ]);
});

test("the error for a wrong type in the file or in a helper's answer names it; null is the same as absent", async () => {
  const own = mkdtempSync(join(tmpdir(), "fathom-credentials-"));
  const write = (content: unknown): void => writeFileSync(join(own, "config.json"), JSON.stringify(content));
  write({ auths: { "quay.io": { auth: 5 } } });
  await expect(credentialsFor("quay.io/a", own)).rejects.toThrow(
    `${join(own, "config.json")}: auths.quay.io.auth: expected a string, got a number`,
  );
  write([]);
  await expect(credentialsFor("quay.io/a", own)).rejects.toThrow("the document: expected an object, got an array");
  write({ auths: null, credsStore: null, credHelpers: null, HttpHeaders: { a: 1 } });
  expect(await credentialsFor("quay.io/a", own)).toBeUndefined();
  for (const [answer, words] of [
    ["nonsense", "docker-credential-fathomodd gave an answer that is not JSON"],
    ['{"Secret":1}', "the answer of docker-credential-fathomodd: Secret: expected a string, got a number"],
  ] as const) {
    writeFileSync(join(directory, "docker-credential-fathomodd"), `#!/bin/sh\nprintf '%s' '${answer}'\n`, {
      mode: 0o755,
    });
    write({ credsStore: "fathomodd" });
    await expect(credentialsFor("quay.io/a", own)).rejects.toThrow(words);
  }
  rmSync(own, { recursive: true });
});
