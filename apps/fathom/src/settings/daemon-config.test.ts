import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readDaemonConfig } from "./daemon-config.ts";
import { daemonHelp } from "./daemon-help.ts";
import { daemonOptions } from "./daemon-options.ts";

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "fathom-config-"));
  file = join(directory, "daemon.json");
  writeFileSync(file, "{}");
});
afterEach(() => rmSync(directory, { recursive: true }));

const facts = { version: "1", gitCommit: "", buildTime: "" };
const read = (...flags: string[]) => readDaemonConfig(["--config-file", file, ...flags], facts);

describe("flags", () => {
  test("values, lists, booleans and short names", () => {
    const config = read(
      "-H",
      "unix:///a.sock",
      "--host=unix:///b.sock",
      "-D",
      "--icc=false",
      "--dns",
      "1.1.1.1",
      "--default-ulimit",
      "nofile=10:20",
      "--log-opt",
      "max-size=1m",
      "--default-shm-size=8m",
      "--mtu",
      "1400",
    );
    expect(config.hosts).toEqual(["unix:///a.sock", "unix:///b.sock"]);
    expect(config.logLevel).toBe("debug");
    expect(config.network.interContainerCommunication).toBe(false);
    expect(config.network.mtu).toBe(1400);
    expect(config.engine.dns).toEqual(["1.1.1.1"]);
    expect(config.engine.defaultUlimits).toEqual([{ Name: "nofile", Soft: 10, Hard: 20 }]);
    expect(config.engine.logOptions).toEqual({ "max-size": "1m" });
    expect(config.engine.defaultShmSizeBytes).toBe(8 * 2 ** 20);
  });

  test.each([
    [["--nosuch"], "unknown flag: --nosuch"],
    [["--mtu", "x"], 'invalid argument "x" for "--mtu" flag'],
    [["--icc=maybe"], 'invalid argument "maybe" for "--icc" flag'],
    [["--userns-remap", "default"], "userns-remap is not supported yet"],
    [["--log-level", "loud"], "invalid logging level: loud"],
    [["--default-address-pool", "base=10.0.0.0/8,size=24,x=1"], "unexpected key 'x' in 'x=1'"],
    [["--default-address-pool", "base=10.0.0.0/016,size=24"], "the base must be an IPv4 subnet"],
    [["-H", "tcp://0.0.0.0:2375"], "TCP needs TLS"],
    [["-H", "nonsense"], "invalid bind address (nonsense)"],
    [["--storage-driver", "zfs"], "overlay2 is the only one"],
    [["--default-ulimit", "nofile=2:1"], "soft limit must be less"],
    [["--data-root", "relative"], "data-root must be an absolute path"],
    [["extra"], "accepts no arguments"],
    [["--registry-mirror", "mirror"], "invalid mirror"],
  ])("%p is rejected", (flags, message) => expect(() => read(...flags)).toThrow(message));
});

describe("the file", () => {
  const write = (content: unknown): void =>
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));

  test("its keys", () => {
    write({
      "live-restore": true,
      "default-ulimits": { nofile: { Name: "nofile", Hard: 64, Soft: 32 } },
      "log-opts": { "max-file": "3" },
      "insecure-registries": ["reg:5000"],
      "default-address-pools": [{ base: "172.30.0.0/16", size: 24 }],
      "shutdown-timeout": 3,
    });
    const config = read();
    expect(config.engine.liveRestore).toBe(true);
    expect(config.engine.defaultUlimits).toEqual([{ Name: "nofile", Hard: 64, Soft: 32 }]);
    expect(config.engine.logOptions).toEqual({ "max-file": "3" });
    expect(config.registry.insecureRegistries).toEqual(["reg:5000"]);
    expect(config.network.addressPools).toEqual([{ base: "172.30.0.0/16", size: 24 }]);
    expect(config.engine.shutdownTimeoutSeconds).toBe(3);
  });

  test("unknown keys are named, all of them", () => {
    write({ nosuch: 1, "other-one": 2 });
    expect(() => read()).toThrow(
      `file ${file}: the following directives don't match any configuration option: nosuch, other-one`,
    );
  });

  test("an option in both places is a conflict", () => {
    write({ debug: false, dns: ["1.1.1.1"] });
    expect(() => read("--debug", "--dns", "9.9.9.9")).toThrow(
      "specified both as a flag and in the configuration file: debug: (from flag: true, from file: false), dns: (from flag: [9.9.9.9], from file: [1.1.1.1])",
    );
  });

  test("types and JSON are checked", () => {
    write({ mtu: "1500" });
    expect(() => read()).toThrow('mtu: expected a whole number, found "1500"');
    write({ dns: "1.1.1.1" });
    expect(() => read()).toThrow("dns: expected a list of strings");
    write("{");
    expect(() => read()).toThrow("invalid JSON");
    write("[]");
    expect(() => read()).toThrow("JSON object");
    write("");
    expect(read().engine.debug).toBe(false);
  });

  test.each<[object, string]>([
    [{ debug: 1 }, "debug: expected true or false, found 1"],
    [{ group: null }, "group: expected a string, found null"],
    [{ mtu: 1.5 }, "mtu: expected a whole number, found 1.5"],
    [{ "default-shm-size": true }, "default-shm-size: expected a size, found true"],
    [{ "default-shm-size": "much" }, 'invalid argument "much" for "default-shm-size"'],
    [{ dns: [1] }, "dns: expected a list of strings, found [1]"],
    [{ "log-opts": [] }, "log-opts: expected an object, found []"],
    [{ "default-ulimits": [] }, "default-ulimits: expected an object, found []"],
    [
      { "default-ulimits": { nofile: { Hard: "1", Soft: 1 } } },
      'default-ulimits: expected objects of the form {"Name": "nofile", "Hard": 64000, "Soft": 64000}, found {"nofile":{"Hard":"1","Soft":1}}',
    ],
    [{ "default-ulimits": { files: { Hard: 1, Soft: 1 } } }, "default-ulimits: invalid ulimit type: files"],
    [{ "default-address-pools": {} }, "default-address-pools: expected a list of objects, found {}"],
    [
      { "default-address-pools": [{ base: "172.30.0.0/16" }] },
      'default-address-pools: expected objects of the form {"base": "172.30.0.0/16", "size": 24}, found [{"base":"172.30.0.0/16"}]',
    ],
    [{ proxies: "x" }, "don't match any configuration option: proxies"],
  ])("the error for %j has the key and its value", (content, words) => {
    write(content);
    expect(() => read()).toThrow(words);
  });

  test("sizes as numbers and texts, maps of any values, one address instead of a list", () => {
    write({ "default-shm-size": 1024, "log-opts": { "max-file": 3 }, "host-gateway-ips": "10.0.0.1" });
    const { engine } = read();
    expect([engine.defaultShmSizeBytes, engine.logOptions, engine.hostGatewayIps]).toEqual([
      1024,
      { "max-file": "3" },
      ["10.0.0.1"],
    ]);
    write({ "default-shm-size": "8m" });
    expect(read().engine.defaultShmSizeBytes).toBe(8 << 20);
  });

  test("a file that was named must exist", () => {
    expect(() => readDaemonConfig(["--config-file", "/nosuch.json"], facts)).toThrow(
      "open /nosuch.json: no such file or directory",
    );
  });
});

