#!/usr/bin/env python3
"""Runs scenarios of docker CLI commands against an engine and compares what it prints with what Docker 29 printed.

A scenario is a text file: a line that begins with '#' is a comment, '$ COMMAND' is a step, and the lines below a step
are what Docker printed for it (stdout and stderr together, normalised), with '[N]' last where the exit code was not 0.
All steps of a scenario run in one bash, in an empty folder, so variables and files carry over.

  run.py --socket /run/x/docker.sock --images DIR [SCENARIO…]   compare (default: all scenarios beside this file)
  run.py --socket … --images DIR --record SCENARIO…             write what this engine prints into the scenario
  options: --docker CLI   --build COMMAND ($BUILD in a scenario; default 'docker build')   --verbose (every difference)
           --only AREA/ or any word in a scenario's name   --timeout S (of one step; 60)

Recorded with the docker CLI 28.2.2 against Docker 29.7.2 (overlay2, runc 1.5, cgroup v1, no internet).

It owns the engine at the socket: before every scenario all containers, volumes and own networks there are removed,
and the images busybox:1.37, alpine:3.20 and hello-world:latest are pulled from a registry that it starts on loopback
(Debian's docker-registry, filled by skopeo from the OCI archives in DIR). Run it as root in the engine's own namespaces, best in a network
namespace of their own: scenarios use ports 5077-5088, 8080-8091, 8311-8600 and 18080-18192 of loopback and add addresses to it.
It needs: docker (28.2.2: other versions word some messages differently), docker-registry, skopeo, curl, jq, xxd, iproute2, perl, script.
Step exit codes are those of the last command of a pipe. ids, times, sizes, addresses and random ports are masked: see RULES.
The last line is 'parity: N passed, N failed (steps: N of N the same)'.
"""
import argparse, difflib, os, re, shutil, signal, socket, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGES = {"busybox:1.37": "busybox-1.37-glibc", "alpine:3.20": "alpine-3.20", "hello-world:latest": "hello-world"}
MARK = "\x01parity-step-end "

RULES = [(re.compile(p), r) for p, r in [
    (r"sha256:[0-9a-f]{64}", "sha256:<digest>"),
    (r"\b[0-9a-f]{64}\b", "<id64>"),
    (r"\b[0-9a-f]{12}\b(?![0-9a-f])", "<id12>"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|[+-]\d\d:?\d\d))?( UTC)?", "<time>"),
    (r"\b(Less than a second|About an? (minute|hour)|\d+ (second|minute|hour|day|week|month|year)s?)( ago)?\b", "<ago>"),
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
    (r"\b(172|10|192)\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", "<ip>"),
    (r"\b\d+(\.\d+)? ?(k|M|G|Ki|Mi|Gi)?B\b", "<size>"),
    (r":(3[2-9]|4\d|5\d|6[0-5])\d{3}\b", ":<port>"),
    (r"\bv1\.\d\d\b", "v1.<api>"),
    (r" {2,}", "  "),
    (r"\s+$", ""),
]]


def normalise(text):
    lines = []
    for line in text.replace("\r", "").split("\n"):
        for pattern, replacement in RULES:
            line = pattern.sub(replacement, line)
        lines.append(line)
    while lines and lines[-1] == "":
        lines.pop()
    return lines


def parse(path):
    head, steps = [], []
    for line in open(path, encoding="utf-8").read().split("\n"):
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif steps:
            steps[-1][1].append(line)
        else:
            head.append(line)
    for _, expected in steps:
        while expected and (expected[-1] == "" or expected[-1].startswith("#")):
            expected.pop()
    return head, steps


class Shell:
    """One bash for a scenario; run() returns (lines, exit code) of a command, or None on a timeout."""

    def __init__(self, env, cwd):
        self.child = subprocess.Popen(["bash", "--noprofile", "--norc"], cwd=cwd, env=env, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        os.set_blocking(self.child.stdout.fileno(), False)

    def run(self, command, timeout):
        text = "{\n%s\n} </dev/null 2>&1; printf '\\n%s%%d\\n' $?\n" % (command, MARK)
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()
        data, end = b"", time.monotonic() + timeout
        while True:
            chunk = self.child.stdout.read()
            if chunk:
                data += chunk
            found = re.search(rb"\n" + MARK.encode() + rb"(\d+)\n", data)
            if found:
                return normalise(data[:found.start()].decode("utf-8", "replace")), int(found.group(1))
            if self.child.poll() is not None or time.monotonic() > end:
                return None
            time.sleep(0.005)

    def close(self):
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()


def start_registry(folder, images):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = os.path.join(folder, "registry.yml")
    with open(config, "w") as out:
        out.write("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s/registry}, delete: {enabled: true}}\n"
                  "http: {addr: 127.0.0.1:%d}\n" % (folder, port))
    child = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    for name, archive in IMAGES.items():
        subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false",
                        "oci-archive:%s/%s.oci.tar" % (images, archive), "docker://127.0.0.1:%d/%s" % (port, name)],
                       check=True)
    return child, port


