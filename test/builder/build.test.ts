/** Builds with a real daemon: contexts that attack it, a cancel, a kill at a bad moment, stages at the same time, and images that can be saved. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { TarWriter, type TarEntryInput } from "@fathom/archive";
import { binary, TestDaemon, until, type Result } from "../daemon/harness.ts";

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("builder");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon.close(), 60_000);

afterEach(() => {
  // A build leaves no container, no unfinished file and no snapshot.
  expect(daemon.docker("ps", "-aq")).toBe("");
  const temporary = join(daemon.dataRoot, "tmp");
  expect(existsSync(temporary) ? readdirSync(temporary) : []).toEqual([]);
});

/** Builds a directory of these files. */
function build(files: Readonly<Record<string, string>>, ...flags: readonly string[]): Result {
  const directory = join(daemon.work, "context");
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(directory, name, ".."), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return daemon.run("env", "DOCKER_BUILDKIT=0", "docker", "build", ...flags, directory);
}

function tarOf(entries: readonly (TarEntryInput & { readonly text?: string })[]): Buffer {
  const chunks: Uint8Array[] = [];
  const tar = new TarWriter((chunk) => chunks.push(chunk));
  for (const { text, ...entry } of entries)
    if (text === undefined) tar.entry(entry);
    else tar.file(entry, Buffer.from(text));
  tar.finish();
  return Buffer.concat(chunks);
}

async function post(context: Uint8Array, query = "t=posted"): Promise<{ status: number; text: string }> {
  const response = await daemon.request("POST", `/build?${query}`, new Blob([Buffer.from(context)]));
  return { status: response.status, text: await response.text() };
}

const dockerfile = (...lines: readonly string[]): TarEntryInput & { text: string } => ({
  kind: "file",
  path: "Dockerfile",
  mode: 0o644,
  text: [`FROM ${"localhost/busybox:test"}`, ...lines].join("\n"),
});

test("a context that leads out writes nothing outside, and reads nothing from there", async () => {
  const outside = join(daemon.work, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "secret"), "secret of the host");
  const attacks: readonly (readonly (TarEntryInput & { readonly text?: string })[])[] = [
    [{ kind: "file", path: "../escape", mode: 0o644, text: "x" }],
    [
      { kind: "symlink", path: "door", linkPath: outside, mode: 0o777 },
      { kind: "file", path: "door/escape", mode: 0o644, text: "x" },
    ],
    [
      { kind: "symlink", path: "door", linkPath: `../../../../../..${outside}`, mode: 0o777 },
      { kind: "hardlink", path: "stolen", linkPath: "door/secret", mode: 0o644 },
    ],
  ];
  for (const attack of attacks) {
    const { status, text } = await post(tarOf([dockerfile("COPY . /c"), ...attack]));
    expect([status, text]).toEqual([400, expect.stringMatching(/leads out|unpacked/)]);
  }
  const { text } = await post(
    tarOf([dockerfile("COPY door/secret /stolen"), { kind: "symlink", path: "door", linkPath: outside, mode: 0o777 }]),
  );
  expect(text).toContain("file not found in build context");
  const { text: dockerfileLink } = await post(
    tarOf([{ kind: "symlink", path: "Dockerfile", linkPath: join(outside, "secret"), mode: 0o777 }]),
  );
  expect(dockerfileLink).toContain("no such file or directory");
  expect(readdirSync(outside)).toEqual(["secret"]);
  expect(daemon.docker("images", "-q", "posted")).toBe("");
});

test("contexts that are no archive, cut off, compressed, or without padding at the end", async () => {
  const whole = tarOf([dockerfile("COPY f /f"), { kind: "file", path: "f", mode: 0o644, text: "content" }]);
  expect((await post(Buffer.from("nonsense"))).status).toBe(400);
  expect((await post(whole.subarray(0, 530))).status).toBe(400);
  expect((await post(gzipSync(whole))).text).toContain("Successfully built");
  const end = whole.indexOf("content") + "content".length;
  expect((await post(whole.subarray(0, end))).text).toContain("Successfully built");
  expect((await post(whole.subarray(0, end - 1))).status).toBe(400);
  daemon.docker("rmi", "posted");
});

