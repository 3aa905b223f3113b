#!/usr/bin/env python3
"""Runs an Envoy that reads its configuration only at its start, and replaces it without losing a request.

    wrapper.py --base base.yaml --fragment fragment.yaml --pidfile web-01.pid [-- options of envoy]

SIGHUP             shows base and fragment to `envoy --mode validate`; if they are good, starts the next epoch, which takes
                   over the sockets, and the one before ends when its connections are drained. If not, nothing changes.
SIGTERM, SIGINT    end all of it
SIGUSR1            opens the access logs again
"""

import argparse
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LONGEST_START = 60  # seconds until a new epoch must serve
LONGEST_END = 30  # seconds from SIGTERM to SIGKILL
LOOK = 0.1  # seconds between looks at an epoch that starts


def main():
    options = arguments()
    # Whoever started this may have blocked signals, and an Envoy that inherits that never ends: the next epoch tells it to
    # by SIGTERM.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    with tempfile.TemporaryDirectory(prefix="hot-restart-") as directory:
        wrapper = Wrapper(options, Path(directory))
        write_pid(options.pidfile)
        try:
            return wrapper.run()
        finally:
            wrapper.end()
            remove_pid(options.pidfile)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envoy", default="envoy", help="the program (envoy, from PATH)")
    parser.add_argument("--base", type=Path, required=True, help="your own configuration")
    parser.add_argument("--fragment", type=Path, required=True, help="what meshtraced publishes, merged into it")
    parser.add_argument("--pidfile", type=Path, required=True, help="where the process id of this wrapper goes")
    parser.add_argument("--base-id", type=int, default=0, help="another one for each Envoy of a machine (0)")
    parser.add_argument("--drain-time-s", type=int, default=30, help="connections close within (30)")
    parser.add_argument("--parent-shutdown-time-s", type=int, default=45, help="the epoch before ends after (45)")
    parser.add_argument("rest", nargs="*", metavar="OPTION", help="options of envoy, behind --")
    return parser.parse_args()


