/**
 * Jobs of dockerode, as programs use it. Usage: node dockerode.mjs JOB IMAGE [REPOSITORY]. A job that ends without an error has passed.
 *
 * dockerode's own ways:
 * - Every POST has a body, also an attach whose options are all in the query: it sends them again as JSON. The engine must drop that body;
 *   what follows it is the container's input.
 * - It asks for a connection of its own with `Upgrade: tcp` only with `hijack: true`. Otherwise the stream is the body of the answer, and
 *   there is no way to write.
 * - Its paths have no API version, so it gets the newest shapes.
 */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { PassThrough } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";

const [job, image, repository] = process.argv.slice(2);
// The folder of the installed packages is not above this file.
const Docker = createRequire(`${process.env.CLIENTS_NODE}/package.json`)("dockerode");
const docker = new Docker();

async function eventually(what, condition, limitMs = 30_000) {
  const end = Date.now() + limitMs;
  while (!(await condition())) {
    assert(Date.now() < end, `waited ${limitMs} ms until ${what}`);
    await pause(50);
  }
}

async function text(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

/** Both streams of a connection that carries them in frames. */
async function demuxed(stream) {
  const out = new PassThrough();
  const err = new PassThrough();
  docker.modem.demuxStream(stream, out, err);
  stream.on("end", () => (out.end(), err.end()));
  return Promise.all([text(out), text(err)]);
}

async function running(work, command = "exec sleep 1000", options = {}) {
  const { HostConfig, ...rest } = options;
  const container = await docker.createContainer({
    Image: image,
    Cmd: ["sh", "-c", command],
    HostConfig: { Init: true, ...HostConfig },
    ...rest,
  });
  try {
    await container.start();
    return await work(container);
  } finally {
    await container.remove({ force: true, v: true });
  }
}

const jobs = {
  async run() {
    const out = new PassThrough();
    const err = new PassThrough();
    const said = Promise.all([text(out), text(err)]);
    const [{ StatusCode }, container] = await docker.run(
      image,
      ["sh", "-c", "echo out; echo err >&2; exit 3"],
      [out, err],
      {
        Tty: false,
      },
    );
    out.end();
    err.end();
    assert.deepEqual([StatusCode, ...(await said)], [3, "out\n", "err\n"]);
    await container.remove();
    await assert.rejects(docker.getContainer("none").inspect(), { statusCode: 404, reason: "no such container" });
    await assert.rejects(docker.createContainer({ Image: "localhost/none:v1" }), { statusCode: 404 });
  },

  /** Attach with hijack before the start: input, output and both ends. */
  async attach() {
    for (let i = 0; i < 30; i++) {
      const container = await docker.createContainer({
        Image: image,
        Cmd: ["sh", "-c", "read x; echo got $x; cat; echo end >&2"],
        AttachStdin: true,
        AttachStdout: true,
        AttachStderr: true,
        OpenStdin: true,
        StdinOnce: true,
      });
      try {
        const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
        const said = demuxed(stream);
        await container.start();
        stream.write(`word ${i}\n`);
        stream.end("rest\n");
        assert.deepEqual(await said, [`got word ${i}\nrest\n`, "end\n"]);
        assert.equal((await container.wait()).StatusCode, 0);
      } finally {
        await container.remove({ force: true });
      }
    }
  },

  async terminal() {
    const container = await docker.createContainer({
      Image: image,
      Cmd: ["sh", "-c", "read x; stty size; echo got $x"],
      Tty: true,
      OpenStdin: true,
    });
    try {
      const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
      const said = text(stream);
      await container.start();
      await container.resize({ h: 31, w: 97 });
      stream.write("word\n");
      assert.match(await said, /^word\r\n31 97\r\ngot word\r\n$/);
    } finally {
      await container.remove({ force: true });
    }
  },

  async exec() {
    await running(async (container) => {
      const lost = [];
      for (let i = 0; i < 200; i++) {
        const exec = await container.exec({
          Cmd: ["sh", "-c", `echo out ${i}; echo err ${i} >&2`],
          AttachStdout: true,
          AttachStderr: true,
        });
        const [out, err] = await demuxed(await exec.start({}));
        if (out !== `out ${i}\n` || err !== `err ${i}\n`) lost.push({ i, out, err });
      }
      assert.deepEqual(lost, []);
      for (let i = 0; i < 50; i++) {
        const exec = await container.exec({ Cmd: ["cat"], AttachStdin: true, AttachStdout: true, AttachStderr: true });
        const stream = await exec.start({ hijack: true, stdin: true });
        const said = demuxed(stream);
        stream.end(`typed ${i}\n`.repeat(1000));
        assert.deepEqual(await said, [`typed ${i}\n`.repeat(1000), ""]);
        assert.equal((await exec.inspect()).ExitCode, 0);
      }
      const exec = await container.exec({ Cmd: ["sh", "-c", "exit 9"], AttachStdout: true });
      await text(await exec.start({ Detach: false }));
      assert.equal((await exec.inspect()).ExitCode, 9);
    });
  },

  async logs() {
    await running(async (container) => {
      await eventually("the log has its last line", async () =>
        (await container.logs({ stdout: true, stderr: true })).toString().includes("last"),
      );
      const all = new PassThrough();
      all.end(await container.logs({ stdout: true, stderr: true }));
      assert.deepEqual(await demuxed(all), ["one\nlast\n", "two\n"]);
      const followed = await container.logs({ stdout: true, follow: true, tail: 3 });
      const said = demuxed(followed);
      await container.kill();
      assert.deepEqual(await said, ["one\nlast\n", ""]);
    }, "echo one; echo two >&2; echo last; exec sleep 1000");
  },

  /** A pull with its progress, and a push. */
  async pull() {
    const local = docker.getImage(image);
    await local.tag({ repo: repository, tag: "v1" });
    const follow = (stream, seen) =>
      new Promise((resolve, reject) =>
        docker.modem.followProgress(
          stream,
          (error, lines) => (error ? reject(error) : resolve(lines)),
          (line) => seen.push(line),
        ),
      );
    const pushed = await docker.getImage(`${repository}:v1`).push({ authconfig: {} });
    const lines = await follow(pushed, []);
    assert(
      lines.some(({ aux }) => aux?.Tag === "v1"),
      JSON.stringify(lines),
    );
    await docker.getImage(`${repository}:v1`).remove();
    const seen = [];
    const pulled = await follow(await docker.pull(`${repository}:v1`), seen);
    assert.deepEqual(seen, pulled);
    assert.match(pulled.at(-1).status, /^Status: (Downloaded newer image|Image is up to date)/);
    assert.equal((await docker.getImage(`${repository}:v1`).inspect()).RepoTags.includes(`${repository}:v1`), true);
    await docker.getImage(`${repository}:v1`).remove();
    await assert.rejects(docker.pull(`${repository}:none`), { statusCode: 404 });
  },

  async networks() {
    const network = await docker.createNetwork({
      Name: "node-net",
      CheckDuplicate: true,
      Labels: { node: "net" },
      IPAM: { Driver: "default", Config: [{ Subnet: "10.78.0.0/24" }] },
    });
    try {
      assert.deepEqual(
        (await docker.listNetworks({ filters: { label: ["node=net"] } })).map(({ Name }) => Name),
        ["node-net"],
      );
      await assert.rejects(docker.createNetwork({ Name: "node-net", CheckDuplicate: true }), { statusCode: 409 });
      const address = async (container) =>
        (await container.inspect()).NetworkSettings.Networks["node-net"]?.IPAddress ?? "none";
      await running(
        async (server) => {
          await running(async (client) => {
            await network.connect({
              Container: client.id,
              EndpointConfig: { IPAMConfig: { IPv4Address: "10.78.0.99" }, Aliases: ["me"] },
            });
            assert.equal(await address(client), "10.78.0.99");
            const server4 = await address(server);
            const fetched = async () => {
              const exec = await client.exec({
                Cmd: ["wget", "-qO-", `http://${server4}/`],
                AttachStdout: true,
              });
              return (await demuxed(await exec.start({})))[0];
            };
            await eventually("the server answers", async () => (await fetched()) === "page\n");
            assert.equal(Object.keys((await network.inspect()).Containers).length, 2);
            await network.disconnect({ Container: client.id });
            assert.equal(await address(client), "none");
          });
        },
        "mkdir /www; echo page >/www/index.html; exec httpd -f -p 80 -h /www",
        { HostConfig: { NetworkMode: "node-net" } },
      );
    } finally {
      await network.remove();
    }
  },

  async events() {
    const stream = await docker.getEvents({
      filters: JSON.stringify({ type: ["container"], label: ["node=events"] }),
    });
    const seen = [];
    const died = new Promise((resolve) => {
      let rest = "";
      stream.on("data", (data) => {
        rest += data;
        const lines = rest.split("\n");
        rest = lines.pop();
        for (const line of lines) {
          seen.push(JSON.parse(line).Action);
          if (seen.at(-1) === "destroy") resolve();
        }
      });
    });
    await running((container) => container.wait(), "exit 0", { Labels: { node: "events" } });
    await died;
    stream.destroy();
    assert.deepEqual(seen, ["create", "start", "die", "destroy"]);
  },

  async stats() {
    await running(async (container) => {
      assert.equal((await container.stats({ stream: false })).id, container.id);
      const stream = await container.stats({ stream: true });
      let samples = 0;
      for await (const data of stream) if ((samples += data.toString().split("\n").length - 1) >= 2) break;
      assert(samples >= 2);
    });
  },
};

await jobs[job]();
