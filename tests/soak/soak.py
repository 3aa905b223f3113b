#!/usr/bin/env python3
"""Runs the daemon for a long time: a commit a second, 200 proxies, and nothing may grow.

    python3 tests/soak/soak.py [--minutes 30] [--proxies 200] [--envoys 4] [--binary target/release/meshtraced]

The proxies are stand-ins for the admin interface of Envoy, which take what lies on disk, and a few real Envoys. Prints a
line of figures every minute, and ends with 1 when memory, file descriptors, watches or files on disk grew, when there were
more reloads than changes, or when the last commit is not the one that every proxy has. Every third commit changes nothing.
"""

import argparse
import asyncio
import json
import pathlib
import shutil
import sys
import tempfile
import time

from fleet import ROOT, Daemon, git, stand_in, start_envoys, write_policies


async def soak(arguments):
    work = pathlib.Path(tempfile.mkdtemp(prefix="soak-"))
    repository = work / "repository"
    policies = repository / "policies"
    policies.mkdir(parents=True)
    git(repository, "init", "-q", "-b", "main")
    write_policies(policies, arguments.proxies, 1)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "1")
    reload = f'reload: [{{exec: {{argv: [sh, -c, "echo >>{work}/reloads"]}}, files: [xds/lds.yaml]}}]\n'
    daemon = Daemon(arguments.binary, work, "git", "20ms", reload)
    envoys = []
    try:
        await asyncio.to_thread(daemon.wait_for_start)
        names = [f"dp-{index:03}" for index in range(arguments.proxies)]
        envoys = await start_envoys(names[: arguments.envoys], daemon, work)
        fakes = [await stand_in(daemon.out / "default" / name) for name in names[arguments.envoys :]]
        samples, changes = await commits(arguments, daemon, repository, policies)
        return await judge(arguments, daemon, repository, samples, changes, work)
    finally:
        for process in envoys:
            process.kill()
        print(f"the daemon ended with {daemon.stop()}")
        shutil.rmtree(work, ignore_errors=True)


async def commits(arguments, daemon, repository, policies):
    samples = []
    end = time.monotonic() + arguments.minutes * 60
    count, changes, next_sample = 1, 0, time.monotonic()
    while time.monotonic() < end:
        began = time.monotonic()
        count += 1
        if count % 3 == 0:
            # A commit that changes nothing.
            with open(policies / "mesh.yaml", "a") as mesh:
                mesh.write("# another comment\n")
        else:
            write_policies(policies, arguments.proxies, count % 100 + 1)
            changes += 1
        git(repository, "commit", "-qam", str(count))
        if began >= next_sample:
            samples.append(daemon.figures())
            print(f"{count:6} commits", samples[-1], flush=True)
            next_sample = began + 60
        await asyncio.sleep(max(0.0, 1 - (time.monotonic() - began)))
    samples.append(daemon.figures())
    return samples, changes


async def judge(arguments, daemon, repository, samples, changes, work):
    last = git(repository, "rev-parse", "HEAD")
    deadline = time.monotonic() + 60
    while True:
        status = await asyncio.to_thread(daemon.status)
        confirmed = status["revisions"]["confirmed"] or {}
        if confirmed.get("commit") == last and status["proxies"]["active"] == arguments.proxies:
            break
        if time.monotonic() > deadline:
            print(json.dumps(status, indent=1))
            print((work / "daemon.log").read_text()[-4000:])
            print("the last commit is not confirmed by every proxy")
            return 1
        await asyncio.sleep(0.2)
    wrong = []
    # The first minute fills caches and the history.
    steady = samples[min(2, len(samples) - 1) :]
    third = max(1, len(steady) // 3)
    for key, slack in (("rss_kib", 1.10), ("fds", 1.0), ("watches", 1.0), ("own_files", 1.1), ("own_kib", 1.1)):
        # What is open in the middle of a publication is closed at its end: the least of several looks is what stays.
        before = min(sample[key] for sample in steady[:third])
        after = min(sample[key] for sample in steady[-third:])
        print(f"{key:10} {before:10} -> {after:10}")
        if after > before * slack + 2:
            wrong.append(f"{key} grew from {before} to {after}")
    await asyncio.to_thread(daemon.stop)
    reloads = (work / "reloads").read_text().count("\n")
    print(f"reloads    {reloads:10} for {changes} changes of all proxies")
    if not 0 < reloads <= changes:
        wrong.append("a reload too many, or none")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--proxies", type=int, default=200)
    parser.add_argument("--envoys", type=int, default=4)
    parser.add_argument("--binary", default=str(ROOT / "target/release/meshtraced"))
    sys.exit(asyncio.run(soak(parser.parse_args())))


if __name__ == "__main__":
    main()
