#!/usr/bin/env python3
"""meshtraced with real Envoys, two small applications and a collector, on this machine.

    demo.py                 all of it: start, send requests, draw a trace, change a policy, stop
    demo.py start           start and leave it running, to play with
    demo.py send [N]        send N requests (5) to what `start` started, draw the trace of the last one
    demo.py stop            stop what `start` started

The shop of policies/default:  you -> Envoy web-01 -> web -> Envoy web-01 -> Envoy backend-01 -> backend
"""

import argparse
import difflib
import http.client
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import tools
from processes import Failed, Processes, answers, check_free, wait_for
from waterfall import draw

HERE = Path(__file__).resolve().parent
POLICIES = tools.ROOT / "policies"

# As policies/default says.
COLLECTOR = "http://127.0.0.1:9411"  # backend zipkin
COLLECTOR_EU = "http://127.0.0.1:9412"  # backend zipkin-eu
WEB, WEB_APP, WEB_TO_BACKEND = ("127.0.1.1", 8080), ("127.0.1.1", 9080), ("127.0.1.1", 10001)
BACKEND, BACKEND_APP, BACKEND_TO_CATALOG = ("127.0.1.3", 8080), ("127.0.1.3", 9080), ("127.0.1.3", 10001)
PROXIES = {"web-01": [WEB, WEB_TO_BACKEND], "backend-01": [BACKEND, BACKEND_TO_CATALOG]}
SPANS = 5  # of one request: web; twice web calling backend and backend being called

# Connections that exist when a listener changes keep the old tracing until they close. By default Envoy gives them ten
# minutes; for a demo they close with the next response. And two Envoys on one machine must not share hot-restart memory.
ENVOY_OPTIONS = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
                 "--drain-time-s", "10", "--drain-strategy", "immediate"]

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback, whatever http_proxy says


def work_directory():
    """target/demo, unless the path of a Unix socket in there would be longer than Linux allows."""
    work = tools.ROOT / "target" / "demo"
    if len(os.fsencode(work / "envoy/default/backend-01/admin.sock")) < 100:
        return work
    return Path("/tmp") / f"meshtraced-demo-{os.getuid()}"


