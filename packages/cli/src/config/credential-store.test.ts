import { afterEach, beforeEach, expect, test } from "bun:test";
import { lstatSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@fathom/base/testing";
import { changeConfig } from "./config-file.ts";
import { credentialsOf } from "./credentials.ts";
import { eraseCredentials, storeCredentials } from "./credential-store.ts";

let directory: ReturnType<typeof temporaryDirectory>;
let path: string | undefined;
const auth = { username: "me", password: "se:cret", serveraddress: "registry.test" };

beforeEach(() => {
  directory = temporaryDirectory("cli-store");
  path = process.env["PATH"];
});

afterEach(() => {
  process.env["PATH"] = path;
  directory[Symbol.dispose]();
});

const configFile = (): string => join(directory.path, "config.json");
const document = (): unknown => JSON.parse(readFileSync(configFile(), "utf8"));

test("without a helper, the file keeps the credentials, and everything else that is in it", async () => {
  writeFileSync(
    configFile(),
    JSON.stringify({ proxies: { default: { httpProxy: "p" } }, auths: { other: { auth: "eDp5" } } }),
  );
  expect(await storeCredentials(directory.path, auth)).toBe(configFile());
  expect(document()).toEqual({
    proxies: { default: { httpProxy: "p" } },
    auths: { other: { auth: "eDp5" }, "registry.test": { auth: Buffer.from("me:se:cret").toString("base64") } },
  });
  expect(await storeCredentials(directory.path, auth)).toBeUndefined();
  expect(await credentialsOf("registry.test", directory.path)).toEqual(auth);
  await eraseCredentials(directory.path, "registry.test");
  expect(await credentialsOf("registry.test", directory.path)).toBeUndefined();
  expect(document()).toMatchObject({ auths: { other: { auth: "eDp5" } } });
});

test("a new file is only for its user, an old one keeps its mode; a symlink stays one", () => {
  changeConfig(directory.path, (found) => void (found["a"] = 1));
  expect(statSync(configFile()).mode & 0o777).toBe(0o600);
  const elsewhere = join(directory.path, "elsewhere");
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, "real.json"), "{}", { mode: 0o644 });
  const linked = join(directory.path, "linked");
  mkdirSync(linked);
  symlinkSync("../elsewhere/real.json", join(linked, "config.json"));
  changeConfig(linked, (found) => void (found["b"] = 2));
  expect(lstatSync(join(linked, "config.json")).isSymbolicLink()).toBe(true);
  expect(JSON.parse(readFileSync(join(elsewhere, "real.json"), "utf8"))).toEqual({ auths: {}, b: 2 });
  expect(statSync(join(elsewhere, "real.json")).mode & 0o777).toBe(0o644);
});

test("a file that is not JSON is not overwritten", async () => {
  writeFileSync(configFile(), "{broken");
  await expect(storeCredentials(directory.path, auth)).rejects.toThrow("is not JSON: repair or remove it");
  expect(readFileSync(configFile(), "utf8")).toBe("{broken");
});

test("with a helper, the file has only the server's name", async () => {
  const program = join(directory.path, "docker-credential-box");
  writeFileSync(
    program,
    `#!/bin/sh\ncd "${directory.path}"\ncase $1 in store) cat > kept;; get) cat kept;; erase) cat > erased; rm kept;; esac\n`,
    { mode: 0o755 },
  );
  process.env["PATH"] = `${directory.path}:${path}`;
  writeFileSync(configFile(), JSON.stringify({ credHelpers: { "registry.test": "box" } }));
  expect(await storeCredentials(directory.path, auth)).toBeUndefined();
  expect(readFileSync(join(directory.path, "kept"), "utf8")).toBe(
    '{"ServerURL":"registry.test","Username":"me","Secret":"se:cret"}\n',
  );
  expect(document()).toMatchObject({ auths: { "registry.test": {} } });
  expect(await credentialsOf("registry.test", directory.path)).toEqual(auth);
  await storeCredentials(directory.path, { serveraddress: "registry.test", username: "me", identitytoken: "token" });
  expect(await credentialsOf("registry.test", directory.path)).toEqual({
    identitytoken: "token",
    serveraddress: "registry.test",
  });
  await eraseCredentials(directory.path, "registry.test");
  expect(readFileSync(join(directory.path, "erased"), "utf8")).toBe("registry.test");
  expect(document()).toMatchObject({ auths: {} });
});

test("a helper that fails or is not installed: docker's words", async () => {
  writeFileSync(configFile(), JSON.stringify({ credsStore: "fathom-not-there" }));
  await expect(storeCredentials(directory.path, auth)).rejects.toThrow(
    'error saving credentials: error storing credentials - err: exec: "docker-credential-fathom-not-there": executable file not found in $PATH, out: ``',
  );
  writeFileSync(join(directory.path, "docker-credential-bad"), "#!/bin/sh\necho no room; exit 3\n", { mode: 0o755 });
  process.env["PATH"] = `${directory.path}:${path}`;
  writeFileSync(configFile(), JSON.stringify({ credsStore: "bad" }));
  await expect(storeCredentials(directory.path, auth)).rejects.toThrow("err: exit status 3, out: `no room`");
});
