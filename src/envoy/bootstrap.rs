//! `bootstrap.yaml`: the bootstrap of a proxy that reads listeners and clusters from `xds/`.

use serde::Serialize;
use serde_json::{Value, json};

use super::artifact::{Artifact, ProxyKey};
use super::env::RenderEnv;
use super::shape::{SamplingChange, Shaped};
use super::xds;
use crate::diag::{Code, Diagnostic};
use crate::yaml::write;

/// File name of the admin socket in the directory of a proxy.
pub const ADMIN_SOCKET: &str = "admin.sock";

/// The mode of the admin socket. The daemon often runs as another user of Envoy's group, and
/// needs write permission to connect.
const ADMIN_SOCKET_MODE: u32 = 0o660;

/// The longest path of a socket file on Linux, in bytes.
const SOCKET_PATH_LIMIT: usize = 107;

/// The directory of a proxy, as this machine sees it.
fn directory(key: &ProxyKey, env: &RenderEnv) -> String {
    format!("{}/{}", env.out.trim_end_matches('/'), key.directory())
}

/// The path of the admin socket, as Envoy sees it; `None`, with a finding, if it is too long, here or there.
pub(super) fn check(shaped: &Shaped, env: &RenderEnv, findings: &mut Vec<Diagnostic>) -> Option<String> {
    let here = directory(&shaped.proxy.key, env);
    let [here, there] = [&here, shaped.seen_as.as_ref().unwrap_or(&here)].map(|path| format!("{path}/{ADMIN_SOCKET}"));
    let length = here.len().max(there.len());
    if !env.admin_pipe || length <= SOCKET_PATH_LIMIT {
        return env.admin_pipe.then_some(there);
    }
    let message = format!(
        "the path of this proxy's admin socket would have {length} bytes, more than the limit of {SOCKET_PATH_LIMIT}, so the proxy gets no admin socket",
    );
    let finding = Diagnostic::warning(Code::AdminPathTooLong, &shaped.proxy.at, message);
    findings.push(finding.help("choose a shorter output directory (`--out`)"));
    None
}

/// The message of a bootstrap.
#[derive(Serialize)]
struct Bootstrap<'a> {
    node: Node<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<Admin>,
    dynamic_resources: DynamicResources,
    #[serde(skip_serializing_if = "Option::is_none")]
    layered_runtime: Option<Value>,
}

/// Envoy requires both for configuration from files.
#[derive(Serialize)]
struct Node<'a> {
    id: String,
    cluster: &'a str,
}

#[derive(Serialize)]
struct Admin {
    address: Address,
}

#[derive(Serialize)]
struct Address {
    pipe: Pipe,
}

#[derive(Serialize)]
struct Pipe {
    path: String,
    mode: u32,
}

#[derive(Serialize)]
struct DynamicResources {
    cds_config: ConfigSource,
    lds_config: ConfigSource,
}

#[derive(Serialize)]
struct ConfigSource {
    resource_api_version: &'static str,
    path_config_source: PathConfigSource,
}

#[derive(Serialize)]
struct PathConfigSource {
    path: String,
}

/// The place of a file, as Envoy sees it.
fn source(shaped: &Shaped, env: &RenderEnv, artifact: Artifact) -> ConfigSource {
    let path = match (shaped.elsewhere.get(&artifact), &shaped.seen_as) {
        (Some(path), _) => path.display().to_string(),
        (None, Some(directory)) => format!("{directory}/{}", artifact.path()),
        (None, None) => format!("{}/{}", directory(&shaped.proxy.key, env), artifact.path()),
    };
    ConfigSource {
        resource_api_version: "V3",
        path_config_source: PathConfigSource { path },
    }
}

/// The layer of Envoy's runtime that has the sampling.
pub(super) fn runtime_layer(shaped: &Shaped, env: &RenderEnv) -> Value {
    let source = source(shaped, env, Artifact::Rtds);
    json!({"name": xds::RUNTIME, "rtds_layer": {"name": xds::RUNTIME, "rtds_config": source}})
}

pub(super) fn render(out: &mut String, shaped: &Shaped, env: &RenderEnv, findings: &mut Vec<Diagnostic>) {
    let proxy = &*shaped.proxy;
    let admin = check(shaped, env, findings).map(|path| {
        let mode = ADMIN_SOCKET_MODE;
        let pipe = Pipe { path, mode };
        let address = Address { pipe };
        Admin { address }
    });
    let source = |artifact| source(shaped, env, artifact);
    let bootstrap = Bootstrap {
        node: Node {
            id: format!("{}.{}", proxy.key.mesh, proxy.key.dataplane),
            cluster: &proxy.node_cluster,
        },
        admin,
        dynamic_resources: DynamicResources {
            cds_config: source(Artifact::Cds),
            lds_config: source(Artifact::Lds),
        },
        layered_runtime: (shaped.sampling == SamplingChange::Hitless)
            .then(|| json!({"layers": [runtime_layer(shaped, env), {"name": "admin", "admin_layer": {}}]})),
    };
    write::append(out, &bootstrap);
}
