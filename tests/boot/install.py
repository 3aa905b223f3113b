#!/usr/bin/env python3
"""Installs a Debian package as CI jobs do: install.py PACKAGE. Exit code 0 when `examples/ci/install` does its work.

The package and its checksum are served as by a release page. It must be unpacked, and refused with another checksum or a
version that is not there.
"""

import functools
import hashlib
import http.server
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

INSTALL = pathlib.Path(__file__).resolve().parents[2] / "examples/ci/install"


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def install(releases, version, directory):
    environment = dict(os.environ, MESHTRACED_RELEASES=releases)
    command = [INSTALL, version, directory]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def main():
    package = pathlib.Path(sys.argv[1])
    version = re.fullmatch(r"meshtraced_(.+)-1_\w+\.deb", package.name).group(1)
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        release = place / f"v{version}"
        release.mkdir()
        shutil.copy(package, release)
        checksum = release / f"{package.name}.sha256"
        checksum.write_text(f"{hashlib.sha256(package.read_bytes()).hexdigest()}  {package.name}\n")
        handler = functools.partial(Silent, directory=place)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        releases = f"http://127.0.0.1:{server.server_port}"

        done = install(releases, version, place / "good")
        assert done.returncode == 0 and done.stdout == f"meshtraced {version}\n", done
        done = install(releases, "0.0.0", place / "missing")
        assert done.returncode == 1 and "there is no meshtraced_0.0.0-1_" in done.stderr, done
        checksum.write_text(f"{'0' * 64}  {package.name}\n")
        done = install(releases, version, place / "bad")
        assert done.returncode == 1 and "is not the published one" in done.stderr, done
        assert not (place / "bad").exists() and not (place / "missing").exists()
    print(f"install.py: {package.name} is installed, and refused when it is another")


if __name__ == "__main__":
    main()
