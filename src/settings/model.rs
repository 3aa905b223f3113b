//! Every setting: its key, type, default, meaning and an example, in one place.
//!
//! The doc comment of a field is what `docs/settings.md` and the JSON Schema say of its key, the example too.
//! Sections that another module understands are declared there, as [`Kuma`] is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::SettingsError;
use super::ids::{Group, User};
use super::policies::Policies;
use super::reload::Reload;
use super::shapes::ShapeRule;
use super::values::{Admin, FileMode, LoopbackAddress, ProgramPath};
use crate::collectors::{CollectorRule, Collectors, FilePath, Machine};
use crate::compile::{Extent, Options};
use crate::envoy::RenderEnv;
use crate::envoy::shape::{Form, SamplingChange};
use crate::kuma::Kuma;
use crate::plan::guard::Guard;
use crate::resource::Contributions;
use crate::resource::value::feature::Feature;
use crate::resource::value::protocol::Protocol;
use crate::select::scope::Rule;
use crate::settings_value::{HumanDuration, Integer};
use crate::source::filter::{Filter, Patterns};
use crate::source::{Mode, Sources};
use crate::spans::{Host, SpanRule, Spans, Untraced};
use crate::yaml::Limits;

/// The settings of meshtraced. Every key is optional; a key without a value has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Settings of meshtraced")]
pub struct Settings {
    /// The directory or file that holds the policies, or a list of these. A source whose files are templates has the
    /// values of their variables in `vars`.
    #[schemars(example = json!(["/srv/mesh-config/policies", {"path": "/etc/kuma/dataplane.yaml", "vars": {"name": "web-01"}}]))]
    pub policies: Policies,
    /// Globs of the files that are read, below each directory of `policies`. Without a value, all `*.yaml`, `*.yml`
    /// and `*.json` are. `*` stays within a directory, `**` does not.
    #[schemars(example = ["mesh/**/*.yaml"])]
    pub include: Option<Patterns>,
    /// Globs of files that are not read, even where `include` fits.
    #[schemars(example = ["charts/**"])]
    pub exclude: Patterns,
    /// The way in which directories are read.
    #[schemars(example = Mode::Git)]
    pub source: Mode,
    /// The directory that gets the files of the proxies.
    #[schemars(example = &"/var/lib/meshtraced/envoy")]
    pub out: PathBuf,
    /// The Kuma control plane whose behaviour is compiled.
    pub kuma: Kuma,
    /// Protocols of services that have no Dataplane among the policies, by the names of the services.
    #[schemars(example = json!({"backend": "http"}))]
    pub services: BTreeMap<String, Protocol>,
    /// The dataplanes that this machine publishes: those that one of the rules fits, or all without a rule.
    #[schemars(example = json!([{"mesh": "default", "name": "web-*"}, {"tags": {"kuma.io/zone": "eu-*"}}]))]
    pub select: Vec<Rule>,
    /// The files that proxies get, and what they are made from. The first entry that fits a proxy decides; a proxy that no
    /// entry fits is a sidecar.
    #[schemars(example = json!([{"select": {"name": "edge-*"}, "overlay": {"bootstrap": "/etc/envoy/base/{dataplane}.yaml"}}]))]
    pub shapes: Vec<ShapeRule>,
    /// The way in which a change of the sampling alone reaches a running Envoy: `drain`, by its listeners, so that open connections
    /// drain; or `hitless`, by its runtime, so that none is closed. `hitless` needs the admin interface.
    #[schemars(example = SamplingChange::Hitless)]
    pub sampling: SamplingChange,
    /// The shape `sidecar`: a complete proxy from the dataplane alone.
    pub sidecar: Sidecar,
    /// Keys, TLS, timeouts and limits of collectors, whichever policy names them. `headers`, `tls` and `timeout` each come from the first entry
    /// that fits a collector and has them; the networks of every entry that fits must allow it.
    #[schemars(example = json!([{"match": {"host": "*.example.com"}, "headers": {"x-api-key": {"file": "/etc/meshtraced/keys/example"}}}, {"match": {"mesh": "payments"}, "tls": {"ca": "/etc/ssl/collectors.pem"}, "allow": ["10.0.0.0/8"]}]))]
    pub collectors: Vec<CollectorRule>,
    /// Names, attributes, tags, propagation and samplers of spans, for which policies have no fields. Each part comes from the first entry that
    /// fits a proxy and has it.
    #[schemars(example = json!([{"select": {"mesh": "payments"}, "service_name": "{mesh}-{service}", "resource_attributes": {"service.version": "{tag:version}"}, "tags": {"rack": {"env": "RACK", "default": "none"}}}]))]
    pub spans: Vec<SpanRule>,
    /// The requests that are not traced: those that an entry fits. They are those of sidecars, and of overlays whose routes are in the file.
    #[schemars(example = json!([{"path": "/healthz"}, {"user_agent": "ELB-HealthChecker*"}]))]
    pub untraced: Vec<Untraced>,
    /// The time without a change to a policy after which a reconciliation begins.
    #[schemars(example = &"500ms")]
    pub debounce: HumanDuration,
    /// The longest time that changes may postpone a reconciliation; at least `debounce`.
    #[schemars(example = &"10s")]
    pub debounce_max: HumanDuration,
    /// The interval of full checks, which need no event of the file system.
    #[schemars(example = &"10s")]
    pub rescan: HumanDuration,
    /// The user that owns published files. Without a value, the owner is the user of the daemon.
    #[schemars(example = &"root")]
    pub owner: Option<User>,
    /// The group of published files. Without a value, the group is that of the daemon.
    #[schemars(example = 998)]
    pub group: Option<Group>,
    /// The mode of published files, quoted. Directories have an `x` where files have an `r`.
    #[schemars(example = &"0600")]
    pub mode: FileMode,
    /// The scope of an error: what is not published until the error is fixed.
    #[schemars(example = OnError::HoldAll)]
    pub on_error: OnError,
    /// The share of the published proxies that one plan may remove or change. A plan beyond it waits for `meshtraced
    /// approve`. A single proxy may always be removed or changed.
    pub guard: Guard,
    /// The treatment of published files that somebody else edited.
    #[schemars(example = OnDrift::Heal)]
    pub drift: OnDrift,
    /// The number of published generations that are kept for `meshtraced rollback`; 0 keeps none.
    #[schemars(example = 50)]
    pub history: Integer<0>,
    /// The reloads of Envoys, for the files that an Envoy reads only at its start. The first entry that fits a proxy
    /// decides; a proxy that no entry fits is not reloaded. `{mesh}`, `{dataplane}` and `{path}` stand for the mesh,
    /// the dataplane and the directory of the proxy.
    #[schemars(example = json!([{"select": {"name": "web-*"}, "systemd": {"unit": "envoy@{dataplane}.service"}}]))]
    pub reload: Vec<Reload>,
    /// The running Envoys, and the Envoy that validates.
    pub envoy: EnvoySettings,
    /// The limits of one file of the policies; a file beyond them is an error.
    pub limits: Limits,
    /// The number of findings of one file that are shown; the rest is counted.
    #[schemars(example = 100)]
    pub findings_per_file: Integer<1>,
    /// The control socket and port of the daemon.
    pub control: Control,
    /// The properties of this machine that the way to collectors depends on.
    #[serde(skip)]
    pub machine: Machine,
    /// The attributes of this machine, if `spans` asks for them.
    #[serde(skip)]
    pub host: Host,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policies: Policies::of(["policies".into()]),
            include: None,
            exclude: Patterns::default(),
            source: Mode::default(),
            out: "envoy".into(),
            kuma: Kuma::default(),
            services: BTreeMap::new(),
            select: Vec::new(),
            shapes: Vec::new(),
            sampling: SamplingChange::default(),
            sidecar: Sidecar::default(),
            collectors: Vec::new(),
            spans: Vec::new(),
            untraced: Vec::new(),
            debounce: HumanDuration::from_millis(100),
            debounce_max: HumanDuration::from_secs(2),
            rescan: HumanDuration::from_secs(60),
            owner: None,
            group: None,
            mode: FileMode(0o640),
            on_error: OnError::HoldMesh,
            guard: Guard::default(),
            drift: OnDrift::Report,
            history: Integer::new(10),
            reload: Vec::new(),
            envoy: EnvoySettings::default(),
            limits: Limits::default(),
            findings_per_file: Integer::new(20),
            control: Control::default(),
            machine: Machine::default(),
            host: Host::default(),
        }
    }
}

