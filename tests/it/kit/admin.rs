//! Stand-ins for the admin interfaces of Envoys: those that behave, and those that do not.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use meshtraced::envoy::xds;

/// Answers as an Envoy does that takes whatever lies in `xds` of its directory.
///
/// It takes it only when it was asked so many times, as one that has much to do.
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
        // Who asked may have gone.
        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    });
}

/// Takes connections and says nothing, as a stopped process; [`Silent::speak`] makes it a willing one.
pub(crate) struct Silent(UnixListener);

impl Silent {
    pub(crate) fn listen(directory: &Path) -> Self {
        Self(listen(directory))
    }

    pub(crate) fn speak(self, directory: &Path) {
        // Whoever waits for an answer finds that its connection ends.
        drop(self.0);
        fs::remove_file(directory.join("admin.sock")).expect("ours");
        willing(directory, 0);
    }
}

/// Says this to every question, and then so on for ever, or until nobody listens any more.
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

/// Says this to every question and hangs up.
pub(crate) fn curt(directory: &Path, words: &'static [u8]) {
    serve(listen(directory), move |mut stream| drop(stream.write_all(words)));
}

fn listen(directory: &Path) -> UnixListener {
    UnixListener::bind(directory.join("admin.sock")).expect("nobody listens there")
}

/// Calls `answer` for every connection on which a whole question came. Ends with the tests.
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
