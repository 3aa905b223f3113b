//! Simulated admin interfaces of Envoys, well-behaved and faulty.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use meshtraced::envoy::xds;

/// Simulates an Envoy that acks every file in `xds` of its directory.
///
/// The ack comes only after `after` questions, as from a busy Envoy.
pub(crate) fn willing(directory: &Path, after: usize) {
    let listener = listen(directory);
    let xds = directory.join("xds");
    let version = move |file: &str| {
        let text = fs::read_to_string(xds.join(file)).expect("published");
        xds::version(&text).expect("ours")
    };
    let first = [version("cds.yaml"), version("lds.yaml")];
    let asked = AtomicUsize::new(0);
    serve(listener, move |mut stream| {
        let [cds, lds] = if asked.fetch_add(1, Ordering::SeqCst) < after {
            first.clone()
        } else {
            [version("cds.yaml"), version("lds.yaml")]
        };
        let body = format!(
            "cluster_manager.cds.version_text: \"{cds}\"\ncluster_manager.cds.update_success: 1\n\
             listener_manager.lds.version_text: \"{lds}\"\nlistener_manager.lds.update_success: 1\n"
        );
        let length = body.len();
        // The client may have closed the connection.
        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    });
}

/// An admin interface that accepts connections and does not answer, like a stopped process, until [`Silent::speak`].
pub(crate) struct Silent(UnixListener);

impl Silent {
    pub(crate) fn listen(directory: &Path) -> Self {
        Self(listen(directory))
    }

    pub(crate) fn speak(self, directory: &Path) {
        // Clients that wait for an answer see the end of the connection.
        drop(self.0);
        fs::remove_file(directory.join("admin.sock")).expect("ours");
        willing(directory, 0);
    }
}

/// Answers every request with `words`, then with `on_and_on` until the client closes the connection.
pub(crate) fn babbling(directory: &Path, words: &'static [u8], on_and_on: &'static [u8], pause: Duration) {
    serve(listen(directory), move |mut stream| {
        thread::spawn(move || {
            let mut more = stream.write_all(words).is_ok();
            while more {
                thread::sleep(pause);
                more = stream.write_all(on_and_on).is_ok();
            }
        });
    });
}

/// Answers every request with `words` and closes the connection.
pub(crate) fn curt(directory: &Path, words: &'static [u8]) {
    serve(listen(directory), move |mut stream| drop(stream.write_all(words)));
}

fn listen(directory: &Path) -> UnixListener {
    UnixListener::bind(directory.join("admin.sock")).expect("nobody listens there")
}

/// Calls `answer` for every connection with a complete request. Ends with the tests.
fn serve(listener: UnixListener, answer: impl Fn(UnixStream) + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            answer(stream);
        }
    });
}
