/** Clients that attached before a start. */
import type { Attachment } from "@fathom/runtime";
import type { Sys } from "@fathom/sys";
import type { Container, PendingAttach } from "../container.ts";

/** Takes the waiting clients out of the container. From now on the caller owns their streams. */
export function takeClients(container: Container): readonly PendingAttach[] {
  const taken = [...container.pendingAttach];
  container.pendingAttach.clear();
  return taken;
}

/** The launch failed: they continue to wait, except those that have hung up. */
export function putClientsBack(container: Container, clients: readonly PendingAttach[]): void {
  for (const client of clients)
    if (client.signal.aborted) client.started.resolve(undefined);
    else container.pendingAttach.add(client);
}

/** The launch took them, and is undone: they get no stream. */
export function sendClientsAway(
  sys: Pick<Sys, "close">,
  clients: readonly PendingAttach[],
  attachments: readonly Attachment[],
): void {
  for (const { fd } of attachments) sys.close(fd);
  for (const client of clients) client.started.resolve(undefined);
}
