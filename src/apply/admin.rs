//! What Envoy says to new files, asked on its admin interface.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use super::{Target, Word};
use crate::envoy::artifact::ProxyKey;
use crate::settings::Admin;

/// Pause between steps where nobody can be asked; a reload takes milliseconds.
const PAUSE: Duration = Duration::from_secs(1);

/// Pause between two questions.
const POLL: Duration = Duration::from_millis(5);

/// Longest answer that is read, in bytes.
const ANSWER_LIMIT: u64 = 64 << 20;

/// What a proxy is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Clusters,
    Listeners,
}

impl Step {
    /// The prefix of the statistics that count it.
    fn prefix(self) -> &'static str {
        match self {
            Self::Clusters => "cluster_manager.cds",
            Self::Listeners => "listener_manager.lds",
        }
    }
}

/// Asks one proxy.
pub(super) struct Client {
    admin: Admin,
    timeout: Duration,
    /// How many updates had been refused before this step; `None` when nobody answers.
    refused_before: Option<u64>,
}

impl Client {
    pub(super) fn of(proxy: &ProxyKey, target: &Target) -> Self {
        let admin = match &target.admin {
            Admin::Pipe => Admin::Unix(target.directory(proxy).join(crate::envoy::ADMIN_SOCKET)),
            other => other.clone(),
        };
        Self {
            admin,
            timeout: target.confirm_timeout,
            refused_before: None,
        }
    }

    /// Notes how things stand before a step.
    pub(super) fn before(&mut self, step: Step) {
        self.refused_before = self.state(step).ok().map(|state| state.refused);
    }

    /// Waits until the proxy has taken `version`, has refused it, or time is up.
    pub(super) fn wait(&self, step: Step, version: &str) -> Word {
        if self.admin == Admin::None {
            thread::sleep(PAUSE);
            return Word::Unknown;
        }
        let Some(refused_before) = self.refused_before else {
            return Word::NotRunning;
        };
        let end = Instant::now() + self.timeout;
        loop {
            match self.state(step) {
                Ok(state) if state.version == version => return Word::Confirmed,
                Ok(state) if state.refused > refused_before => return Word::Rejected(self.reason(step)),
                Ok(_) => {}
                // It answered before this step: it stopped in between.
                Err(_) if Instant::now() >= end => return Word::NotRunning,
                Err(_) => {}
            }
            if Instant::now() >= end {
                return Word::Unknown;
            }
            thread::sleep(POLL);
        }
    }

    fn state(&self, step: Step) -> io::Result<State> {
        let prefix = step.prefix();
        let stats = self.get(&format!(
            "/stats?filter=^{prefix}\\.(version_text|update_rejected|update_failure)$"
        ))?;
        let value = |name: &str| {
            let mut lines = stats
                .lines()
                .filter_map(|line| line.strip_prefix(prefix)?.strip_prefix('.')?.split_once(": "));
            lines
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        };
        let number = |name: &str| value(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        Ok(State {
            version: value("version_text").unwrap_or_default(),
            refused: number("update_rejected") + number("update_failure"),
        })
    }

    /// Envoy's own words for its latest refusal.
    fn reason(&self, step: Step) -> String {
        let resource = match step {
            Step::Clusters => "dynamic_active_clusters",
            Step::Listeners => "dynamic_listeners",
        };
        let unknown = "an update was refused; its log says why".to_owned();
        let Ok(dump) = self.get(&format!("/config_dump?resource={resource}")) else {
            return unknown;
        };
        let Ok(dump) = serde_json::from_str::<serde_json::Value>(&dump) else {
            return unknown;
        };
        let configs = dump["configs"].as_array().into_iter().flatten();
        let mut details: Vec<&str> = configs
            .filter_map(|config| config["error_state"]["details"].as_str())
            .collect();
        details.sort_unstable();
        details.dedup();
        if details.is_empty() {
            unknown
        } else {
            details.join("; ")
        }
    }

    /// The body of an answer with status 200.
    fn get(&self, path: &str) -> io::Result<String> {
        let limit = Some(self.timeout.max(POLL));
        let request = format!("GET {path} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        match &self.admin {
            Admin::Unix(path) => {
                let mut stream = UnixStream::connect(path)?;
                stream.set_read_timeout(limit)?;
                stream.set_write_timeout(limit)?;
                stream.write_all(request.as_bytes())?;
                stream.take(ANSWER_LIMIT).read_to_end(&mut answer)?;
            }
            Admin::Http(address) => {
                let mut stream = TcpStream::connect(address)?;
                stream.set_read_timeout(limit)?;
                stream.set_write_timeout(limit)?;
                stream.write_all(request.as_bytes())?;
                stream.take(ANSWER_LIMIT).read_to_end(&mut answer)?;
            }
            Admin::Pipe | Admin::None => return Err(io::ErrorKind::NotConnected.into()),
        }
        body(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// How a proxy stands to one kind of update.
struct State {
    /// The version it took last.
    version: String,
    /// How many updates it refused or could not read.
    refused: u64,
}

/// The body of a whole HTTP/1.1 answer with status 200, chunked or not.
fn body(answer: &[u8]) -> Option<String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = response.parse(answer).ok()? else {
        return None;
    };
    if response.code != Some(200) {
        return None;
    }
    let is_chunked = response.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("transfer-encoding") && header.value.eq_ignore_ascii_case(b"chunked")
    });
    let mut rest = &answer[start..];
    let mut bytes = Vec::new();
    if is_chunked {
        while let httparse::Status::Complete((line, size @ 1..)) = httparse::parse_chunk_size(rest).ok()? {
            let end = line.checked_add(usize::try_from(size).ok()?)?;
            bytes.extend_from_slice(rest.get(line..end)?);
            rest = rest.get(end + 2..)?;
        }
    } else {
        bytes.extend_from_slice(rest);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_plain_and_in_chunks() {
        assert_eq!(
            body(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab").as_deref(),
            Some("ab")
        );
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n";
        assert_eq!(body(chunked).as_deref(), Some("abc"));
    }

    #[test]
    fn other_answers_are_none() {
        for answer in [
            &b"HTTP/1.1 503 x\r\n\r\n"[..],
            b"garbage",
            b"",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\na",
        ] {
            assert_eq!(body(answer), None);
        }
    }
}
