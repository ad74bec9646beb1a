/**
 * Requests as no client should send them: bodies and queries that are correct except for one to three fields, for every endpoint, over HTTP to
 * a real daemon. For every request: the answer is not 500, it arrives in time, the daemon keeps running, and nothing is left behind.
 *
 * The seed is printed; FATHOM_FUZZ_SEED repeats a run, FATHOM_FUZZ_COUNT makes it longer.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { TestDaemon, until } from "./harness.ts";
import { heldMore, settledHoldings } from "./settled-holdings.ts";
import { randomFrom } from "@fathom/base/testing";

const daemon = new TestDaemon("fuzz");
/** The same seed in each run, so that a failure comes from a change of the code. A run by hand with another seed finds more. */
const seed = Number(process.env["FATHOM_FUZZ_SEED"] ?? 20_261_129);
const count = Number(process.env["FATHOM_FUZZ_COUNT"] ?? 1500);
/** An answer that takes longer is a failure. */
const patienceMs = 20_000;

beforeAll(async () => {
  await daemon.start();
  daemon.loadImage();
  mkdirSync(join(daemon.work, "bind"));
}, 60_000);
/** A changed path of a bind may be outside of the test's folder: the daemon makes the source of a bind, as Docker does. */
const beside = dirname(daemon.work);
const before = new Set(readdirSync(beside));
afterAll(async () => {
  await daemon.close();
  for (const name of readdirSync(beside))
    if (!before.has(name) && name.startsWith("fathom-fuzz"))
      rmSync(join(beside, name), { recursive: true, force: true });
}, 60_000);

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const { next: random, below, pick } = randomFrom(seed);

function nested(depth: number): Json {
  let value: Json = [];
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? { a: value } : [value];
  return value;
}

const oddTexts = [
  "",
  " ",
  "\0",
  "a\0b",
  "a\nb",
  "a\r\nX: y",
  "\t",
  "ü€😀",
  "\ud800",
  "x".repeat(64),
  "x".repeat(65),
  "x".repeat(256),
  "x".repeat(5000),
  "..",
  ".",
  "../..",
  "/../..",
  "a/b",
  "a:b",
  "a:b:c:d",
  ":",
  "-1",
  "0",
  "1e9",
  "99999999999999999999",
  "true",
  "null",
  "[]",
  "{}",
  "(a+)+$",
  "container:",
  "container:nope",
  "host",
  "none",
  "%",
  "%00",
  "__proto__",
  "constructor",
  "toString",
  "sha256:",
  `sha256:${"0".repeat(64)}`,
  "0".repeat(64),
  "\u202e",
  "a,b=c",
  "=",
  "a=",
  "=a",
  "*",
  "2147483648",
  "4294967296",
  "0x10",
  "NaN",
  "-0",
  "1.5",
  "1/2",
  "80/tcp",
  "80-90/tcp",
  "99999/tcp",
  "CAP_ALL",
  "root:root",
  "4294967296:0",
  "-1:-1",
];
const oddNumbers = [
  0,
  -1,
  1,
  -2,
  0.5,
  7,
  255,
  256,
  65_535,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 53 - 1,
  -(2 ** 53) + 1,
  2 ** 53,
  2 ** 63,
  2 ** 64,
  1e308,
  -1e308,
];
const oddValues: readonly (() => Json)[] = [
  () => null,
  () => pick([true, false]),
  () => pick(oddNumbers),
  () => pick(oddNumbers),
  () => pick(oddTexts),
  () => pick(oddTexts),
  () => pick(oddTexts),
  () => [],
  () => ({}),
  () => [pick(oddTexts)],
  () => [pick(oddTexts), pick(oddTexts)],
  () => [null],
  () => [[]],
  () => [{}],
  () => ({ [pick(oddTexts)]: pick(oddTexts) }),
  () => ({ [pick(oddTexts)]: null }),
  () => ({ [pick(oddTexts)]: {} }),
  () => nested(pick([3, 50, 2000])),
  () => JSON.parse('{"__proto__": {"polluted": true}, "constructor": {"prototype": 1}}') as Json,
  () => Array.from({ length: 300 }, () => pick(oddTexts)),
];

