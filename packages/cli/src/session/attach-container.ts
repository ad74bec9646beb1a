/** Attaches to an existing container, and copies its streams until the container ends or the user detaches: `attach` and `start -a`. */
import { within } from "@fathom/base";
import type { Client } from "@fathom/client";
import { copyStreams, proxySignals, requireTerminal } from "../output/terminal.ts";

export interface AttachPlan {
  readonly id: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly detachKeys: string;
  readonly signals: boolean;
  readonly condition: "not-running" | "next-exit";
  /** Called when the streams are attached and the wait is registered. It starts the container. */
  begin(): Promise<unknown>;
}

/** Returns the container's exit code, or 0 when the user detached. */
export async function attachToContainer(client: Client, plan: AttachPlan): Promise<number> {
  const { id, tty, stdin } = plan;
  requireTerminal(tty, stdin);
  const stream = await client.hijack(`/containers/${id}/attach`, {
    query: { stream: 1, stdin: stdin ? 1 : undefined, stdout: 1, stderr: 1, detachKeys: plan.detachKeys || undefined },
  });
  const giveUp = new AbortController();
  const waited = client.json<{ StatusCode: number }>("POST", `/containers/${id}/wait`, {
    query: { condition: plan.condition },
    signal: giveUp.signal,
  });
  waited.catch(() => undefined);
  const stopSignals = plan.signals && !tty ? proxySignals(client, id) : () => undefined;
  try {
    await plan.begin();
    const resize = (rows: number, columns: number): Promise<number> =>
      client.send("POST", `/containers/${id}/resize`, { query: { h: rows, w: columns } });
    await copyStreams({ stream, tty, stdin, resize });
    const first = await within(waited, 200, () => undefined);
    if (first !== undefined) return first.StatusCode;
    const { State } = await client.json<{ State: { Running: boolean } }>("GET", `/containers/${id}/json`);
    return State.Running ? 0 : (await waited).StatusCode;
  } finally {
    // When the user detached or the start failed, nobody waits for the container's end. The open request would keep this program running.
    giveUp.abort();
    stream.close();
    stopSignals();
  }
}
