/** Leases: rows that keep the garbage collector away from what is being made. */
import { EngineError, formatRfc3339Nano, randomId, type Clock } from "@fathom/base";
import type { Database, Lease, Leases } from "./contract.ts";
import { textColumn } from "./database/rows.ts";

export type HoldKind = "blob" | "layer";

export function createLeases(database: Database, clock: Clock): Leases {
  return {
    create(label) {
      const id = randomId();
      database.run(
        "INSERT INTO leases (id, label, created_at) VALUES (?, ?, ?)",
        id,
        label,
        formatRfc3339Nano(clock.nowNs()),
      );
      return { id };
    },
    release(lease) {
      database.run("DELETE FROM leases WHERE id = ?", lease.id);
    },
    list() {
      return database.all("SELECT id, label, created_at FROM leases ORDER BY created_at, id").map((row) => ({
        id: textColumn(row, "id"),
        label: textColumn(row, "label"),
        createdAt: textColumn(row, "created_at"),
      }));
    },
  };
}

/**
 * Puts something under a lease. Call it in the transaction that makes the thing known.
 * @throws not-found when the lease was released: the caller would make something that nothing protects.
 */
export function holdUnder(database: Database, lease: Lease, kind: HoldKind, name: string): void {
  if (database.get("SELECT 1 AS found FROM leases WHERE id = ?", lease.id) === undefined)
    throw new EngineError("not-found", `lease ${lease.id} does not exist: it was released`);
  database.run("INSERT OR IGNORE INTO lease_holds (lease, kind, name) VALUES (?, ?, ?)", lease.id, kind, name);
}
