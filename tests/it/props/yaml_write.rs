//! What we write is read as the same value by us, by libyaml, by PyYAML (YAML 1.1) and by Envoy.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use meshtraced::diag::Diagnostics;
use meshtraced::source::SourceFile;
use meshtraced::yaml::Limits;
use meshtraced::yaml::read::Prepared;
use meshtraced::yaml::scalar::Plain;
use meshtraced::yaml::write::{comment, write};
use meshtraced::yaml::{self, Node};
use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

use super::nasty;
use crate::kit::tools;

fn check(value: &Value) {
    let text = write(value);
    assert_eq!(&by_us(&text), value, "by us: {text}");
    assert_eq!(&by_libyaml(&text), value, "by libyaml: {text}");
    assert!(text.ends_with('\n') && !text.contains(['\r', '\t', '\u{85}', '\u{2028}', '\u{feff}']));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn we_and_libyaml_read_what_was_written(value in nasty::value()) {
        check(&value);
    }

    #[test]
    fn a_comment_changes_nothing(text in nasty::text(), value in nasty::value()) {
        let text = format!("{}{}", comment(&text), write(&value));
        prop_assert_eq!(&by_us(&text), &value);
        prop_assert_eq!(&by_libyaml(&text), &value);
    }
}

#[test]
fn every_nasty_text_as_key_and_value() {
    for text in nasty::TEXTS {
        check(&json!(text));
        check(&json!([{*text: text}, [text], {*text: [{*text: {*text: text}}]}]));
    }
}

#[test]
fn every_character_as_key_and_value() {
    let characters = (0..=0xffff)
        .chain((0x1_0000..=0x10_ffff).step_by(97))
        .filter_map(char::from_u32);
    for block in characters.collect::<Vec<_>>().chunks(512) {
        let fields = block.iter().map(|c| (format!("{c}"), json!(format!("a{c}b{c}"))));
        check(&Value::Object(fields.collect()));
    }
}

fn by_us(text: &str) -> Value {
    let mut found = Diagnostics::default();
    let (file, limits) = (SourceFile::new("out.yaml", text), Limits::default());
    let prepared = Prepared::new(&file);
    let stream = prepared.read(&limits, &mut found);
    let found = found.into_sorted();
    assert!(found.is_empty(), "{found:?}: {text}");
    match stream.documents.as_slice() {
        [] => Value::Null,
        [document] => json_of(&document.root),
        more => panic!("{} documents: {text}", more.len()),
    }
}

fn json_of(node: &Node) -> Value {
    match &node.value {
        yaml::Value::List(items) => items.iter().map(json_of).collect(),
        yaml::Value::Map(map) => {
            let fields = map.entries.iter();
            Value::Object(fields.map(|e| (e.key.text.to_string(), json_of(&e.value))).collect())
        }
        yaml::Value::Scalar(scalar) => match scalar.plain_value() {
            Plain::Null => Value::Null,
            Plain::Bool(b) => b.into(),
            Plain::Int(n) => i64::try_from(n).map_or_else(|_| json!(u64::try_from(n).expect("64 bits")), Value::from),
            Plain::Float(n) => Value::Number(Number::from_f64(n).expect("a finite number")),
            Plain::String => scalar.text.to_string().into(),
        },
    }
}

fn by_libyaml(text: &str) -> Value {
    fn convert(value: serde_yaml::Value) -> Value {
        match value {
            serde_yaml::Value::Mapping(map) => {
                let fields = map.into_iter().map(|(key, value)| match key {
                    serde_yaml::Value::String(key) => (key, convert(value)),
                    key => panic!("a key that is no text: {key:?}"),
                });
                Value::Object(fields.collect())
            }
            serde_yaml::Value::Sequence(items) => items.into_iter().map(convert).collect(),
            serde_yaml::Value::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(n), _) => n.into(),
                (_, Some(n)) => n.into(),
                _ => n.as_f64().into(),
            },
            serde_yaml::Value::String(text) => text.into(),
            serde_yaml::Value::Bool(b) => b.into(),
            serde_yaml::Value::Null => Value::Null,
            serde_yaml::Value::Tagged(tagged) => panic!("a tag: {tagged:?}"),
        }
    }
    convert(serde_yaml::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}")))
}

/// Reads `[[text, value], ...]`, prints each text that does not give its value with both of PyYAML's parsers.
const COMPARE: &str = r#"
import json, sys, yaml

def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b

bad = 0
cases = json.load(sys.stdin)
for text, value in cases:
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        try:
            read = yaml.load(text, loader)
        except Exception as error:
            read = error
        if not same(read, value) and bad < 20:
            bad += 1
            print(ascii((loader.__name__, text, value, read)))
print(len(cases), "compared")
"#;

