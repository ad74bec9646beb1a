/**
 * The daemon's options: dockerd's flags and daemon.json keys in one table. Each line has both names, the kind of value and the default. Options
 * of dockerd that this engine does not have yet are in the table too, so that the error can name them.
 */

export type OptionKind =
  | "boolean"
  | "string"
  | "integer"
  /** A flag that may be repeated; a list in the file. */
  | "list"
  /** `key=value`, repeated; an object in the file. */
  | "map"
  /** `name=soft[:hard]`, repeated; an object of objects in the file. */
  | "ulimits"
  /** "64M"; a string or a number in the file. */
  | "size"
  /** `base=…,size=…`, repeated; a list of objects in the file. */
  | "pools";

export interface DaemonOption {
  readonly flag: string;
  readonly short?: string;
  /** Name in daemon.json; when absent, the flag's name. null: only a flag. */
  readonly key?: string | null;
  readonly kind: OptionKind;
  readonly help: string;
  /** The value when nothing is given, for the help (a test compares it). Absent: nothing, or the value depends on the machine. */
  readonly default?: string | number | boolean;
  /** dockerd has it, this engine does not: any value except this one is an error. */
  readonly unsupported?: boolean;
}

const option = (flag: string, kind: OptionKind, help: string, more: Partial<DaemonOption> = {}): DaemonOption => ({
  flag,
  kind,
  help,
  ...more,
});
const missing = (flag: string, kind: OptionKind, more: Partial<DaemonOption> = {}): DaemonOption =>
  option(flag, kind, "Not supported yet", { unsupported: true, ...more });

