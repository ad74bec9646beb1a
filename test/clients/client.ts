/** A daemon for the clients of this folder, and their jobs. `test/clients/setup` brings the clients; a client that is missing is a failure. */
import { join, resolve } from "node:path";
import { TestDaemon } from "../daemon/harness.ts";

export const tools = resolve(import.meta.dir, "../../.tools/clients");

/** The image of a database. Its first process makes the database (postgres-entrypoint.sh). */
export const postgresImage = "localhost/postgres:15";

/** A daemon with the image of busybox. @param name Different in each file. */
export async function startDaemon(name: string): Promise<TestDaemon> {
  const daemon = new TestDaemon(`client-${name}`);
  await daemon.start();
  daemon.loadImage();
  return daemon;
}

/** Makes the database's image of Debian's packages, with `docker import`. */
export function importPostgres(daemon: TestDaemon): void {
  const changes = [
    "USER postgres",
    'ENTRYPOINT ["/entrypoint.sh"]',
    "ENV PGDATA=/var/lib/postgresql/data PGHOST=/tmp PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin",
    "VOLUME /var/lib/postgresql/data",
    "EXPOSE 5432",
  ].flatMap((change) => ["-c", change]);
  daemon.docker("import", ...changes, join(tools, "postgres/root.tar"), postgresImage);
}

/**
 * Runs a client in the daemon's network namespace; returns its output.
 * @throws when it fails, with all that it printed, and when it does not end in 90 s
 */
export async function client(
  daemon: TestDaemon,
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const variables = Object.entries({ CLIENTS_NODE: join(tools, "node"), ...environment });
  const talk = daemon.talk(["env", ...variables.map(([name, value]) => `${name}=${value}`), ...command]);
  talk.end();
  const timer = setTimeout(talk.kill, 90_000);
  const code = await talk.exited;
  clearTimeout(timer);
  if (code !== 0) throw new Error(`${command.join(" ")}: ${code}:\n${talk.out()}${talk.err()}`);
  return talk.out() + talk.err();
}
