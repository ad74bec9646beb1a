/** The resolvers of containers with real sockets: in one process, and in the helper's process, which outlives the daemon. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import {
  createHelperNames,
  createNameServer,
  type NamedEndpoint,
  type NameService,
  type NamesState,
  type ServedContainer,
} from "@fathom/network";
import { decode, namesSuite, query, reply } from "@fathom/network/testing";
import { silentLogger, systemClock } from "@fathom/base";
import { until } from "@fathom/base/testing";
import { O_CLOEXEC, O_RDONLY } from "@fathom/sys";
import { NamesWorld, place, serverInThisProcess } from "./names-world.ts";
import { isInside, run, runInside, sys } from "./world.ts";

const program = join(import.meta.dir, "name-helper.ts");

/** A daemon's view of the helpers in a directory. */
function daemon(directory: string, identity = "one", idleMs = 60_000): NameService {
  return createHelperNames({
    sys,
    directory,
    program: {
      executable: () => sys.open(process.execPath, O_RDONLY | O_CLOEXEC),
      argv: ["bun", program],
      env: [`IDLE_MS=${idleMs}`, `PATH=${process.env["PATH"] ?? ""}`],
      identity,
    },
    clock: systemClock,
    logger: silentLogger,
  });
}

/** Processes that run the helper for this directory. */
function helpers(directory: string): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      return readFileSync(`/proc/${name}/cmdline`, "utf8").includes(`\0${directory}/`) ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

function temporary(): string {
  return mkdtempSync(join(tmpdir(), "fathom-names-"));
}

async function gone(directory: string): Promise<void> {
  for (const pid of helpers(directory)) process.kill(pid, "SIGKILL");
  await until("the helpers have ended", () => helpers(directory).length === 0);
  rmSync(directory, { recursive: true, force: true });
}

const none: NamesState = { endpoints: [], containers: [], [Symbol.dispose]: () => undefined };

function one(namespace: string): { readonly served: ServedContainer; readonly endpoint: NamedEndpoint } {
  return {
    served: { containerId: "c", namespace, servers: [], asksSingleLabels: true },
    endpoint: {
      endpointId: "e",
      containerId: "c",
      networkId: "n",
      networkName: "front",
      names: ["db"],
      addresses: ["10.1.0.2"],
      leadsOutside: true,
    },
  };
}

