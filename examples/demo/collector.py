"""A Zipkin collector for the demo: keeps spans in memory, prints them, and answers a few questions about them.

    python3 collector.py 9411 [9412 ...]      one independent collector on each port, until it is stopped

It speaks the part of Zipkin's HTTP API that the demo needs, so a Zipkin server can take its place:

    POST /api/v2/spans        what Envoy sends
    GET  /api/v2/trace/ID     the spans of a trace, 404 when there is none
    GET  /api/v2/services     names of the services seen
"""

import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from waterfall import service, what


class Collector(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), Handler)
        self.spans = {}  # id of a trace -> its spans
        self.lock = threading.Lock()

    def take(self, spans):
        with self.lock:
            for span in spans:
                self.spans.setdefault(span["traceId"], []).append(span)
        for span in spans:
            print(f":{self.server_port}  {span['traceId']}  {span.get('duration', 0) / 1000:7.1f} ms  "
                  f"{service(span):<10} {what(span)}", flush=True)

    def trace(self, trace_id):
        with self.lock:
            return list(self.spans.get(trace_id, []))

    def services(self):
        with self.lock:
            return sorted({service(span) for spans in self.spans.values() for span in spans})


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        if self.path != "/api/v2/spans":
            return self.answer(404, {"error": f"nothing is collected at {self.path}"})
        try:
            self.server.take(json.loads(self.body()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return self.answer(400, {"error": f"not a list of Zipkin v2 spans: {error}"})
        return self.answer(202, None)

    def do_GET(self):
        if self.path == "/api/v2/services":
            return self.answer(200, self.server.services())
        if self.path.startswith("/api/v2/trace/"):
            spans = self.server.trace(self.path.rsplit("/", 1)[1])
            return self.answer(200 if spans else 404, spans)
        return self.answer(404, {"error": "see the head of collector.py for what there is"})

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status, value):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass  # the spans are the log


def main():
    servers = [Collector(int(port)) for port in sys.argv[1:]] or sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        servers[0].serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