/// The scope of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// An error holds the mesh that it belongs to.
    HoldMesh,
    /// An error holds every mesh.
    HoldAll,
}

/// The treatment of published files that somebody else edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnDrift {
    /// The edits are reported, and stay until the policies ask for something else in their place.
    Report,
    /// The files get their published text back.
    Heal,
}

/// The shape `sidecar`: a complete proxy from the dataplane alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sidecar {
    /// The features of a Kuma proxy that a sidecar may lack without a finding: `mtls`, `permissions`, `routes`,
    /// `patches`, `traffic` (timeouts, retries, health checks, limits, faults, load balancing) and `telemetry` (access
    /// logs, metrics). A
    /// proxy that would lack one of the first four is not published without it.
    #[schemars(example = json!(["mtls", "permissions"]))]
    pub without: BTreeSet<Feature>,
}

/// The running Envoys, and the Envoy that validates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnvoySettings {
    /// The place of the admin interface of each proxy: `pipe` for the socket file that the generated bootstrap names,
    /// `http://HOST:PORT`, `unix:/PATH`, or `none`. With `none`, pauses take the place of confirmations.
    #[schemars(example = &"http://127.0.0.1:9901")]
    pub admin: Admin,
    /// The Envoy that validates files with `--mode validate` before they are published. Without a value, none does.
    #[schemars(example = &"/usr/bin/envoy")]
    pub validate: Option<ProgramPath>,
    /// The time in which a proxy has to confirm one step of a publication.
    #[schemars(example = &"15s")]
    pub confirm_timeout: HumanDuration,
}

