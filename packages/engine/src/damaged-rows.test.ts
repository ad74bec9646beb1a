import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@fathom/base";
import { openDatabase, type Database } from "@fathom/store";
import { createSys } from "@fathom/sys";
import { ContainerTable, RecordForm } from "@fathom/containers";
import { recordOwner } from "./containers/docker-extension.ts";
import type { EngineParts } from "./contract.ts";
import { createNetworkState } from "./networks/network-state.ts";
import { testConfig } from "./testing/fakes.ts";
import { createVolumePart } from "./volumes/volume-backend.ts";

const readers: Readonly<Record<string, (database: Database, root: string) => unknown>> = {
  container: (database) => new ContainerTable(database, new RecordForm(recordOwner)),
  network: (database) => createNetworkState(database).networks(),
  volume: (database, root) =>
    createVolumePart({
      config: testConfig(root),
      sys: createSys(),
      store: { database },
      logger: silentLogger,
    } as EngineParts),
};

test.each<[string, string, string]>([
  ["container", "INSERT INTO containers VALUES ('one', 'one', ?, '{\"state\":{},\"networks\":[]}')", '{"config":{'],
  [
    "container",
    "INSERT INTO containers VALUES ('one', 'one', '{\"config\":1,\"hostConfig\":1,\"mounts\":[]}', ?)",
    "5",
  ],
  [
    "container",
    "INSERT INTO containers VALUES ('one', 'one', '{\"config\":1,\"hostConfig\":1,\"mounts\":[]}', ?)",
    "{}",
  ],
  ["network", "INSERT INTO network_rows VALUES ('one', ?)", "{}"],
  ["network", "INSERT INTO network_rows VALUES ('one', ?)", "\u0000"],
  ["volume", "INSERT INTO volumes VALUES ('one', ?)", "["],
  ["volume", "INSERT INTO volumes VALUES ('one', ?)", "null"],
])("the error for a damaged row of a %s names it, the file and what the user can do: %s %j", (kind, sql, text) => {
  const root = mkdtempSync(join(tmpdir(), "fathom-rows-"));
  const path = join(root, "a.db");
  const database = openDatabase(path);
  try {
    readers[kind]!(database, root);
    database.run(sql, text);
    expect(() => readers[kind]!(database, root)).toThrow(
      new RegExp(`the database ${path} is damaged .the row of ${kind} one cannot be read: .*--rebuild-database`),
    );
  } finally {
    database.close();
    rmSync(root, { recursive: true });
  }
});

test.each<[string, string, string, string]>([
  [
    "container",
    'INSERT INTO containers VALUES (\'one\', \'one\', ?, \'{"state":{"status":"exited"},"networks":[]}\')',
    '{"config":{},"hostConfig":{},"mounts":[{"type":"bind","destination":5}]}',
    "mounts[0].destination: expected a string, got a number",
  ],
  [
    "container",
    "INSERT INTO containers VALUES ('one', 'one', '{\"config\":{},\"hostConfig\":{},\"mounts\":[]}', ?)",
    '{"state":{"status":"asleep"},"networks":[]}',
    "state.status: expected one of",
  ],
  [
    "container",
    "INSERT INTO containers VALUES ('one', 'one', '{\"config\":{},\"hostConfig\":{},\"mounts\":[]}', ?)",
    '{"state":{"status":"exited"},"networks":[]}',
    "undefined is not an object",
  ],
  ["network", "INSERT INTO network_rows VALUES ('one', ?)", '{"id":"one","name":"n","driver":1}', "driver"],
  ["volume", "INSERT INTO volumes VALUES ('one', ?)", '{"name":"one","createdAt":1}', "a member has the wrong type"],
])(
  "the error for a row of a %s with a member of the wrong type names the row and the member: %s %j",
  (kind, sql, text, member) => {
    const root = mkdtempSync(join(tmpdir(), "fathom-rows-"));
    const database = openDatabase(join(root, "a.db"));
    try {
      readers[kind]!(database, root);
      database.run(sql, text);
      const read = (): unknown => readers[kind]!(database, root);
      expect(read).toThrow(`the row of ${kind} one `);
      expect(read).toThrow(member);
    } finally {
      database.close();
      rmSync(root, { recursive: true });
    }
  },
);
