//! The tracing that a `TrafficTrace` asks for, as the `default` of a `MeshTrace`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::existing;
use super::field::{self, share};
use crate::resource::kinds::mesh::{Backend, BackendConf, Mesh};
use crate::resource::value::collector_url;
use crate::select::mesh_trace::Merged;

/// The number of a content in its list.
pub(super) type ContentId = usize;

/// The content that switches tracing off.
pub(super) const OFF: ContentId = 0;

/// The different contents of the policies of one mesh.
#[derive(Debug)]
pub(super) struct Contents {
    all: Vec<Content>,
    /// The content of each backend of the mesh, by its position.
    of_backends: Vec<ContentId>,
    /// Whether the `Mesh` asks to verify the certificates of all of its collectors.
    pub(super) is_verified: bool,
}

/// The tracing that a policy asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    /// The entry of `backends`; `None` for no tracing, or with the reason why a `MeshTrace` cannot have it.
    pub(super) backend: Option<Result<Value, String>>,
    /// The entries of `sampling`, each an integer or a decimal in text.
    pub(super) sampling: BTreeMap<&'static str, Value>,
    /// The entry `tags`; `None` without one.
    pub(super) tags: Option<Value>,
}

impl Contents {
    /// The contents of the backends of a mesh.
    pub(super) fn of(mesh: Option<&Mesh>) -> Self {
        let mut contents = Self {
            all: vec![Content {
                backend: None,
                sampling: BTreeMap::new(),
                tags: None,
            }],
            of_backends: Vec::new(),
            is_verified: mesh.is_some_and(|mesh| mesh.header.verify_collector.is_some()),
        };
        for backend in mesh.map_or(&[][..], |mesh| &mesh.backends) {
            let id = contents.add(content(backend));
            contents.of_backends.push(id);
        }
        contents
    }

    /// The number of a content, which is the same for equal ones. The cost grows with the number of contents, which are few.
    fn add(&mut self, content: Content) -> ContentId {
        let known = self.all.iter().position(|known| *known == content);
        known.unwrap_or_else(|| {
            self.all.push(content);
            self.all.len() - 1
        })
    }

    /// The content of merged `MeshTrace` policies, with every field that a weaker policy could set.
    pub(super) fn add_merged(&mut self, merged: &Merged) -> ContentId {
        let shares = existing::shares(&merged.sampling).into_iter();
        self.add(Content {
            backend: merged.backend().map(|backend| Ok(existing::backend(backend))),
            sampling: shares
                .map(|(key, written)| (key, written.unwrap_or_else(|| json!(100))))
                .collect(),
            tags: Some(existing::tags(merged.tags())),
        })
    }

    pub(super) fn get(&self, id: ContentId) -> &Content {
        &self.all[id]
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ContentId> + use<> {
        0..self.all.len()
    }

    /// The content of a backend of the mesh; that of no tracing without one.
    pub(super) fn of_backend(&self, position: Option<usize>) -> ContentId {
        position
            .and_then(|position| self.of_backends.get(position))
            .map_or(OFF, |id| *id)
    }
}

fn content(backend: &Backend) -> Content {
    let written = match &backend.conf {
        BackendConf::Zipkin(conf) => {
            let flags = [conf.trace_id_128bit.as_ref(), conf.shared_span_context.as_ref()];
            zipkin_url(&conf.written).map(|url| field::zipkin(&url, conf.api_version.as_ref(), flags))
        }
        BackendConf::Datadog(conf) => {
            agent_url(&conf.address.value, conf.port.value).map(|url| field::datadog(&url, conf.split_service.as_ref()))
        }
    };
    Content {
        backend: Some(written),
        sampling: backend
            .sampling
            .iter()
            .map(|sampling| ("overall", share(sampling.value)))
            .collect(),
        tags: None,
    }
}

/// The URL of a Zipkin collector as a `MeshTrace` accepts it, with the same meaning.
///
/// # Errors
/// The reason why there is none.
fn zipkin_url(written: &str) -> Result<String, String> {
    let rest = written.split_once("://").map_or("", |(_, rest)| rest);
    // To a control plane, every scheme but https means plain text.
    let is_tls = collector_url::parse(written).is_ok_and(|url| url.tls);
    let url = format!("{}://{rest}", if is_tls { "https" } else { "http" });
    match (collector_url::parse(written), collector_url::parse_http(&url)) {
        (Ok(before), Ok(after)) if before == after => Ok(url),
        (_, Err(why)) => Err(format!("the URL `{written}` {why}")),
        _ => Err(format!("a MeshTrace cannot have the URL `{written}`")),
    }
}

/// The URL of a Datadog agent.
///
/// # Errors
/// The reason why there is none.
fn agent_url(address: &str, port: u16) -> Result<String, String> {
    let host = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    };
    let url = format!("http://{host}:{port}");
    let is_same = collector_url::parse_agent(&url).is_ok_and(|url| url.host == address && url.port == port);
    match is_same {
        true => Ok(url),
        false => Err(format!(
            "the address `{address}` of the Datadog agent is no host of a URL"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_their_meaning() {
        let check = |written: &str, expected: Option<&str>| {
            assert_eq!(zipkin_url(written).ok().as_deref(), expected, "{written}");
        };
        check("http://z:9411/a?b#c", Some("http://z:9411/a?b#c"));
        check("HTTPS://z:9411/a", Some("https://z:9411/a"));
        check("ftp://z:9411/a", Some("http://z:9411/a"));
        check("http://[fd00::1]:9411/a", Some("http://[fd00::1]:9411/a"));
        check("http://a*b:9411/a", None);
        assert_eq!(agent_url("fd00::1", 8126).as_deref(), Ok("http://[fd00::1]:8126"));
        assert_eq!(agent_url("agent", 8126).as_deref(), Ok("http://agent:8126"));
        assert!(agent_url("http://agent", 8126).is_err());
    }
}