class Demo:
    def __init__(self):
        self.work = work_directory()
        self.processes = Processes(self.work)
        self.settings = self.work / "demo.json"
        self.zipkin = json.loads(self.settings.read_text())["zipkin"] if self.settings.exists() else COLLECTOR
        self.ours = False  # whether what runs was started by us, to be stopped by us

    # --- start and stop

    def start(self, options):
        if self.processes.running():
            raise Failed("the demo is running already; end it with: demo.py stop")
        self.ours = True
        self.zipkin = (options.zipkin or COLLECTOR).rstrip("/")
        meshtraced = options.meshtraced or tools.meshtraced()
        envoy = options.envoy or tools.envoy()
        self.prepare(own_collector=not options.zipkin)

        python = [sys.executable, "-B"]
        ports = ([9411] if not options.zipkin else []) + [9412]
        self.processes.start("collector", [*python, HERE / "collector.py", *ports])
        self.processes.start("web", [*python, HERE / "app.py", "web", *WEB_APP, "http://%s:%d" % WEB_TO_BACKEND])
        self.processes.start("backend", [*python, HERE / "app.py", "backend", *BACKEND_APP])

        started = time.monotonic()
        self.processes.start("meshtraced", [meshtraced, "run", "--policies", self.work / "policies",
                                            "--out", self.work / "envoy"])
        files = [self.proxy(name) / file for name in PROXIES for file in ("bootstrap.yaml", "xds/cds.yaml", "xds/lds.yaml")]
        wait_for("the output of meshtraced", lambda: all(file.exists() for file in files), 30, self.processes)
        published = time.monotonic() - started
        for name in PROXIES:
            self.processes.start(f"envoy-{name}", [envoy, "-c", self.proxy(name) / "bootstrap.yaml", *ENVOY_OPTIONS])
        for address in [WEB_APP, BACKEND_APP, *(("127.0.0.1", port) for port in ports), *sum(PROXIES.values(), [])]:
            wait_for("%s:%d" % address, lambda: answers(*address), 30, self.processes)

        count = len(list((self.work / "envoy").glob("*/*/bootstrap.yaml")))
        where = self.zipkin if options.zipkin else "127.0.0.1:9411"
        print(f"meshtraced   {count} proxies published in {published:.2f} s, watching {shown(self.work / 'policies')}\n"
              f"Envoy        web-01 on {WEB[0]}:{WEB[1]}, backend-01 on {BACKEND[0]}:{BACKEND[1]}\n"
              f"collectors   zipkin on {where}, zipkin-eu on 127.0.0.1:9412", flush=True)

    def prepare(self, own_collector):
        """An empty work directory with a copy of the policies, and no port in use."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(mode=0o755, parents=True)
        shutil.copytree(POLICIES, self.work / "policies")
        self.settings.write_text(json.dumps({"zipkin": self.zipkin}))
        if self.zipkin != COLLECTOR:
            for file in self.work.glob("policies/**/mesh.yaml"):
                file.write_text(file.read_text().replace(COLLECTOR, self.zipkin))
        ports = {WEB: "Envoy web-01", WEB_TO_BACKEND: "Envoy web-01", WEB_APP: "application web",
                 BACKEND: "Envoy backend-01", BACKEND_TO_CATALOG: "Envoy backend-01", BACKEND_APP: "application backend",
                 ("127.0.0.1", 9412): "the collector of zipkin-eu"}
        if own_collector:
            ports["127.0.0.1", 9411] = ("the collector; if a Zipkin server listens there, "
                                        "use it: --zipkin " + COLLECTOR)
        elif not get(f"{self.zipkin}/api/v2/services")[0]:
            raise Failed(f"no Zipkin answers at {self.zipkin}")
        check_free(ports)

    def proxy(self, name):
        return self.work / "envoy" / "default" / name

    # --- requests and their traces

    def send(self, count):
        """Sends requests; returns the ids of their traces. All have to be answered."""
        sent = [request() for _ in range(count)]
        if failed := [error for error, _ in sent if error]:
            raise Failed(f"{len(failed)} of {count} requests failed: {failed[0]}" + self.processes.where_to_look())
        return [trace for _, trace in sent]

    def show(self, trace, collectors):
        """Draws a trace when the collectors have all of it. Envoy sends spans five at a time, or after five seconds."""
        found = []

        def parts():
            found[:] = [(name, get(f"{url}/api/v2/trace/{trace}")[1] or []) for name, url in collectors]
            return sum(len(spans) for _, spans in found) >= SPANS

        try:
            wait_for(f"the {SPANS} spans of trace {trace}", parts, 15, self.processes)
        except Failed as failure:
            have = ", ".join(f"{name} has {len(spans)}" for name, spans in found)
            raise Failed(f"{have} of {failure}") from None
        for name, spans in found:
            if spans:
                print(f"\nTrace {trace}, from {name}:\n")
                print("\n".join("  " + line for line in draw(spans, width())), flush=True)

    def collectors(self):
        return [("zipkin", self.zipkin), ("zipkin-eu", COLLECTOR_EU)]

    # --- a change while requests keep coming

    def change(self):
        policy = self.work / "policies/default/tracing/trace-all.yaml"
        before = policy.read_text()
        after = before.replace("backend: zipkin ", "backend: zipkin-eu ")
        if before == after:
            raise Failed(f"{policy} has no line `backend: zipkin`")
        print(f"\nNow one line of {shown(policy)} changes, while requests keep coming:\n")
        for line in list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[3:]:
            print(f"  {line[0]} {line[1:].split('#')[0].rstrip()}")
        log = self.work / "meshtraced.log"
        said = log.stat().st_size
        pids = self.processes.running()
        with Load() as load:
            wait_for("ten requests before the change", lambda: len(load.sent) >= 10, 15, self.processes)
            changed, first = time.monotonic(), len(load.sent)
            replace(policy, after)
            wait_for("spans at zipkin-eu", lambda: get(f"{COLLECTOR_EU}/api/v2/services")[1], 30, self.processes)
            followed = time.monotonic() - changed

            def whole():
                for _, trace in reversed(load.sent[first:]):
                    spans = trace and get(f"{COLLECTOR_EU}/api/v2/trace/{trace}")[1] or []
                    if len(spans) >= SPANS:
                        return trace
                return None

            trace = wait_for("a complete trace at zipkin-eu", whole, 30, self.processes)
            wait_for("fifty requests", lambda: len(load.sent) >= 50, 30, self.processes)
        failed = [error for error, _ in load.sent if error]
        updates = {name: self.stat(name, "listener_manager.listener_in_place_updated") for name in PROXIES}
        self.show(trace, [("zipkin-eu", COLLECTOR_EU)])
        words = [line for line in log.read_bytes()[said:].decode(errors="replace").splitlines() if "confirmed by" in line]
        same = "the same processes as before" if self.processes.running() == pids else "NOT the same processes"
        print("\nmeshtraced   " + "\n             ".join(words or ["said nothing"]))
        print(f"followed     first spans at zipkin-eu {followed:.2f} s after the change\n"
              f"requests     {len(load.sent)} sent meanwhile, {len(failed)} failed\n"
              f"Envoy        {same}; listeners updated in place: "
              + ", ".join(f"{name} {count}" for name, count in updates.items()), flush=True)
        if failed:
            raise Failed(f"requests failed during the change: {failed[0]}")

    def stat(self, proxy, name):
        """One number from the admin interface of an Envoy, which listens on a Unix socket beside its configuration."""
        connection = http.client.HTTPConnection("localhost", timeout=5)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(5)
        try:
            connection.sock.connect(str(self.proxy(proxy) / "admin.sock"))
            connection.request("GET", f"/stats?filter=^{name}$")
            return int(connection.getresponse().read().decode().rpartition(": ")[2])
        except (OSError, ValueError) as error:
            raise Failed(f"the admin socket of Envoy {proxy}: {error}") from None
        finally:
            connection.close()


class Load:
    """One request after the other, in the background, for as long as the `with` block lasts."""

    def __enter__(self):
        self.sent = []
        self.go_on = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def run(self):
        while self.go_on:
            self.sent.append(request())

    def __exit__(self, *_):
        self.go_on = False
        self.thread.join(15)


def request():
    """Asks the shop for a cart; returns (error or None, id of the trace or None)."""
    asked = urllib.request.Request("http://%s:%d/cart" % WEB, headers={"Host": "web"})
    try:
        with direct.open(asked, timeout=10) as response:
            return None, json.load(response)["trace"]
    except (OSError, ValueError, http.client.HTTPException) as error:
        return error, None


def get(url):
    """(whether the server answered at all, the parsed answer or None)"""
    try:
        with direct.open(url, timeout=5) as response:
            return True, json.load(response)
    except urllib.error.HTTPError:
        return True, None
    except (OSError, ValueError):
        return False, None


def replace(path, text):
    """As an editor or Git does it: the old file or the new one, never half of it."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


