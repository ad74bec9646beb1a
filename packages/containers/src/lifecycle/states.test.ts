import { describe, expect, test } from "bun:test";
import { silentLogger } from "@fathom/base";
import type { ContainerTable } from "../rows/table.ts";
import { Container } from "../container.ts";
import type { ContainerRecord } from "../record.ts";
import { Machine, Refused, type Change, type Effects } from "./machine.ts";
import {
  effects,
  happenings,
  states,
  statesWithProcess,
  transitions,
  type Effect,
  type Happening,
  type State,
} from "./states.ts";

/** The order in which clients see the effects, as in docs/rfd/005. */
const order: readonly Effect[] = [
  "stop-timer",
  "drop-stem",
  "stop-health",
  "complete-adopt",
  "end-execs",
  "publish-create",
  "publish-start",
  "publish-pause",
  "publish-unpause",
  "publish-end",
  "watch-end",
  "follow-log",
  "give-streams",
  "begin-health",
  "clear-run",
  "begin-timer",
  "wake-end",
  "remove-files",
  "drop-execs",
  "publish-destroy",
  "wake-removal",
  "auto-remove",
];

/**
 * The whole table a second time, as text: the next state, how the row changes, the effects. If somebody adds, removes or changes a transition
 * by accident, the test fails.
 */
const expected: Readonly<Record<State, Readonly<Partial<Record<Happening, string>>>>> = {
  unknown: {
    "found-idle": "row",
    "found-running": "running, row may-wait, watch-end, follow-log, begin-health",
    "found-paused": "paused, row may-wait, watch-end, follow-log, begin-health",
    "found-ended": "exited, row may-wait, publish-end, clear-run",
    "found-waiting": "waiting, row may-wait, publish-end, clear-run",
  },
  creating: {
    made: "created, row show, publish-create",
    removed: "gone, row drop",
  },
  created: {
    start: "starting, stop-timer",
    remove: "removing, row must, stop-timer, drop-stem",
    kept: "row, wake-removal",
  },
  starting: {
    started: "running, row must, complete-adopt, publish-start, watch-end, follow-log, give-streams, begin-health",
    failed: "row, row may-wait, auto-remove",
  },
  running: {
    pause: "paused, row must, publish-pause",
    stuck: "paused, row may-wait",
    end: "ending, stop-health",
  },
  paused: {
    unpause: "running, row may-wait, publish-unpause",
    end: "ending, stop-health",
  },
  ending: {
    ended: "exited, row may-wait, end-execs, publish-end, clear-run, wake-end, auto-remove",
    wait: "waiting, row may-wait, publish-end, clear-run, begin-timer, wake-end",
  },
  exited: {
    start: "starting, stop-timer",
    wait: "waiting, row may-wait, begin-timer",
    "give-up": "exited, wake-end",
    "let-go": "exited, auto-remove",
    remove: "removing, row must, stop-timer, drop-stem",
    kept: "row, wake-removal",
  },
  waiting: {
    start: "starting, stop-timer",
    wait: "waiting, row may-wait, begin-timer",
    cancel: "exited, row may-wait, stop-timer, wake-end",
    "give-up": "exited, row may-wait, stop-timer, wake-end",
    remove: "removing, row must, stop-timer, drop-stem",
    kept: "row, wake-removal",
    resume: "waiting, begin-timer",
  },
  removing: {
    remove: "removing, row must, stop-timer, drop-stem",
    removed: "gone, row drop, remove-files, drop-execs, publish-destroy, wake-removal",
    kept: "row, wake-removal",
  },
  gone: {},
};

const statusOf: Partial<Record<State, string>> = {
  created: "created",
  running: "running",
  paused: "paused",
  waiting: "restarting",
  removing: "removing",
};

class World {
  readonly log: string[] = [];
  failRow: Error | undefined;
  readonly container: Container;
  readonly machine: Machine;

  constructor(state: State) {
    const record = {
      id: "c",
      name: "c",
      pending: state === "creating" ? "creating" : undefined,
      state: { status: statusOf[state] ?? "exited" },
    } as ContainerRecord;
    this.container = new Container(record, state);
    const write = (kind: string) => (container: Container, patch: Partial<ContainerRecord>) => {
      if (this.failRow !== undefined && kind !== "may-wait") throw this.failRow;
      this.log.push(`row ${kind}`);
      container.record = { ...container.record, ...patch };
    };
    const table = {
      update: write("must"),
      record: write("may-wait"),
      publish: write("show"),
      delete: (container: Container) => write("drop")(container, {}),
    } as unknown as ContainerTable;
    this.machine = new Machine(table, silentLogger);
    this.machine.use(
      Object.fromEntries(order.map((effect) => [effect, () => void this.log.push(effect)])) as unknown as Effects,
    );
  }
}

