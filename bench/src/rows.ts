/** The things that are measured. A row's title says exactly what its numbers are. Targets are ratios to dockerd unless they say otherwise. */
import type { Contender, Row, Sides, Target } from "./row.ts";
import { ApiClient } from "./api-client.ts";
import { parentOf, pssKiB, run, runMs } from "./measure.ts";
import type { Engine } from "./engines.ts";
import {
  apiRun,
  askNames,
  engineMegabytes,
  firstProcesses,
  IMAGE,
  MANY,
  pull,
  quietMs,
  remove,
  removeNamed,
  runAtOnce,
  startAtOnce,
  startMany,
  startNamed,
  throughDocker,
  timed,
} from "./samples.ts";

export interface RowOptions {
  readonly bigLayers: number;
  readonly bigMegabytes: number;
  /** Fathom's own CLI; absent when dist/fathom is not built. */
  readonly fathom?: string;
  /** Another build of fathom that is measured in dockerd's place. */
  readonly before?: string;
  /** Programs that are measured beside the engines in the row about one container's life. */
  readonly bare: readonly Contender[];
  /** Fathom's engine without its API, for the same row. */
  readonly alone?: Contender;
}

export function rows(sides: Sides, options: RowOptions): Row[] {
  const { fathom, before } = options;
  const ours = sides.engines.find((engine) => engine.name === "fathom");
  const theirs = sides.engines.find((engine) => engine.name !== "fathom");

  /** Fathom's CLI with fathom's engine, beside the docker CLI with dockerd. */
  function cliBesideDocker(own: readonly string[], docker: readonly string[]): Contender[] {
    const list: Contender[] = [];
    if (ours !== undefined && fathom !== undefined)
      list.push({ name: "fathom", sample: () => runMs([fathom, ...own], ours.env) });
    const peer = before === undefined ? ["docker", ...docker] : [before, ...own];
    if (theirs !== undefined) list.push({ name: theirs.name, sample: () => runMs(peer, theirs.env) });
    return list;
  }

  const running = new Map<Engine, string>();
  const named = new Map<Engine, string>();
  const clients = new Map<Engine, ApiClient>();
  const perContainer = 10;
  const list: Row[] = [
    {
      id: "idle-memory",
      title: "memory of the idle engine, all its processes (PSS), one image pulled, 5 s quiet",
      unit: "MB",
      rounds: 1,
      targets: [{ most: 60 }, { ratio: 0.5 }],
      before: () => Bun.sleep(quietMs),
      contenders: throughDocker(sides, (engine) => engineMegabytes(engine, [])),
    },
    {
      id: "run",
      title: `docker run --rm alpine true (docker CLI, default network)`,
      unit: "ms",
      rounds: 15,
      targets: [{ ratio: 0.15 }],
      contenders: throughDocker(sides, timed("run", "--rm", IMAGE, "true")),
    },
    {
      id: "run-none",
      title: "docker run --rm --network none alpine true (docker CLI)",
      unit: "ms",
      rounds: 15,
      targets: [{ ratio: 0.12 }],
      contenders: throughDocker(sides, timed("run", "--rm", "--network", "none", IMAGE, "true")),
    },
    {
      id: "fathom-run",
      title: "fathom run --rm alpine true (own CLI) beside docker run on dockerd",
      unit: "ms",
      rounds: 15,
      targets: [{ ratio: 0.12 }],
      contenders: cliBesideDocker(["run", "--rm", IMAGE, "true"], ["run", "--rm", IMAGE, "true"]),
    },
    {
      id: "engine",
      title: "create + start + exit inside the engine (calls, no HTTP), network none",
      unit: "ms",
      rounds: 25,
      targets: [{ ratio: 3, to: "floor" }],
      contenders: [...(options.alone === undefined ? [] : [options.alone]), ...options.bare],
    },
    {
      id: "engine-api",
      title: "create + start + exit through the API on one open connection, no CLI, network none",
      unit: "ms",
      rounds: 25,
      targets: [],
      contenders: throughDocker(sides, (engine) => apiRun(clients.get(engine)!)),
      before: () => {
        for (const engine of sides.engines) clients.set(engine, new ApiClient(engine));
      },
      after: () => {
        for (const client of clients.values()) client[Symbol.dispose]();
      },
    },
    {
      id: "exec",
      title: "docker exec C true (docker CLI)",
      unit: "ms",
      rounds: 15,
      targets: [{ ratio: 0.4 }],
      before: () => {
        for (const engine of sides.engines) running.set(engine, startMany(engine, 1)[0]!);
      },
      contenders: throughDocker(sides, (engine) => timed("exec", running.get(engine) ?? "", "true")(engine)),
      after: () => {
        for (const [engine, name] of running) remove([name], engine.env);
      },
    },
    ...[
      {
        id: "names",
        title: "5,000 questions about a container's name at 127.0.0.11, one after the other",
        ask: (engine: Engine) => askNames(engine, named.get(engine) ?? "", 5000, 1).whole,
      },
      {
        id: "names-p99",
        title: "the same asked by 8 clients at once: the time within which 99 of 100 answers come",
        ask: (engine: Engine) => askNames(engine, named.get(engine) ?? "", 20_000, 8).p99,
      },
    ].map(({ id, title, ask }): Row => ({
      id,
      title,
      unit: "ms",
      rounds: 9,
      targets: [{ ratio: 0.5 }],
      before: () => {
        for (const engine of sides.engines) named.set(engine, startNamed(engine));
      },
      contenders: throughDocker(sides, ask),
      after: () => {
        for (const [engine, name] of named) removeNamed(engine, name);
      },
    })),
    {
      id: "version",
      title: "fathom version beside docker version on dockerd, start to end",
      unit: "ms",
      rounds: 25,
      targets: [{ most: 15 }, { ratio: 1.5 }],
      contenders: cliBesideDocker(["version"], ["version"]),
    },
    {
      id: "rm",
      title: `docker rm -f of ${MANY} running containers, one command`,
      unit: "ms",
      rounds: 3,
      targets: [{ ratio: 0.15 }],
      contenders: throughDocker(sides, (engine) => {
        const names = startMany(engine, MANY);
        return runMs(["docker", "rm", "-f", ...names], engine.env);
      }),
    },
    {
      id: "start-many",
      title: `${MANY} created containers started at once through the API, until all run`,
      unit: "ms",
      rounds: 3,
      targets: [{ ratio: 0.15 }],
      contenders: throughDocker(sides, startAtOnce),
    },
    {
      id: "run-many",
      title: `${MANY} docker run -d at once (20 docker CLIs), until all have returned`,
      unit: "ms",
      rounds: 3,
      targets: [{ ratio: 0.15 }],
      contenders: throughDocker(sides, runAtOnce),
    },
    {
      id: "container-memory",
      title: `PSS of the process that keeps one container running (supervisor; containerd-shim), mean of ${perContainer}`,
      unit: "MB",
      rounds: 1,
      targets: [{ most: 0.5 }],
      contenders: throughDocker(sides, (engine) => {
        const names = startMany(engine, perContainer);
        const keepers = new Set(firstProcesses(engine, names).map(parentOf));
        const total = [...keepers].reduce((sum, pid) => sum + pssKiB(pid), 0);
        remove(names, engine.env);
        return total / 1024 / perContainer;
      }),
    },
    {
      id: "container-memory-growth",
      title: `growth of all the engine's processes by ${perContainer} running containers (PSS), each`,
      unit: "MB",
      rounds: 5,
      targets: [],
      // At first an engine's compiler makes machine code of the engine's own program. This memory is not growth by containers, so it is used
      // before the measurement.
      before: () => {
        for (const engine of sides.engines)
          for (let turn = 0; turn < 3; turn++) remove(startMany(engine, MANY), engine.env);
      },
      contenders: throughDocker(sides, async (engine) => {
        // Our daemon releases memory some time after a request, and each request maps megabytes of its program again. Both values are read in the
        // same state.
        const rest = async (): Promise<void> => {
          run(["docker", "ps"], engine.env);
          await Bun.sleep(quietMs);
        };
        await rest();
        const before = engineMegabytes(engine, []);
        const names = startMany(engine, perContainer);
        const processes = firstProcesses(engine, names);
        await rest();
        const after = engineMegabytes(engine, processes);
        remove(names, engine.env);
        return (after - before) / perContainer;
      }),
    },
    {
      id: "pull",
      title: `docker pull of ${options.bigLayers} layers, ${(options.bigLayers * 0.3).toFixed(1)} GB unpacked, ${options.bigLayers * 12}000 files (${options.bigMegabytes} MB packed)`,
      unit: "ms",
      rounds: 3,
      warmUp: false,
      targets: [{ ratio: 0.45 }],
      contenders: throughDocker(sides, (engine) => pull(engine, options.bigLayers)),
    },
    {
      id: "memory-after",
      title: "memory of the engine after all rows above, 5 s quiet (PSS)",
      unit: "MB",
      rounds: 1,
      targets: [],
      before: () => Bun.sleep(quietMs),
      contenders: throughDocker(sides, (engine) => engineMegabytes(engine, [])),
    },
  ];
  // A change may not cost time that a user would notice.
  const unchanged: Target[] = [{ ratio: 1.05, to: "before" }];
  if (before === undefined) return list;
  // Two builds differ by less than the machine's noise, so short rows get more samples.
  return list.map((row) => ({ ...row, targets: unchanged, rounds: row.rounds >= 15 ? row.rounds * 4 : row.rounds }));
}
