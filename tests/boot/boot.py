#!/usr/bin/env python3
"""The Debian package on a real system: a Debian with systemd boots in a container, installs it and lives through bad days.

    tests/boot/boot.py [PACKAGE.deb]      as root; without a package it builds one (systemd/build-deb)

Inside are real Envoys, the applications and collectors of the demo, and a Git server. Every step prints what it shows;
the first one that does not hold ends the run with what was found and the last words of the units.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DEMO = ROOT / "examples/demo"
sys.path.insert(0, str(DEMO))

import tools  # noqa: E402
from machine import Failed, Machine, wait_for  # noqa: E402

OUT = "/var/lib/meshtraced/envoy"
SETTINGS = "/etc/meshtraced/meshtraced.yaml"
REMOTE = "/srv/remote/mesh-config.git"
DAEMON = "meshtraced.service"
WEB, BACKEND = (rf"meshtraced-envoy@default-{name}\x2d01" for name in ("web", "backend"))
UNITS = [DAEMON, f"{WEB}.service", f"{BACKEND}.service", "meshtraced-pull.service", "meshtraced-pull.timer"]
NEWER = "99.0.0-1"
PORTS = {"zipkin": 9411, "zipkin-eu": 9412}

# Runs inside, where there is no curl.
GET = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).read().decode())"


def expect(holds, otherwise):
    if not holds:
        raise Failed(otherwise)


class Test:
    def __init__(self, machine, package, newer):
        self.machine = machine
        self.package = package
        self.newer = newer

    # What the steps are made of

    def status(self):
        """How the daemon is, by its own word."""
        # By the settings as they came: those in use may be wrong on purpose.
        return json.loads(self.machine.shell(f"meshtraced -c {SETTINGS}.shipped status -o json || [ $? = 1 ]"))

    def published(self):
        """Digests of all published files, and of nothing that the daemon keeps for itself."""
        found = self.machine.shell(f"cd {OUT}; find . -name .meshtraced -prune -o -type f -print0 | sort -z | xargs -0r sha256sum")
        return found.strip()

    def follows(self, backend):
        """Commits another backend to the branch of the Git server, and waits until every Envoy has taken it."""
        self.machine.shell(f"""
            rm -rf /opt/author; git clone -q {REMOTE} /opt/author; cd /opt/author
            sed -i 's/^  backend: [a-z-]*/  backend: {backend}/' policies/default/tracing/trace-all.yaml
            git -c user.name=author -c user.email=author@example.com commit -qam 'traces go to {backend}'
            git push -q origin main""")
        commit = self.machine.run("git", "-C", "/opt/author", "rev-parse", "HEAD").strip()

        def is_taken():
            confirmed = self.status()["revisions"]["confirmed"]
            return confirmed and confirmed["commit"] == commit
        wait_for(f"the Envoys take the commit of {backend}", is_taken)
        clusters = self.machine.run("cat", f"{OUT}/default/web-01/xds/cds.yaml", f"{OUT}/default/backend-01/xds/cds.yaml")
        expect(clusters.count(f"port_value: {PORTS[backend]}\n") == 2, f"confirmed and not published: {clusters}")

    def get(self, url):
        return self.machine.run("python3", "-c", GET, url)

    def spans_at(self, backend, url="http://127.0.1.1:8080/cart", service="web"):
        """Waits until the spans of a request, one of this service among them, arrive at the collector of that backend."""
        trace = None

        def request():
            nonlocal trace
            trace = json.loads(self.get(url))["trace"]
            return trace
        wait_for("a request is answered, and traced", request)

        def spans():
            found = json.loads(self.get(f"http://127.0.0.1:{PORTS[backend]}/api/v2/trace/{trace}"))
            return service in {span["localEndpoint"]["serviceName"] for span in found} and found
        return wait_for(f"spans of {trace} arrive at {backend}", spans)

    def surroundings(self):
        """Starts what is beside the Envoys on such a machine: collectors and applications."""
        demo, python = "/opt/demo", ["python3", "-u"]
        for name, command in {
            "collectors": [*python, f"{demo}/collector.py", *PORTS.values()],
            "web": [*python, f"{demo}/app.py", "web", "127.0.1.1", "9080", "http://127.0.1.1:10001"],
            "backend": [*python, f"{demo}/app.py", "backend", "127.0.1.3", "9080"],
        }.items():
            self.machine.run("systemd-run", "--quiet", f"--unit=test-{name}", *command)

    def git_server(self):
        """Starts the Git server, which is on this machine too."""
        self.machine.run("systemd-run", "--quiet", "--unit=test-git", "git", "daemon", "--reuseaddr",
                         "--listen=127.0.0.1", "--export-all", "--base-path=/srv/remote")

    def envoys(self):
        return [self.machine.pid(f"{unit}.service") for unit in (WEB, BACKEND)]

    def settings(self, *lines):
        """The settings of the package, and these lines below them."""
        self.machine.shell(f"cp {SETTINGS}.shipped {SETTINGS}")
        with open(self.machine.root / SETTINGS.lstrip("/"), "a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def drop_in(self, unit, name, text):
        directory = self.machine.root / f"etc/systemd/system/{unit}.d"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
        self.machine.run("systemctl", "daemon-reload")

    def no_drop_ins(self, unit):
        shutil.rmtree(self.machine.root / f"etc/systemd/system/{unit}.d")
        self.machine.run("systemctl", "daemon-reload")

    def files(self):
        """Every file of the system, but for what changes on any of them."""
        skip = "/proc /sys /run /dev /tmp /opt /var/log /var/cache /var/lib/dpkg /var/tmp /root"
        prune = " -o ".join(f"-path {path}" for path in skip.split())
        return set(self.machine.shell(f"find / \\( {prune} \\) -prune -o -print").splitlines())

    # The steps, in their order

    def it_installs_and_waits(self):
        """The package installs; the daemon starts by itself, is ready, and says what it waits for."""
        machine = self.machine
        self.before = self.files()
        machine.put(self.package, "/opt/meshtraced.deb")
        machine.put(self.newer, "/opt/newer.deb")
        machine.run("dpkg", "--install", "/opt/meshtraced.deb")
        machine.run("dpkg", "--verify", "meshtraced")
        machine.shell(f"cp {SETTINGS} {SETTINGS}.shipped")
        expect(machine.is_active(DAEMON), f"{DAEMON} is not active")
        expect(machine.ok("systemctl", "is-enabled", DAEMON), f"{DAEMON} is not enabled")
        expect(machine.show(DAEMON, "NRestarts") == "0", "the daemon was restarted")
        expect("/srv/" in machine.journal(DAEMON), "the daemon does not say what it waits for")
        expect("/srv/" in self.status()["failure"]["why"], f"status: {self.status()}")
        expect(not machine.ok("systemctl", "is-enabled", "meshtraced-pull.timer"), "the timer is enabled, with nothing to pull")
        for path in ["/usr/share/man/man1/meshtraced-run.1.gz", "/usr/share/bash-completion/completions/meshtraced",
                     "/usr/share/zsh/vendor-completions/_meshtraced", "/usr/share/fish/vendor_completions.d/meshtraced.fish"]:
            expect(path in machine.run("dpkg", "-L", "meshtraced").splitlines(), f"{path} is not in the package")

    def its_units_are_sound_and_ask_for_little(self):
        """systemd finds nothing wrong with the units, and rates their exposure: 0.5 at most, 1.2 with loopback."""
        machine = self.machine
        said = machine.shell("cd /usr/lib/systemd/system; systemd-analyze verify --man=no meshtraced.service "
                             "meshtraced-envoy@default-web.service meshtraced-envoy@default-web.path "
                             "meshtraced-pull.service meshtraced-pull.timer 2>&1 | grep -v '^/usr/bin/envoy'", check=False)
        expect("meshtraced" not in said, said)

        def exposure(limit, unit=DAEMON):
            rated = machine.run("systemd-analyze", "security", "--offline=true", "--no-pager",
                                f"/usr/lib/systemd/system/{unit}").splitlines()[-1]
            print(f"     {rated.strip('→ ')}")
            score = float(rated.split(":")[1].split()[0])
            expect(score <= limit, f"{rated}, more than {limit}")
        exposure(0.5)
        exposure(1.5, "meshtraced-pull.service")
        exposure(2.0, "meshtraced-envoy@.service")
        machine.shell(f"install -D /usr/share/doc/meshtraced/examples/loopback.conf /etc/systemd/system/{DAEMON}.d/loopback.conf")
        exposure(1.2)
        self.drop_in(DAEMON, "listen.conf", "[Service]\nEnvironment=MESHTRACED_CONTROL_LISTEN=127.0.0.1:9190\n")
        machine.run("systemctl", "restart", DAEMON)
        metrics = self.get("http://127.0.0.1:9190/metrics")
        expect("meshtraced_" in metrics, metrics)
        self.no_drop_ins(DAEMON)
        machine.run("systemctl", "restart", DAEMON)

    def envoys_wait_for_their_files(self):
        """Envoys that were enabled before anything is published are waited for, and nothing has failed."""
        machine = self.machine
        machine.run("systemctl", "enable", "--quiet", "--now", f"{WEB}.path", f"{BACKEND}.path")
        expect(machine.is_active(f"{WEB}.path"), "the path unit does not wait")
        expect(not machine.is_active(f"{WEB}.service"), "an Envoy runs from nothing")
        expect(not machine.run("systemctl", "--failed", "--plain", "--no-legend"), machine.run("systemctl", "--failed"))

    def a_pull_publishes_and_starts_them(self):
        """The timer pulls, the daemon publishes, the Envoys start; a request is traced."""
        machine = self.machine
        machine.put(ROOT / "policies", "/opt/first/policies")
        machine.shell(f"""
            cd /opt/first; git init -q -b main; git add .
            git -c user.name=author -c user.email=author@example.com commit -qm first
            git clone -q --bare /opt/first {REMOTE}""")
        self.surroundings()
        self.git_server()
        # Half a minute between two pulls is for machines that nobody waits for.
        self.drop_in("meshtraced-pull.timer", "often.conf", "[Timer]\nOnUnitInactiveSec=1s\nRandomizedDelaySec=0\n")
        machine.shell("""
            sed -i 's#^REPOSITORY=.*#REPOSITORY=git://127.0.0.1/mesh-config.git#' /etc/meshtraced/pull.conf
            systemctl enable --quiet --now meshtraced-pull.timer""")
        for unit in (WEB, BACKEND):
            wait_for(f"{unit} starts", lambda unit=unit: machine.is_active(f"{unit}.service"))
        spans = self.spans_at("zipkin")
        expect({span["localEndpoint"]["serviceName"] for span in spans} >= {"web"}, f"spans: {spans}")
        rights = machine.shell(f"stat -c '%U %G %a' {OUT}/default/web-01 {OUT}/default/web-01/bootstrap.yaml").split("\n")
        expect(rights[:2] == ["meshtraced envoy 3770", "meshtraced envoy 640"], f"rights: {rights}")
        expect(machine.shell("stat -c %U /srv/mesh-config").strip() == "meshtraced-pull", "the copy is somebody else's")

    def a_commit_moves_the_spans(self):
        """A commit is pulled, confirmed by running Envoys, and spans arrive at the new backend."""
        envoys = self.envoys()
        self.follows("zipkin-eu")
        self.spans_at("zipkin-eu")
        expect(self.envoys() == envoys, "an Envoy was restarted")

    def an_envoy_that_is_stopped_stays_so(self):
        """Stopped by hand, an Envoy is not started again by the files that are there; started again, it runs."""
        machine = self.machine
        wait_for("its path unit has ended", lambda: machine.show(f"{WEB}.path", "ActiveState") == "inactive")
        machine.run("systemctl", "stop", f"{WEB}.service")
        self.follows("zipkin")
        expect(not machine.is_active(f"{WEB}.service"), "it was started again")
        machine.run("systemctl", "start", f"{WEB}.path")
        wait_for("it starts", lambda: machine.is_active(f"{WEB}.service"))
        self.spans_at("zipkin")

    def it_survives_its_death(self):
        """kill -9: systemd starts it again, what is published stays as it is, the next commit is published."""
        machine = self.machine
        published, envoys, pid = self.published(), self.envoys(), machine.pid(DAEMON)
        machine.run("systemctl", "kill", "--signal=KILL", DAEMON)
        wait_for("it runs again", lambda: machine.is_active(DAEMON) and machine.pid(DAEMON) not in (0, pid))
        expect(self.published() == published, "the death of the daemon changed what is published")
        expect(self.envoys() == envoys, "the death of the daemon restarted an Envoy")
        self.follows("zipkin-eu")
        self.spans_at("zipkin-eu")

    def the_watchdog_ends_a_stall(self):
        """A daemon that stands still is killed and started again by systemd; what is published stays."""
        machine = self.machine
        self.drop_in(DAEMON, "watchdog.conf", "[Service]\nWatchdogSec=3s\n")
        machine.run("systemctl", "restart", DAEMON)
        published, pid = self.published(), machine.pid(DAEMON)
        machine.shell(f"kill -STOP {pid}")
        wait_for("it runs again", lambda: machine.is_active(DAEMON) and machine.pid(DAEMON) not in (0, pid))
        expect("watchdog" in machine.journal(DAEMON).lower(), "it was not the watchdog")
        expect(self.published() == published, "the stall changed what is published")
        self.no_drop_ins(DAEMON)
        machine.run("systemctl", "restart", DAEMON)
        self.follows("zipkin")

    def wrong_settings_are_not_taken(self):
        """A reload with wrong settings fails, keeps those in use, and says so; commits are still followed."""
        machine = self.machine
        pid = machine.pid(DAEMON)
        self.settings("sampling: nonsense")
        expect(machine.shell(f"systemctl reload {DAEMON} && echo done || echo failed").strip() == "failed", "no reload fails")
        expect("sampling" in machine.journal(DAEMON), "the journal does not say why")
        wait_for("the daemon refuses them", lambda: self.status()["settings_error"])
        expect(machine.is_active(DAEMON) and machine.pid(DAEMON) == pid, "the daemon did not go on")
        self.follows("zipkin-eu")
        self.settings()
        machine.run("systemctl", "reload", DAEMON)
        expect(not self.status()["settings_error"], "the reload came back before the settings were in use")
        expect(machine.pid(DAEMON) == pid, "the daemon was restarted")
        self.spans_at("zipkin-eu")

    def it_reloads_what_belongs_to_others(self):
        """With a polkit rule the daemon reloads a unit, with a drop-in it signals a process of another user; once each."""
        machine = self.machine
        examples = "/usr/share/doc/meshtraced/examples"
        units = machine.root / "etc/systemd/system"
        (units / "envoy@.service").write_text("""[Service]