/** Mostly a value of the same kind, so that it passes the decoder; sometimes any value. */
function odd(before: Json): Json {
  if (random() < 0.15) return pick(oddValues)();
  if (typeof before === "string") {
    if (random() < 0.6) return pick(oddTexts);
    const at = below(before.length + 1);
    return before.slice(0, at) + pick(oddTexts) + before.slice(at);
  }
  if (typeof before === "number") return pick(oddNumbers);
  if (typeof before === "boolean") return !before;
  if (Array.isArray(before))
    return pick<() => Json>([
      () => [pick(oddTexts)],
      () => [...before, pick(oddTexts)],
      () => Array.from({ length: 300 }, () => pick(oddTexts)),
    ])();
  if (before !== null) return { ...before, [pick(oddTexts)]: pick<Json>([pick(oddTexts), {}, null]) };
  return pick(oddValues)();
}

function isObject(value: Json): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Every place in a document, as a path of keys. */
function places(value: Json, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, entry]) => places(entry, [...path, key]))];
}

/** Changes the value at one place. The parts of a cgroup's name stay below the test's own cgroup. */
function change(value: Json, [key, ...rest]: readonly string[]): Json {
  if (key === undefined) return odd(value);
  if (key === "CgroupParent") return `${daemon.cgroupParent}/${String(odd("x"))}`;
  if (Array.isArray(value)) return value.map((entry, index) => (String(index) === key ? change(entry, rest) : entry));
  if (!isObject(value)) return value;
  const copy = { ...value };
  if (rest.length === 0 && random() < 0.08) delete copy[key];
  else copy[key] = change(copy[key]!, rest);
  return copy;
}

function mutate(value: Json): Json {
  const all = places(value);
  // Changing the whole document finds little, so it is done seldom.
  return change(value, random() < 0.02 ? [] : pick(all));
}

const resources = {
  CpuShares: 512,
  Memory: 67_108_864,
  NanoCpus: 500_000_000,
  CgroupParent: "",
  BlkioWeight: 0,
  BlkioWeightDevice: [],
  BlkioDeviceReadBps: [],
  CpuPeriod: 0,
  CpuQuota: 0,
  CpuRealtimePeriod: 0,
  CpuRealtimeRuntime: 0,
  CpusetCpus: "0",
  CpusetMems: "",
  Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/n", CgroupPermissions: "rwm" }],
  DeviceCgroupRules: ["c 1:3 rwm"],
  DeviceRequests: [],
  MemoryReservation: 0,
  MemorySwap: 134_217_728,
  MemorySwappiness: 60,
  OomKillDisable: false,
  PidsLimit: 100,
  Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }],
  CpuCount: 0,
  CpuPercent: 0,
  IOMaximumIOps: 0,
  IOMaximumBandwidth: 0,
};

