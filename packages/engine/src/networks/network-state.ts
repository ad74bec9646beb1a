/** Rows of networks in the engine's database. They are read once; every look-up of a network reads all of them. */
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
  let known: readonly NetworkInfo[] | undefined;
  const networks = (): readonly NetworkInfo[] =>
    (known ??= database.all("SELECT id, data FROM network_rows").map(parse).toSorted(byId));
  return {
    networks,
    saveNetwork(network) {
      const others = networks().filter(({ id }) => id !== network.id);
      database.run(
        "INSERT INTO network_rows (id, data) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data",
        network.id,
        JSON.stringify(network),
      );
      known = [...others, network].toSorted(byId);
    },
    removeNetwork(removed) {
      const others = networks().filter(({ id }) => id !== removed);
      database.run("DELETE FROM network_rows WHERE id = ?", removed);
      known = others;
    },
  };
}

/** The order of the table. */
function byId(a: NetworkInfo, b: NetworkInfo): number {
  return a.id < b.id ? -1 : 1;
}