test("stages run at the same time, and an unneeded one never; the steps are shown in the order of the file", async () => {
  const file = [
    `FROM ${daemon.image} AS left`,
    "RUN sleep 1000",
    `FROM ${daemon.image} AS unneeded`,
    "RUN false",
    `FROM ${daemon.image}`,
    "RUN sleep 2000",
    "COPY --from=left /left /left",
  ].join("\n");
  const running = post(tarOf([dockerfile(), { kind: "file", path: "F", mode: 0o644, text: file }]), "dockerfile=F");
  await until("both commands run", () => daemon.docker("ps", "-q").split("\n").length === 2);
  expect(daemon.docker("ps", "--no-trunc")).toMatch(/sleep [12]000[^]*sleep [12]000/);
  // The failure of one stage ends the other.
  daemon.docker("kill", daemon.docker("ps", "-q").split("\n")[0]!);
  const { text } = await running;
  expect(text).not.toContain("RUN false");
  expect(text).toContain("returned a non-zero code: 137");
});

test("a failing command names itself and its code; a start that fails says why", () => {
  const failed = build({ Dockerfile: `FROM ${daemon.image}\nRUN echo before; exit 7` });
  expect(failed.code).toBe(7);
  expect(failed.out).toContain("before");
  expect(failed.err).toContain("The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7");
  const missing = build({ Dockerfile: `FROM ${daemon.image}\nRUN ["nosuch"]` });
  expect(missing.err).toContain("executable file not found in $PATH");
});

test("an error of the file names the line and shows it", () => {
  const { code, err } = build({ Dockerfile: `FROM ${daemon.image}\nCOPPY a b` });
  expect(code).toBe(1);
  expect(err).toContain("dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)");
  expect(err).toContain("2 | COPPY a b");
});

test("a client that leaves ends its command, and nothing stays", async () => {
  const client = new AbortController();
  const context = tarOf([dockerfile("RUN sleep 1000")]);
  const response = await fetch("http://d/build?t=left", {
    method: "POST",
    unix: daemon.socket,
    signal: client.signal,
    body: new Blob([context]),
    headers: { "Content-Type": "application/x-tar" },
  });
  expect(response.status).toBe(200);
  await until("the step runs", () => daemon.docker("ps", "-q") !== "");
  client.abort();
  await until("its container is removed", () => daemon.docker("ps", "-aq") === "");
  await until("the context is removed", () => readdirSync(join(daemon.dataRoot, "tmp")).length === 0);
});

test("the build with an id can be cancelled", async () => {
  const context = tarOf([dockerfile("RUN sleep 1000")]);
  const running = post(context, "t=left&buildid=one");
  await until("the step runs", () => daemon.docker("ps", "-q") !== "");
  expect((await daemon.request("POST", "/build/cancel?id=one")).status).toBe(204);
  expect((await running).text).toContain("cancelled");
  expect((await daemon.request("POST", "/build/cancel")).status).toBe(400);
});

test("the daemon is killed during a step: the next start removes the container, the snapshot and the files", async () => {
  const context = tarOf([dockerfile("RUN echo kept > /kept", "RUN sleep 1000")]);
  const running = post(context).catch(() => undefined);
  await until("the second step runs", () => daemon.docker("ps", "--no-trunc").includes("sleep 1000"));
  const pid = daemon.pidOf(daemon.docker("ps", "-q"));
  await daemon.kill();
  await running;
  await daemon.start();
  expect(daemon.docker("ps", "-aq")).toBe("");
  expect(existsSync(`/proc/${pid}`)).toBe(false);
  // The first step is in the cache.
  const { out } = build({ Dockerfile: `FROM ${daemon.image}\nRUN echo kept > /kept` });
  expect(out).toContain(" ---> Using cache");
}, 60_000);

test("a built image can be saved and loaded, also after it was removed and built from the cache", () => {
  const files = { Dockerfile: `FROM ${daemon.image}\nRUN echo one > /one\nCOPY f /f`, f: "file" };
  const archive = join(daemon.work, "built.tar");
  for (const round of ["new", "from the cache"]) {
    expect(build(files, "-t", "built").code, round).toBe(0);
    daemon.docker("save", "-o", archive, "built");
    daemon.docker("rmi", "built");
    daemon.docker("load", "-i", archive);
    expect(daemon.docker("run", "--rm", "built", "cat", "/one", "/f")).toBe("one\nfile");
    daemon.docker("rmi", "built");
  }
});