test("proxies, by flags and in the file", () => {
  expect(read().registry.proxy).toBeUndefined();
  expect(read("--http-proxy", "http://p:1", "--no-proxy=a,b").registry.proxy).toMatchObject({
    http: "http://p:1",
    no: "a,b",
  });
  writeFileSync(file, '{"proxies": {"https-proxy": "http://u:p@q:2"}}');
  expect(read().registry.proxy).toMatchObject({ https: "http://u:p@q:2" });
  expect(read().engine.proxy).toMatchObject({ https: "http://u:p@q:2" });
  expect(() => read("--https-proxy", "http://r:3")).toThrow("specified both as a flag and in the configuration file");
  writeFileSync(file, '{"proxies": {"ftp-proxy": "x"}}');
  expect(() => read()).toThrow("proxies.ftp-proxy");
});

test("the error for an impossible bridge has its value", () => {
  expect(() => read("-b", "none")).toThrow('bridge "none" is not supported yet');
  for (const bip of ["nonsense", "10.0.0.1", "10.0.0.1/33", "10.0.0.300/8"])
    expect(() => read("--bip", bip)).toThrow(`invalid bip ${JSON.stringify(bip)}`);
});

test.each([
  [["--dns", "foo"], 'invalid value "foo" for dns: it is not an IP address'],
  [["--ip", "x"], 'invalid value "x" for ip'],
  [["--host-gateway-ip", "x"], 'invalid value "x" for host-gateway-ip'],
  [["--default-address-pool", "base=10.0.0.0/8,size=4"], "from 8 (that of the base) to 30"],
  [["--default-address-pool", "base=fe80::/64,size=80"], "the base must be an IPv4 subnet"],
  [["--insecure-registry", "ht tp://x"], "it should not contain '://'"],
  [["--insecure-registry", "a b"], "use host, host:port or a subnet"],
  [["--group", "no-such-group-here"], "there is no such group in /etc/group"],
  [["--log-driver", "foo"], 'plugin "foo" not found'],
  [["--log-opt", "max-size=x"], "log-opt: invalid size: 'x'"],
])("%p is rejected at the start", (flags, words) => {
  expect(() => read(...(flags as string[]))).toThrow(words as string);
});

test("values that make sense pass", () => {
  const flags = ["--dns=1.1.1.1", "--dns=fe80::1", "--ip=127.0.0.1", "--bip=172.30.0.1/16", "--group=root"];
  const more = ["--insecure-registry=10.0.0.0/8", "--insecure-registry=[::1]:5000", "--log-driver=local"];
  expect(() => read(...flags, ...more, "--default-address-pool=base=10.0.0.0/8,size=24")).not.toThrow();
});

test("the defaults in the help are the real ones", () => {
  for (const { flag, default: value } of daemonOptions) {
    // A named group must exist; the file belongs to the test.
    if (value === undefined || flag === "config-file" || flag === "group") continue;
    expect({ flag, config: read(`--${flag}=${value}`) }).toEqual({ flag, config: read() });
  }
  expect(daemonHelp()).toContain('(default "/var/lib/fathom")');
});
