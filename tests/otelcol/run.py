#!/usr/bin/env python3
"""Sends spans of a real Envoy to the official OpenTelemetry Collector, which wants TLS 1.3, a client certificate and a key.

    cargo build && python3 tests/otelcol/run.py --envoy PATH [--envoy PATH] [--binary target/debug/meshtraced] [--collector PATH]

Without `--collector`, it is built once below `target/otelcol` by its own builder, which needs Go and some minutes. Certificates are made with
`openssl`. For each Envoy, and for OTLP over gRPC and HTTP: spans arrive with their resource, and none does with a wrong key, with a wrong
authority, or without a client certificate. Ends with 1 at the first difference.
"""

import argparse
import contextlib
import http.server
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RELEASE = "v0.165.0"
NAME = "collector.example"
KEY = "a-key-that-it-wants"
# Envoy sends spans every five seconds.
PATIENCE = 20


def build():
    """The path of the collector, built if it is not there."""
    target = ROOT / "target/otelcol"
    program = target / "build/otelcol"
    if not program.exists():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "collector.yaml", target)
        builder = f"go.opentelemetry.io/collector/cmd/builder@{RELEASE}"
        subprocess.run(["go", "run", builder, "--config", "collector.yaml"], cwd=target, check=True)
    return program


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Authority:
    """A certificate authority with the certificates that it signed."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.ca = directory / "ca.pem"
        subject = ["-subj", "/CN=authority", "-keyout", directory / "ca.key", "-out", self.ca, "-days", "2"]
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject)

    def sign(self, name):
        """The files of a certificate for a name, and of its key."""
        key, request, chain, names = (self.directory / f"{name}.{kind}" for kind in ("key", "csr", "pem", "names"))
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        names.write_text(f"subjectAltName=DNS:{name}\n")
        signing = ["-CA", self.ca, "-CAkey", self.directory / "ca.key", "-CAcreateserial", "-extfile", names]
        openssl("x509", "-req", "-in", request, "-out", chain, "-days", "2", *signing)
        return chain, key


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def running(command, log):
    """A process while the block runs; its output goes to a file."""
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def collector_settings(authority, ports):
    chain, key = authority.sign(NAME)
    tls = {"cert_file": str(chain), "key_file": str(key), "client_ca_file": str(authority.ca), "min_version": "1.3"}
    protocol = lambda port: {"endpoint": f"127.0.0.1:{port}", "tls": tls, "auth": {"authenticator": "bearertokenauth"}}
    return {
        "extensions": {"bearertokenauth": {"token": KEY}},
        "receivers": {"otlp": {"protocols": {form: protocol(port) for form, port in ports.items()}}},
        "exporters": {"debug": {"verbosity": "detailed"}},
        "service": {
            "extensions": ["bearertokenauth"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}},
        },
    }


def policies(form, port, service, inbound, app):
    backend = {"address": "127.0.0.1", "port": port}
    return [
        {"type": "Mesh", "name": "default"},
        {"type": "MeshOpenTelemetryBackend", "mesh": "default", "name": "otel",
         "spec": {"protocol": form, "endpoint": backend}},
        {"type": "MeshTrace", "mesh": "default", "name": "all", "spec": {
            "targetRef": {"kind": "Mesh"},
            "default": {"backends": [{"type": "OpenTelemetry", "openTelemetry": {"backendRef": {
                "kind": "MeshOpenTelemetryBackend", "labels": {"kuma.io/display-name": "otel"}}}}]}}},
        {"type": "Dataplane", "mesh": "default", "name": "web-01", "networking": {"address": "127.0.0.1", "inbound": [
            {"port": inbound, "servicePort": app,
             "tags": {"kuma.io/service": service, "kuma.io/protocol": "http", "version": "v7"}}]}},
    ]


class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def arrives(options, envoy, directory, log, service, given):
    """Whether a span of a service arrives, by an Envoy whose way to the collector the settings give."""
    inbound, app = free_port(), http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    directory.mkdir()
    (directory / "policies").mkdir()
    texts = policies(given["form"], given["port"], service, inbound, app.server_port)
    (directory / "policies/all.yaml").write_text("---\n".join(json.dumps(text) + "\n" for text in texts))
    (directory / "key").write_text(given["key"] + "\n")
    settings = {
        "collectors": [{"headers": {"authorization": {"file": str(directory / "key")}}, "tls": given["tls"]}],
        "spans": [{"resource_attributes": {"service.version": "{tag:version}"}}],
    }
    (directory / "settings.yaml").write_text(json.dumps(settings))
    subprocess.run([options.binary, "run", "--once", "-c", "settings.yaml"], cwd=directory, check=True, capture_output=True)
    bootstrap = directory / "envoy/default/web-01/bootstrap.yaml"
    with running([envoy, "-c", bootstrap, "--disable-hot-restart", "-l", "warning"], directory / "envoy.log"):
        deadline = time.monotonic() + PATIENCE
        is_asked = False
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if not is_asked:
                    is_asked = urllib.request.urlopen(f"http://127.0.0.1:{inbound}/").status == 200
            text = log.read_text()
            if f"service.name: Str({service})" in text:
                return "service.version: Str(v7)" in text
            time.sleep(0.2)
    assert is_asked, (directory / "envoy.log").read_text()
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envoy", action="append", required=True)
    parser.add_argument("--binary", type=lambda path: pathlib.Path(path).resolve(), default=ROOT / "target/debug/meshtraced")
    parser.add_argument("--collector", type=pathlib.Path)
    options = parser.parse_args()
    collector = options.collector or build()
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        ours, other = Authority(directory / "ours"), Authority(directory / "other")
        ports = {"grpc": free_port(), "http": free_port()}
        (directory / "collector.yaml").write_text(json.dumps(collector_settings(ours, ports)))
        log = directory / "collector.log"
        chain, key = map(str, ours.sign("proxy"))
        right = {"ca": str(ours.ca), "sni": NAME, "certificate": chain, "key": key}
        cases = [
            ("all is right", True, f"Bearer {KEY}", right),
            ("a wrong key", False, "Bearer another", right),
            ("a wrong authority", False, f"Bearer {KEY}", {**right, "ca": str(other.ca)}),
            ("no client certificate", False, f"Bearer {KEY}", {"ca": str(ours.ca), "sni": NAME}),
        ]
        with running([collector, "--config", directory / "collector.yaml"], log):
            for number, envoy in enumerate(options.envoy):
                for form, port in ports.items():
                    for index, (what, expected, token, tls) in enumerate(cases):
                        service = f"web-{number}-{form}-{index}"
                        given = {"form": form, "port": port, "key": token, "tls": tls}
                        found = arrives(options, envoy, directory / service, log, service, given)
                        print(f"{envoy} OTLP over {form}, {what}: {'spans arrive' if found else 'no span arrives'}", flush=True)
                        if found != expected:
                            raise SystemExit(log.read_text()[-2000:])


if __name__ == "__main__":
    main()