def clean(env, docker):
    script = r'''
    c=$("$D" ps -aq); [ -z "$c" ] || "$D" rm -f $c
    n=$("$D" network ls -q --filter type=custom); [ -z "$n" ] || "$D" network rm $n
    v=$("$D" volume ls -q); [ -z "$v" ] || "$D" volume rm -f $v
    for i in $("$D" images --format '{{.Repository}}:{{.Tag}}' | grep -v '<none>'); do
      case " $KEEP " in *" $i "*) ;; *) "$D" rmi -f $i;; esac; done
    "$D" image prune -f; "$D" builder prune -f
    for i in $WANT; do "$D" pull -q 127.0.0.1:$REGISTRY_PORT/$i; "$D" tag 127.0.0.1:$REGISTRY_PORT/$i $i; done'''
    keep = " ".join("127.0.0.1:%s/%s" % (env["REGISTRY_PORT"], name) for name in IMAGES)
    subprocess.run(["bash", "-c", script], env={**env, "D": docker, "WANT": " ".join(IMAGES), "KEEP": keep},
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=180)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--socket", required=True)
    args.add_argument("--images", required=True)
    args.add_argument("--docker", default="docker")
    args.add_argument("--build", default="docker build")
    args.add_argument("--record", action="store_true")
    args.add_argument("--verbose", action="store_true")
    args.add_argument("--only", default="")
    args.add_argument("--timeout", type=float, default=60)
    args.add_argument("scenario", nargs="*")
    args = args.parse_args()
    paths = args.scenario or sorted(
        os.path.join(top, f) for top, _, files in os.walk(os.path.join(HERE, "scenarios")) for f in files if f.endswith(".txt"))
    paths = [os.path.abspath(p) for p in paths if args.only in "/".join(os.path.abspath(p).split("/")[-2:])]
    docker = shutil.which(args.docker) or sys.exit("parity: no docker CLI: " + args.docker)
    for tool in ("docker-registry", "skopeo", "curl", "jq"):
        shutil.which(tool) or sys.exit("parity: not installed: " + tool)
    if args.record and not args.scenario:
        sys.exit("parity: --record needs the scenarios by name")
    folder = tempfile.mkdtemp(prefix="parity-")
    registry, port = start_registry(folder, args.images)
    passed = failed = same = total = 0
    try:
        for path in paths:
            name = os.path.relpath(path, os.path.join(HERE, "scenarios"))
            work = tempfile.mkdtemp(dir=folder)
            home = tempfile.mkdtemp(dir=folder)
            bin_dir = tempfile.mkdtemp(dir=folder)
            os.symlink(docker, os.path.join(bin_dir, "docker"))
            env = {"PATH": bin_dir + ":" + os.environ["PATH"], "HOME": home, "DOCKER_HOST": "unix://" + args.socket,
                   "DOCKER_CONFIG": home, "SOCK": args.socket, "LC_ALL": "C.UTF-8", "TZ": "UTC", "DOCKER_CLI_HINTS": "false",
                   "REGISTRY_PORT": str(port), "REGISTRY": "127.0.0.1:%d" % port, "DOCKER_BUILDKIT": "0", "BUILD": args.build}
            try:
                clean(env, docker)
            except subprocess.TimeoutExpired:
                print("clean-up before %s timed out" % name)
            head, steps = parse(path)
            shell, out, bad = Shell(env, work), list(head), []
            total += len(steps)
            for position, (command, expected) in enumerate(steps):
                result = shell.run(command, args.timeout)
                lines = ["!timeout"] if result is None else result[0] + (["[%d]" % result[1]] if result[1] else [])
                lines = [l.replace(str(port), "<registry>") if str(port) in l else l for l in lines]
                out += ["$ " + command] + lines
                if lines == expected:
                    same += 1
                else:
                    bad.append((command, expected, lines))
                if result is None:
                    out += ["$ " + rest for rest, _ in steps[position + 1:]]
                    break
            shell.close()
            if args.record:
                open(path, "w", encoding="utf-8").write("\n".join(out) + "\n")
                print("recorded", name)
            elif bad:
                failed += 1
                print("FAIL %s (%d of %d steps differ)" % (name, len(bad), len(steps)))
                for command, expected, lines in bad if args.verbose else bad[:2]:
                    print("    $ " + command)
                    for l in list(difflib.unified_diff(expected, lines, "docker", "engine", lineterm="", n=1))[2:40]:
                        print("      " + l)
            else:
                passed += 1
                print("ok   " + name)
            sys.stdout.flush()
        try:
            clean(env, docker)
        except (subprocess.TimeoutExpired, NameError):
            pass
    finally:
        registry.terminate()
        registry.wait()
        shutil.rmtree(folder, ignore_errors=True)
    if not args.record:
        print("parity: %d passed, %d failed (steps: %d of %d the same)" % (passed, failed, same, total))
    sys.exit(1 if failed else 0)


main()
