//! Every setting with its meaning, checked and complete.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::SettingsError;
use super::reload::Reload;
use crate::compile::Options;
use crate::envoy::RenderEnv;
use crate::kuma::Kuma;
use crate::plan::guard::Guard;
use crate::resource::Contributions;
use crate::resource::value::protocol::Protocol;
use crate::select::scope::Rule;
use crate::source::Sources;
use crate::yaml::Limits;

/// Every setting, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The directories and files that hold the policies.
    pub sources: Sources,
    /// The directory that gets the files of the proxies.
    pub out: PathBuf,
    /// The control plane whose behaviour is compiled.
    pub kuma: Kuma,
    /// Protocols of services that have no dataplane among the policies.
    pub services: BTreeMap<String, Protocol>,
    /// The rules by which dataplanes are published here; without a rule all are.
    pub select: Vec<Rule>,
    /// The time without an event after which a reconciliation begins.
    pub debounce: Duration,
    /// The longest time that events may postpone a reconciliation.
    pub debounce_max: Duration,
    /// The time between two looks at everything, events or not.
    pub rescan: Duration,
    /// User id that owns what is published; `None` leaves it as it comes.
    pub owner: Option<u32>,
    /// Group id of what is published; `None` leaves it as it comes.
    pub group: Option<u32>,
    /// Mode of published files; directories get `x` where files have `r`.
    pub mode: u32,
    /// The scope of what an error holds.
    pub on_error: OnError,
    /// The limit on what one plan may change.
    pub guard: Guard,
    /// The treatment of published files that somebody edited.
    pub drift: OnDrift,
    /// The number of published generations that are kept; 0 keeps none.
    pub history: usize,
    /// The reloads of proxies; a proxy that no entry fits has none.
    pub reload: Vec<Reload>,
    /// The admin interfaces and the validator.
    pub envoy: EnvoySettings,
    /// The limits of the reader.
    pub limits: Limits,
    /// The number of findings of one file that are shown.
    pub findings_per_file: usize,
    /// The control socket and port.
    pub control: Control,
}

/// The control socket and port of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The socket file; `None` for the one beside the published files.
    pub socket: Option<PathBuf>,
    /// A port of the loopback interface for status and metrics.
    pub listen: Option<SocketAddr>,
}

/// The scope of what an error holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The mesh that the error belongs to.
    HoldMesh,
    /// Every mesh.
    HoldAll,
}

/// The treatment of published files that somebody edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrift {
    /// The edits stay until something else is desired in their place, and are reported.
    Report,
    /// The files get back their published text.
    Heal,
}

/// The admin interfaces of the proxies, and the Envoy that validates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvoySettings {
    /// The place of the admin interfaces.
    pub admin: Admin,
    /// The Envoy that validates what is to be published; `None` for none.
    pub validate: Option<PathBuf>,
    /// The time in which a proxy has to confirm one step.
    pub confirm_timeout: Duration,
}

/// The place of the admin interface of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// On a socket file in the directory of the proxy, as the generated bootstrap says.
    Pipe,
    /// On a TCP port; `host:port`.
    Http(String),
    /// On a socket file.
    Unix(PathBuf),
    /// Nowhere: steps are paced by pauses.
    None,
}

/// Options of the command line that are settings.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--policies`; empty without it.
    pub policies: Vec<PathBuf>,
    /// The directory of `--out`.
    pub out: Option<PathBuf>,
}

impl Settings {
    /// The options of a compile with these settings; `known` has the meshes that each file was about when it could be read last.
    ///
    /// # Errors
    /// When the output directory has a name that Envoy's configuration cannot hold.
    pub fn options(&self, known: Contributions) -> Result<Options, SettingsError> {
        let out = std::path::absolute(&self.out).ok();
        let Some(out) = out.as_deref().and_then(Path::to_str) else {
            return Err(SettingsError::Out(self.out.clone()));
        };
        Ok(Options {
            kuma: self.kuma.clone(),
            services: self.services.clone(),
            scope: self.select.clone(),
            env: RenderEnv {
                out: out.to_owned(),
                admin_pipe: self.envoy.admin == Admin::Pipe,
            },
            limits: self.limits.clone(),
            known,
        })
    }
}
