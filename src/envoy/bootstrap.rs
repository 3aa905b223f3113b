//! `bootstrap.yaml`: the bootstrap of a proxy that reads listeners and clusters from `xds/`.

use serde_json::{Map, Value, json};

use super::artifact::{Artifact, ProxyKey};
use super::env::RenderEnv;
use crate::diag::{Code, Diagnostic};
use crate::ir::Proxy;
use crate::yaml::write;

/// File name of the admin socket in the directory of a proxy.
pub const ADMIN_SOCKET: &str = "admin.sock";

/// The mode of the admin socket. The daemon often runs as another user of Envoy's group, and
/// needs write permission to connect.
const ADMIN_SOCKET_MODE: u32 = 0o660;

/// The longest path of a socket file on Linux, in bytes.
const SOCKET_PATH_LIMIT: usize = 107;

/// The directory of a proxy.
fn directory(key: &ProxyKey, env: &RenderEnv) -> String {
    format!("{}/{}", env.out.trim_end_matches('/'), key.directory())
}

/// The path of the admin socket; `None`, with a finding, if it is too long.
pub(super) fn check(proxy: &Proxy, key: &ProxyKey, env: &RenderEnv, findings: &mut Vec<Diagnostic>) -> Option<String> {
    let socket = format!("{}/{ADMIN_SOCKET}", directory(key, env));
    if !env.admin_pipe || socket.len() <= SOCKET_PATH_LIMIT {
        return env.admin_pipe.then_some(socket);
    }
    let message = format!(
        "the path of this proxy's admin socket would have {} bytes, more than the limit of {SOCKET_PATH_LIMIT}, so the proxy gets no admin socket",
        socket.len()
    );
    let finding = Diagnostic::warning(Code::AdminPathTooLong, &proxy.at, message);
    findings.push(finding.help("choose a shorter output directory (`--out`)"));
    None
}

pub(super) fn render(proxy: &Proxy, key: &ProxyKey, env: &RenderEnv, findings: &mut Vec<Diagnostic>) -> String {
    let directory = directory(key, env);
    let mut bootstrap = Map::new();
    let mut set = |key: &str, value: Value| bootstrap.insert(key.to_owned(), value);
    // Envoy requires both for configuration from files.
    set(
        "node",
        json!({"id": format!("{}.{}", proxy.mesh, proxy.name), "cluster": proxy.service}),
    );
    if let Some(socket) = check(proxy, key, env, findings) {
        let pipe = json!({"path": socket, "mode": ADMIN_SOCKET_MODE});
        set("admin", json!({"address": {"pipe": pipe}}));
    }
    let source = |artifact: Artifact| {
        json!({
            "resource_api_version": "V3",
            "path_config_source": {"path": format!("{directory}/{}", artifact.path())},
        })
    };
    let sources = json!({"cds_config": source(Artifact::Cds), "lds_config": source(Artifact::Lds)});
    set("dynamic_resources", sources);
    write::write(&Value::Object(bootstrap))
}
