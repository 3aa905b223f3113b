//! What a change does to open connections, as `diff` says it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::Vm;
use crate::kit::app::App;
use crate::kit::mesh::Backend;
use crate::kit::{tools, wait};

/// A connection of HTTP/1.1 that is used again and again.
struct KeptAlive(TcpStream);

impl KeptAlive {
    fn to(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).expect("a listener"))
    }

    /// Sends a request and reads its response; false once the connection is closed, or said to be closed now.
    fn serves(&mut self) -> bool {
        let request = b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";
        if self.0.write_all(request).is_err() {
            return false;
        }
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return false,
            }
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.and_then(|length| length.parse().ok()).expect("a length")];
        self.0.read_exact(&mut body).is_ok() && !head.contains("connection: close")
    }
}

#[test]
fn a_change_of_clusters_touches_no_connection_and_one_of_listeners_drains_them() {
    for release in tools::releases() {
        let vm = Vm::start(&Backend::nowhere(1));
        let _envoy = vm.envoy(release);
        let mut inbound = KeptAlive::to(vm.inbounds[0]);
        assert!(inbound.serves());

        // Another instance of the service that the proxy calls: its cluster alone changes.
        let another = App::named("another").start();
        let at = another.address();
        vm.mesh.write(
            "another.yaml",
            &format!(
                "type: Dataplane\nmesh: default\nname: remote-02\nnetworking:\n  address: {}\n  inbound:\n  - {{port: {}, servicePort: 1, tags: {{kuma.io/service: remote, kuma.io/protocol: http}}}}\n",
                at.ip(),
                at.port(),
            ),
        );
        let said = vm.diff();
        assert!(
            said.contains("vm-01") && said.contains("no connection is touched"),
            "{said}"
        );
        let (code, said) = vm.mesh.run_once();
        assert_eq!(code, Some(0), "{said}");
        for _ in 0..20 {
            assert!(inbound.serves());
        }

        // Another collector: the listeners change. Here Envoy drains for a second.
        vm.mesh.send_to(&[Backend::nowhere(2)]);
        vm.mesh.write("more.yaml", "type: Mesh\nname: other\n");
        let text = vm.mesh.read("mesh.yaml").replace("sampling: 100", "sampling: 50");
        vm.mesh.write("mesh.yaml", &text);
        let said = vm.diff();
        assert!(said.contains("new connections only; old ones drain"), "{said}");
        let (code, said) = vm.mesh.run_once();
        assert_eq!(code, Some(0), "{said}");
        wait::until("the connection is closed", || {
            if inbound.serves() {
                Err("it serves".to_owned())
            } else {
                Ok(())
            }
        });
        assert!(KeptAlive::to(vm.inbounds[0]).serves());
    }
}
