import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mediaTypes, parseReference } from "@fathom/spec";
import { createRegistryClient } from "../client.ts";
import { forgetSchemes } from "../endpoints.ts";
import { ScriptedRegistry } from "../testing/scripted-registry.ts";
import { clientPair, expiredPair, misnamedPair, serverPair, testAuthority } from "../testing/test-certificates.ts";
import { defaultRegistryConfig } from "../testing/registry-config.ts";

let registry: ScriptedRegistry | undefined;
let directory: string;
beforeEach(() => {
  forgetSchemes();
  directory = mkdtempSync(join(tmpdir(), "fathom-certs-"));
});
afterEach(async () => {
  await registry?.[Symbol.asyncDispose]();
  registry = undefined;
  rmSync(directory, { recursive: true });
});

type Tls = Parameters<typeof ScriptedRegistry.start>[0];

/** Starts the server with an image, and puts files into its folder in certs.d. */
async function start(tls: Tls, files: Readonly<Record<string, string>>): Promise<ScriptedRegistry> {
  registry = await ScriptedRegistry.start(tls);
  registry.addManifest("app:1", mediaTypes.ociManifest, { schemaVersion: 2, config: {}, layers: [] });
  mkdirSync(join(directory, registry.host));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, registry.host, name), text);
  return registry;
}

/** The result of a request for the image: "well", or the message. The request uses a name when the trust in loopback addresses must not apply. */
async function outcome(more: { readonly host?: string } = {}): Promise<string> {
  const config = { ...defaultRegistryConfig, proxy: {}, certificateDirectories: [directory], attempts: 1 };
  const client = createRegistryClient({ config });
  const reference = parseReference(`${more.host ?? registry!.host}/app:1`);
  return client.head(reference).then(
    () => "well",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

const wantsClient = { ...serverPair, ca: testAuthority, requestCert: true };

test("the server asks for a client certificate, and the client has one", async () => {
  await start(wantsClient, { "ca.crt": testAuthority, "client.cert": clientPair.cert, "client.key": clientPair.key });
  expect(await outcome()).toBe("well");
});

test("the server asks for a client certificate and the client has none: the error has the server's alert and the place for the file", async () => {
  const { host } = await start(wantsClient, { "ca.crt": testAuthority });
  expect(await outcome()).toMatch(/^Head "https:.*": remote error: tls: .*certificate required/);
  expect(await outcome()).toContain(`client.cert and client.key in certs.d/${host}`);
});

test("the error names files that cannot be used", async () => {
  const { host } = await start(wantsClient, {
    "ca.crt": testAuthority,
    "client.cert": clientPair.cert,
    "client.key": serverPair.key,
  });
  const folder = join(directory, host);
  const put = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  expect(await outcome()).toBe(
    `the client certificate ${folder}/client.cert does not belong to the key ${folder}/client.key`,
  );
  put("client.key", "garbage");
  expect(await outcome()).toContain(`the registry certificate ${folder}/client.key cannot be used: `);
  put("client.cert", "garbage");
  expect(await outcome()).toContain(`the registry certificate ${folder}/client.cert cannot be used: `);
  put("ca.crt", "garbage");
  expect(await outcome()).toBe(`the registry certificate ${folder}/ca.crt cannot be used: it holds no PEM certificate`);
  put("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  expect(await outcome()).toContain(`the registry certificate ${folder}/ca.crt cannot be used: `);
});

test("of a bundle, the readable certificates are used", async () => {
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  await start(serverPair, { "ca.crt": broken + testAuthority });
  expect(await outcome()).toBe("well");
});

/** Reaches this machine, but is no name whose certificates are trusted without verification. */
const strict = (): string => `0.0.0.0:${registry!.port}`;

test("certificates that do not verify: the error says why, without advice to programmers", async () => {
  await start(serverPair, {});
  mkdirSync(join(directory, strict()));
  const unknown = await outcome({ host: strict() });
  expect(unknown).toContain("tls: failed to verify certificate: x509: certificate signed by unknown authority");
  expect(unknown).toContain(`certs.d/${strict()}/ca.crt`);
  writeFileSync(join(directory, strict(), "ca.crt"), testAuthority);
  expect(await outcome({ host: strict() })).toBe("well");
});

test("the error for a wrong name lists the certificate's names; the error for an expired certificate says expired", async () => {
  for (const [pair, words] of [
    [misnamedPair, "x509: certificate is valid for other.example, not 0.0.0.0"],
    [expiredPair, "x509: certificate has expired or is not yet valid"],
  ] as const) {
    await start(pair, {});
    mkdirSync(join(directory, strict()));
    writeFileSync(join(directory, strict(), "ca.crt"), testAuthority);
    const said = await outcome({ host: strict() });
    expect(said).toContain(`tls: failed to verify certificate: ${words}`);
    expect(said).not.toContain("verbose");
    await registry![Symbol.asyncDispose]();
  }
  registry = undefined;
});

test("plain HTTP where TLS is necessary", async () => {
  registry = await ScriptedRegistry.start();
  expect(await outcome({ host: strict() })).toContain("http: server gave HTTP response to HTTPS client");
});