test("the cache is shown, and a prune removes it", () => {
  expect(build({ Dockerfile: `FROM ${daemon.image}\nRUN echo pruned > /x` }).code).toBe(0);
  expect(daemon.docker("system", "df", "-v")).toContain("Build cache usage");
  expect(daemon.docker("builder", "prune", "-af")).toContain("Deleted build cache objects");
  expect(daemon.docker("system", "df")).toMatch(/Build Cache +0 /);
  const again = build({ Dockerfile: `FROM ${daemon.image}\nRUN echo pruned > /x` });
  expect(again.out).not.toContain("Using cache");
});

test("what is not there is refused by name", async () => {
  const refused: readonly (readonly [string, string])[] = [
    ["RUN --mount=type=cache,target=/c true", "the --mount option of RUN"],
    ["COPY --parents f /f", "--parents of COPY"],
    ["COPY --exclude=x f /f", "--exclude"],
    ["ADD https://host/project.git /x", "ADD of a git repository"],
  ];
  for (const [line, words] of refused) {
    const { code, err } = build({ Dockerfile: `FROM ${daemon.image}\n${line}`, f: "" });
    expect([code, err]).toEqual([1, expect.stringContaining(`${words} is not implemented yet by Fathom`)]);
  }
  expect((await daemon.request("POST", "/build?remote=https://host/x.git")).status).toBe(501);
  expect((await daemon.request("POST", "/build?version=2")).status).toBe(501);
});

test("fathom build: the directory's own ignore file, names, arguments, a Dockerfile elsewhere and on stdin, exit codes", () => {
  const directory = join(daemon.work, "own");
  mkdirSync(join(directory, "sub", "left-out"), { recursive: true });
  const put = (path: string, text: string): void => writeFileSync(join(directory, path), text);
  put(
    "Dockerfile",
    `FROM ${daemon.image}\nARG word=none\nCOPY . /c\nRUN echo $word > /word; find /c -type f | sort > /list`,
  );
  put(".dockerignore", "sub/left-out\n*.log\n!kept.log\nDockerfile");
  put("sub/file", "1");
  put("sub/left-out/file", "2");
  put("a.log", "3");
  put("kept.log", "4");
  const id = daemon.fathom("build", "-q", "-t", "own:1", "-t", "own:2", "--build-arg", "word=given", directory);
  expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(daemon.docker("images", "-q", "--no-trunc", "own:2")).toBe(id);
  const shown = daemon.docker("run", "--rm", "own:1", "cat", "/word", "/list");
  expect(shown).toBe("given\n/c/.dockerignore\n/c/kept.log\n/c/sub/file");
  writeFileSync(join(daemon.work, "Elsewhere"), `FROM ${daemon.image}\nCOPY sub/file /from\nRUN exit 9`);
  const failed = daemon.cli("build", "-f", join(daemon.work, "Elsewhere"), directory);
  expect([failed.code, failed.err]).toEqual([9, expect.stringContaining("returned a non-zero code: 9")]);
  const stdin = daemon.run(
    "sh",
    "-c",
    `printf 'FROM ${daemon.image}\\nRUN echo in > /in' | $0 build -t own:3 -`,
    binary,
  );
  expect([stdin.code, stdin.out]).toEqual([0, expect.stringContaining("Successfully tagged own:3")]);
  const archive = daemon.run("sh", "-c", `tar -C ${directory} -cz . | $0 build -q -`, binary);
  expect([archive.code, archive.out]).toEqual([0, expect.stringMatching(/^sha256:/)]);
  put(".dockerignore", "[");
  const unread = daemon.cli("build", directory);
  expect([unread.code, unread.err]).toEqual([1, expect.stringContaining("syntax error in pattern")]);
  put(".dockerignore", "");
  const hosts = `FROM ${daemon.image}\nRUN grep -q "^::1.*six" /etc/hosts`;
  writeFileSync(join(daemon.work, "Hosts"), hosts);
  expect(daemon.cli("build", "--add-host", "six=::1", "-f", join(daemon.work, "Hosts"), directory).code).toBe(0);
  expect(daemon.cli("build", "-t", "BAD", directory).err).toContain("must be lowercase");
  expect(daemon.cli("build", join(directory, "nosuch")).err).toContain("unable to prepare context");
  expect(daemon.fathom("builder", "prune", "-f")).toContain("Deleted build cache objects");
  daemon.docker("rmi", "own:1", "own:2", "own:3");
});
