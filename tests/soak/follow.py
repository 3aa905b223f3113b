#!/usr/bin/env python3
"""How soon an edit is in force: from the rename of one policy file to the confirmation of every Envoy.

    python3 tests/soak/follow.py [--envoys 20] [--edits 50] [--idle 600] [--binary target/release/meshtraced]
    python3 tests/soak/follow.py --dataplanes 2000 --files 5000 --envoys 0

Starts real Envoys, edits one file many times, and asks the daemon's status until it says that the edit is confirmed. Prints
the median and the 99th percentile, the part of it that is work (reading, compiling, planning and publishing with Envoy's
word), and then what the daemon costs while nothing happens.
"""

import argparse
import asyncio
import os
import pathlib
import shutil
import signal
import statistics
import sys
import tempfile
import time

from fleet import ROOT, Daemon, stand_in, start_envoys, write_policies


async def confirmed(daemon, is_so):
    """The first status that is so."""
    while True:
        status = await asyncio.to_thread(daemon.status)
        if is_so(status):
            return status
        await asyncio.sleep(0.001)


def edit(policies, sampling):
    new = policies / ".mesh.yaml.new"
    text = (policies / "mesh.yaml").read_text().split("sampling: ")
    new.write_text(text[0] + f"sampling: {sampling}," + text[1].split(",", 1)[1])
    began = time.monotonic()
    os.rename(new, policies / "mesh.yaml")
    return began


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


async def follow(arguments):
    work = pathlib.Path(tempfile.mkdtemp(prefix="follow-"))
    policies = work / "repository" / "policies"
    policies.mkdir(parents=True)
    count = arguments.dataplanes or arguments.envoys
    write_policies(policies, count, 1)
    for index in range(arguments.files - count - 2):
        (policies / f"other-{index}.yaml").write_text(f"kind: Deployment\nmetadata: {{name: other-{index}}}\n")
    daemon = Daemon(arguments.binary, work, "worktree", "100ms")
    envoys = []
    try:
        await asyncio.to_thread(daemon.wait_for_start)
        await confirmed(daemon, lambda status: status["proxies"]["published"] == count)
        names = [f"dp-{index:03}" for index in range(count)]
        envoys = await start_envoys(names[: arguments.envoys], daemon, work)
        _fakes = [await stand_in(daemon.out / "default" / name) for name in names[arguments.envoys :]]
        daemon.process.send_signal(signal.SIGHUP)
        await confirmed(daemon, lambda status: status["proxies"]["active"] == count)
        latencies, works = [], []
        for index in range(arguments.edits):
            before = (await asyncio.to_thread(daemon.status))["revisions"]["confirmed"]["content"]
            began = edit(policies, 2 + index % 90)
            status = await confirmed(daemon, lambda status: status["revisions"]["confirmed"]["content"] != before)
            latencies.append(time.monotonic() - began)
            works.append(sum(status["stages"].values()))
            assert status["proxies"]["active"] == count, status
        for name, values in (("rename to confirmation", latencies), ("  of it work", works)):
            print(f"{name:24} p50 {percentile(values, 0.5) * 1000:7.1f} ms   p99 {percentile(values, 0.99) * 1000:7.1f} ms"
                  f"   max {max(values) * 1000:7.1f} ms   ({len(values)} edits)")
        print("stages of the last edit ", {stage: f"{seconds * 1000:.1f} ms" for stage, seconds in status["stages"].items()})
        before = daemon.figures()
        await asyncio.sleep(arguments.idle)
        after = daemon.figures()
        print(f"idle for {arguments.idle} s: {after['cpu_s'] - before['cpu_s']:.2f} s of processor time, "
              f"{after['rss_kib'] / 1024:.1f} MiB resident, {after['threads']} threads, {after['watches']} watches")
    finally:
        for process in envoys:
            process.kill()
        daemon.stop()
        shutil.rmtree(work, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envoys", type=int, default=20)
    parser.add_argument("--dataplanes", type=int, default=0)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--edits", type=int, default=50)
    parser.add_argument("--idle", type=float, default=600)
    parser.add_argument("--binary", default=str(ROOT / "target/release/meshtraced"))
    sys.exit(asyncio.run(follow(parser.parse_args())))


if __name__ == "__main__":
    main()