function createBody(): { [key: string]: Json } {
  return {
    Hostname: "h",
    Domainname: "d.example",
    User: "0:0",
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    ExposedPorts: { "80/tcp": {} },
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: ["A=b"],
    Cmd: ["true"],
    Healthcheck: {
      Test: ["CMD", "true"],
      Interval: 1_000_000_000,
      Timeout: 1_000_000_000,
      StartPeriod: 0,
      StartInterval: 0,
      Retries: 3,
    },
    ArgsEscaped: false,
    Image: daemon.image,
    Volumes: { "/v": {} },
    WorkingDir: "/tmp",
    Entrypoint: null,
    NetworkDisabled: false,
    OnBuild: null,
    Labels: { a: "b" },
    StopSignal: "TERM",
    StopTimeout: 1,
    Shell: ["/bin/sh", "-c"],
    MacAddress: "02:42:ac:11:00:09",
    HostConfig: {
      Binds: [`${daemon.work}/bind:/b:ro`, "fuzzed:/f"],
      ContainerIDFile: "",
      LogConfig: { Type: "json-file", Config: { "max-size": "1m", "max-file": "2" } },
      // The kernel makes and removes networks one after another, so most requests use none.
      NetworkMode: random() < 0.3 ? "bridge" : "none",
      PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] },
      RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
      AutoRemove: false,
      VolumeDriver: "",
      VolumesFrom: [],
      ConsoleSize: [24, 80],
      Annotations: { a: "b" },
      CapAdd: ["NET_ADMIN"],
      CapDrop: ["MKNOD"],
      CgroupnsMode: "",
      Dns: ["192.0.2.1"],
      DnsOptions: ["ndots:1"],
      DnsSearch: ["example.com"],
      ExtraHosts: ["a:192.0.2.2"],
      GroupAdd: ["1"],
      IpcMode: "private",
      Cgroup: "",
      Links: [],
      OomScoreAdj: 500,
      PidMode: "",
      Privileged: false,
      PublishAllPorts: false,
      ReadonlyRootfs: false,
      SecurityOpt: ["no-new-privileges"],
      StorageOpt: {},
      Tmpfs: { "/t": "size=1m,mode=700" },
      UTSMode: "",
      UsernsMode: "",
      ShmSize: 1_048_576,
      Sysctls: { "net.ipv4.ip_forward": "1" },
      Runtime: "runc",
      Isolation: "",
      ...resources,
      Mounts: [
        {
          Type: "tmpfs",
          Target: "/m",
          ReadOnly: false,
          TmpfsOptions: { SizeBytes: 65_536, Mode: 448, Options: [["exec"]] },
        },
        {
          Type: "volume",
          Source: "fuzzed",
          Target: "/w",
          VolumeOptions: {
            NoCopy: true,
            Labels: { a: "b" },
            Subpath: "",
            DriverConfig: { Name: "local", Options: {} },
          },
        },
        {
          Type: "bind",
          Source: join(daemon.work, "bind"),
          Target: "/y",
          BindOptions: {
            Propagation: "rprivate",
            NonRecursive: false,
            CreateMountpoint: false,
            ReadOnlyNonRecursive: false,
            ReadOnlyForceRecursive: false,
          },
        },
      ],
      MaskedPaths: ["/proc/kcore"],
      ReadonlyPaths: ["/proc/sys"],
      Init: true,
    },
    NetworkingConfig: {
      EndpointsConfig: {
        bridge: {
          IPAMConfig: { IPv4Address: "", IPv6Address: "", LinkLocalIPs: [] },
          Links: [],
          Aliases: ["a"],
          DriverOpts: {},
          GwPriority: 0,
          NetworkID: "",
          MacAddress: "",
        },
      },
    },
  };
}

interface Endpoint {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: (known: Names) => Json;
  /** How much more often than the others. */
  readonly weight?: number;
}

const filters = (names: readonly string[]): string =>
  JSON.stringify(Object.fromEntries(names.map((name) => [name, ["x"]])));
const command = {
  AttachStdin: false,
  AttachStdout: true,
  AttachStderr: true,
  DetachKeys: "ctrl-p",
  Tty: false,
  Env: ["A=b"],
  Cmd: ["true"],
  Privileged: false,
  User: "",
  WorkingDir: "/",
  ConsoleSize: [24, 80],
};

