#!/usr/bin/env python3
"""Runs the demo against a real Zipkin server and asks Zipkin whether the traces are right.

    check_zipkin.py [options of demo.py]      exit code 0 when they are, 1 and a message when not

It gets Zipkin through Maven, starts it on port 9411, runs the whole demo, and wants of Zipkin that it knows both
services, that each trace spans both with the right parents, and that it draws the line from web to backend.
"""

import sys
import tempfile
import time
from pathlib import Path

import demo
import tools
from processes import Failed, Processes, check_free, wait_for
from waterfall import service

ZIPKIN = demo.COLLECTOR


def start_zipkin(processes):
    check_free({("0.0.0.0", 9411): "Zipkin"})
    processes.start("zipkin", ["java", "-Xmx256m", "-jar", tools.zipkin()])
    wait_for("Zipkin", lambda: demo.get(f"{ZIPKIN}/health")[1], 120, processes)


def ask(question):
    return demo.get(f"{ZIPKIN}/api/v2/{question}")[1] or []


def check_services():
    wanted = {"web", "backend"}
    wait_for(f"services {sorted(wanted)} in Zipkin", lambda: wanted <= set(ask("services")), 15)
    return "services web and backend"


def check_traces():
    """Of the traces that Zipkin has in full, every one has to be the tree that the demo makes."""
    def whole():
        return [trace for trace in ask("traces?serviceName=web&limit=200") if len(trace) >= demo.SPANS]

    traces = wait_for("a trace of five spans in Zipkin", whole, 15)
    for trace in traces:
        if mistake := check_trace(trace):
            raise Failed(f"trace {trace[0]['traceId']}: {mistake}")
    return f"{len(traces)} traces, each of five spans of both services with the right parents"


def check_trace(trace):
    """What is wrong with the trace, or None. The spans of a call are one id, seen from both of its ends."""
    roots = [span for span in trace if not span.get("parentId")]
    if [(service(root), root["kind"]) for root in roots] != [("web", "SERVER")]:
        return f"one span of web should have no parent, but these have none: {roots}"
    calls = [span for span in trace if span["kind"] == "CLIENT"]
    called = [span for span in trace if service(span) == "backend"]
    if [service(call) for call in calls] != ["web", "web"]:
        return f"web should call twice, but the calls are {calls}"
    if any(call["parentId"] != roots[0]["id"] for call in calls):
        return f"the calls should have parent {roots[0]['id']}, but are {calls}"
    if sorted(span["id"] for span in called) != sorted(call["id"] for call in calls):
        return f"backend should share the spans of the calls {calls}, but has {called}"
    if any(span["kind"] != "SERVER" or span["parentId"] != roots[0]["id"] for span in called):
        return f"the spans of backend should be of kind SERVER with parent {roots[0]['id']}, but are {called}"
    return None


def check_dependencies():
    def link():
        links = ask(f"dependencies?endTs={int(time.time() * 1000)}&lookback=3600000")
        return [link for link in links if (link["parent"], link["child"]) == ("web", "backend")]

    link = wait_for("a dependency link from web to backend in Zipkin", link, 15)[0]
    return f"dependency web -> backend, {link['callCount']} calls"


def main():
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="meshtraced-zipkin-") as directory:
        processes = Processes(Path(directory))
        try:
            start_zipkin(processes)
            print(f"Zipkin       {tools.ZIPKIN}, ready after {time.monotonic() - began:.1f} s", flush=True)
            if code := demo.main(["--zipkin", ZIPKIN, *sys.argv[1:]]):
                return code
            print()
            for check in (check_services, check_traces, check_dependencies):
                print(f"Zipkin has   {check()}", flush=True)
            print(f"\nAll right, in {time.monotonic() - began:.1f} s.")
            return 0
        except Failed as failure:
            print(f"check_zipkin: {failure}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            processes.stop()


if __name__ == "__main__":
    sys.exit(main())