#[test]
fn pyyaml_reads_what_was_written() {
    let mut values = nasty::many(1_500, &nasty::value());
    values.extend(
        nasty::many(3_000, &nasty::text())
            .into_iter()
            .map(|text| json!([{ &text: text }])),
    );
    let cases: Vec<Value> = values
        .iter()
        .map(|value| json!([comment("# \u{85} a\rb") + &write(value), value]))
        .collect();
    let mut python = Command::new(tools::pyyaml_python())
        .args(["-c", COMPARE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut stdin = python.stdin.take().expect("a pipe");
    stdin
        .write_all(json!(cases).to_string().as_bytes())
        .expect("python reads");
    drop(stdin);
    let output = python.wait_with_output().expect("python ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), format!("{} compared", cases.len()));
}

#[test]
fn envoy_reads_what_was_written() {
    let texts: BTreeSet<String> = (nasty::TEXTS.iter().map(|text| (*text).to_owned()))
        .chain(nasty::many(4_000, &nasty::text()))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let keys: Map<String, Value> = (0..)
        .zip(&texts)
        .map(|(i, text)| ((*text).to_owned(), json!(i)))
        .collect();
    let nested = json!([{"on": {"<<": {"no": [[], {}, [[null, true, false, -7]]]}}, "null": [{"~": "~"}]}]);
    let names: Vec<&str> = texts
        .iter()
        .copied()
        .filter(|t| !t.is_empty() && t.len() < 100)
        .step_by(5)
        .collect();
    let floats = [0.0, 100.0, 0.1, 33.333_333, 1e-5, 1e-7, 2.5e-300, 1.0 / 3.0];
    let integers = [1, 2_147_483_647, 2_147_483_648, u32::MAX];
    let cluster = |(i, name): (usize, &&str)| {
        json!({
            "name": name,
            "type": "STATIC",
            "per_connection_buffer_limit_bytes": integers[i % integers.len()],
            "common_lb_config": {"healthy_panic_threshold": {"value": floats[i % floats.len()]}},
        })
    };
    let clusters: Vec<Value> = names.iter().enumerate().map(cluster).collect();

    let dir = tempfile::tempdir().expect("a temporary directory");
    let admin = dir.path().join("admin.sock");
    let bootstrap = json!({
        "node": {"id": "on", "cluster": "007", "metadata": {"values": texts, "keys": keys, "nested": nested}},
        "admin": {"address": {"pipe": {"path": admin}}},
        "static_resources": {"clusters": clusters},
    });
    let file = dir.path().join("bootstrap.yaml");
    fs::write(&file, comment("a \u{85}: - b\r\n") + &write(&bootstrap)).expect("a file");
    let mut envoy = Envoy::start(&file);

    let info = envoy.ask(&admin, "/server_info");
    assert_eq!(info["node"]["id"], "on");
    assert_eq!(info["node"]["cluster"], "007");
    let metadata = &info["node"]["metadata"];
    assert_eq!(metadata["nested"], nested);
    let values = metadata["values"].as_array().expect("a list");
    assert_eq!(values.len(), texts.len());
    for (i, text) in texts.iter().enumerate() {
        assert_eq!(values[i], json!(text), "as a value: {text:?}");
        assert_eq!(metadata["keys"].get(*text), Some(&json!(i)), "as a key: {text:?}");
    }
    assert_eq!(metadata["keys"].as_object().map(Map::len), Some(texts.len()));

    let dump = envoy.ask(&admin, "/config_dump");
    let of_clusters = |config: &&Value| {
        config["@type"]
            .as_str()
            .is_some_and(|t| t.ends_with("ClustersConfigDump"))
    };
    let dumped = dump["configs"].as_array().and_then(|all| all.iter().find(of_clusters));
    let dumped = dumped.expect("clusters")["static_clusters"].as_array().expect("a list");
    assert_eq!(dumped.len(), clusters.len());
    for entry in dumped {
        let found = &entry["cluster"];
        let name = found["name"].as_str().unwrap_or("");
        let i = names
            .iter()
            .position(|n| *n == name)
            .unwrap_or_else(|| panic!("not ours: {name:?}"));
        assert_eq!(
            found["per_connection_buffer_limit_bytes"],
            integers[i % integers.len()],
            "{name:?}"
        );
        let percent = found["common_lb_config"]["healthy_panic_threshold"]["value"]
            .as_f64()
            .unwrap_or(0.0);
        let expected = floats[i % floats.len()];
        // The test's own reader of JSON may miss the last bit.
        assert!(
            (percent - expected).abs() <= expected * f64::EPSILON,
            "{percent} for {expected}"
        );
    }
}

/// A running Envoy; killed when dropped.
struct Envoy(Child);

impl Envoy {
    fn start(bootstrap: &Path) -> Self {
        let mut command = Command::new(tools::envoy());
        command.arg("-c").arg(bootstrap);
        command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]);
        Self(command.spawn().expect("Envoy runs"))
    }

    /// Asks the admin interface as soon as it is there.
    fn ask(&mut self, admin: &Path, path: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut stream = loop {
            match UnixStream::connect(admin) {
                Ok(stream) => break stream,
                Err(e) => {
                    let ended = self.0.try_wait().expect("a child");
                    assert!(ended.is_none(), "Envoy refused the bootstrap: {ended:?}");
                    assert!(Instant::now() < deadline, "no admin: {e}");
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        };
        write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a header") + 4;
        let body = unchunk(&answer[head..]);
        serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The body of an answer with `transfer-encoding: chunked`.
fn unchunk(mut chunked: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunked
            .windows(2)
            .position(|w| w == b"\r\n")
            .expect("the size of a chunk");
        let size = std::str::from_utf8(&chunked[..end]).ok();
        let size = size
            .and_then(|s| usize::from_str_radix(s, 16).ok())
            .expect("the size of a chunk");
        if size == 0 {
            return body;
        }
        body.extend(&chunked[end + 2..end + 2 + size]);
        chunked = &chunked[end + 2 + size + 2..];
    }
}