/** {c} is a running container, {s} a stopped container, {v} a volume, {i} an image, {e} an exec. */
const endpoints: readonly Endpoint[] = [
  {
    method: "POST",
    path: "/containers/create",
    query: { name: "fuzz", platform: "linux/amd64" },
    body: createBody,
    weight: 40,
  },
  { method: "POST", path: "/fathom/explain", body: createBody, weight: 4 },
  {
    method: "GET",
    path: "/containers/json",
    query: {
      all: "1",
      limit: "5",
      size: "0",
      filters: filters([
        "ancestor",
        "before",
        "exited",
        "expose",
        "health",
        "id",
        "is-task",
        "label",
        "name",
        "network",
        "publish",
        "since",
        "status",
        "volume",
      ]),
    },
    weight: 3,
  },
  { method: "GET", path: "/containers/{c}/json", query: { size: "1" } },
  { method: "GET", path: "/containers/{c}/top", query: { ps_args: "-ef" } },
  { method: "GET", path: "/containers/{c}/changes" },
  {
    method: "GET",
    path: "/containers/{c}/logs",
    query: { stdout: "1", stderr: "1", since: "0", until: "0", timestamps: "1", tail: "5", details: "1", follow: "0" },
    weight: 2,
  },
  { method: "GET", path: "/containers/{c}/stats", query: { stream: "0", "one-shot": "1" } },
  { method: "GET", path: "/containers/{c}/export" },
  { method: "POST", path: "/containers/{s}/start", query: { detachKeys: "ctrl-p" } },
  { method: "POST", path: "/containers/{s}/stop", query: { t: "1", signal: "TERM" } },
  { method: "POST", path: "/containers/{s}/restart", query: { t: "0", signal: "KILL" } },
  { method: "POST", path: "/containers/{s}/kill", query: { signal: "TERM" }, weight: 2 },
  { method: "POST", path: "/containers/{s}/wait", query: { condition: "not-running" } },
  { method: "POST", path: "/containers/{s}/rename", query: { name: "fuzz-renamed" }, weight: 2 },
  { method: "POST", path: "/containers/{s}/pause" },
  { method: "POST", path: "/containers/{s}/unpause" },
  {
    method: "POST",
    path: "/containers/{c}/update",
    body: () => ({ ...resources, RestartPolicy: { Name: "no", MaximumRetryCount: 0 } }),
    weight: 6,
  },
  { method: "POST", path: "/containers/{c}/resize", query: { h: "24", w: "80" } },
  {
    method: "POST",
    path: "/containers/{c}/attach",
    query: { stream: "1", stdout: "1", logs: "1", detachKeys: "ctrl-p" },
  },
  { method: "HEAD", path: "/containers/{c}/archive", query: { path: "/etc" } },
  { method: "GET", path: "/containers/{c}/archive", query: { path: "/etc/passwd" }, weight: 3 },
  { method: "PUT", path: "/containers/{c}/archive", query: { path: "/tmp" } },
  { method: "POST", path: "/containers/{c}/exec", body: () => command, weight: 8 },
  {
    method: "POST",
    path: "/exec/{e}/start",
    body: () => ({ Detach: true, Tty: false, ConsoleSize: [24, 80] }),
    weight: 2,
  },
  { method: "POST", path: "/exec/{e}/resize", query: { h: "24", w: "80" } },
  { method: "GET", path: "/exec/{e}/json" },
  { method: "POST", path: "/containers/prune", query: { filters: filters(["until", "label", "label!"]) } },
  {
    method: "POST",
    path: "/commit",
    query: {
      container: "{c}",
      repo: "localhost/fuzzed",
      tag: "t",
      comment: "c",
      author: "a",
      pause: "1",
      changes: "ENV A=b",
    },
    body: () => ({
      Env: ["A=b"],
      Cmd: ["true"],
      Labels: { a: "b" },
      ExposedPorts: { "80/tcp": {} },
      Volumes: { "/v": {} },
      User: "",
      WorkingDir: "/",
      StopSignal: "TERM",
    }),
    weight: 4,
  },
  {
    method: "GET",
    path: "/images/json",
    query: {
      all: "1",
      digests: "1",
      "shared-size": "0",
      manifests: "0",
      filters: filters(["before", "dangling", "label", "reference", "since", "until"]),
    },
    weight: 3,
  },
  {
    method: "GET",
    path: "/images/{i}/json",
    query: { manifests: "0", platform: '{"os":"linux","architecture":"amd64"}' },
  },
  { method: "GET", path: "/images/{i}/history" },
  { method: "GET", path: "/images/{i}/get" },
  { method: "GET", path: "/images/get", query: { names: "{i}" } },
  { method: "POST", path: "/images/{i}/tag", query: { repo: "localhost/fuzzed", tag: "t" }, weight: 3 },
  {
    method: "POST",
    path: "/images/create",
    query: {
      fromSrc: "-",
      repo: "localhost/imported",
      tag: "t",
      message: "m",
      changes: "ENV A=b",
      platform: "linux/amd64",
    },
    weight: 2,
  },
  { method: "POST", path: "/images/load", query: { quiet: "1" } },
  { method: "POST", path: "/images/prune", query: { filters: filters(["dangling", "label", "label!", "until"]) } },
  { method: "GET", path: "/images/search", query: { term: "x" } },
  { method: "DELETE", path: "/images/localhost%2Ffuzzed:t", query: { force: "0", noprune: "0" } },
  { method: "GET", path: "/volumes", query: { filters: filters(["dangling", "driver", "label", "name"]) }, weight: 2 },
  {
    method: "POST",
    path: "/volumes/create",
    body: () => ({
      Name: "fuzzed-2",
      Driver: "local",
      DriverOpts: { type: "tmpfs", device: "tmpfs", o: "size=1m" },
      Labels: { a: "b" },
    }),
    weight: 8,
  },
  { method: "GET", path: "/volumes/{v}" },
  { method: "DELETE", path: "/volumes/{v}", query: { force: "0" } },
  { method: "POST", path: "/volumes/prune", query: { filters: filters(["all", "label", "label!"]) } },
  {
    method: "GET",
    path: "/networks",
    query: { filters: filters(["dangling", "driver", "id", "label", "name", "scope", "type"]) },
    weight: 2,
  },
  { method: "GET", path: "/networks/bridge", query: { verbose: "0", scope: "local" } },
  {
    method: "POST",
    path: "/networks/create",
    body: () => ({
      Name: random() < 0.5 ? "net" : `net${below(1e6)}`,
      Driver: "bridge",
      Scope: "local",
      EnableIPv4: true,
      EnableIPv6: random() < 0.5,
      IPAM: {
        Driver: "default",
        Options: {},
        Config: [
          {
            Subnet: `10.${below(250)}.${below(250)}.0/24`,
            IPRange: "",
            Gateway: "",
            AuxiliaryAddresses: {},
          },
        ],
      },
      Internal: random() < 0.5,
      Attachable: false,
      Ingress: false,
      ConfigOnly: false,
      ConfigFrom: { Network: "" },
      Options: {
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
        "com.docker.network.bridge.gateway_mode_ipv4": "nat",
        "com.docker.network.container_iface_prefix": "lan",
        "com.docker.network.driver.mtu": "1400",
      },
      Labels: { a: "b" },
    }),
    weight: 4,
  },
  ...["{c}", "{s}"].flatMap((container) => [
    {
      method: "POST",
      path: "/networks/net/connect",
      body: (known: Names) => ({
        Container: fill(container, known),
        EndpointConfig: {
          IPAMConfig: { IPv4Address: "", IPv6Address: "", LinkLocalIPs: ["169.254.9.9"] },
          Links: [],
          Aliases: ["www"],
          DriverOpts: {
            "com.docker.network.endpoint.ifname": "lan7",
            "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1",
          },
          GwPriority: 1,
          MacAddress: "02:42:ac:11:00:77",
        },
      }),
      weight: 4,
    },
    {
      method: "POST",
      path: "/networks/net/disconnect",
      body: (known: Names) => ({ Container: fill(container, known), Force: false }),
      weight: 2,
    },
  ]),
  { method: "POST", path: "/networks/bridge/connect", body: () => ({ Container: "x", EndpointConfig: {} }) },
  { method: "POST", path: "/networks/bridge/disconnect", body: () => ({ Container: "x", Force: false }) },
  { method: "GET", path: "/networks/net" },
  { method: "DELETE", path: "/networks/net" },
  { method: "DELETE", path: "/networks/bridge" },
  { method: "POST", path: "/networks/prune", query: { filters: filters(["label", "label!", "until"]) } },
  {
    method: "GET",
    path: "/events",
    query: {
      since: "0",
      until: "1",
      filters: filters(["container", "daemon", "event", "image", "label", "network", "type", "volume"]),
    },
    weight: 3,
  },
  { method: "GET", path: "/system/df", query: { type: "volume", verbose: "1" } },
  { method: "GET", path: "/info" },
  { method: "GET", path: "/version" },
  { method: "GET", path: "/_ping" },
  { method: "POST", path: "/build", query: { dockerfile: "Dockerfile", t: "localhost/x" } },
  { method: "GET", path: "/swarm" },
  { method: "GET", path: "/plugins/x/json" },
  { method: "GET", path: "/distribution/x/json" },
];
const deck = endpoints.flatMap((endpoint) => Array.from({ length: endpoint.weight ?? 1 }, () => endpoint));

