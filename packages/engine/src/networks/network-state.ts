/** Rows of networks in the engine's database. */
import { readNetwork, type NetworkInfo, type NetworkState } from "@fathom/network";
import type { Database } from "@fathom/store";

export function createNetworkState(database: Database): NetworkState {
  database.migrate("networks", [
    { version: 1, up: [`CREATE TABLE network_rows (id TEXT PRIMARY KEY, data TEXT NOT NULL) STRICT, WITHOUT ROWID`] },
    // From version 2 on a row has `pools`, `builtin` and `internal`. Rows of version 1 are still read.
    { version: 2, up: [] },
    // From version 3 on it has `families`, `extension`, and pools with ranges. Rows of version 2 are still read.
    { version: 3, up: [] },
  ]);
  const parse = (row: Record<string, unknown>): NetworkInfo => {
    const what = `network ${String(row["id"])}`;
    return readNetwork(database.readObject(what, row["data"], ["id", "name", "driver"]), what);
  };
  return {
    networks: () => database.all("SELECT id, data FROM network_rows").map(parse),
    saveNetwork: (network) =>
      void database.run(
        "INSERT INTO network_rows (id, data) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data",
        network.id,
        JSON.stringify(network),
      ),
    removeNetwork: (id) => void database.run("DELETE FROM network_rows WHERE id = ?", id),
  };
}
