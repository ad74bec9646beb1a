/**
 * `fathom-runc`: containers by runc's command line. One call is one process; no daemon runs between two calls.
 *
 * Terms. The *root* is the directory of all states (`--root`). A *container* is a directory below it, with `state.json`; its id is the name of
 * the directory. Its *first process* is a child of the caller's nearest subreaper, and after `create` it waits at a FIFO in that directory.
 *
 * Life: `create` reserves the directory, writes the record, makes cgroup and process, writes the record again; `start` opens the FIFO; the
 * process ends; `delete` removes cgroup and directory. A status is never stored: the kernel says which process runs.
 *
 * A crash. Every call may be killed at every point. What then exists is named by the record, which is written before it exists; `delete --force`
 * ends and removes it.
 *
 * Errors. A failure is an `EngineError` or a `LaunchFailure`; `words.ts` makes runc's words of it, once. Exit codes are runc's: 1, of `exec` 255,
 * of `run` and `exec` in the foreground the code of the process.
 */

/** @returns the exit code */
export type RuncMain = (argv: readonly string[]) => Promise<number>;
