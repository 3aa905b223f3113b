#!/usr/bin/env python3
"""Runs the daemon over a large tree for a long time: an edit a second, and the memory must stay as it is.

    python3 tests/soak/tree.py [--minutes 30] [--dataplanes 20000] [--pause 1] [--binary target/release/meshtraced]

One dataplane is published, as on a VM. Edits change, add and remove dataplanes that it calls or does not, policies, and
break and mend files; one in ten is of the published dataplane. Prints a line of figures every minute, and ends with 1 when
the resident memory, file descriptors or watches grew, or when the last edit was not published.
"""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import time

from fleet import ROOT, Daemon, address

ZONES = ("eu-west", "us-east", "ap-south")


def dataplane(index, services, port):
    calls = "".join(
        f"  - {{port: {10000 + call}, tags: {{kuma.io/service: s{(index * 31 + call * 7) % services}}}}}\n" for call in range(3)
    )
    return (
        f"type: Dataplane\nmesh: default\nname: dp-{index}\nnetworking:\n  address: {address(index)}\n  inbound:\n"
        f"  - {{port: {port}, servicePort: 18001, tags: {{kuma.io/service: s{index % services}, kuma.io/protocol: http, "
        f"kuma.io/zone: {ZONES[index % 3]}, team: t{index % 40}}}}}\n  outbound:\n{calls}"
    )


def policy(index, services, version):
    return (
        f"type: TrafficTrace\nmesh: default\nname: tt-{index}\nselectors:\n- match: {{kuma.io/service: s{index * 79 % services}, "
        f"team: t{(index + version) % 40}}}\n"
    )


class Tree:
    def __init__(self, directory, dataplanes):
        self.directory, self.dataplanes, self.services = directory, dataplanes, max(1, dataplanes // 10)
        (directory / "mesh.yaml").write_text(
            "type: Mesh\nname: default\ntracing:\n  defaultBackend: zipkin\n  backends:\n"
            "  - {name: zipkin, type: zipkin, conf: {url: 'http://127.0.0.1:9411/api/v2/spans'}}\n"
        )
        for index in range(1000):
            self.path("policies", index).write_text(policy(index, self.services, 0))
        for index in range(dataplanes):
            self.path("dataplanes", index).write_text(dataplane(index, self.services, 18000))

    def path(self, kind, index):
        directory = self.directory / kind / str(index // 100)
        directory.mkdir(parents=True, exist_ok=True)
        return directory / f"{index}.yaml"

    def edit(self, count):
        """One edit, of a kind by its number; the port of the published dataplane if it is that one."""
        index, port = random.randrange(1, self.dataplanes), 18000 + count % 1000
        if count % 10 == 0:
            self.path("dataplanes", 0).write_text(dataplane(0, self.services, port))
            return port
        if count % 10 == 1:
            self.path("policies", index % 1000).write_text(policy(index % 1000, self.services, count))
        elif count % 10 == 2:
            self.path("dataplanes", index).write_text("type: Dataplane\nmesh: default\nname: [\n")
        elif count % 10 == 3:
            self.path("dataplanes", index).unlink(missing_ok=True)
        elif count % 10 == 4:
            # What was broken or removed comes back.
            for broken in list(self.directory.glob("dataplanes/*/*.yaml")):
                if broken.stat().st_size < 60:
                    broken.write_text(dataplane(int(broken.stem), self.services, port))
            for missing in range(1, self.dataplanes):
                if not self.path("dataplanes", missing).exists():
                    self.path("dataplanes", missing).write_text(dataplane(missing, self.services, port))
        else:
            self.path("dataplanes", index).write_text(dataplane(index, self.services, port))
        return None


def soak(arguments, work):
    policies = work / "repository" / "policies"
    policies.mkdir(parents=True)
    tree = Tree(policies, arguments.dataplanes)
    daemon = Daemon(arguments.binary, work, "auto", "20ms", "select: [{name: dp-0}]\n")
    samples, count, port = [], 0, 18000
    try:
        daemon.wait_for_start()
        end, next_sample = time.monotonic() + arguments.minutes * 60, time.monotonic() + 10
        while time.monotonic() < end:
            began = time.monotonic()
            count += 1
            port = tree.edit(count) or port
            if began >= next_sample:
                samples.append(daemon.figures())
                print(f"{count:6} edits", samples[-1], flush=True)
                next_sample = began + 60
            time.sleep(max(0.0, arguments.pause - (time.monotonic() - began)))
        tree.edit(4)
        listeners = daemon.out / "default" / "dp-0" / "xds" / "lds.yaml"
        deadline = time.monotonic() + 60
        while f"port_value: {port}" not in listeners.read_text():
            if time.monotonic() > deadline:
                print(daemon.path.read_text()[-4000:])
                print(f"port {port} was not published")
                return 1
            time.sleep(0.2)
        return judge(samples)
    finally:
        print(f"the daemon ended with {daemon.stop()}")


def judge(samples):
    # The first minutes fill caches and the history.
    steady = samples[min(2, len(samples) - 1) :]
    third = max(1, len(steady) // 3)
    wrong = 0
    for key, slack in (("rss_kib", 1.05), ("fds", 1.0), ("watches", 1.0)):
        before = min(sample[key] for sample in steady[:third])
        after = min(sample[key] for sample in steady[-third:])
        print(f"{key:10} {before:10} -> {after:10}")
        wrong |= after > before * slack + 2
    return int(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--dataplanes", type=int, default=20000)
    parser.add_argument("--pause", type=float, default=1, help="seconds from one edit to the next")
    parser.add_argument("--binary", default=str(ROOT / "target/release/meshtraced"))
    work = pathlib.Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        sys.exit(soak(parser.parse_args(), work))
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
