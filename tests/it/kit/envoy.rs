//! A real Envoy running a bootstrap.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{get, post};
use super::process::Process;
use super::{tools, wait, yaml};

/// The address of Envoy's admin interface.
enum Admin {
    Tcp(String),
    Pipe(PathBuf),
}

/// A running Envoy; killed when dropped.
pub(crate) struct Envoy {
    process: Process,
    admin: Admin,
    /// The log, and the admin socket if the bootstrap has none.
    _dir: TempDir,
}

impl Envoy {
    /// Runs `bootstrap` and waits until all listeners, of the bootstrap and of its LDS file, accept connections.
    #[track_caller]
    pub(crate) fn start(bootstrap: &Path) -> Self {
        Self::start_release(tools::envoy(), bootstrap)
    }

    /// As [`Self::start`], with the given release.
    #[track_caller]
    pub(crate) fn start_release(release: &Path, bootstrap: &Path) -> Self {
        let mut envoy = Self::spawn_release(release, bootstrap);
        envoy.wait_for_listeners(&listener_names(bootstrap));
        envoy
    }

    /// Runs `bootstrap` and waits for its admin interface only, for an Envoy that cannot start completely.
    ///
    /// A bootstrap without an admin interface gets one. Relative paths are relative to its directory, and need a `/`.
    #[track_caller]
    pub(crate) fn spawn(bootstrap: &Path) -> Self {
        Self::spawn_release(tools::envoy(), bootstrap)
    }

    /// As [`Self::spawn`], with the given release.
    #[track_caller]
    pub(crate) fn spawn_release(release: &Path, bootstrap: &Path) -> Self {
        Self::spawn_with(release, bootstrap, None, |command| command)
    }

    /// As [`Self::spawn`], by a command around that of Envoy, with the admin socket as this process sees it.
    #[track_caller]
    pub(crate) fn spawn_in(bootstrap: &Path, socket: &Path, around: impl FnOnce(Command) -> Command) -> Self {
        let admin = Admin::Pipe(socket.to_owned());
        Self::spawn_with(tools::envoy(), bootstrap, Some(admin), around)
    }

    #[track_caller]
    fn spawn_with(
        release: &Path,
        bootstrap: &Path,
        admin: Option<Admin>,
        around: impl FnOnce(Command) -> Command,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let bootstrap = fs::canonicalize(bootstrap).unwrap_or_else(|e| panic!("{}: {e}", bootstrap.display()));
        let mut command = Command::new(release);
        // Draining is short, and the shared memory of hot restart, which only one Envoy of a machine can have, is
        // off.
        command
            .arg("-c")
            .arg(&bootstrap)
            .args(["--disable-hot-restart", "--concurrency", "1"]);
        command.args(["--drain-time-s", "1", "--parent-shutdown-time-s", "2"]);
        command.current_dir(bootstrap.parent().expect("a file is in a directory"));
        let admin = admin.or_else(|| admin_of(&yaml::read(&bootstrap))).unwrap_or_else(|| {
            let socket = dir.path().join("admin.sock");
            command
                .arg("--config-yaml")
                .arg(json!({"admin": {"address": {"pipe": {"path": socket}}}}).to_string());
            Admin::Pipe(socket)
        });
        let process = Process::spawn(around(command), dir.path().join("envoy.log"));
        let mut envoy = Self {
            process,
            admin,
            _dir: dir,
        };
        wait::until("Envoy's admin says that it is live", || {
            envoy.process.assert_alive();
            envoy
                .ask("/ready")
                .and_then(|said| (said.trim() == "LIVE").then_some(()).ok_or(said))
        });
        envoy
    }

    /// Waits until all of `names` are listeners in service.
    #[track_caller]
    pub(crate) fn wait_for_listeners(&mut self, names: &[String]) {
        wait::until(&format!("Envoy listens as {names:?}"), || {
            self.process.assert_alive();
            let listed: Value =
                serde_json::from_str(&self.ask("/listeners?format=json")?).map_err(|e| e.to_string())?;
            let active: Vec<&Value> = yaml::items(&listed["listener_statuses"])
                .map(|status| &status["name"])
                .collect();
            let warming = self.stat("listener_manager.total_listeners_warming");
            let started = self.stat("listener_manager.workers_started");
            let all = names.iter().all(|name| active.iter().any(|a| *a == name));
            if all && warming == Some(0) && started == Some(1) {
                return Ok(());
            }
            let log = self.process.last_lines(10);
            Err(format!(
                "active {active:?}, warming {warming:?}, workers started {started:?}; log:\n{log}"
            ))
        });
    }

    /// The body of `GET path` from the admin interface.
    #[track_caller]
    pub(crate) fn admin(&self, path: &str) -> String {
        self.ask(path)
            .unwrap_or_else(|why| panic!("admin {path}: {why}\n{}", self.process.last_lines(10)))
    }

    /// The body of `POST path` from the admin interface, for changes such as `/drain_listeners`.
    #[track_caller]
    pub(crate) fn admin_post(&self, path: &str) -> String {
        self.exchange(true, path)
            .unwrap_or_else(|why| panic!("admin {path}: {why}"))
    }

    /// A counter or gauge; Envoy creates some with their first use.
    #[track_caller]
    pub(crate) fn stat(&self, name: &str) -> Option<u64> {
        let text = self.stat_text(name)?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
    }

    /// A text statistic, such as `listener_manager.lds.version_text`, without quotes.
    #[track_caller]
    pub(crate) fn stat_text(&self, name: &str) -> Option<String> {
        let stats = self.admin("/stats");
        let value = stats
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
        Some(value.trim_matches('"').to_owned())
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    fn ask(&self, path: &str) -> Result<String, String> {
        self.exchange(false, path)
    }

    fn exchange(&self, change: bool, path: &str) -> Result<String, String> {
        let request = |url: String| if change { post(url, "") } else { get(url) };
        let answer = match &self.admin {
            Admin::Tcp(authority) => request(format!("http://{authority}{path}")).try_send()?,
            Admin::Pipe(socket) => request(format!("http://admin{path}")).try_send_through(socket)?,
        };
        match answer.status {
            200 => Ok(answer.body),
            status => Err(format!("{status} {}", answer.body)),
        }
    }
}

fn admin_of(bootstrap: &Value) -> Option<Admin> {
    let address = bootstrap.get("admin")?.get("address")?;
    if let Some(path) = address["pipe"]["path"].as_str() {
        return Some(Admin::Pipe(PathBuf::from(path)));
    }
    let socket = &address["socket_address"];
    let (host, port) = (socket["address"].as_str()?, socket["port_value"].as_u64()?);
    assert_ne!(port, 0, "the admin needs a known port: kit::ports hands out addresses");
    Some(Admin::Tcp(format!("{host}:{port}")))
}

/// The names of all listeners of a bootstrap and of its LDS file.
fn listener_names(bootstrap: &Path) -> Vec<String> {
    let read = yaml::read(bootstrap);
    let lds = &read["dynamic_resources"]["lds_config"]["path_config_source"]["path"];
    let dynamic = lds
        .as_str()
        .map(|path| yaml::read(&bootstrap.parent().unwrap_or(Path::new("")).join(path)));
    yaml::items(&read["static_resources"]["listeners"])
        .chain(dynamic.iter().flat_map(|lds| yaml::items(&lds["resources"])))
        .filter_map(|listener| Some(listener["name"].as_str()?.to_owned()))
        .collect()
}
