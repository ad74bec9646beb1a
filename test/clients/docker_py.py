"""
Jobs of docker for Python (docker-py), as programs use it. Usage: docker_py.py JOB IMAGE. A job that ends without an exception has passed.

docker-py's own ways:
- It reads the head of an exec's answer through a buffered reader, and then reads the stream from the socket itself. What the buffered reader
  has read ahead is lost. So output that arrives in one packet with the head is lost: the engine must send the head before the process starts.
- With version="auto" it asks for the engine's version first, and then it uses the newest one that both know.
"""

import contextlib
import io
import sys
import tarfile
import time
import uuid

import docker

client = docker.from_env(version="auto", timeout=60)
image = sys.argv[2] if len(sys.argv) > 2 else ""


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def eventually(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s until {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def running(command="sleep 1000", **options):
    container = client.containers.run(image, ["sh", "-c", command], detach=True, init=True, **options)
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def job_run():
    equal(client.containers.run(image, ["echo", "hello"], remove=True), b"hello\n")
    equal(client.containers.run(image, ["sh", "-c", "echo out; echo err >&2"], remove=True, stdout=False, stderr=True), b"err\n")
    try:
        client.containers.run(image, ["sh", "-c", "echo broken >&2; exit 3"], remove=True)
        raise AssertionError("a container that failed raised nothing")
    except docker.errors.ContainerError as error:
        equal((error.exit_status, error.stderr), (3, b"broken\n"))
    try:
        client.containers.run(image, ["no-such-program"], remove=True)
        raise AssertionError("a program that does not exist raised nothing")
    except docker.errors.APIError as error:
        equal(error.response.status_code, 400)
        assert 'exec: "no-such-program": executable file not found in $PATH' in error.explanation, error.explanation
    try:
        client.containers.get("no-such-container")
        raise AssertionError("a container that does not exist was found")
    except docker.errors.NotFound as error:
        equal(error.explanation, "No such container: no-such-container")
    with running("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done", name="py-run", labels={"a": "b"},
                 environment={"KEY": "value"}, tmpfs={"/scratch": "size=1m"}, mem_limit="64m") as container:
        eventually("the container is ready", lambda: b"ready" in container.logs())
        equal([c.name for c in client.containers.list(filters={"label": "a=b"})], ["py-run"])
        container.pause()
        container.reload()
        equal(container.status, "paused")
        container.unpause()
        assert any("sh -c" in " ".join(row) for row in container.top()["Processes"]), container.top()
        container.rename("py-renamed")
        container.stop(timeout=10)
        equal(container.wait()["StatusCode"], 7)
        container.start()
        container.restart(timeout=10)
        container.reload()
        equal((container.name, container.status), ("py-renamed", "running"))
        container.update(mem_limit="128m", memswap_limit="128m")
        container.reload()
        equal(container.attrs["HostConfig"]["Memory"], 128 << 20)


def job_logs():
    with running("for i in $(seq 1000); do echo line $i; done; sleep 0.2; echo last; exec sleep 1000") as container:
        followed = b""
        for piece in container.logs(stream=True, follow=True):
            followed += piece
            if followed.endswith(b"last\n"):
                break
        equal(followed.decode().splitlines(), [f"line {i}" for i in range(1, 1001)] + ["last"])
        equal(container.logs(tail=2), b"line 1000\nlast\n")
        stamped = container.logs(tail=1, timestamps=True).decode()
        assert stamped.endswith("Z last\n"), stamped


def job_exec():
    with running() as container:
        lost = [i for i in range(200) if container.exec_run(["echo", f"number {i}"]) != (0, f"number {i}\n".encode())]
        equal(lost, [])
        lost = []
        for i in range(50):
            code, streams = container.exec_run(["sh", "-c", f"echo out {i}; echo err {i} >&2; exit 5"], demux=True)
            if (code, streams) != (5, (f"out {i}\n".encode(), f"err {i}\n".encode())):
                lost.append((i, code, streams))
        equal(lost, [])
        _, pieces = container.exec_run("seq 100000", stream=True)
        equal(b"".join(pieces), "".join(f"{i}\n" for i in range(1, 100001)).encode())
        equal(container.exec_run("id -u", user="nobody").output, b"65534\n")
        equal(container.exec_run("pwd", workdir="/tmp").output, b"/tmp\n")
        equal(container.exec_run(["sh", "-c", "echo $KEY"], environment={"KEY": "value"}).output, b"value\n")
        equal(container.exec_run(["tty"], tty=True).output, b"/dev/pts/0\r\n")
        # A client that writes to the process and then closes its half of the connection, with the socket that docker-py gives.
        made = client.api.exec_create(container.id, ["cat"], stdin=True)
        stream = client.api.exec_start(made["Id"], socket=True)
        raw = stream._sock
        raw.settimeout(30)
        raw.sendall(b"typed\n" * 10000)
        raw.shutdown(1)
        answer = b"".join(data for _, data in docker.utils.socket.frames_iter(stream, tty=False))
        stream.close()
        equal(answer, b"typed\n" * 10000)
        equal(client.api.exec_inspect(made["Id"])["ExitCode"], 0)


def job_attach():
    """The streams of a container from its first byte on: attach before start."""
    for i in range(30):
        container = client.containers.create(image, ["sh", "-c", "read x; echo got $x"], stdin_open=True)
        try:
            stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            stream._sock.settimeout(30)
            container.start()
            stream._sock.sendall(f"word {i}\n".encode())
            answer = b"".join(data for _, data in docker.utils.socket.frames_iter(stream, tty=False))
            stream.close()
            equal(answer, f"got word {i}\n".encode())
        finally:
            container.remove(force=True)
    # What it has printed before; docker-py reads it as it reads an exec.
    container = client.containers.run(image, ["echo", "before"], detach=True)
    try:
        container.wait()
        equal([i for i in range(100) if container.attach(logs=True) != b"before\n"], [])
    finally:
        container.remove()


def job_archive():
    with running() as container:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            info = tarfile.TarInfo("sub/file")
            info.size, info.mode, info.uid, info.gid, info.mtime = 5, 0o640, 12, 34, 1_700_000_000
            archive.addfile(info, io.BytesIO(b"hello"))
            link = tarfile.TarInfo("sub/link")
            link.type, link.linkname = tarfile.SYMTYPE, "file"
            archive.addfile(link)
        equal(container.put_archive("/tmp", packed.getvalue()), True)
        equal(container.exec_run(["stat", "-c", "%a %u:%g %s %Y", "/tmp/sub/file"]).output, b"640 12:34 5 1700000000\n")
        pieces, stat = container.get_archive("/tmp/sub")
        equal(stat["name"], "sub")
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
            equal(sorted(archive.getnames()), ["sub", "sub/file", "sub/link"])
            equal(archive.extractfile("sub/file").read(), b"hello")
            equal(archive.getmember("sub/link").linkname, "file")
        try:
            container.get_archive("/no/such/path")
            raise AssertionError("a path that does not exist was read")
        except docker.errors.NotFound as error:
            assert "Could not find the file /no/such/path" in error.explanation, error.explanation
        # A large file, in the pieces that docker-py asks for.
        container.exec_run("dd if=/dev/zero of=/tmp/large bs=1M count=32")
        pieces, stat = container.get_archive("/tmp/large", chunk_size=1 << 20)
        equal(stat["size"], 32 << 20)
        assert sum(map(len, pieces)) >= 32 << 20
        changed = {entry["Path"]: entry["Kind"] for entry in container.diff()}
        equal(changed.get("/tmp/large"), 1)
        equal(b"".join(container.export())[257:262], b"ustar")


def job_stats():
    with running("while :; do :; done") as container:
        one = container.stats(stream=False)
        assert one["cpu_stats"]["cpu_usage"]["total_usage"] > 0, one
        assert one["memory_stats"]["usage"] > 0, one
        equal(one["name"], f"/{container.name}")
        stream = container.stats(decode=True)
        first, second = next(stream), next(stream)
        assert second["cpu_stats"]["cpu_usage"]["total_usage"] > first["cpu_stats"]["cpu_usage"]["total_usage"]
        assert "eth0" in second["networks"], second
        stream.close()


def job_events():
    since = time.time() - 0.001
    stream = client.events(decode=True, filters={"type": ["container", "network"], "label": "py=events"})
    with running("exit 4", name="py-events", labels={"py": "events"}) as container:
        container.wait()
        seen = []
        for event in stream:
            seen.append(event)
            if event["Action"] == "die":
                break
        stream.close()
        equal([event["Action"] for event in seen], ["create", "start", "die"])
        equal({event["Actor"]["ID"] for event in seen}, {container.id})
        equal(seen[-1]["Actor"]["Attributes"]["exitCode"], "4")
    # A stream with an end: what was, from the engine's store.
    past = client.events(decode=True, since=since, until=time.time(), filters={"container": "py-events"})
    equal([event["Action"] for event in past if event["Type"] == "container"], ["create", "start", "die", "destroy"])


def job_images():
    with running("echo kept >/kept; exec sleep 1000") as container:
        eventually("the file is there", lambda: container.exec_run("cat /kept").exit_code == 0)
        made = container.commit("localhost/py-committed", tag="v1", message="a note", author="me", changes=["CMD cat /kept", "ENV A=b"])
    equal(client.containers.run("localhost/py-committed:v1", remove=True), b"kept\n")
    equal(made.history()[0]["Comment"], "a note")
    assert "A=b" in made.attrs["Config"]["Env"], made.attrs["Config"]
    made.tag("localhost/py-other", tag="v2")
    made.reload()
    equal(sorted(made.tags), ["localhost/py-committed:v1", "localhost/py-other:v2"])
    saved = b"".join(made.save(named=True))
    client.images.remove("localhost/py-other:v2")
    client.images.remove("localhost/py-committed:v1")
    try:
        client.images.get("localhost/py-committed:v1")
        raise AssertionError("a removed image was found")
    except docker.errors.ImageNotFound:
        pass
    (loaded,) = client.images.load(saved)
    equal(loaded.id, made.id)
    equal(client.containers.run(loaded.id, remove=True), b"kept\n")
    client.images.remove(loaded.id, force=True)


def job_build():
    """A Dockerfile with two stages, given as an archive, and its progress."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        dockerfile = f"""FROM {image} AS made
            ARG WORD=none
            COPY file /file
            RUN echo "$WORD $(cat /file)" >/said
            FROM {image}
            COPY --from=made /said /said
            LABEL py=build
            CMD cat /said
        """.encode()
        for name, content in {"Dockerfile": dockerfile, "file": b"from the context\n"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    given = {"fileobj": io.BytesIO(context.getvalue()), "custom_context": True, "tag": "localhost/py-built:v1", "rm": True}
    built, lines = client.images.build(buildargs={"WORD": "word"}, **given)
    assert any("Successfully built" in line.get("stream", "") for line in lines)
    equal(built.labels, {"py": "build"})
    equal(client.containers.run("localhost/py-built:v1", remove=True), b"word from the context\n")
    client.images.remove("localhost/py-built:v1")
    broken = io.BytesIO(f"FROM {image}\nRUN exit 3\n".encode())
    try:
        client.images.build(fileobj=broken)
        raise AssertionError("a build that failed raised nothing")
    except docker.errors.BuildError as error:
        assert "returned a non-zero code: 3" in error.msg, error.msg


def job_registry():
    """Push to a registry and pull from it. `image` is HOST:PORT/NAME here."""
    repository = f"{image}-{uuid.uuid4().hex[:8]}"
    # The image of the other jobs.
    client.images.get(sys.argv[3]).tag(repository, tag="v1")
    lines = list(client.images.push(repository, tag="v1", stream=True, decode=True))
    equal([line for line in lines if "error" in line], [])
    assert any("aux" in line and line["aux"]["Tag"] == "v1" for line in lines), lines
    client.images.remove(f"{repository}:v1")
    pulled = client.images.pull(repository, tag="v1")
    equal(pulled.tags.count(f"{repository}:v1"), 1)
    statuses = [line["status"] for line in client.api.pull(repository, tag="v1", stream=True, decode=True)]
    assert any(status.startswith("Status: Image is up to date") for status in statuses), statuses
    try:
        client.images.pull(repository, tag="none")
        raise AssertionError("a tag that does not exist was pulled")
    except docker.errors.NotFound:
        pass
    client.images.remove(f"{repository}:v1")


def job_volumes():
    volume = client.volumes.create("py-volume", labels={"py": "volume"})
    equal([v.name for v in client.volumes.list(filters={"label": "py=volume"})], ["py-volume"])
    client.containers.run(image, ["sh", "-c", "echo kept >/data/file"], volumes={"py-volume": {"bind": "/data", "mode": "rw"}}, remove=True)
    read = client.containers.run(image, ["cat", "/data/file"], volumes=["py-volume:/data:ro"], remove=True)
    equal(read, b"kept\n")
    with running(volumes=["py-volume:/data"]):
        try:
            volume.remove()
            raise AssertionError("a volume in use was removed")
        except docker.errors.APIError as error:
            equal(error.response.status_code, 409)
    volume.remove()
    equal(client.volumes.list(filters={"name": "py-volume"}), [])


def job_networks():
    """Networks, addresses and connections; names are in job_names."""
    pool = docker.types.IPAMPool(subnet="10.77.0.0/24", gateway="10.77.0.1", iprange="10.77.0.128/25")
    network = client.networks.create("py-net", driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"py": "net"})
    other = client.networks.create("py-other", internal=True)
    try:
        equal([n.name for n in client.networks.list(filters={"label": "py=net"})], ["py-net"])
        with running("exec httpd -f -p 80", name="py-server", network="py-net") as server, running(name="py-client", network="py-net") as peer:
            network.reload()
            equal(sorted(c.name for c in network.containers), ["py-client", "py-server"])
            server.reload()
            address = server.attrs["NetworkSettings"]["Networks"]["py-net"]["IPAddress"]
            assert address.startswith("10.77.0."), address
            answered = lambda: peer.exec_run(["wget", "-qO-", f"http://{address}/bin/busybox"]).exit_code
            # httpd serves its working directory.
            eventually("the server answers", lambda: answered() == 0)
            other.connect(peer, ipv4_address=None, aliases=["second"])
            peer.reload()
            equal(sorted(peer.attrs["NetworkSettings"]["Networks"]), ["py-net", "py-other"])
            equal(len(peer.exec_run(["ls", "/sys/class/net"]).output.split()), 3)
            network.disconnect(peer)
            assert answered() != 0
            network.connect(peer, ipv4_address="10.77.0.200", aliases=["again"])
            assert b"10.77.0.200/24" in peer.exec_run(["ip", "addr"]).output
            eventually("the server answers again", lambda: answered() == 0)
            try:
                network.remove()
                raise AssertionError("a network in use was removed")
            except docker.errors.APIError as error:
                equal(error.response.status_code, 403)
                assert "has active endpoints" in error.explanation, error.explanation
    finally:
        network.remove()
        other.remove()
    try:
        client.networks.get("py-net")
        raise AssertionError("a removed network was found")
    except docker.errors.NotFound:
        pass


def job_names():
    network = client.networks.create("py-names")
    try:
        config = client.api.create_networking_config({"py-names": client.api.create_endpoint_config(aliases=["web", "www"])})
        host = client.api.create_host_config(network_mode="py-names", init=True)
        made = client.api.create_container(image, ["sleep", "1000"], name="py-named", networking_config=config, host_config=host)
        server = client.containers.get(made["Id"])
        try:
            server.start()
            server.reload()
            address = server.attrs["NetworkSettings"]["Networks"]["py-names"]["IPAddress"]
            with running(name="py-asker", network="py-names") as asker:
                for name in ["py-named", "web", "www", server.id[:12]]:
                    code, said = asker.exec_run(["ping", "-c", "1", "-W", "5", name])
                    assert code == 0 and f"({address})".encode() in said, (name, said)
                assert asker.exec_run(["ping", "-c", "1", "-W", "1", "nobody"]).exit_code != 0
        finally:
            server.remove(force=True)
    finally:
        network.remove()


def job_prune():
    stopped = client.containers.create(image, ["true"], labels={"py": "prune"})
    kept = client.containers.create(image, ["true"])
    equal(client.containers.prune(filters={"label": "py=prune"})["ContainersDeleted"], [stopped.id])
    kept.remove()
    client.networks.create("py-prune", labels={"py": "prune"})
    equal(client.networks.prune(filters={"label": "py=prune"})["NetworksDeleted"], ["py-prune"])
    client.volumes.create("py-prune", labels={"py": "prune"})
    pruned = client.volumes.prune(filters={"label": ["py=prune"], "all": ["true"]})
    equal((pruned["VolumesDeleted"], pruned["SpaceReclaimed"]), (["py-prune"], 0))
    client.images.get(image).tag("localhost/py-prune:v1")
    equal(client.images.prune(filters={"dangling": True})["SpaceReclaimed"], 0)
    client.images.remove("localhost/py-prune:v1")


def job_system():
    info, version = client.info(), client.version()
    equal(client.ping(), True)
    equal(info["OSType"], "linux")
    assert "ApiVersion" in version and "MinAPIVersion" in version, version
    assert client.df()["Images"], client.df()
    old = docker.from_env(version="1.41")
    equal(old.containers.run(image, ["echo", "old"], remove=True), b"old\n")


globals()[f"job_{sys.argv[1]}"]()