export const daemonOptions: readonly DaemonOption[] = [
  option("host", "list", "Daemon socket to listen on", {
    short: "H",
    key: "hosts",
    default: "unix:///run/fathom/fathom.sock",
  }),
  option("data-root", "string", "Root directory of persistent state", { default: "/var/lib/fathom" }),
  option("exec-root", "string", "Root directory for execution state files", { default: "/run/fathom" }),
  option("pidfile", "string", "Path to use for daemon PID file", { short: "p", default: "/run/fathom/fathom.pid" }),
  option("config-file", "string", "Daemon configuration file", { key: null, default: "/etc/fathom/daemon.json" }),
  option("validate", "boolean", "Validate daemon configuration and exit", { key: null }),
  option(
    "rebuild-database",
    "boolean",
    "Begin with an empty database and add the containers on disk to it; the old file is kept",
    {
      key: null,
    },
  ),
  option("group", "string", "Group for the unix socket", { short: "G", default: "docker" }),
  option("debug", "boolean", "Enable debug mode", { short: "D" }),
  option("log-level", "string", "Set the logging level (debug, info, warn, error, fatal)", {
    short: "l",
    default: "info",
  }),
  option("log-format", "string", "Set the logging format (text, json)", { default: "text" }),
  option("bip", "string", "Address of the default bridge in CIDR form"),
  option("bridge", "string", "Name of the default bridge interface", { short: "b", default: "fathom0" }),
  option("dns", "list", "DNS server to use"),
  option("dns-opt", "list", "DNS options to use", { key: "dns-opts" }),
  option("dns-search", "list", "DNS search domains to use"),
  option("default-address-pool", "pools", "Default address pools for networks", { key: "default-address-pools" }),
  option("mtu", "integer", "MTU of the container network"),
  option("ip", "string", "Host IP for port publishing", { default: "0.0.0.0" }),
  option("ip-forward", "boolean", "Enable net.ipv4.ip_forward", { default: true }),
  option("ip-masq", "boolean", "Enable IP masquerading", { default: true }),
  option("icc", "boolean", "Enable inter-container communication on the default bridge", { default: true }),
  option("userland-proxy", "boolean", "Use a proxy process for loopback traffic", { default: true }),
  option("host-gateway-ip", "list", "IP address that 'host-gateway' in --add-host resolves to", {
    key: "host-gateway-ips",
  }),
  option("insecure-registry", "list", "Registry without TLS verification", { key: "insecure-registries" }),
  option("registry-mirror", "list", "Preferred mirror of Docker Hub", { key: "registry-mirrors" }),
  option("http-proxy", "string", "Proxy for plain HTTP to registries", { key: "proxies.http-proxy" }),
  option("https-proxy", "string", "Proxy for HTTPS to registries", { key: "proxies.https-proxy" }),
  option("no-proxy", "string", "Hosts that are reached without a proxy, separated by commas", {
    key: "proxies.no-proxy",
  }),
  option("max-concurrent-downloads", "integer", "Concurrent downloads of one pull", { default: 6 }),
  option("max-concurrent-uploads", "integer", "Concurrent uploads of one push", { default: 5 }),
  option("max-download-attempts", "integer", "Attempts of one download", { default: 5 }),
  option("default-ulimit", "ulimits", "Default ulimits of containers", { key: "default-ulimits" }),
  option("default-shm-size", "size", "Default size of /dev/shm", { default: "64M" }),
  option("cgroup-parent", "string", "Parent cgroup of all containers", { default: "/fathom" }),
  option("log-driver", "string", "Default log driver of containers", { default: "json-file" }),
  option("log-opt", "map", "Default log options of containers", { key: "log-opts" }),
  option("live-restore", "boolean", "Keep containers running when the daemon stops"),
  option("shutdown-timeout", "integer", "Seconds that a stop of the daemon waits for containers", { default: 15 }),
  option("init", "boolean", "Run an init in every container"),
  option("no-new-privileges", "boolean", "Set no-new-privileges by default"),
  option("seccomp-profile", "string", "Path of a seccomp profile, or 'unconfined'"),
  option("label", "list", "Key=value label of the daemon", { key: "labels" }),
  option("experimental", "boolean", "Enable experimental features"),
  // Accepted: their values describe what this engine does anyway.
  option("storage-driver", "string", "Storage driver (overlay2)", { short: "s", default: "overlay2" }),
  option("exec-opt", "list", "Runtime options (native.cgroupdriver=cgroupfs)", { key: "exec-opts" }),
  option("default-runtime", "string", "Default runtime of containers (runc or fathom: both names mean the same)", {
    default: "runc",
  }),
  option("iptables", "boolean", "Manage firewall rules", { default: true }),
  option("containerd-namespace", "string", "Ignored: there is no containerd"),
  missing("add-runtime", "map", { key: "runtimes" }),
  missing("allow-direct-routing", "boolean"),
  missing("api-cors-header", "string"),
  missing("authorization-plugin", "list", { key: "authorization-plugins" }),
  missing("bip6", "string"),
  missing("cdi-spec-dir", "list", { key: "cdi-spec-dirs" }),
  missing("containerd", "string"),
  missing("cpu-rt-period", "integer"),
  missing("cpu-rt-runtime", "integer"),
  missing("default-cgroupns-mode", "string"),
  missing("default-gateway", "string"),
  missing("default-gateway-v6", "string"),
  missing("default-ipc-mode", "string"),
  missing("default-network-opt", "map", { key: "default-network-opts" }),
  missing("feature", "map", { key: "features" }),
  missing("firewall-backend", "string"),
  missing("fixed-cidr", "string"),
  missing("fixed-cidr-v6", "string"),
  missing("init-path", "string"),
  missing("ip6tables", "boolean"),
  missing("ipv6", "boolean"),
  missing("metrics-addr", "string"),
  missing("network-control-plane-mtu", "integer"),
  missing("node-generic-resource", "list", { key: "node-generic-resources" }),
  missing("raw-logs", "boolean"),
  missing("selinux-enabled", "boolean"),
  missing("storage-opt", "list", { key: "storage-opts" }),
  missing("swarm-default-advertise-addr", "string"),
  missing("tls", "boolean"),
  missing("tlscacert", "string"),
  missing("tlscert", "string"),
  missing("tlskey", "string"),
  missing("tlsverify", "boolean"),
  missing("userland-proxy-path", "string"),
  missing("userns-remap", "string"),
];

export function keyOf(option: DaemonOption): string | undefined {
  return option.key === null ? undefined : (option.key ?? option.flag);
}