class Wrapper:
    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.epochs = {}  # number: process, oldest first
        self.newest = -1  # the last epoch that came to serve
        self.starting = None  # the epoch that does not serve yet, and when it is given up
        self.reopen_late = False  # whether that epoch still has to open its access logs again
        self.received = set()
        self.wake = self.listen()

    def listen(self):
        """A socket that can be read whenever a signal came."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, lambda number, _: self.received.add(number))
        self.theirs = theirs
        return ours

    def run(self):
        """Until it is told to end, or has nothing left to run; the exit code."""
        self.received.add(signal.SIGHUP)
        while True:
            code = self.reap()
            if code is not None:
                return code
            if self.received & {signal.SIGTERM, signal.SIGINT}:
                return 0
            if signal.SIGUSR1 in self.received:
                self.received.discard(signal.SIGUSR1)
                self.reopen_logs()
            if self.starting:
                self.look()
            elif len(self.epochs) < 2 and signal.SIGHUP in self.received:
                # Only two epochs can run beside each other; until then any number of signals is one.
                self.received.discard(signal.SIGHUP)
                self.start()
                if not self.epochs:
                    return 1
            self.received.discard(signal.SIGCHLD)
            self.sleep(LOOK if self.starting else None)

    def sleep(self, seconds):
        """Until the next signal."""
        if select.select([self.wake], [], [], seconds)[0]:
            self.wake.recv(4096)

    def start(self):
        """Starts the next epoch, if its configuration is good."""
        epoch = self.newest + 1
        try:
            fragment = self.options.fragment.read_text()
            configuration = ["-c", str(self.options.base), "--config-yaml", fragment]
            self.validate(configuration)
            # From this thread, which stays: an Envoy ends with the thread that started it.
            self.epochs[epoch] = subprocess.Popen([
                self.options.envoy, *configuration,
                "--base-id", str(self.options.base_id), "--restart-epoch", str(epoch),
                "--drain-time-s", str(self.options.drain_time_s),
                "--parent-shutdown-time-s", str(self.options.parent_shutdown_time_s),
                "--admin-address-path", str(self.address(epoch)), *self.options.rest,
            ])
        except (OSError, Refused, subprocess.SubprocessError) as why:
            say(f"epoch {epoch} is not started: {why}")
            return
        say(f"epoch {epoch} starts, process {self.epochs[epoch].pid}")
        self.reopen_late = False
        self.starting = (epoch, time.monotonic() + LONGEST_START)

    def validate(self, configuration):
        command = [self.options.envoy, "--mode", "validate", "--log-level", "critical", *configuration]
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                                timeout=LONGEST_START, check=False)
        if answer.returncode != 0:
            words = (answer.stderr + answer.stdout).strip()
            raise Refused(words.rpartition("error initializing configuration")[2].strip() or f"exit {answer.returncode}")

    def look(self):
        """Whether the epoch that starts has come to serve."""
        epoch, deadline = self.starting
        if self.is_live(epoch):
            self.newest, self.starting = epoch, None
            say(f"epoch {epoch} serves")
            if self.reopen_late:
                self.reopen_late = False
                self.epochs[epoch].send_signal(signal.SIGUSR1)
        elif time.monotonic() > deadline:
            say(f"epoch {epoch} does not serve after {LONGEST_START} s and is killed")
            self.epochs[epoch].kill()
            self.starting = (epoch, deadline + LONGEST_START)

    def is_live(self, epoch):
        """As its admin says, which may still be that of the epoch before."""
        try:
            info = json.loads(ask(self.address(epoch).read_text().strip(), "/server_info"))
            return info["state"] == "LIVE" and info["command_line_options"].get("restart_epoch", 0) == epoch
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return False

    def address(self, epoch):
        return self.directory / f"admin-{epoch}"

    def reap(self):
        """Takes note of epochs that ended; the exit code when none is left that matters."""
        for epoch, process in list(self.epochs.items()):
            code = process.poll()
            if code is None:
                continue
            del self.epochs[epoch]
            self.address(epoch).unlink(missing_ok=True)
            if self.starting and epoch == self.starting[0]:
                # Its number is not used up: the next attempt has to have it again.
                self.starting = None
                if not self.epochs:
                    say(f"epoch {epoch} did not start, {ended(code)}")
                    return 1
                # One that dies between its first contact with the epoch before and its last leaves a mark in their shared
                # memory, and Envoy refuses every later start.
                say(f"epoch {epoch} did not start, {ended(code)}; the one before goes on, without its admin. If that "
                    "happens again when the cause is gone, only a restart of this wrapper helps, which interrupts requests")
            elif epoch == self.newest:
                say(f"epoch {epoch} {ended(code)}")
                return code if code > 0 else 1
            else:
                say(f"epoch {epoch} has drained, {ended(code)}")
        return None

    def reopen_logs(self):
        """Tells every epoch to open its access logs again. SIGUSR1 ends an Envoy that has just started, before it has a
        handler: that one is told when it serves."""
        for epoch, process in self.epochs.items():
            if self.starting and epoch == self.starting[0]:
                self.reopen_late = True
            else:
                process.send_signal(signal.SIGUSR1)

    def end(self):
        """Ends all epochs, by force if they take too long."""
        for process in self.epochs.values():
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + LONGEST_END
        for process in self.epochs.values():
            try:
                process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Refused(Exception):
    """Envoy does not take the configuration."""


def ask(address, path):
    """The answer of an admin interface, which is at HOST:PORT or at the path of a socket."""
    if address.startswith("/"):
        connection = http.client.HTTPConnection("localhost", timeout=2)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(2)
        connection.sock.connect(address)
    else:
        connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def write_pid(path):
    """Whole or not at all: who reads half a number signals somebody else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(f"{os.getpid()}\n")
    new.replace(path)


def remove_pid(path):
    """Unless another wrapper has taken its place."""
    if path.exists() and path.read_text() == f"{os.getpid()}\n":
        path.unlink()


def ended(code):
    return f"exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"


def say(text):
    print(f"wrapper: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
