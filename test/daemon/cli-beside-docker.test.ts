/** Our CLI beside the docker CLI, with one daemon: the same command line gives the same stdout, stderr and exit code. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noDockerWords } from "../docker-cli.ts";
import { binary, TestDaemon, type Result } from "./harness.ts";

const unable = noDockerWords();

let daemon: TestDaemon;

beforeAll(async () => {
  daemon = new TestDaemon("beside");
  await daemon.start();
  daemon.loadImage();
}, 60_000);

afterAll(() => daemon.close(), 60_000);

/**
 * What differs because it must: the program's name, and its default address. docker's own log of its helper threads is left out, and the
 * success that it reports for a copy that failed. */
function comparable({ code, out, err }: Result): Result {
  const plain = (text: string): string =>
    text
      .replaceAll(/\bfathom (?=[a-z-]+)/g, "docker ")
      .replaceAll("fathom:", "docker:")
      .replaceAll(/unix:\/\/\/(?:var\/run\/docker|run\/fathom\/fathom)\.sock */g, "DEFAULT ");
  // docker 28 prints "See" and "SRun" for "Run" in two places.
  const said = plain(err)
    .replaceAll(/^S(?:ee|Run)(?= ')/gm, "Run")
    .replaceAll(/^time=".*\n/gm, "");
  return { code, out: plain(out), err: code === 0 ? said : said.replaceAll(/^Successfully copied .*\n/gm, "") };
}

/** One after the other. The command must leave things as they are, or undo what it does. */
function both(...words: string[]): Result {
  const theirs = comparable(daemon.run("docker", ...words));
  expect({ words, ...comparable(daemon.cli(...words)) }).toEqual({ words, ...theirs });
  return theirs;
}

/** With shell syntax; PROGRAM is the CLI. `own` has a folder for each of the two. */
function bothInShell(script: string): Result {
  const run = (program: string, own: string): Result => {
    const folder = join(daemon.work, own);
    mkdirSync(folder, { recursive: true });
    const result = daemon.run("sh", "-c", `cd ${folder}; ${script.replaceAll("PROGRAM", program)}`);
    const plain = (text: string): string => text.replaceAll(folder, "FOLDER");
    return { code: result.code, out: plain(result.out), err: plain(result.err) };
  };
  const theirs = comparable(run("docker", "theirs"));
  expect({ script, ...comparable(run(binary, "ours")) }).toEqual({ script, ...theirs });
  return theirs;
}

/** Everything below a folder: kind, mode, size or target. */
function treeOf(folder: string): readonly string[] {
  return daemon.run("sh", "-c", `cd ${folder} && find . -printf '%p %y %m %l %T@\\n' | sort`).out.split("\n");
}

describe.skipIf(unable !== undefined)(`beside the docker CLI${unable === undefined ? "" : ` (${unable})`}`, () => {
  test("cp: into a container and out of it, all forms of paths", () => {
    const { image, work } = daemon;
    daemon.docker("run", "-d", "--name", "files", image, "sleep", "1000");
    const local = join(work, "local");
    mkdirSync(join(local, "dir/deep"), { recursive: true });
    writeFileSync(join(local, "file"), "content\n", { mode: 0o640 });
    writeFileSync(join(local, "dir/a.txt"), "a");
    writeFileSync(join(local, "dir/deep/x"), "x".repeat(100_000));
    symlinkSync("file", join(local, "link"));
    symlinkSync("dir", join(local, "dirlink"));
    symlinkSync("nowhere", join(local, "broken"));
    chmodSync(join(local, "dir/deep"), 0o700);
    const fill = (): void => {
      daemon.docker(
        "exec",
        "files",
        "sh",
        "-c",
        "rm -rf /t; mkdir -p /t/d /t/e; echo old > /t/f; ln -s d /t/dl; ln -s f /t/fl",
      );
    };
    for (const [source, target] of [
      ["file", "/t"],
      ["file", "/t/"],
      ["file", "/t/new"],
      ["file", "/t/new/"],
      ["file", "/t/f"],
      ["file", "/t/d"],
      ["file", "/t/dl"],
      ["file", "/t/fl"],
      ["file", "/t/no/such"],
      ["file/", "/t"],
      ["dir", "/t"],
      ["dir/", "/t/d"],
      ["dir/.", "/t/d"],
      ["dir", "/t/new"],
      ["dir/.", "/t/new"],
      ["dir", "/t/f"],
      ["link", "/t"],
      ["dirlink", "/t"],
      ["dirlink/", "/t"],
      ["dirlink/.", "/t"],
      ["broken", "/t"],
      ["nothing", "/t"],
      ["file", "t/relative"],
      ["file", ""],
    ] as const) {
      for (const flags of [[], ["-L"], ["-a"]]) {
        const words = ["cp", "-q=false", ...flags, `${local}/${source}`, `files:${target}`];
        fill();
        const theirs = daemon.run("docker", ...words);
        const after =
          "find /t -exec stat -c '%n %F %a %u:%g %s %Y' {} + | sort | grep -v '^/t/\\?.\\? directory'; cat /t/f";
        const their = daemon.docker("exec", "files", "sh", "-c", after);
        fill();
        const ours = daemon.cli(...words);
        const our = daemon.docker("exec", "files", "sh", "-c", after);
        expect({ words, ...comparable(ours) }).toEqual({ words, ...comparable(theirs) });
        const stable = (text: string): string => text.replaceAll(/^(\/t(?:\/(?:d|e|f|dl|fl))? .*) \d+$/gm, "$1");
        expect({ words, tree: stable(our) }).toEqual({ words, tree: stable(their) });
      }
    }
    fill();
    daemon.docker(
      "exec",
      "files",
      "sh",
      "-c",
      "mkdir -p /t/d/sub; echo data > /t/d/sub/x; chmod 750 /t/d/sub; ln -s /etc /t/abs; mkfifo /t/d/pipe; touch -d '2001-02-03 04:05:06' /t/d/sub/x /t/d/sub /t/d; ln /t/d/sub/x /t/d/hard",
    );
    for (const source of [
      "/t/f",
      "/t/d",
      "/t/d/",
      "/t/d/.",
      "/t/dl",
      "/t/dl/",
      "/t/fl",
      "/t/abs",
      "/t/none",
      "/t/f/",
      "/t/d/sub/..",
      "t/f",
      "",
    ])
      for (const target of ["new", "new/", "there", "there/", "file", "nosuch/x", ".", "linked", "/dev/null"])
        for (const flags of ["", "-L"]) {
          const script = `chmod -R u+rwx . ; rm -rf * ; mkdir there; echo old > file; ln -s there linked; PROGRAM cp -q=false ${flags} 'files:${source}' ${target}`;
          bothInShell(script);
          expect({ script, tree: treeOf(join(work, "ours")).map(withoutTime) }).toEqual({
            script,
            tree: treeOf(join(work, "theirs")).map(withoutTime),
          });
        }
    both("cp", "files:/t", "files:/u");
    both("cp", "a", "b");
    both("cp", "", "files:/t");
    both("cp", "files:/t/f", "");
    both("cp", "nosuch:/t/f", ".");
    both("cp", `${local}/file`, "nosuch:/t");
    bothInShell("PROGRAM cp files:/t/d - | tar t | sort");
    bothInShell("tar c -C /etc hostname | PROGRAM cp - files:/t/d && PROGRAM exec files cat /t/d/hostname");
    bothInShell("tar c -C /etc hostname | PROGRAM cp - files:/t/f");
    bothInShell("echo no tar | PROGRAM cp - files:/t/d");
  }, 300_000);

  test("diff, export, commit, import, update", () => {
    const { image, work } = daemon;
    daemon.docker("run", "--name", "made", image, "sh", "-c", "echo x > /new; rm /etc/group; echo y >> /etc/passwd");
    expect(both("diff", "made").out).toContain("A /new\n");
    both("diff", "nosuch");
    both("diff", "");
    both("container", "diff", "made");
    bothInShell("PROGRAM export made | tar t | sort");
    bothInShell("PROGRAM export -o out.tar made && tar tf out.tar | sort && stat -c %a out.tar");
    bothInShell("PROGRAM export -o nosuch/out.tar made");
    both("export", "nosuch");
    for (const words of [
      ["commit", "-a", "me", "-m", "words", "-c", "ENV a=b", "-c", 'CMD ["true"]', "made", "one/two:three"],
      ["commit", "--pause=false", "made", "named"],
      ["commit", "made"],
    ]) {
      const ids = [daemon.docker(...words), daemon.fathom(...words)];
      const [their, our] = ids.map((id) =>
        daemon.docker(
          "inspect",
          "-f",
          "{{json .Config}} {{.Author}} {{.Comment}} {{.RepoTags}} {{.RootFS.Layers}}",
          id,
        ),
      );
      expect({ words, image: our!.replace(/ \[sha.*/, "") }).toEqual({
        words,
        image: their!.replace(/\[[a-z/:]*\] /, `${/\[[a-z/:]*\] /.exec(our!)?.[0] ?? ""}`).replace(/ \[sha.*/, ""),
      });
    }
    both("commit", "nosuch", "a:b");
    both("commit", "made", "Upper");
    both("commit", "made", `a@sha256:${"0".repeat(64)}`);
    both("commit", "-c", "NOSUCH x", "made");
    daemon.docker("export", "-o", `${work}/tree.tar`, "made");
    // The time is part of an image's id.
    const hidden = "| sed 's/[0-9a-f]\\{64\\}/ID/'";
    bothInShell(`PROGRAM import -m words -c 'CMD ["true"]' ${work}/tree.tar tree:1 ${hidden}`);
    both("history", "--format", "{{.Comment}}", "tree:1");
    bothInShell(`PROGRAM import - tree:2 < ${work}/tree.tar ${hidden}`);
    bothInShell(`PROGRAM image import --platform linux/arm64 ${work}/tree.tar ${hidden}`);
    both("import", "nosuch.tar");
    both("import", "--platform", "a/b/c/d", `${work}/tree.tar`);
    both("import", `${work}/tree.tar`, "Bad");
    both("import");
    both("update", "--memory", "64m", "--memory-swap", "-1", "--cpus", "0.5", "--pids-limit", "50", "made");
    both("container", "update", "--restart", "on-failure:3", "made", "nosuch");
    both("update", "--restart", "bad:x", "made");
    both("update", "--restart", "bad", "made");
    both("update", "--memory", "1k", "made");
    both("update", "--cpus", "x", "made");
    both("update", "made");
    both("update");
    both("update", "--cpu-shares", "512", "--blkio-weight", "99999", "made");
    both("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}", "made");
  }, 120_000);

  test("system df, the prunes, and their questions", () => {
    const { image } = daemon;
    daemon.docker("volume", "create", "--label", "a=b", "kept");
    daemon.docker(
      "run",
      "-v",
      "/anonymous",
      "-v",
      "kept:/k",
      "--name",
      "stopped",
      image,
      "sh",
      "-c",
      "head -c 100000 /dev/zero > /k/f; cp /k/f /f",
    );
    daemon.docker("run", "-d", "--name", "running", image, "sleep", "1000");
    both("system", "df");
    // Ages change between two commands, and the widths of their columns with them.
    const ageless = (text: string): string =>
      text.replaceAll(/(Less than a second|About a minute|\d+ (second|minute)s?)/g, "AGE").replaceAll(/ {2,}/g, "  ");
    expect(ageless(daemon.fathom("system", "df", "-v"))).toBe(ageless(daemon.docker("system", "df", "-v")));
    both("system", "df", "--format", "json");
    both("system", "df", "--format", "{{.Type}} {{.Size}} {{.Reclaimable}}");
    both("system", "df", "--format", "table {{.Type}}\t{{.Active}}");
    both(
      "system",
      "df",
      "-v",
      "--format",
      "{{range .Images}}{{.Repository}} {{.UniqueSize}}\n{{end}}{{range .Volumes}}{{.Name}} {{.Links}} {{.Size}}{{end}}",
    );
    both("system", "df", "more");
    for (const command of [
      "system prune",
      "system prune -a --volumes",
      "system prune --filter label=x --filter until=1h",
      "container prune",
      "image prune",
      "image prune -a",
      "volume prune",
      "volume prune -a",
    ])
      for (const answer of ["n", "", "no"]) bothInShell(`echo ${answer} | PROGRAM ${command}`);
    both("system", "prune", "--volumes", "--filter", "until=1h");
    both("system", "prune", "-f", "--filter", "bad=x");
    both("volume", "prune", "-af", "--filter", "all=1");
    both("volume", "prune", "-f", "--filter", "label=nosuch");
    both("container", "prune", "-f", "--filter", "label=nosuch");
    /** The same state for each of the two. */
    const twice = (...words: string[]): void => {
      const results = (["docker", binary] as const).map((program) => {
        daemon.removeContainers("-v");
        daemon.docker("image", "prune", "-f");
        daemon.docker("volume", "prune", "-f");
        daemon.docker("volume", "create");
        daemon.docker(
          "run",
          "-v",
          "/anonymous",
          "-v",
          "kept:/k",
          "--name",
          "stopped",
          image,
          "sh",
          "-c",
          "head -c 100000 /dev/zero > /k/f; cp /k/f /f",
        );
        daemon.docker("tag", image, "extra:1");
        daemon.docker("commit", "stopped");
        const { code, out, err } = comparable(daemon.run(program, ...words));
        return { words, code, out: out.replaceAll(/[0-9a-f]{64}/g, "ID"), err };
      });
      expect(results[1]).toEqual(results[0]!);
    };
    twice("container", "prune", "-f");
    twice("image", "prune", "-f");
    twice("volume", "prune", "-f");
    twice("system", "prune", "-f");
    twice("system", "prune", "-f", "--volumes");
    twice("volume", "prune", "-af", "--filter", "label!=a");
    daemon.removeContainers("-v");
    daemon.docker("image", "prune", "-f");
    both("system", "prune", "-f");
  }, 120_000);

  test("stats: once, with all fields; errors", () => {
    const { image } = daemon;
    daemon.removeContainers();
    daemon.docker("run", "-d", "--name", "idle", "--memory", "64m", "--pids-limit", "20", image, "sleep", "1000");
    daemon.docker("create", "--name", "off", image);
    /** On a busy machine, docker gives up after two seconds and shows "--". */
    const measured = (...words: string[]): void => {
      const line = ["stats", "--no-stream", ...words];
      let theirs = daemon.run("docker", ...line);
      for (let tries = 0; tries < 5 && theirs.out.includes("--"); tries++) theirs = daemon.run("docker", ...line);
      expect({ line, ...comparable(daemon.cli(...line)) }).toEqual({ line, ...comparable(theirs) });
    };
    const fixed = ["Container", "Name", "ID", "NetIO", "PIDs"].map((name) => `{{.${name}}}`).join("|");
    measured("--format", fixed, "idle");
    measured("--no-trunc", "--format", fixed);
    measured("-a", "--format", "{{.Name}} {{.PIDs}}");
    measured("--format", "table {{.Name}}\t{{.PIDs}}\t{{.ID}}");
    measured("nosuch", "idle");
    const shape = (text: string): string =>
      text.replaceAll(/\d+(\.\d+)?(?=(%|[KM]iB|[kM]?B))/g, "N").replaceAll(/ {2,}/g, "  ");
    for (const words of [
      ["stats", "--no-stream"],
      ["stats", "--no-stream", "--format", "json"],
      ["container", "stats", "--no-stream", "off"],
    ])
      expect({ words, out: shape(daemon.fathom(...words)) }).toEqual({ words, out: shape(daemon.docker(...words)) });
  }, 60_000);

  test("login, logout and push, with a helper and without", () => {
    const folder = "export HOME=$PWD; unset DOCKER_CONFIG; rm -rf .docker;";
    for (const words of [
      "login -u me registry.test",
      "login --password-stdin registry.test < /dev/null",
      "login -u me -p x --password-stdin registry.test",
      "login -u '' registry.test",
      "login -u me -p '' registry.test",
      "login registry.test </dev/null",
      "login a b",
      "login -u me -p wrong 127.0.0.1:1",
      "echo wrong | PROGRAM login -u me --password-stdin 127.0.0.1:1",
      "logout",
      "logout registry.test",
      "logout https://registry.test/v1/",
    ])
      bothInShell(`${folder} ${words.includes("PROGRAM") ? words : `PROGRAM ${words}`}; ls -A .docker`);
    both("push", "nosuch");
    both("push", "-q", "127.0.0.1:1/a:b");
    both("push", "-a", "127.0.0.1:1/a:b");
    both("push", "Upper");
    both("push", `a@sha256:${"0".repeat(64)}`);
  }, 60_000);

  test("create: networks in the long form, links, limits of devices; errors", () => {
    const { image } = daemon;
    daemon.removeContainers();
    daemon.docker("network", "create", "--subnet", "10.98.0.0/24", "--subnet", "fd98::/64", "--ipv6", "front");
    daemon.docker("network", "create", "back");
    const fields = "{{json .NetworkSettings.Networks}} {{json .HostConfig}}";
    /** Each makes it, and the daemon shows the same. */
    const made = (...flags: string[]): void => {
      const shown = ["docker", binary].map((program) => {
        const { code, out, err } = comparable(daemon.run(program, "create", "--name", "x", ...flags, image));
        const inspected = code === 0 ? daemon.docker("inspect", "-f", fields, "x") : "";
        if (code === 0) daemon.docker("rm", "x");
        return {
          flags,
          code,
          err,
          hasId: /^[0-9a-f]{64}\n$/.test(out),
          inspected: inspected.replaceAll(/[0-9a-f]{12}/g, "ID"),
        };
      });
      expect(shown[1]).toEqual(shown[0]!);
    };
    made("--network", "front");
    made(
      "--network",
      "name=front,alias=a,alias=b,ip=10.98.0.9,ip6=fd98::9,mac-address=02:00:00:00:00:01,gw-priority=3",
    );
    made("--network", "name=front,driver-opt=com.docker.network.endpoint.ifname=up0", "--network", "name=back,alias=c");
    made("--network", "front", "--network", "back", "--network-alias", "d", "--ip", "10.98.0.8");
    made("--network", "name=front,alias=a", "--network-alias", "b");
    made("--network", "name=front,ip=10.98.0.9", "--ip", "10.98.0.8");
    made("--network", "name=front,nosuch=1");
    made("--network", "alias=a");
    made("--network", "name=front,gw-priority=x");
    made("--network", "name=front,mac-address=zz");
    made("--network", "front", "--network", "front");
    made("--network", "front", "--network", "bridge");
    made("--network-alias", "a");
    made("--network", "");
    daemon.docker("create", "--name", "peer", "--network", "front", image);
    made("--network", "front", "--link", "peer:p");
    made("--link", "a:b:c");
    made("--link", "");
    made("--device-read-bps", "/dev/null:1x");
    made("--device-read-bps", "null:1");
    made("--device-write-iops", "/dev/null:-1");
    made("--blkio-weight-device", "/dev/null:5");
    made("--cpu-rt-period", "x");
    made("--disable-content-trust");
    made(
      "--memory",
      "64m",
      "--cpus",
      "0.5",
      "--restart",
      "on-failure:2",
      "--cap-add",
      "net_admin",
      "--dns",
      "10.0.0.1",
    );
    daemon.removeContainers();
    daemon.docker("network", "rm", "front", "back");
  }, 60_000);

  test("contexts: the same files, the same words, and both use what the other makes", () => {
    const { work, socket } = daemon;
    const own = "export HOME=$PWD; unset DOCKER_CONFIG DOCKER_HOST FATHOM_HOST; rm -rf .docker; mkdir -p .docker;";
    const files = "; (cd .docker; find . -type f -printf '%p %m\\n' | sort; find . -type f | sort | xargs cat)";
    const create = `PROGRAM context create here --description words --docker host=unix://${socket}`;
    for (const script of [
      create,
      `${create}; PROGRAM context create here --docker host=unix:///x`,
      `${create}; PROGRAM context use here; PROGRAM context show; PROGRAM context ls; PROGRAM ps -aq | wc -l`,
      `${create}; PROGRAM context ls -q; PROGRAM context ls --format json | grep here; PROGRAM context ls --format '{{.Name}} {{.Current}}'`,
      `${create}; PROGRAM context inspect here; PROGRAM context inspect -f '{{.Endpoints.docker.Host}}' here nosuch`,
      `${create}; PROGRAM -c here info --format '{{.OSType}}'; DOCKER_CONTEXT=here PROGRAM context show`,
      `${create}; PROGRAM context use here; PROGRAM context rm here; PROGRAM context rm -f here nosuch; PROGRAM context show`,
      `${create}; PROGRAM context rm nosuch here default`,
      `${create}; PROGRAM context update here --description other; PROGRAM context update here --docker host=tcp://a:1,skip-tls-verify=true; PROGRAM context ls --format '{{.Name}} {{.Description}}'`,
      `${create}; PROGRAM context create copy --from here; PROGRAM context inspect copy`,
      `${create}; PROGRAM context create copy --docker from=here; PROGRAM context create copy2 --from here --docker host=unix:///x`,
      `${create}; DOCKER_HOST=unix://${socket} PROGRAM context use here; DOCKER_HOST=unix://${socket} PROGRAM context ls`,
      `echo ca > c; PROGRAM context create tls --docker host=tcp://a:2376,ca=c,cert=c,key=c; PROGRAM context inspect tls`,
      `${create}; PROGRAM context export here; PROGRAM context export here; stat -c %a here.dockercontext; PROGRAM context import there here.dockercontext; PROGRAM context inspect there; rm here.dockercontext`,
      `${create}; PROGRAM context export here - | PROGRAM context import there -; PROGRAM context import there nosuch; PROGRAM context import new nosuch; PROGRAM context export nosuch`,
      "PROGRAM context create bad --docker nosuch=1",
      "PROGRAM context create bad --docker host",
      "PROGRAM context create bad --docker host=unix:///x,ca=nosuch",
      "PROGRAM context create default",
      "PROGRAM context create 'a b'",
      "PROGRAM context use nosuch",
      "PROGRAM context inspect nosuch",
      "PROGRAM context update nosuch",
      "PROGRAM -c nosuch ps",
      "PROGRAM -c nosuch context show",
      "PROGRAM -c nosuch context ls | grep nosuch | tr -s ' '",
      "PROGRAM -c a -H unix:///x ps",
      "PROGRAM -l nosuch context show",
      'echo \'{"currentContext":"gone"}\' > .docker/config.json; PROGRAM context show; PROGRAM ps; PROGRAM context use default',
    ])
      bothInShell(`${own} ${script} ${files}`);
    for (const [maker, user] of [
      ["docker", binary],
      [binary, "docker"],
    ]) {
      const script = `export HOME=${work}/shared; unset DOCKER_HOST FATHOM_HOST; rm -rf $HOME; mkdir $HOME; ${maker} context create mine --docker host=unix://${socket} && ${user} context use mine && ${maker} ps -q && ${user} ps -q`;
      const { code, err } = daemon.run("sh", "-c", script);
      expect({ maker, code, err: err.replace(/created|Current.*/g, "") }).toMatchObject({ maker, code: 0 });
    }
  }, 60_000);

  test("docker's CLI plugins run with the same words, environment and exit code", () => {
    const own = "export HOME=$PWD; unset DOCKER_CONFIG FATHOM_HOST; rm -rf .docker; mkdir -p .docker/cli-plugins;";
    const plugin = `cat > .docker/cli-plugins/docker-hello <<'END'
#!/bin/sh
[ "$1" = docker-cli-plugin-metadata ] && { echo '{"SchemaVersion":"0.1.0","Vendor":"V","ShortDescription":"Says hello"}'; exit; }
echo "$#: $*"; echo "$DOCKER_HOST"; [ -n "$DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND" ] && echo has; echo bad >&2; cat; exit 7
END
chmod +x .docker/cli-plugins/docker-hello;`;
    for (const script of [
      "PROGRAM hello a --b -c < /dev/null",
      "echo input | PROGRAM -D hello",
      "PROGRAM -H unix:///other hello </dev/null",
      "PROGRAM --help | grep hello | tr -s ' '",
      "PROGRAM hello --help < /dev/null",
    ])
      bothInShell(`${own} ${plugin} ${script}`);
    bothInShell(`${own} ${plugin} sed -i 's/"V"/""/' .docker/cli-plugins/docker-hello; PROGRAM hello 2>&1 | head -1`);
    const found = daemon.run(
      "sh",
      "-c",
      `cd ${work()}; ${own} ${plugin} unset DOCKER_HOST; ${binary} hello < /dev/null`,
    );
    expect(found.out).toContain("unix:///run/fathom/fathom.sock\n");
  });

  const work = (): string => daemon.work;

  /** The folders of the test change with the copy. JavaScript sets times with a precision of some hundred nanoseconds. */
  function withoutTime(line: string): string {
    const rounded = line.replace(/(\.\d{5})\d+$/, "$1");
    return line.startsWith(". ") || /^\.\/(there|file|linked) /.test(line) ? line.replace(/ \S+$/, "") : rounded;
  }
});
