//! The tracing of each listener as files for templates, and `examples/template`, which uses them with Ansible.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::kit::collector::Collector;
use crate::kit::envoy::Envoy;
use crate::kit::example::{Example, untraced};
use crate::kit::http::get;
use crate::kit::process::Process;
use crate::kit::program::{meshtraced, said};
use crate::kit::{tools, wait};

/// Entries of all kinds: with and without addresses of their own, in both versions, some of which speak no HTTP.
const POLICIES: &str = "
type: Mesh
name: default
tracing: {defaultBackend: z, backends: [{name: z, type: zipkin, conf: {url: http://127.0.0.1:9411/api/v2/spans}}]}
---
type: TrafficTrace
mesh: default
name: all
selectors: [{match: {kuma.io/service: '*'}}]
---
type: Dataplane
mesh: default
name: web-01
networking:
  address: 127.0.0.1
  inbound:
  - {port: 8080, tags: {kuma.io/service: web, kuma.io/protocol: http}}
  - {port: 8080, address: 127.0.0.2, tags: {kuma.io/service: web, kuma.io/protocol: grpc}}
  - {port: 8081, address: '::1', tags: {kuma.io/service: api, kuma.io/protocol: http2}}
  - {port: 5432, tags: {kuma.io/service: db, kuma.io/protocol: tcp}}
  outbound:
  - {port: 10001, tags: {kuma.io/service: api}}
  - {port: 10002, tags: {kuma.io/service: db}}
";

/// Policies, and settings by which all proxies have the shape of a fragment.
struct Scene(TempDir);

impl Scene {
    fn new(policies: &str) -> Self {
        let scene = Self(tempfile::tempdir().expect("a temporary directory"));
        fs::create_dir(scene.0.path().join("policies")).expect("a directory");
        let settings = "shapes:\n- fragment: {}\nenvoy: {validate: ENVOY}\n";
        let envoy = tools::envoy().display().to_string();
        fs::write(scene.0.path().join("settings.yaml"), settings.replace("ENVOY", &envoy)).expect("settings");
        scene.write(policies);
        scene
    }

    fn write(&self, policies: &str) {
        fs::write(self.0.path().join("policies/mesh.yaml"), policies).expect("policies");
    }

    #[track_caller]
    fn publish(&self, policies: &str) {
        self.write(policies);
        let output = meshtraced(self.0.path(), &["run", "--once", "--config", "settings.yaml"]);
        let (code, said) = said(&output);
        assert_eq!(code, Some(0), "{said}");
    }

    fn tracing(&self) -> PathBuf {
        self.0.path().join("envoy/default/web-01/tracing")
    }

    /// The names of the blocks, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.tracing()).expect("a directory").flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn block(&self, name: &str) -> String {
        fs::read_to_string(self.tracing().join(name)).expect("a block")
    }
}

#[test]
fn each_listener_with_a_connection_manager_has_a_block_named_after_its_entry() {
    let scene = Scene::new(POLICIES);
    scene.publish(POLICIES);
    let all = [
        "inbound-%3a%3a1-8081.yaml",
        "inbound-127.0.0.2-8080.yaml",
        "inbound-8080.yaml",
        "outbound-10001.yaml",
    ];
    assert_eq!(scene.names(), all);
    let block: Value = serde_yaml::from_str(&scene.block(all[0])).expect("YAML");
    let provider = &block["tracing"]["provider"]["name"];
    assert_eq!(provider, "envoy.tracers.zipkin", "{block}");

    // An entry that speaks no HTTP any more; a file of somebody else stays.
    fs::write(scene.tracing().join("inbound-9.yaml"), "mine").expect("a file");
    scene.publish(&POLICIES.replace("protocol: grpc", "protocol: tcp"));
    assert_eq!(scene.names(), [all[0], all[2], "inbound-9.yaml", all[3]]);
    fs::remove_file(scene.tracing().join("inbound-9.yaml")).expect("mine");

    // Without a policy, the field stands there unset.
    scene.publish(&untraced(POLICIES));
    assert_eq!(scene.names(), all);
    assert_eq!(scene.block(all[2]), "tracing: null\n");

    // All goes with the dataplane.
    scene.publish(POLICIES.split("---\ntype: Dataplane").next().expect("policies"));
    assert!(!scene.0.path().join("envoy/default").exists());
}

/// The example with its templates.
fn example(collector: SocketAddr) -> Example {
    let example = Example::of("template", collector);
    let here = example.dir.path().display().to_string();
    for name in [
        "meshtraced.yaml",
        "site.yml",
        "envoy.yaml.j2",
        "cds.yaml.j2",
        "lds.yaml.j2",
    ] {
        let text = example.text_here(name).replace("/tmp/template", &here);
        fs::write(example.path(name), text.replace("examples/template", &here)).expect("a file");
    }
    // As it is in the path of somebody who has Ansible.
    let playbook = format!(
        "#!/bin/sh\nexec {} -m ansible playbook \"$@\"\n",
        tools::ansible_python().display()
    );
    fs::create_dir(example.path("bin")).expect("a directory");
    fs::write(example.path("bin/ansible-playbook"), playbook).expect("a script");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(example.path("bin/ansible-playbook"), mode).expect("ours");
    example
}

impl Example {
    /// A program in the directory of the example, with Ansible in its path.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("ANSIBLE_HOME", self.path("ansible"))
            .env("HOME", self.dir.path())
            .args(args);
        command
    }

    #[track_caller]
    fn runs(&self, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) {
        let output = self.command(program, args).output().expect("the program starts");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{}", said.concat());
    }

    fn listeners(&self) -> String {
        fs::read_to_string(self.path("envoy/lds.yaml")).expect("listeners")
    }
}

#[test]
fn the_templates_of_the_example_follow_the_policies() {
    let [first, second] = [Collector::start(), Collector::start()];
    let example = example(first.address());
    let program = env!("CARGO_BIN_EXE_meshtraced");
    example.runs(program, &["-c", "meshtraced.yaml", "run", "--once"]);
    example.runs("ansible-playbook", &["site.yml"]);
    let _envoy = Envoy::start(&example.path("envoy/envoy.yaml"));
    let is_served = || {
        let answer = get(format!("http://{}/", example.web)).send();
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    let spans_come_to = |collector: &Collector| {
        wait::until("a span", || {
            is_served();
            if collector.reports().is_empty() {
                Err("none".to_owned())
            } else {
                Ok(())
            }
        });
    };
    spans_come_to(&first);

    let daemon = example.command(program, &["-c", "meshtraced.yaml", "run"]);
    let daemon = Process::spawn(daemon, example.path("daemon.log"));
    example.write_policies(&example.policies(second.address()));
    spans_come_to(&second);

    // Without a policy, the template is valid as it is.
    example.write_policies(&untraced(&example.policies(second.address())));
    wait::until("no tracing", || {
        let listeners = example.listeners();
        if listeners.contains("tracing: null") {
            Ok(())
        } else {
            Err(listeners)
        }
    });
    is_served();
    // The playbook may have more to do after it wrote the file.
    wait::until("the reload is told", || {
        let said = daemon.log();
        let is_told = said.contains("reloaded default/web-01: ansible-playbook ");
        is_told.then_some(()).ok_or(said)
    });
}
