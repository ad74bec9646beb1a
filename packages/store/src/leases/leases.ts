/** Leases: rows that protect unfinished objects from the garbage collector. */
import { EngineError, formatRfc3339Nano, randomId, type Clock } from "@fathom/base";
import { parseChainId, parseDigest } from "@fathom/spec";
import type { Database, Lease, LeaseOwner, Leases, Reached } from "../contract.ts";
import { optionalNumber, optionalText, textColumn, type Row } from "../database/rows.ts";

export type HoldKind = "blob" | "layer";

export interface StoreLeases extends Leases {
  /**
   * Puts something under a lease. Call it in the transaction that adds the thing's row.
   * @throws not-found when the lease was released or has expired, because nothing would protect the thing.
   */
  hold(lease: Lease, kind: HoldKind, name: string): void;
  /** A root of the collector. Expired leases of clients are removed first: they no longer protect anything. */
  reached(): Reached;
}

function nowMs(clock: Clock): number {
  return Number(clock.nowNs() / 1_000_000n);
}

/** @param start A name for this start of the engine; no other start has the same. */
export function createLeases(database: Database, clock: Clock, start = randomId()): StoreLeases {
  function endAfter(expiresInMs: number): number {
    if (!(expiresInMs > 0) || !Number.isFinite(expiresInMs))
      throw new EngineError("invalid-argument", `a lease cannot expire after ${expiresInMs} ms`);
    return Math.min(nowMs(clock) + Math.ceil(expiresInMs), Number.MAX_SAFE_INTEGER);
  }

  function ownerOf(row: Row): LeaseOwner {
    const name = optionalText(row, "client");
    if (name !== undefined) return { kind: "client", name };
    return { kind: "engine", current: optionalText(row, "engine_start") === start };
  }

  function find(lease: Lease): Row {
    const row = database.get("SELECT client, expires_at_ms FROM leases WHERE id = ?", lease.id);
    if (row === undefined) throw new EngineError("not-found", `lease ${lease.id} does not exist: it was released`);
    const end = optionalNumber(row, "expires_at_ms");
    if (end !== undefined && end <= nowMs(clock))
      throw new EngineError("not-found", `lease ${lease.id} is not valid any more: it has expired`);
    return row;
  }

  return {
    create(label, client) {
      const id = randomId();
      database.run(
        "INSERT INTO leases (id, label, created_at, engine_start, client, expires_at_ms) VALUES (?, ?, ?, ?, ?, ?)",
        id,
        label,
        formatRfc3339Nano(clock.nowNs()),
        client === undefined ? start : null,
        client?.client ?? null,
        client === undefined ? null : endAfter(client.expiresInMs),
      );
      return { id };
    },
    extend(lease, expiresInMs) {
      const end = endAfter(expiresInMs);
      if (optionalText(find(lease), "client") === undefined)
        throw new EngineError("invalid-argument", `lease ${lease.id} is the engine's own: it does not expire`);
      database.run("UPDATE leases SET expires_at_ms = ? WHERE id = ?", end, lease.id);
    },
    release(lease) {
      database.run("DELETE FROM leases WHERE id = ?", lease.id);
    },
    releaseEarlier() {
      database.run("DELETE FROM leases WHERE client IS NULL AND engine_start IS NOT ?", start);
    },
    list() {
      return database
        .all("SELECT id, label, created_at, engine_start, client, expires_at_ms FROM leases ORDER BY created_at, id")
        .map((row) => ({
          id: textColumn(row, "id"),
          label: textColumn(row, "label"),
          owner: ownerOf(row),
          createdAt: textColumn(row, "created_at"),
          expiresAtMs: optionalNumber(row, "expires_at_ms"),
        }));
    },
    reached() {
      database.run("DELETE FROM leases WHERE expires_at_ms <= ?", nowMs(clock));
      const names = (kind: HoldKind): string[] =>
        database
          .all("SELECT DISTINCT name FROM lease_holds WHERE kind = ?", kind)
          .map((row) => textColumn(row, "name"));
      return { blobs: names("blob").map(parseDigest), layers: names("layer").map(parseChainId) };
    },
    hold(lease, kind, name) {
      find(lease);
      database.run("INSERT OR IGNORE INTO lease_holds (lease, kind, name) VALUES (?, ?, ?)", lease.id, kind, name);
    },
  };
}