interface Names {
  readonly c: string;
  readonly s: string;
  readonly v: string;
  readonly i: string;
  readonly e: string;
}

function oddQuery(query: Readonly<Record<string, string>>, chance: number): string {
  const values = new URLSearchParams();
  const changed = random() < chance ? pick(Object.keys(query)) : "";
  for (const [name, value] of Object.entries(query)) {
    if (name !== changed) {
      // Filters of every kind at once match nothing, so most requests have only the changed filter.
      if (name !== "filters" || random() < 0.2) values.append(name, value);
      continue;
    }
    const way = random();
    if (name === "filters" && way < 0.8) {
      const parsed = JSON.parse(value) as { [key: string]: Json };
      const key = pick(Object.keys(parsed));
      values.append(name, JSON.stringify({ [key]: random() < 0.7 ? [pick(oddTexts)] : pick(oddValues)() }));
    } else if (way < 0.1) values.append(pick(oddTexts), value);
    else if (way < 0.2) {
      values.append(name, value);
      values.append(name, pick(oddTexts));
    } else values.append(name, String(odd(value)));
  }
  return values.toString();
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function send(method: string, path: string, body: string | undefined): Promise<Answer> {
  const answer = await fetch(`http://d/v1.47${path}`, {
    method,
    unix: daemon.socket,
    signal: AbortSignal.timeout(patienceMs),
    ...(body === undefined ? {} : { body, headers: { "Content-Type": "application/json" } }),
  });
  const streams =
    /\/(attach|events|wait|logs|export|archive|get)\b/.test(path.split("?")[0]!) ||
    !answer.headers.has("content-length");
  if (!streams || answer.status >= 400) return { status: answer.status, text: await answer.text() };
  await answer.body?.cancel();
  return { status: answer.status, text: "" };
}

/** These are no faults of the daemon: features that are not built, swarm, and a registry that cannot exist. */
function allowed({ status, text }: Answer): boolean {
  return status < 500 || status === 501 || (status === 503 && text.includes("swarm manager"));
}

async function removeAll(): Promise<void> {
  const { json } = await daemon.api<{ Id: string }[]>("GET", "/containers/json?all=1");
  for (const { Id } of json) {
    const removed = await daemon.api<{ message: string }>("DELETE", `/containers/${Id}?force=1&v=1`);
    if (removed.status >= 300 && removed.status !== 404)
      throw new Error(`${Id} cannot be removed: ${removed.json.message}`);
  }
  await daemon.api("POST", "/networks/prune");
  const { json: volumes } = await daemon.api<{ Volumes: { Name: string }[] }>("GET", "/volumes");
  for (const { Name } of volumes.Volumes) {
    const removed = await daemon.api<{ message: string }>("DELETE", `/volumes/${encodeURIComponent(Name)}?force=1`);
    if (removed.status >= 300)
      throw new Error(`volume ${JSON.stringify(Name)} cannot be removed: ${removed.json.message}`);
  }
}

async function names(): Promise<Names> {
  const base = { Image: daemon.image, StopTimeout: 0 };
  const running = await daemon.api<{ Id: string }>("POST", "/containers/create", { ...base, Cmd: ["sleep", "1000"] });
  await daemon.api("POST", `/containers/${running.json.Id}/start`);
  const stopped = await daemon.api<{ Id: string }>("POST", "/containers/create", { ...base, Cmd: ["true"] });
  await daemon.api("POST", "/volumes/create", { Name: "kept" });
  const exec = await daemon.api<{ Id: string }>("POST", `/containers/${running.json.Id}/exec`, { Cmd: ["true"] });
  return { c: running.json.Id, s: stopped.json.Id, v: "kept", i: encodeURIComponent(daemon.image), e: exec.json.Id };
}

function fill(template: string, known: Names): string {
  const wrong = random() < 0.15;
  return template.replace(/\{([csvie])\}/g, (_, key: keyof Names) =>
    wrong
      ? encodeURIComponent(pick(oddTexts.filter((text) => text !== "\ud800" && text !== ".." && text !== ".")))
      : known[key],
  );
}

test(`${count} requests, each with an error in it (seed ${seed})`, async () => {
  console.log(`FATHOM_FUZZ_SEED=${seed}`);
  await removeAll();
  const before = await settledHoldings(daemon);
  const faults: string[] = [];
  let known = await names();
  for (let number = 0; number < count; number++) {
    if (number % 50 === 49) {
      await removeAll();
      known = await names();
    }
    const endpoint = pick(deck);
    const query =
      endpoint.query === undefined
        ? ""
        : `?${oddQuery(endpoint.query, endpoint.body === undefined ? 0.9 : 0.15)
            .replace("%7Bc%7D", known.c)
            .replace("%7Bi%7D", known.i)}`;
    const path = fill(endpoint.path, known) + query;
    let document = endpoint.body?.(known);
    for (let changes = pick([1, 1, 2, 3]); document !== undefined && changes > 0; changes--)
      document = mutate(document);
    const body =
      document === undefined
        ? undefined
        : random() < 0.01
          ? JSON.stringify(document).slice(0, below(50))
          : JSON.stringify(document);
    const what = `${endpoint.method} ${path.slice(0, 300)} ${(body ?? "").slice(0, 6000)}`;
    const answers: [string, Answer][] = [];
    try {
      const answer = await send(endpoint.method, path, body);
      answers.push(["", answer]);
      if (answer.status === 201 && endpoint.path === "/containers/create") {
        const { Id } = JSON.parse(answer.text) as { Id: string };
        answers.push(["start: ", await send("POST", `/containers/${Id}/start`, undefined)]);
        answers.push(["inspect: ", await send("GET", `/containers/${Id}/json`, undefined)]);
        answers.push(["remove: ", await send("DELETE", `/containers/${Id}?force=1&v=1`, undefined)]);
      } else if (answer.status === 201 && endpoint.path.endsWith("/exec")) {
        const { Id } = JSON.parse(answer.text) as { Id: string };
        answers.push(["start: ", await send("POST", `/exec/${Id}/start`, '{"Detach":true}')]);
      }
      for (const [step, answer] of answers)
        if (!allowed(answer))
          faults.push(`#${number} ${step}${answer.status} ${answer.text.trim().slice(0, 400)} for ${what}`);
    } catch (error) {
      faults.push(`#${number} ${String(error)} for ${what}`);
      if ((await send("GET", "/_ping", undefined).catch(() => undefined))?.status !== 200) break;
    }
  }
  expect(faults).toEqual([]);
  await until("all is removed", async () => {
    await removeAll();
    return (await daemon.api<unknown[]>("GET", "/containers/json?all=1")).json.length === 0;
  });
  expect(await heldMore(daemon, before)).toEqual([]);
}, 600_000);
