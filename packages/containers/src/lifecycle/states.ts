/**
 * The life of a container as data: its states, what can happen in each, the next state, and the effects in the order that clients see. Only
 * `Machine` reads the table; a step or a verb of the API asks the machine. A pair that is not in the table is rejected.
 */
import type { ContainerRecord } from "../record.ts";

/**
 * - unknown: a row of the previous daemon; it is not known yet whether a process runs
 * - creating: its volumes and mounted images are being made; no client sees it
 * - created: it has never run
 * - starting: namespaces, mounts and network are being made; a failure leaves nothing
 * - running, paused: it has a process; in "paused" the user has frozen it
 * - ending: its process has ended, and what the run held is being freed
 * - exited: it has run; the code of the last run is in the row
 * - waiting: as exited, and its restart policy will start it after a delay
 * - removing: its anonymous volumes and then its row are being removed
 * - gone: it has no row
 */
export const states = [
  "unknown",
  "creating",
  "created",
  "starting",
  "running",
  "paused",
  "ending",
  "exited",
  "waiting",
  "removing",
  "gone",
] as const;
export type State = (typeof states)[number];

/** States with a process. */
export const statesWithProcess: ReadonlySet<State> = new Set(["running", "paused", "ending"]);

/**
 * - made: everything that a new container needs exists
 * - start: a start begins; started: the program runs; failed: a step of the start failed
 * - pause, unpause: by a user; stuck: it is frozen although nobody wants that, because the thaw after a commit failed
 * - end: the process has ended, and what the run held is being freed; then ended: the policy does nothing, or wait: the policy starts it again
 *   later
 * - cancel: a stop or kill ends the wait of a policy; give-up: the policy's start failed, and it does not try again
 * - let-go: the last restart by a user is over, and the container does not run
 * - remove: a removal begins; removed: the row can be deleted; kept: it could not be removed
 * - found-idle, found-running, found-paused: a daemon's start finds nothing that runs, a process, a frozen process
 * - found-ended, found-waiting: it finds an end that nobody saw, after which the policy does nothing or waits
 * - resume: requests are served, and policies continue
 */
export const happenings = [
  "made",
  "start",
  "started",
  "failed",
  "pause",
  "unpause",
  "stuck",
  "end",
  "ended",
  "wait",
  "cancel",
  "give-up",
  "let-go",
  "remove",
  "removed",
  "kept",
  "found-idle",
  "found-running",
  "found-paused",
  "found-ended",
  "found-waiting",
  "resume",
] as const;
export type Happening = (typeof happenings)[number];

/**
 * The effects of a transition, after its row is written. Each is one function of effects.ts. The list has the order in which clients see them:
 * a transition has some of these, in this order.
 */
export const effects = [
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
] as const;
export type Effect = (typeof effects)[number];

export interface Transition {
  /** "row": the state in the row. */
  readonly to: State | "row";
  /**
   * How the row is changed before the effects. "must": the transition fails when the row cannot be written. "may-wait": the row is then written
   * later, because the change has already happened. "show": makes a half-made container visible. "drop": deletes the row. Absent: the row does
   * not change.
   */
  readonly row?: "must" | "may-wait" | "show" | "drop";
  readonly effects: readonly Effect[];
}

const start: Transition = { to: "starting", effects: ["stop-timer"] };
const remove: Transition = { to: "removing", row: "must", effects: ["stop-timer", "drop-stem"] };
/** A removal that could not begin leaves the state unchanged, and clients that wait for it get the reason. */
const kept: Transition = { to: "row", effects: ["wake-removal"] };
const end: Transition = { to: "ending", effects: ["stop-health"] };
const wait: Transition = { to: "waiting", row: "may-wait", effects: ["begin-timer"] };
const taken: readonly Effect[] = ["watch-end", "follow-log", "begin-health"];

export const transitions: Readonly<Record<State, Readonly<Partial<Record<Happening, Transition>>>>> = {
  unknown: {
    "found-idle": { to: "row", effects: [] },
    "found-running": { to: "running", row: "may-wait", effects: taken },
    "found-paused": { to: "paused", row: "may-wait", effects: taken },
    "found-ended": { to: "exited", row: "may-wait", effects: ["publish-end", "clear-run"] },
    "found-waiting": { to: "waiting", row: "may-wait", effects: ["publish-end", "clear-run"] },
  },
  creating: {
    made: { to: "created", row: "show", effects: ["publish-create"] },
    removed: { to: "gone", row: "drop", effects: [] },
  },
  created: { start, remove, kept },
  starting: {
    started: {
      to: "running",
      row: "must",
      effects: ["complete-adopt", "publish-start", "watch-end", "follow-log", "give-streams", "begin-health"],
    },
    failed: { to: "row", row: "may-wait", effects: ["auto-remove"] },
  },
  running: {
    pause: { to: "paused", row: "must", effects: ["publish-pause"] },
    stuck: { to: "paused", row: "may-wait", effects: [] },
    end,
  },
  paused: {
    unpause: { to: "running", row: "may-wait", effects: ["publish-unpause"] },
    end,
  },
  ending: {
    ended: {
      to: "exited",
      row: "may-wait",
      effects: ["end-execs", "publish-end", "clear-run", "wake-end", "auto-remove"],
    },
    wait: { to: "waiting", row: "may-wait", effects: ["publish-end", "clear-run", "begin-timer", "wake-end"] },
  },
  exited: {
    start,
    remove,
    kept,
    wait,
    "give-up": { to: "exited", effects: ["wake-end"] },
    "let-go": { to: "exited", effects: ["auto-remove"] },
  },
  waiting: {
    start,
    remove,
    kept,
    wait,
    resume: { to: "waiting", effects: ["begin-timer"] },
    cancel: { to: "exited", row: "may-wait", effects: ["stop-timer", "wake-end"] },
    // For a start that failed before it began: the row of the previous run cannot be written.
    "give-up": { to: "exited", row: "may-wait", effects: ["stop-timer", "wake-end"] },
  },
  removing: {
    // A removal that failed can be tried again.
    remove,
    removed: {
      to: "gone",
      row: "drop",
      effects: ["remove-files", "drop-execs", "publish-destroy", "wake-removal"],
    },
    kept,
  },
  gone: {},
};

/** For a container whose process is unknown. */
export function stateOfRow({ pending, state }: Pick<ContainerRecord, "pending" | "state">): State {
  if (pending === "creating") return "creating";
  if (pending !== undefined) return "removing";
  switch (state.status) {
    case "created":
      return "created";
    case "restarting":
      return "waiting";
    case "removing":
    case "dead":
      return "removing";
    case "running":
    case "paused":
    case "exited":
      return "exited";
  }
}