def shown(path):
    return os.path.relpath(path) if Path.cwd() in path.parents else path


def width():
    return min(110, shutil.get_terminal_size((100, 24)).columns) - 2


def whole(demo, options):
    """The demo without a word typed in between."""
    demo.start(options)
    traces = demo.send(10)
    print(f"\n{len(traces)} requests sent to http://{WEB[0]}:{WEB[1]}/cart, all answered.")
    demo.show(traces[-1], [("zipkin", demo.zipkin)])
    demo.change()


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", default="all", choices=["all", "start", "send", "stop"])
    parser.add_argument("count", nargs="?", type=int, default=5, metavar="N", help="with send: how many requests")
    parser.add_argument("--zipkin", metavar="URL", help="use this Zipkin server instead of the demo's own collector")
    parser.add_argument("--meshtraced", metavar="PATH", help="use this binary instead of building one")
    parser.add_argument("--envoy", metavar="PATH", help=f"use this Envoy instead of getting {tools.ENVOY}")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    demo = Demo()
    try:
        if options.command == "all":
            whole(demo, options)
        elif options.command == "start":
            demo.start(options)
            print(f"\nrequests     demo.py send\npolicies     edit {shown(demo.work / 'policies')} and send again\n"
                  "stop         demo.py stop")
            demo.ours = False
        elif options.command == "stop":
            demo.processes.stop()
        elif options.command == "send":
            if not demo.processes.running():
                raise Failed("the demo is not running; start it with: demo.py start")
            demo.show(demo.send(max(1, options.count))[-1], demo.collectors())
        return 0
    except Failed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if demo.ours:
            demo.processes.stop()


if __name__ == "__main__":
    sys.exit(main())
