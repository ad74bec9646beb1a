/**
 * A small world for network tests. The test process is in a network namespace of its own, which plays the host. Containers and an outside
 * neighbour are other namespaces. All of them end with the process.
 */
import {
  createForwarders,
  createNetworkManager,
  networkConfig,
  type DefaultNetworkOptions,
  type Endpoint,
  type NetworkManager,
  type PortRequest,
  type PreparedLink,
} from "@fathom/network";
import { silentLogger, systemClock } from "@fathom/base";
import { createSys, forwarderExecutable } from "@fathom/sys";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultOptions, memoryState } from "@fathom/network/testing";

export const sys = createSys();

const environmentName = "FATHOM_TEST_NAMESPACE";

/** True inside the namespace that plays the host. */
export const isInside = process.env[environmentName] === "1";

/** Runs this test file again in a new network namespace; returns its exit code and output. */
export async function runInside(file: string): Promise<{ readonly code: number; readonly output: string }> {
  // The outer test has a limit for all of them.
  const child = Bun.spawn(["unshare", "--net", process.execPath, "test", "--timeout", "120000", file], {
    env: { ...process.env, [environmentName]: "1" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, output: out + error };
}

/** Runs a program and returns its output; throws when it fails. */
export function run(...command: string[]): string {
  const result = Bun.spawnSync(command);
  if (result.exitCode !== 0) throw new Error(`${command.join(" ")}: ${result.stderr.toString()}`);
  return result.stdout.toString();
}

/** A network namespace; disposing it ends its programs and releases it. */
export class Space implements AsyncDisposable {
  readonly fd = sys.createNetworkNamespace();
  readonly #programs: Bun.Subprocess[] = [];
  #open = true;

  get path(): string {
    return `/proc/${process.pid}/fd/${this.fd}`;
  }
  run(...command: string[]): string {
    return run("nsenter", `--net=${this.path}`, ...command);
  }
  ask(protocol: "tcp" | "udp", host: string, port: number): Promise<string> {
    return ask(protocol, host, port, ["nsenter", `--net=${this.path}`]);
  }
  /** @param host "::" for IPv6 */
  async serve(protocol: "tcp" | "udp", port: number, host = "0.0.0.0"): Promise<void> {
    this.#programs.push(await start(["nsenter", `--net=${this.path}`], ["serve", protocol, String(port), host]));
  }
  async echo(port: number): Promise<void> {
    this.#programs.push(await start(["nsenter", `--net=${this.path}`], ["echo", String(port)]));
  }
  /** Sends over UDP again and again from one socket; `answers` holds each new answer. */
  repeat(host: string, port: number): { readonly answers: string[] } {
    const command = ["nsenter", `--net=${this.path}`, process.execPath, peer, "repeat", host, String(port)];
    const program = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
    this.#programs.push(program);
    const answers: string[] = [];
    void (async () => {
      for await (const text of program.stdout.pipeThrough(new TextDecoderStream()))
        answers.push(...text.split("\n").filter((line) => line !== ""));
    })();
    return { answers };
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs) {
      program.kill("SIGKILL");
      await program.exited;
    }
    if (this.#open) sys.close(this.fd);
    this.#open = false;
  }
}

const peer = join(import.meta.dir, "peer.ts");

async function start(prefix: string[], command: string[]): Promise<Bun.Subprocess> {
  const program = Bun.spawn([...prefix, process.execPath, peer, ...command], { stdout: "pipe", stderr: "inherit" });
  for await (const _ of program.stdout) break;
  return program;
}

/** A server in the namespace that plays the host. */
export async function serveOnHost(protocol: "tcp" | "udp", port: number, host: string): Promise<AsyncDisposable> {
  const program = await start([], ["serve", protocol, String(port), host]);
  return {
    [Symbol.asyncDispose]: async () => {
      program.kill("SIGKILL");
      await program.exited;
    },
  };
}

/** The answer of a server, "refused" or "silent". */
export async function ask(protocol: "tcp" | "udp", host: string, port: number, prefix: string[] = []): Promise<string> {
  const program = Bun.spawn([...prefix, process.execPath, peer, "ask", protocol, host, String(port)], {
    stdout: "pipe",
    stderr: "inherit",
  });
  return (await new Response(program.stdout).text()).trim();
}

export async function count(host: string, port: number, bytes: number): Promise<string> {
  const program = Bun.spawn([process.execPath, peer, "count", host, String(port), String(bytes)], {
    stdout: "pipe",
    stderr: "inherit",
  });
  return (await new Response(program.stdout).text()).trim();
}

export function port(text: string): PortRequest {
  const match = /^(?:([^ ]*) )?(?:(\d+)(?:-(\d+))?)?:(\d+)(?:\/(tcp|udp))?$/.exec(text);
  if (!match) throw new Error(`no port: ${text}`);
  const first = Number(match[2] ?? 0);
  return {
    protocol: match[5] === "udp" ? "udp" : "tcp",
    containerPort: Number(match[4]),
    hostIp: match[1] ?? "",
    hostPortFirst: first,
    hostPortLast: Number(match[3] ?? first),
  };
}

let counter = 0;

/** Connects a namespace to the default network, as the engine does for a container. */
export function attach(networks: NetworkManager, space: Space, ...ports: string[]): Promise<Endpoint> {
  return attachPrepared(networks, space, undefined, ...ports);
}

export async function attachPrepared(
  networks: NetworkManager,
  space: Space,
  prepared: PreparedLink | undefined,
  ...ports: string[]
): Promise<Endpoint> {
  const containerName = `container${++counter}`;
  const sandbox = networks.sandbox({
    containerId: containerName.padEnd(64, "0"),
    containerName,
    namespaceFd: space.fd,
    ports: ports.map(port),
    prepared,
  });
  return (await sandbox.connect(networks.defaultNetwork()!.id))!;
}

/** As after the container's end. */
export function detach(networks: NetworkManager, { containerId }: Endpoint): Promise<void> {
  return networks.sandbox({ containerId, containerName: "" }).close();
}

/** Its IPv4 address. */
export function addressOf({ addresses }: Endpoint): string {
  return addresses.map(({ address }) => address).join();
}

export const forwarderFiles = join(tmpdir(), `fathom-forward-${process.pid}`);
export const forwarders = createForwarders({
  sys,
  executable: () => forwarderExecutable(sys),
  directory: forwarderFiles,
  clock: systemClock,
  logger: silentLogger,
});

export function makeNetworks(options: Partial<DefaultNetworkOptions> = {}, state = memoryState()): NetworkManager {
  return createNetworkManager({ sys, config: networkConfig({ ...defaultOptions, ...options }), state, forwarders });
}

/** Connects a namespace to the host through a separate link: host 198.51.100.1, neighbour 198.51.100.50. */
export function connectOutside(space: Space): void {
  run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "out1", "netns", space.path);
  run("ip", "addr", "add", "198.51.100.1/24", "dev", "out0");
  run("ip", "link", "set", "out0", "up");
  space.run("ip", "addr", "add", "198.51.100.50/24", "dev", "out1");
  space.run("ip", "link", "set", "out1", "up");
  space.run("ip", "link", "set", "lo", "up");
}

/** Interfaces of containers on the host. */
export function hostInterfaces(): string[] {
  return [...run("ip", "-o", "link").matchAll(/veth[0-9a-f]{7}/g)].map(([name]) => name);
}
