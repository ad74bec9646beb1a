/**
 * Jobs of testcontainers, as tests of programs use it. Usage: bun testcontainers.mjs JOB IMAGE POSTGRES. A job that ends without an error has
 * passed.
 *
 * testcontainers' own ways:
 * - It starts a container of its own that removes the others (ryuk) unless TESTCONTAINERS_RYUK_DISABLED is set. That image is not on this machine.
 * - Before a start it attaches nothing; it reads the log of the started container for its wait strategies, with `follow`, from the first byte.
 * - A port counts as bound when it answers on the host and when a command in the container sees it: three execs at once, every 100 ms.
 * - Its HTTP client, undici, needs a newer Node than Debian's. Bun runs it.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [job, image, postgresImage] = process.argv.slice(2);
// The folder of the installed packages is not above this file.
const { GenericContainer, Network, Wait } = createRequire(`${process.env.CLIENTS_NODE}/package.json`)("testcontainers");

const serve = (text) => ["sh", "-c", `mkdir /www; echo ${text} >/www/index.html; exec httpd -f -p 8080 -h /www`];

async function using(starting, work) {
  const started = await starting;
  try {
    return await work(started);
  } finally {
    await started.stop({ removeVolumes: true });
  }
}

const jobs = {
  /** Each kind of wait strategy, a port on the host, and a container that stops before it is ready. */
  async waits() {
    const port = new GenericContainer(image).withCommand(serve("port")).withExposedPorts(8080);
    await using(port.withWaitStrategy(Wait.forListeningPorts()).start(), async (container) => {
      const page = await fetch(`http://${container.getHost()}:${container.getMappedPort(8080)}/`);
      assert.equal(await page.text(), "port\n");
    });

    const http = new GenericContainer(image).withCommand(serve("http")).withExposedPorts(8080);
    await using(http.withWaitStrategy(Wait.forHttp("/", 8080).forStatusCode(200)).start(), async (container) => {
      assert.equal(container.getMappedPort(8080) > 0, true);
    });

    const log = new GenericContainer(image).withCommand([
      "sh",
      "-c",
      "for i in 1 2 3; do echo try $i; sleep 0.1; done; echo ready to serve; exec sleep 1000",
    ]);
    await using(log.withWaitStrategy(Wait.forLogMessage(/ready to serve/)).start(), async (container) => {
      let text = "";
      const stream = await container.logs();
      await new Promise((resolve) =>
        stream.on("data", (data) => {
          text += data;
          if (text.includes("ready to serve")) resolve();
        }),
      );
      stream.destroy();
      assert.match(text, /try 1\n[^]*try 3\n[^]*ready to serve\n/);
    });

    const health = new GenericContainer(image)
      .withCommand(["sh", "-c", "sleep 0.5; touch /healthy; exec sleep 1000"])
      .withHealthCheck({ test: ["CMD-SHELL", "test -e /healthy"], interval: 200, timeout: 5000, retries: 100 });
    await using(health.withWaitStrategy(Wait.forHealthCheck()).start(), async (container) => {
      assert.equal((await container.exec(["test", "-e", "/healthy"])).exitCode, 0);
    });

    const command = new GenericContainer(image).withCommand(["sh", "-c", "sleep 0.3; touch /made; exec sleep 1000"]);
    await using(command.withWaitStrategy(Wait.forSuccessfulCommand("test -e /made")).start(), async () => undefined);

    const once = new GenericContainer(image).withCommand(["sh", "-c", "sleep 0.2; exit 0"]);
    await using(once.withWaitStrategy(Wait.forOneShotStartup()).start(), async () => undefined);

    const broken = new GenericContainer(image).withCommand(["sh", "-c", "exit 3"]);
    await assert.rejects(broken.withWaitStrategy(Wait.forOneShotStartup()).start(), /Container failed to start/);
  },

  /** Files into the container before and after its start, and out of it; exec; restart; commit. */
  async files() {
    const folder = mkdtempSync(join(tmpdir(), "testcontainers-"));
    try {
      writeFileSync(join(folder, "file"), "from a file\n");
      const container = new GenericContainer(image)
        .withCommand(["sh", "-c", "cat /given/text; exec sleep 1000"])
        .withCopyContentToContainer([{ content: "from a text\n", target: "/given/text", mode: 0o640 }])
        .withCopyFilesToContainer([{ source: join(folder, "file"), target: "/given/file" }])
        .withCopyDirectoriesToContainer([{ source: folder, target: "/folder" }])
        .withEnvironment({ KEY: "value" })
        .withTmpFs({ "/scratch": "rw,size=1m" })
        .withUser("0:0")
        .withWorkingDir("/given")
        .withWaitStrategy(Wait.forLogMessage("from a text"));
      await using(container.start(), async (started) => {
        const said = async (...command) => {
          const { output, stdout, stderr, exitCode } = await started.exec(command);
          assert.equal(exitCode, 0, output);
          return stdout + stderr;
        };
        assert.equal(await said("cat", "text", "file", "/folder/file"), "from a text\nfrom a file\nfrom a file\n");
        assert.equal(await said("stat", "-c", "%a", "text"), "640\n");
        await started.copyContentToContainer([{ content: "later\n", target: "/given/later" }]);
        assert.equal(await said("cat", "later"), "later\n");
        const pieces = [];
        for await (const piece of await started.copyArchiveFromContainer("/given")) pieces.push(piece);
        assert(Buffer.concat(pieces).includes("from a text\n"));
        const failed = await started.exec(["sh", "-c", "echo $KEY $MORE; echo wrong >&2; exit 6"], {
          env: { MORE: "more" },
        });
        assert.deepEqual(
          [failed.exitCode, failed.stdout, failed.stderr.trim()],
          [6, "value more\n", "wrong"],
          JSON.stringify(failed),
        );
        await started.restart();
        assert.equal(await said("cat", "later"), "later\n");
        const made = await started.commit({ repo: "localhost/testcontainers", tag: "v1" });
        await using(
          new GenericContainer(made).withCommand(["sh", "-c", "cat /given/later; exec sleep 1000"]).start(),
          async (copy) => assert.equal((await copy.exec(["cat", "/given/later"])).output, "later\n"),
        );
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  },

  /** Two containers in a network, by alias and by name. */
  async network() {
    await using(new Network().start(), async (network) => {
      const server = new GenericContainer(image)
        .withCommand(serve("found"))
        .withNetwork(network)
        .withNetworkAliases("web", "www")
        .withExposedPorts(8080)
        .withWaitStrategy(Wait.forListeningPorts());
      await using(server.start(), async (web) => {
        const client = new GenericContainer(image).withCommand(["sleep", "1000"]).withNetwork(network);
        await using(client.start(), async (asker) => {
          for (const host of ["web", "www", web.getName().slice(1), web.getIpAddress(network.getName())]) {
            const { exitCode, output } = await asker.exec(["wget", "-qO-", `http://${host}:8080/`]);
            assert.deepEqual([host, exitCode, output], [host, 0, "found\n"]);
          }
          assert.notEqual((await asker.exec(["wget", "-qO-", "http://nobody:8080/"])).exitCode, 0);
        });
      });
    });
  },

  /** A database: it is ready, it keeps its data over a restart and in a volume over a new container. */
  async postgres() {
    const database = () =>
      new GenericContainer(postgresImage)
        .withEnvironment({ POSTGRES_DB: "shop" })
        .withBindMounts([{ source: "testcontainers-postgres", target: "/var/lib/postgresql/data" }])
        .withExposedPorts(5432)
        .withHealthCheck({ test: ["CMD", "pg_isready", "-d", "shop"], interval: 250, timeout: 5000, retries: 200 })
        .withWaitStrategy(Wait.forAll([Wait.forHealthCheck(), Wait.forListeningPorts()]))
        .withStartupTimeout(90_000);
    const query = async (container, ...statements) => {
      const commands = statements.flatMap((statement) => ["-c", statement]);
      const { exitCode, output } = await container.exec([
        "psql",
        "-d",
        "shop",
        "-v",
        "ON_ERROR_STOP=1",
        "-qAt",
        ...commands,
      ]);
      assert.equal(exitCode, 0, output);
      return output;
    };
    await using(database().start(), async (first) => {
      await query(
        first,
        "create table item (id serial primary key, name text not null)",
        "insert into item (name) select 'item ' || n from generate_series(1, 10000) n",
      );
      assert.equal(await query(first, "select count(*), max(id) from item"), "10000|10000\n");
      // The port on the host speaks PostgreSQL: a request for TLS is answered with one byte, "N".
      const answer = await new Promise((resolve, reject) =>
        Bun.connect({
          hostname: "127.0.0.1",
          port: first.getMappedPort(5432),
          socket: {
            open: (socket) => void socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])),
            data: (socket, data) => (resolve(data.toString()), socket.end()),
            error: (_, error) => reject(error),
          },
        }).catch(reject),
      );
      assert.equal(answer, "N");
      await first.restart();
      assert.equal(await query(first, "select count(*) from item"), "10000\n");
      await query(first, "insert into item (name) values ('after the restart')");
    });
    await using(database().start(), async (second) => {
      assert.equal(await query(second, "select name from item where id > 10000"), "after the restart\n");
    });
  },
};

await jobs[job]();