if (!isInside) {
  test("names, in a network namespace that plays the host", async () => {
    const { code, output } = await runInside(import.meta.path);
    if (code !== 0) console.error(output);
    expect(code).toBe(0);
  }, 240_000);
} else {
  run("ip", "link", "set", "lo", "up");

  namesSuite("in this process", async () => place(serverInThisProcess()));

  namesSuite("in the helper's process", async () => {
    const directory = temporary();
    const service = daemon(directory);
    const made = place(service);
    return {
      ...made,
      [Symbol.asyncDispose]: async () => {
        await made[Symbol.asyncDispose]();
        await gone(directory);
      },
    };
  });

  describe("in a container", () => {
    test("another server can have port 53 of every address, before and after", async () => {
      await using made = place(serverInThisProcess());
      const { served, endpoint } = one(made.namespace());
      const occupy = async (): Promise<AsyncDisposable> => {
        const [socket, listener] = made.world.inside(served.namespace, () => [
          Bun.udpSocket({ hostname: "0.0.0.0", port: 53 }),
          Bun.listen({ hostname: "0.0.0.0", port: 53, socket: { data: () => undefined } }),
        ]);
        const opened = await socket;
        return {
          [Symbol.asyncDispose]: async () => {
            opened.close();
            listener.stop(true);
          },
        };
      };
      await using _before = await occupy();
      await made.service.setEndpoint(endpoint);
      await made.service.serve(served);
      expect(decode((await made.ask(served.namespace, query("db"), "udp"))!).data).toEqual(["10.1.0.2"]);
      expect(decode((await made.ask(served.namespace, query("db"), "tcp"))!).data).toEqual(["10.1.0.2"]);
      await _before[Symbol.asyncDispose]();
      await using _after = await occupy();
      expect(decode((await made.ask(served.namespace, query("db"), "udp"))!).data).toEqual(["10.1.0.2"]);
    });

    test("its own rules see port 53 in both directions, also with connection tracking", async () => {
      await using made = place(serverInThisProcess());
      const { served, endpoint } = one(made.namespace());
      const rules = `table ip own {
        chain out { type filter hook output priority 0; policy drop;
          ct state invalid drop
          ip daddr 127.0.0.11 meta l4proto { tcp, udp } th dport 53 accept
          ip saddr 127.0.0.11 meta l4proto { tcp, udp } th sport 53 ct state established accept
        }
      }`;
      run("nsenter", `--net=${served.namespace}`, "nft", rules);
      await made.service.setEndpoint(endpoint);
      await made.service.serve(served);
      for (const protocol of ["udp", "tcp"] as const)
        expect(decode((await made.ask(served.namespace, query("db"), protocol))!).data).toEqual(["10.1.0.2"]);
    });

    test("without nf_tables in its namespace the resolver has port 53 itself, and says so", async () => {
      const refusing = {
        ...sys,
        netlinkTransact: () => {
          throw new Error("no nf_tables");
        },
      };
      await using made = place(createNameServer(refusing, { clock: systemClock }));
      const { served, endpoint } = one(made.namespace());
      await made.service.setEndpoint(endpoint);
      expect(await made.service.serve(served)).toEqual([
        "container c: its resolver occupies port 53, because the port cannot be redirected: no nf_tables",
      ]);
      for (const protocol of ["udp", "tcp"] as const)
        expect(decode((await made.ask(served.namespace, query("db"), protocol))!).data).toEqual(["10.1.0.2"]);
      // Here the kernel reports that a client was gone, at the answer to the next one.
      const { promise, resolve } = Promise.withResolvers<Uint8Array>();
      const [staying, ...leaving] = await Promise.all(
        made.world.inside(served.namespace, () =>
          [resolve, ...Array.from({ length: 5 }, () => () => undefined)].map((data) =>
            Bun.udpSocket({
              connect: { hostname: "127.0.0.11", port: 53 },
              socket: { data: (_socket, bytes) => data(bytes), error: () => undefined },
            }),
          ),
        ),
      );
      // All questions are there before the resolver, which is in this process, reads the first.
      for (const socket of leaving) {
        socket.send(query("db"));
        socket.close();
      }
      staying!.send(query("db"));
      expect(decode(await promise).data).toEqual(["10.1.0.2"]);
      staying!.close();
    });

    test("servers with IPv6 addresses are asked too, from the host and from the container", async () => {
      await using made = place(serverInThisProcess());
      const { served, endpoint } = one(made.namespace());
      await made.service.setEndpoint(endpoint);
      const servers = { host: "host", container: served } as const;
      for (const [from, where] of Object.entries(servers)) {
        await made.server(where, "::1", (asked) => reply(asked, { code: 3 }));
        await made.service.serve({
          ...served,
          servers: [{ address: "::1", from: from === "host" ? "host" : "container" }],
        });
        for (const protocol of ["udp", "tcp"] as const) {
          const answer = await made.ask(served.namespace, query(`${from}-${protocol}.example`), protocol);
          expect([from, protocol, decode(answer!).code]).toEqual([from, protocol, "NXDOMAIN"]);
        }
      }
    });

    test("clients over TCP that send nothing, half a question, or many questions at once", async () => {
      await using made = place(serverInThisProcess());
      const { served, endpoint } = one(made.namespace());
      await made.server("host", "127.0.0.53", (asked) => reply(asked, { code: 3 }));
      await made.service.setEndpoint(endpoint);
      await made.service.serve({ ...served, servers: [{ address: "127.0.0.53", from: "host" }] });
      using silent = await made.world.connectTcp(served.namespace);
      using many = await made.world.connectTcp(served.namespace);
      for (let id = 0; id < 200; id++) many.send(query(id % 2 === 0 ? "db" : `n${id}.example`, { id }));
      const ids = new Set<number>();
      for (let count = 0; count < 200; count++) ids.add(decode(await many.next()).id);
      expect(ids.size).toBe(200);
      using long = await made.world.connectTcp(served.namespace);
      long.send(new Uint8Array(5000));
      await long.closed;
      // The silent one is closed after its time; it holds nobody up until then.
      await silent.closed;
    }, 30_000);
  });

  describe("the helper", () => {
    test("starts with the first container, serves all of them, and ends without one", async () => {
      const directory = temporary();
      const service = daemon(directory, "one", 200);
      await using made = place(service);
      await service.restore(() => none);
      expect(helpers(directory)).toEqual([]);
      const { served, endpoint } = one(made.namespace());
      await service.setEndpoint(endpoint);
      await service.serve(served);
      await service.serve({ ...served, containerId: "d", namespace: made.namespace() });
      expect(helpers(directory)).toHaveLength(1);
      await service.release("c");
      await service.release("d");
      await service.removeEndpoint("e");
      await until("the helper has ended", () => helpers(directory).length === 0);
      // And again.
      await service.setEndpoint(endpoint);
      await service.serve(served);
      expect(decode((await made.ask(served.namespace, query("db"), "udp"))!).data).toEqual(["10.1.0.2"]);
      await service.release("c");
      await gone(directory);
    });

    test("answers without a daemon; the next daemon has it again, with the same sockets and open connections", async () => {
      const directory = temporary();
      const world = new NamesWorld();
      const first = daemon(directory);
      const { served, endpoint } = one(world.namespace());
      await first.setEndpoint(endpoint);
      await first.serve(served);
      using connection = await world.connectTcp(served.namespace);
      await first[Symbol.asyncDispose]();
      expect(decode((await world.ask(served.namespace, query("db"), "udp"))!).data).toEqual(["10.1.0.2"]);
      connection.send(query("db"));
      expect(decode(await connection.next()).data).toEqual(["10.1.0.2"]);
      const second = daemon(directory);
      await second.restore(() => ({ ...none, endpoints: [endpoint], containers: [served] }));
      expect(helpers(directory)).toHaveLength(1);
      connection.send(query("db"));
      expect(decode(await connection.next()).data).toEqual(["10.1.0.2"]);
      // A start with nothing to serve ends it.
      await second.restore(() => none);
      await until("the helper has ended", () => helpers(directory).length === 0);
      await second[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
      await gone(directory);
    });

    test("of an earlier program is followed by a new one, without a moment without answers", async () => {
      const directory = temporary();
      const world = new NamesWorld();
      const first = daemon(directory, "one");
      const { served, endpoint } = one(world.namespace());
      await first.setEndpoint(endpoint);
      await first.serve(served);
      await first[Symbol.asyncDispose]();
      let asking = true;
      let answers = 0;
      const client = (async () => {
        for (; asking; answers++)
          if ((await world.ask(served.namespace, query("db"), "udp")) === undefined) return "lost";
        return "all answered";
      })();
      const second = daemon(directory, "two");
      await second.restore(() => ({
        ...none,
        endpoints: [{ ...endpoint, names: ["db", "new"] }],
        containers: [served],
      }));
      const before = answers;
      await until("more questions are asked", () => answers > before + 20);
      asking = false;
      expect(await client).toBe("all answered");
      expect(decode((await world.ask(served.namespace, query("new"), "udp"))!).data).toEqual(["10.1.0.2"]);
      expect(readdirSync(directory)).toEqual(["two.sock"]);
      await until("the first helper has ended", () => helpers(directory).length === 1);
      await second.release("c");
      await second[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
      await gone(directory);
    });

    test("that is killed is started again with everything it knew", async () => {
      const directory = temporary();
      await using made = place(daemon(directory));
      const { served, endpoint } = one(made.namespace());
      await made.service.restore(() => ({ ...none, endpoints: [endpoint], containers: [served] }));
      const [pid] = helpers(directory);
      process.kill(pid!, "SIGKILL");
      await until("another helper answers", async () => {
        const answer = await made.ask(served.namespace, query("db"), "udp").catch(() => undefined);
        return answer !== undefined && decode(answer).data[0] === "10.1.0.2";
      });
      expect(helpers(directory)).not.toEqual([pid!]);
      // A call right after the end of one waits for the next.
      process.kill(helpers(directory)[0]!, "SIGKILL");
      await made.service.setEndpoint({ ...endpoint, names: ["other"] });
      expect(decode((await made.ask(served.namespace, query("other"), "udp"))!).data).toEqual(["10.1.0.2"]);
      // A container that starts meanwhile, which the state of that moment does not have, can be released like any other.
      process.kill(helpers(directory)[0]!, "SIGKILL");
      const late = { ...served, containerId: "late", namespace: made.namespace() };
      await made.service.serve(late);
      expect(await made.ask(late.namespace, query("db"), "udp")).toBeDefined();
      await made.service.release("late");
      await expect(made.ask(late.namespace, query("db"), "tcp")).rejects.toThrow();
      await made.service.release("c");
      await gone(directory);
    });
  });
}
