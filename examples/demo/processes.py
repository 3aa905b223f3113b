"""Starts programs, waits for what they do, and stops them, also from another process than the one that started them."""

import json
import os
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """What went wrong, in words for the person at the terminal."""


def wait_for(what, condition, seconds, processes=None):
    """Returns the first true value of `condition()`; fails after `seconds`, or when one of `processes` has ended."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if processes:
            processes.fail_if_one_ended()
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s" + (processes.where_to_look() if processes else ""))
        time.sleep(0.02)


def answers(address, port):
    try:
        socket.create_connection((address, port), timeout=1).close()
        return True
    except OSError:
        return False


def check_free(ports):
    """Fails with the names of the ports of `ports`, {(address, port): what for}, that are in use."""
    taken = []
    for (address, port), purpose in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                taken.append(f"port {port} of {address} is not free ({error.strerror.lower()}); it is for {purpose}")
    if taken:
        raise Failed("\n".join(taken))


class Processes:
    """The running programs. Their ids are kept in a file, so that a later `stop` finds them."""

    def __init__(self, directory):
        self.directory = directory
        self.file = directory / "processes.json"
        self.known = json.loads(self.file.read_text()) if self.file.exists() else []

    def start(self, name, command):
        """Runs `command` in a session of its own, so that Ctrl-C reaches only us and we stop the programs in order."""
        with open(self.directory / f"{name}.log", "ab") as log:
            child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     start_new_session=True)
        self.known.append({"name": name, "pid": child.pid, "born": born(child.pid)})
        self.file.write_text(json.dumps(self.known))
        return child.pid

    def running(self):
        return [process for process in self.known if born(process["pid"]) == process["born"] is not None]

    def fail_if_one_ended(self):
        for process in self.known:
            if process not in self.running():
                log = self.directory / f"{process['name']}.log"
                last = log.read_text(errors="replace").splitlines()[-15:]
                raise Failed(f"{process['name']} has ended; the end of {log}:\n" + "\n".join(f"  {line}" for line in last))

    def where_to_look(self):
        return f"; the logs are in {self.directory}"

    def stop(self):
        """Ends all of them, the last one first: asks, and after 5 s insists."""
        for sign, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            for process in reversed(self.running()):
                os.kill(process["pid"], sign)
            deadline = time.monotonic() + seconds
            while self.running() and time.monotonic() < deadline:
                time.sleep(0.02)
        if left := self.running():
            raise Failed("still running: " + ", ".join(f"{process['name']} ({process['pid']})" for process in left))
        self.known = []
        self.file.unlink(missing_ok=True)


def born(pid):
    """When the process started, in ticks since boot; None if it is gone. Tells a process from a later one of its id."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            state, *fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])
