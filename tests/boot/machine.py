"""A whole Debian with systemd, booted in a container on this machine: debootstrap makes it, systemd-nspawn runs it.

Needs root. Its files are below `target/boot`; the base system is made once and copied for every run.
"""

import os
import shutil
import signal
import subprocess
import time
import zlib
from pathlib import Path

RELEASE = "bookworm"
# git: the daemon and the pull service ask it. python3: the applications and collectors of the test. polkitd: lets the daemon
# reload units; libpam-systemd: it does not come without.
PACKAGES = "systemd,systemd-sysv,libpam-systemd,dbus,polkitd,git,python3,ca-certificates"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root", "PAGER": "cat"}


class Failed(Exception):
    """What was found and what was expected."""


def wait_for(what, condition, patience=120):
    """Returns what `condition` returns as soon as that is true; an exception of it counts as not yet."""
    deadline = time.monotonic() + patience
    while True:
        last = None
        try:
            if found := condition():
                return found
        except (Failed, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {patience} s" + (f"; at last: {last}" if last else ""))
        time.sleep(0.1)


def mirror():
    """Where this machine gets that release from, else where everybody can."""
    found = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
                            f"Codename: {RELEASE}"], capture_output=True, text=True)
    return next(iter(found.stdout.split()), "http://deb.debian.org/debian")


def base(directory):
    """The base system, which later runs find ready."""
    whole = directory / f"base-{RELEASE}-{zlib.crc32(PACKAGES.encode()):08x}"
    if not whole.exists():
        part = whole.with_name(whole.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        log = directory / "debootstrap.log"
        with open(log, "w") as out:
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, part, mirror()]
            if subprocess.run(command, stdout=out, stderr=out).returncode != 0:
                raise Failed(f"debootstrap failed, see {log}:\n{log.read_text()[-2000:]}")
        for cached in (part / "var/cache/apt/archives").glob("*.deb"):
            cached.unlink()
        part.rename(whole)
    return whole


class Machine:
    """One machine. `run` is its root shell; it may be switched off, lose its power, and boot again."""

    def __init__(self, directory, binds):
        self.root = directory / "machine"
        self.log = directory / "console.log"
        self.binds = [f"--bind-ro={source}:{target}" for source, target in binds.items()]
        self.nspawn = None
        self.leader = None
        shutil.rmtree(self.root, ignore_errors=True)
        subprocess.run(["cp", "-a", base(directory), self.root], check=True)
        # Debian's own daily work, such as copies of the package database below /var/backups, waits for another machine: a
        # test at midnight would find its files.
        shutil.rmtree(self.root / "etc/systemd/system/timers.target.wants")
        self.log.write_text("")

    def boot(self):
        """Boots, and returns when systemd says that it has started all that it starts."""
        command = ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--keep-unit", "--register=no", "--boot",
                   "--private-network", "--console=pipe", *self.binds]
        with open(self.log, "a") as log:
            self.nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           start_new_session=True)
        self.leader = wait_for("the machine boots", self._leader)
        wait_for("systemd answers", lambda: self.run("systemctl", "is-system-running", check=False).strip())
        state = self.run("systemctl", "is-system-running", "--wait", check=False).strip()
        if state not in ("running", "degraded"):
            raise Failed(f"the machine is {state!r} after booting")

    def _leader(self):
        if self.nspawn.poll() is not None:
            raise Failed(f"systemd-nspawn ended with {self.nspawn.returncode}:\n{self.log.read_text()[-2000:]}")
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return None

    def power_off(self):
        """In good order."""
        if self.nspawn and self.nspawn.poll() is None:
            self.run("systemctl", "poweroff", "--no-block", check=False)
            self.nspawn.wait(timeout=120)
        self.nspawn = None

    def lose_power(self):
        """All of it, at once."""
        leader, self.leader = self.leader, None
        os.kill(leader, signal.SIGKILL)
        self.nspawn.wait(timeout=60)
        self.nspawn = None

    def run(self, *command, check=True, stdin=None):
        """Runs a command inside as root; returns its output. With `check`, failing is an error."""
        inside = ["nsenter", f"--target={self.leader}", "--all", "--wdns=/", "env", "-i",
                  *(f"{name}={value}" for name, value in ENVIRONMENT.items()), *map(str, command)]
        done = subprocess.run(inside, input=stdin, capture_output=True, text=True, timeout=300)
        if check and done.returncode != 0:
            raise Failed(f"`{' '.join(map(str, command))}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def ok(self, *command):
        """Whether a command inside ends well."""
        try:
            self.run(*command)
        except Failed:
            return False
        return True

    def shell(self, script, check=True):
        """Runs a shell script inside as root."""
        return self.run("sh", "-euc", script, check=check)

    def put(self, source, target):
        """Copies a file or directory into it."""
        target = self.root / target.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)

    # Units

    def show(self, unit, name):
        """One property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").strip()

    def is_active(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def pid(self, unit):
        """Main process of a unit, as numbered inside."""
        return int(self.show(unit, "MainPID"))

    def journal(self, unit):
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")