impl Default for EnvoySettings {
    fn default() -> Self {
        Self {
            admin: Admin::Pipe,
            validate: None,
            confirm_timeout: HumanDuration::from_secs(5),
        }
    }
}

/// The control socket and port of the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// The socket file for `meshtraced status` and other commands. Without a value, the socket is
    /// `.meshtraced/control.sock` in `out`.
    #[schemars(example = &"/run/meshtraced/control.sock")]
    pub socket: Option<PathBuf>,
    /// A port of the loopback interface that serves status and metrics. Without a value, there is none.
    #[schemars(example = &"127.0.0.1:9902")]
    pub listen: Option<LoopbackAddress>,
}

/// Options of the command line that override settings.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--policies`; empty without it.
    pub policies: Vec<PathBuf>,
    /// The directory of `--out`.
    pub out: Option<PathBuf>,
}

impl Settings {
    /// Everything that is read: the keys `policies`, `include`, `exclude` and `source`.
    #[must_use]
    pub fn sources(&self) -> Sources {
        let of_collectors = self.collectors.iter().flat_map(CollectorRule::files);
        Sources {
            roots: self.policies.roots().to_vec(),
            filter: Filter::new(self.include.clone(), self.exclude.clone()),
            mode: self.source,
            has_whole_paths: false,
            bases: self
                .shapes
                .iter()
                .flat_map(ShapeRule::bases)
                .chain(of_collectors.map(FilePath::as_base))
                .cloned()
                .collect(),
        }
    }

    /// The shapes with their rules; the last fits all proxies that no other one fits.
    pub(super) fn forms(&self) -> Vec<(Rule, Form)> {
        let form = |rule: &ShapeRule| {
            let sampling = rule.sampling.unwrap_or(self.sampling);
            (
                rule.select.clone(),
                Form {
                    sampling,
                    ..rule.form.clone()
                },
            )
        };
        let rest = Form {
            sampling: self.sampling,
            ..Form::default()
        };
        self.shapes.iter().map(form).chain([(Rule::default(), rest)]).collect()
    }

    /// The options of a compile with these settings; `known` has the meshes that each file was about when it could be
    /// read last.
    ///
    /// # Errors
    /// When the output directory has a name that Envoy's configuration cannot hold.
    pub fn options(&self, known: Arc<Contributions>, extent: Extent) -> Result<Options, SettingsError> {
        let out = std::path::absolute(&self.out).ok();
        let Some(out) = out.as_deref().and_then(Path::to_str) else {
            return Err(SettingsError::Out(self.out.clone()));
        };
        Ok(Options {
            kuma: self.kuma.clone(),
            services: self.services.clone(),
            collectors: Collectors {
                rules: self.collectors.clone(),
                machine: self.machine.clone(),
            },
            spans: Spans {
                rules: self.spans.clone(),
                untraced: self.untraced.clone(),
                host: self.host.clone(),
            },
            scope: self.select.clone(),
            reload: self.reload.iter().map(|reload| reload.select.clone()).collect(),
            shapes: self.forms(),
            env: RenderEnv {
                out: out.to_owned(),
                admin_pipe: self.envoy.admin == Admin::Pipe,
                without: self.sidecar.without.clone(),
                limits: self.limits.clone(),
            },
            known,
            extent,
        })
    }
}