ExecStart=sleep infinity
ExecReload=sh -c "echo %I >>/run/test-reloads"
""")
        (units / "test-wrapper.service").write_text("""[Service]
User=daemon
RuntimeDirectory=test-wrapper
ExecStart=sh -c "trap 'echo signalled >>/run/test-wrapper/reloads' HUP; echo $$$$ >/run/test-wrapper/pid; \\
    while :; do sleep 0.1; done"
""")
        machine.shell(f"install -m 0644 {examples}/units.rules /etc/polkit-1/rules.d/50-meshtraced.rules; "
                      r"systemctl daemon-reload; systemctl start test-wrapper.service 'envoy@backend\x2d01.service'")
        self.settings("reload:", "- select: {name: backend-01}", "  systemd: {unit: 'envoy@{dataplane}.service'}",
                      "  files: [xds/cds.yaml]", "- signal: {pidfile: /run/test-wrapper/pid}", "  files: [xds/cds.yaml]")
        machine.run("systemctl", "restart", DAEMON)
        wait_for("the daemon is ready", lambda: machine.is_active(DAEMON))
        self.follows("zipkin")
        reloads = "cat /run/test-reloads /run/test-wrapper/reloads 2>/dev/null || true"
        wait_for("the unit is reloaded", lambda: machine.shell(reloads) == "backend-01\n")
        wait_for("the signal is not allowed, and that is said",
                 lambda: "this user may not signal process" in json.dumps(self.status()["reloads"]))
        machine.shell(f"install -D -m 0644 {examples}/signals.conf /etc/systemd/system/{DAEMON}.d/signals.conf; "
                      f"systemctl daemon-reload; systemctl restart {DAEMON}")
        wait_for("the process is signalled", lambda: machine.shell(reloads) == "backend-01\nsignalled\n")
        wait_for("nothing is open", lambda: not self.status()["reloads"])
        self.follows("zipkin-eu")
        wait_for("both once more", lambda: len(machine.shell(reloads).split()) == 4)
        self.settings()
        machine.shell(rf"systemctl stop test-wrapper 'envoy@backend\x2d01'; rm /etc/systemd/system/envoy@.service "
                      "/etc/systemd/system/test-wrapper.service /etc/polkit-1/rules.d/50-meshtraced.rules /run/test-reloads")
        self.no_drop_ins(DAEMON)
        machine.run("systemctl", "restart", DAEMON)

    def an_envoy_of_somebody_else_is_traced(self):
        """An envoy.service that runs already, by docs/adopt.md: its unit stays as it is, and its requests are traced."""
        machine = self.machine
        url, examples, unit = "http://127.0.1.9:8080/cart", "/usr/share/doc/meshtraced/examples", "envoy.service"
        etc = machine.root / "etc/envoy"
        etc.mkdir()
        (etc / "envoy.yaml").write_text((HERE / "edge.yaml").read_text())
        (machine.root / f"etc/systemd/system/{unit}").write_text("[Service]\nExecStart=/usr/bin/envoy -c /etc/envoy/envoy.yaml\n")
        machine.shell(f"systemctl daemon-reload; systemctl start {unit}")
        wait_for("it answers, and is not traced", lambda: json.loads(self.get(url))["trace"] is None)

        # Describe the Envoy, and put it beside the policies.
        machine.shell(f"""
            rm -rf /opt/author; git clone -q {REMOTE} /opt/author; cd /opt/author
            meshtraced compile --from-envoy /etc/envoy/envoy.yaml >policies/default/dataplanes/edge.yaml
            git add .; git -c user.name=author -c user.email=author@example.com commit -qm 'the edge'; git push -q origin main""")
        # Name its files.
        base = (etc / "envoy.yaml").read_text()
        machine.shell(f"""
            install -d /etc/envoy/base; mv /etc/envoy/envoy.yaml /etc/envoy/base/edge-01.yaml; chown meshtraced:envoy /etc/envoy
            install -m 0644 {examples}/units.rules /etc/polkit-1/rules.d/50-meshtraced.rules""")
        self.drop_in(DAEMON, "envoy.conf", "[Service]\nReadWritePaths=/etc/envoy\n")
        self.settings("shapes:", "- select: {name: 'edge-*'}", "  overlay: {bootstrap: '/etc/envoy/base/{dataplane}.yaml'}",
                      "  to: {bootstrap: /etc/envoy/envoy.yaml}", "reload:", "- select: {name: 'edge-*'}",
                      f"  systemd: {{unit: {unit}, action: restart}}")
        pid = machine.pid(unit)
        machine.run("systemctl", "restart", DAEMON)
        wait_for("it is restarted", lambda: machine.is_active(unit) and machine.pid(unit) not in (0, pid))
        self.spans_at("zipkin-eu", url, "edge")
        traced = (etc / "envoy.yaml").read_text()
        rest = iter(traced.splitlines())
        expect(all(line in rest for line in base.splitlines()), f"not all of its lines, in their order: {traced}")

        # A commit moves its spans, too, by a restart.
        pid = machine.pid(unit)
        self.follows("zipkin")
        wait_for("it is restarted", lambda: machine.is_active(unit) and machine.pid(unit) not in (0, pid))
        self.spans_at("zipkin", url, "edge")
        self.follows("zipkin-eu")

        machine.shell("cd /opt/author; git rm -q policies/default/dataplanes/edge.yaml; "
                      "git -c user.name=author -c user.email=author@example.com commit -qm 'no edge'; git push -q origin main")
        wait_for("its file goes with it", lambda: not (etc / "envoy.yaml").exists())
        expect(sorted(path.name for path in etc.iterdir()) == ["base"], "something is left")
        self.settings()
        machine.shell(f"systemctl stop {unit}; rm -r /etc/envoy /etc/systemd/system/{unit} /etc/polkit-1/rules.d/50-meshtraced.rules")
        self.no_drop_ins(DAEMON)
        machine.run("systemctl", "restart", DAEMON)
        wait_for("the daemon is ready", lambda: machine.is_active(DAEMON))

    def a_killed_git_leaves_nothing_behind(self):
        """Stale locks, half-written files and a copy that lost its objects keep no commit from arriving."""
        machine = self.machine
        git = "/srv/mesh-config/.git"
        machine.shell(f"touch {git}/HEAD.lock {git}/index.lock {git}/refs/heads/main.lock {git}/objects/pack/tmp_pack_killed; "
                      "echo half >/srv/mesh-config/policies/default/mesh.yaml")
        self.follows("zipkin")
        published = self.published()
        machine.shell(f"systemctl stop meshtraced-pull.timer; find {git}/objects -type f -delete; : >{git}/index; "
                      "systemctl start meshtraced-pull.service; systemctl start meshtraced-pull.timer")
        found = machine.run("git", "-c", "safe.directory=*", "-C", "/srv/mesh-config", "fsck", "--strict")
        expect(not found, f"the copy is still damaged: {found}")
        expect(self.published() == published, "a damaged copy changed what is published")
        self.follows("zipkin-eu")

    def it_boots_without_its_repository(self):
        """After a power cut, without repository and Git server: last good files, Envoys run, the daemon says so."""
        machine = self.machine
        published = self.published()
        machine.shell("mv /srv/mesh-config /srv/remote /var/tmp/; sync")
        machine.lose_power()
        machine.boot()
        self.surroundings()
        self.spans_at("zipkin-eu")
        wait_for("the daemon is ready", lambda: machine.is_active(DAEMON))
        expect(self.published() == published, "booting changed what is published")
        expect("/srv/" in self.status()["failure"]["why"], f"status: {self.status()}")
        machine.run("mv", "/var/tmp/remote", "/srv/")
        self.git_server()
        self.follows("zipkin")
        self.spans_at("zipkin")

    def a_daemon_that_cannot_start_holds_up_no_envoy(self):
        """Booted with settings that are wrong, the Envoys run from the last good files; with right ones all goes on."""
        machine = self.machine
        published = self.published()
        self.settings("sampling: nonsense")
        machine.power_off()
        machine.boot()
        self.surroundings()
        self.git_server()
        self.spans_at("zipkin")
        expect(self.published() == published, "booting changed what is published")
        expect(not machine.is_active(DAEMON), "the daemon runs with wrong settings")
        expect("sampling" in machine.journal(DAEMON), "the daemon does not say what is wrong")
        self.settings()
        wait_for("it starts by itself", lambda: machine.is_active(DAEMON))
        self.follows("zipkin-eu")

    def an_upgrade_restarts_the_daemon_alone(self):
        """To the next version and back: another daemon, the same files and Envoys."""
        machine = self.machine
        for package, version in [("/opt/newer.deb", NEWER), ("/opt/meshtraced.deb", None)]:
            published, envoys, pid = self.published(), self.envoys(), machine.pid(DAEMON)
            machine.run("dpkg", "--install", "--force-downgrade", package)
            found = machine.run("dpkg-query", "--show", "--showformat=${Version}", "meshtraced")
            expect(version is None or found == version, f"version {found} is installed, not {version}")
            expect(machine.is_active(DAEMON) and machine.pid(DAEMON) != pid, "the daemon was not restarted")
            expect(self.published() == published, "the upgrade changed what is published")
            expect(self.envoys() == envoys, "the upgrade restarted an Envoy")
            expect(machine.ok("systemctl", "is-active", "meshtraced-pull.timer"), "the timer was stopped")
        self.follows("zipkin")
        self.spans_at("zipkin")

    def removal_leaves_settings_and_a_purge_nothing(self):
        """Removed, nothing of it runs; installed again, it goes on; purged, no file of it is left."""
        machine = self.machine
        machine.shell(f"mv {SETTINGS}.shipped {SETTINGS}")
        self.no_drop_ins("meshtraced-pull.timer")
        machine.run("dpkg", "--remove", "meshtraced")
        left = machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "meshtraced*", "--state=loaded")
        expect(not left, f"units are left:\n{left}")
        users = machine.shell("for p in /proc/[0-9]*; do stat -c %U $p 2>/dev/null || true; done").split()
        expect(not {"meshtraced", "meshtraced-pull", "envoy"} & set(users), "processes of it are left")
        # Settings, what is enabled (Debian remembers that in a place of its own), and the last good files.
        owned = ("/etc/meshtraced", "/etc/systemd/system", "/var/lib/systemd/deb-systemd-helper", "/var/lib/meshtraced", "/srv")
        left = sorted(path for path in self.files() - self.before if not path.startswith(owned))
        expect(not left, f"removed, it leaves {left}")
        published = self.published()
        machine.run("dpkg", "--install", "/opt/meshtraced.deb")
        expect(machine.is_active(DAEMON) and self.published() == published, "installed again, it does not go on")
        machine.run("systemctl", "start", f"{WEB}.path")
        wait_for("its Envoy starts", lambda: machine.is_active(f"{WEB}.service"))
        machine.run("dpkg", "--purge", "meshtraced")
        left = sorted(path for path in self.files() - self.before if not path.startswith("/srv/remote"))
        expect(not left, f"purged, it leaves {left}")

    STEPS = [
        it_installs_and_waits,
        its_units_are_sound_and_ask_for_little,
        envoys_wait_for_their_files,
        a_pull_publishes_and_starts_them,
        a_commit_moves_the_spans,
        an_envoy_that_is_stopped_stays_so,
        it_survives_its_death,
        the_watchdog_ends_a_stall,
        wrong_settings_are_not_taken,
        it_reloads_what_belongs_to_others,
        an_envoy_of_somebody_else_is_traced,
        a_killed_git_leaves_nothing_behind,
        it_boots_without_its_repository,
        a_daemon_that_cannot_start_holds_up_no_envoy,
        an_upgrade_restarts_the_daemon_alone,
        removal_leaves_settings_and_a_purge_nothing,
    ]


def build():
    """The package of this tree."""
    built = subprocess.run([ROOT / "systemd/build-deb"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return ROOT / built.split()[-1]


def with_version(package, version, directory):
    """The same package under another version."""
    tree, newer = directory / "newer", directory / "newer.deb"
    shutil.rmtree(tree, ignore_errors=True)
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    lines = [f"Version: {version}" if line.startswith("Version: ") else line for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, newer], check=True, stdout=subprocess.DEVNULL)
    return newer


def last_words(machine):
    """What the units said last, for whoever looks into a failure."""
    for unit in UNITS:
        print(f"\n--- {unit}")
        print(machine.run("systemctl", "status", "--no-pager", "--full", "--lines=25", unit, check=False).rstrip())


def main():
    if os.geteuid() != 0:
        sys.exit("a machine in a container takes root: sudo tests/boot/boot.py")
    missing = [name for name in ("debootstrap", "systemd-nspawn", "nsenter", "dpkg-deb") if not shutil.which(name)]
    if missing:
        sys.exit(f"missing: {', '.join(missing)} (apt-get install debootstrap systemd-container)")
    directory = tools.TARGET / "boot"
    directory.mkdir(parents=True, exist_ok=True)
    lock = open(directory / "lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    # So that the machine is switched off then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    start = time.monotonic()
    package = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else build()
    machine = Machine(directory, {tools.envoy(): "/usr/bin/envoy"})
    machine.put(DEMO, "/opt/demo")
    test = Test(machine, package, with_version(package, NEWER, directory))
    print(f"{time.monotonic() - start:5.1f} s  the machine and the package are made", flush=True)
    try:
        machine.boot()
        for step in Test.STEPS:
            began = time.monotonic()
            step(test)
            print(f"{time.monotonic() - began:5.1f} s  {step.__doc__}", flush=True)
    except (Failed, subprocess.SubprocessError, OSError, LookupError, TypeError, ValueError) as error:
        print(f"FAILED  {step.__name__ if 'step' in locals() else 'booting'}: {error!r}\n{error}", flush=True)
        if machine.leader:
            last_words(machine)
        return 1
    finally:
        machine.power_off()
    shutil.rmtree(machine.root)  # after a failure it stays, to be looked at
    print(f"{time.monotonic() - start:5.1f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
