"""The two applications of the demo. They know nothing of tracing except this: pass on some headers.

    python3 app.py web ADDRESS PORT BACKEND_URL     GET /cart: asks the backend twice, then answers
    python3 app.py backend ADDRESS PORT             answers anything after a little work

Envoy makes the spans. But only the application knows which of its calls belongs to which request, so it copies the
headers below from the request it answers to the requests it makes. Without that every call begins a new trace.
"""

import json
import random
import signal
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PASSED_ON = ["x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"]


def work(shortest_ms, longest_ms):
    time.sleep(random.uniform(shortest_ms, longest_ms) / 1000)


class App(BaseHTTPRequestHandler):
    backend = None  # URL of the outbound listener of our own Envoy

    def do_GET(self):
        try:
            answer = self.cart() if self.backend else self.lookup()
        except OSError as error:
            return self.answer(502, {"error": f"backend: {error}"})
        return self.answer(200, answer)

    def cart(self):
        work(2, 6)
        products = self.call("/products")
        work(1, 4)
        prices = self.call("/prices")
        work(1, 3)
        return {"products": products, "prices": prices, "trace": self.headers.get("x-b3-traceid")}

    def lookup(self):
        work(*((15, 30) if self.path == "/products" else (5, 12)))
        return {"path": self.path}

    def call(self, path):
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        request = urllib.request.Request(self.backend + path, headers={**headers, "Host": "backend"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
            return json.load(response)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    if sys.argv[1] == "web":
        App.backend = sys.argv[4]
    server = ThreadingHTTPServer((sys.argv[2], int(sys.argv[3])), App)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
