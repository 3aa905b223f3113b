//! Commands in their own mount namespace, which other processes do not see.

use std::ffi::OsStr;
use std::process::Command;

/// `command` after a shell script that mounts what it needs; the script ends with `"$@"`, after its own `arguments`.
pub(crate) fn inside(script: &str, arguments: &[&OsStr], command: &Command) -> Command {
    let mut wrapped = Command::new("unshare");
    wrapped.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        wrapped.args(["--user", "--map-root-user"]);
    }
    wrapped.args(["sh", "-c", script, "mounts"]).args(arguments);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    wrapped
}

/// The message for a machine without mount namespaces.
pub(crate) fn needs(why: &str) -> String {
    format!(
        "cannot mount anything: {why}\nThe tests need unshare and mount (Debian: apt-get install util-linux mount), and \
         either root or a kernel that lets users make user namespaces."
    )
}