const patch = { restartCount: 1 };
const process = {} as NonNullable<Change["process"]>;

const pairs = states.flatMap((state) => happenings.map((happening) => [state, happening] as const));
const inTable = pairs.flatMap(([state, happening]) => {
  const transition = transitions[state][happening];
  return transition === undefined ? [] : [{ state, happening, ...transition }];
});

describe("the table of states", () => {
  test.each(pairs)("%s: %s has the transition that this test expects", (state, happening) => {
    const transition = transitions[state][happening];
    const { to, row, effects } = transition ?? { to: undefined, row: undefined, effects: [] };
    const found = [to, row === undefined ? undefined : `row ${row}`, ...effects].filter((one) => one !== undefined);
    expect(transition === undefined ? undefined : found.join(", ")).toBe(expected[state][happening]);
  });

  test.each(pairs)("%s: %s", async (state, happening) => {
    const world = new World(state);
    const { container, machine, log } = world;
    const transition = transitions[state][happening];
    if (transition === undefined) {
      expect(() => machine.apply(container, happening, { patch })).toThrow(Refused);
      expect(() => machine.check(container, happening)).toThrow(Refused);
      expect([container.state, log]).toEqual([state, []]);
      return;
    }
    const to = transition.to;
    await machine.apply(container, happening, {
      patch,
      ...(to !== "row" && statesWithProcess.has(to) ? { process } : {}),
    });
    if (to !== "row") expect(container.state).toBe(to);
    else expect<State[]>(["created", "exited", "waiting", "removing"]).toContain(container.state);
    expect(container.process !== undefined).toBe(statesWithProcess.has(container.state));
    expect(log).toEqual([...(transition.row === undefined ? [] : [`row ${transition.row}`]), ...transition.effects]);
  });

  test.each(inTable.filter(({ row }) => row !== undefined && row !== "may-wait"))(
    "$state: $happening changes nothing when its row cannot be written",
    ({ state, happening }) => {
      const world = new World(state);
      world.failRow = new Error("the disk is full");
      expect(() => world.machine.apply(world.container, happening, { patch, process })).toThrow("the disk is full");
      expect([world.container.state, world.container.process, world.log]).toEqual([state, undefined, []]);
    },
  );

  test("an effect that fails does not stop the others", async () => {
    const world = new World("ending");
    const done: string[] = [];
    world.machine.use(
      Object.fromEntries(
        order.map((effect) => [
          effect,
          () => {
            done.push(effect);
            throw new Error(effect);
          },
        ]),
      ) as unknown as Effects,
    );
    await world.machine.apply(world.container, "ended", { patch });
    expect(done).toEqual([...transitions.ending.ended!.effects]);
  });
});

describe("rules of the table", () => {
  test("effects come in the order that clients see", () => {
    expect<readonly Effect[]>(effects).toEqual(order);
    for (const { state, happening, effects: follow } of inTable)
      expect([state, happening, [...follow]]).toEqual([state, happening, order.filter((one) => follow.includes(one))]);
  });

  test("every state can be reached, and the container can leave every state", () => {
    const reach = (from: Iterable<State>): Set<State> => {
      const found = new Set(from);
      for (const state of found)
        for (const { to } of Object.values(transitions[state]))
          for (const next of to === "row" ? (["created", "exited", "waiting"] as const) : [to]) found.add(next);
      return found;
    };
    expect([...reach(["unknown", "creating"])].sort()).toEqual([...states].sort());
    for (const state of states) expect(reach([state]).has("gone")).toBe(true);
  });

  const entering = (inside: (state: State) => boolean, ...besides: Happening[]): typeof inTable =>
    inTable.filter(
      ({ state, to, happening }) => to !== "row" && inside(to) && !inside(state) && !besides.includes(happening),
    );

  test("a transition into a state with a process watches for its end", () => {
    const begins = entering((state) => statesWithProcess.has(state));
    expect(begins.map(({ happening }) => happening).sort()).toEqual(["found-paused", "found-running", "started"]);
    for (const { effects } of begins) expect(effects).toContain("watch-end");
  });

  test("a wait has a timer, which ends with it", () => {
    // For a wait that a daemon's start finds, the timer begins when requests are served.
    for (const { effects } of entering((state) => state === "waiting", "found-waiting"))
      expect(effects).toContain("begin-timer");
    for (const { effects } of inTable.filter(
      ({ state, to }) => state === "waiting" && to !== "waiting" && to !== "row",
    ))
      expect(effects).toContain("stop-timer");
  });

  test("every waiter learns of an end", () => {
    for (const { effects } of inTable.filter(({ state }) => state === "ending"))
      for (const effect of ["publish-end", "clear-run", "wake-end"] as const) expect(effects).toContain(effect);
  });
});
