//! An HTTP client for one request over a socket with a deadline, as the admin interface of Envoy and the control
//! socket need it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// The longest answer that is read, in bytes, unless the caller expects a longer one.
const MAX_BODY: u64 = 16 << 20;

const TOO_LONG: &str = "the answer is too long";

/// A connection with a deadline.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    deadline: Instant,
    max_body: u64,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code: 200 for success.
    pub status: u16,
    /// The body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connection {
    /// A connection to a socket file.
    ///
    /// # Errors
    /// When nobody listens there, or it cannot be reached.
    pub fn unix(path: &Path, deadline: Instant) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        // A stopped process accepts nothing: when its queue is full, connecting would wait for ever.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &address)?;
        let stream = UnixStream::from(socket);
        stream.set_nonblocking(false)?;
        Ok(Self {
            stream: Stream::Unix(stream),
            deadline,
            max_body: MAX_BODY,
        })
    }

    /// A connection to `host:port`.
    ///
    /// # Errors
    /// When nobody listens there in time, or the name has no address.
    pub fn tcp(address: &str, deadline: Instant) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, remaining(deadline)?) {
                Ok(stream) => {
                    return Ok(Self {
                        stream: Stream::Tcp(stream),
                        deadline,
                        max_body: MAX_BODY,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The connection with another limit on the answer, in bytes.
    #[must_use]
    pub fn up_to(self, max_body: u64) -> Self {
        Self { max_body, ..self }
    }

    /// The body of the answer to a `GET`.
    ///
    /// # Errors
    /// When there is none in time, it is garbled, or its status is another than 200.
    pub fn get(self, path: &str) -> io::Result<String> {
        let response = self.send("GET", path, "")?;
        match response.status {
            200 => Ok(response.body),
            status => Err(garbled(&format!("the answer has status {status}"))),
        }
    }

    /// The answer to one request.
    ///
    /// # Errors
    /// When there is none in time, or it is garbled.
    pub fn send(mut self, method: &str, path: &str, body: &str) -> io::Result<Response> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.write_all(request.as_bytes())?;
        let max_body = self.max_body;
        response(BufReader::new(self), max_body)
    }
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(left)
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = Some(remaining(self.deadline)?);
        match &mut self.stream {
            Stream::Unix(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(buffer)),
            Stream::Tcp(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(buffer)),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = Some(remaining(self.deadline)?);
        match &mut self.stream {
            Stream::Unix(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(bytes)),
            Stream::Tcp(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads an answer of HTTP/1.1 to its end.
fn response(mut reader: impl BufRead, max_body: u64) -> io::Result<Response> {
    let status = line(&mut reader)?;
    let mut words = status.split(' ');
    if !words.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
        return Err(garbled("the answer is not HTTP"));
    }
    let code = words.next().and_then(|word| word.parse().ok());
    let code = code.ok_or_else(|| garbled(&format!("the answer is `{status}`")))?;
    let (mut length, mut is_chunked) = (None, false);
    loop {
        let header = line(&mut reader)?.to_ascii_lowercase();
        match header.split_once(':') {
            None if header.is_empty() => break,
            Some(("content-length", value)) => length = value.trim().parse::<u64>().ok(),
            Some(("transfer-encoding", value)) => is_chunked = value.trim() == "chunked",
            _ => {}
        }
    }
    let mut body = Vec::new();
    match length {
        _ if is_chunked => chunks(&mut reader, &mut body, max_body)?,
        Some(length) => exactly(&mut reader, length, &mut body, max_body)?,
        None => {
            let length = reader.take(max_body.saturating_add(1)).read_to_end(&mut body)?;
            if length as u64 > max_body {
                return Err(garbled(TOO_LONG));
            }
        }
    }
    Ok(Response {
        status: code,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn chunks(reader: &mut impl BufRead, body: &mut Vec<u8>, max_body: u64) -> io::Result<()> {
    loop {
        let size = line(reader)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| garbled("the answer has a garbled chunk"))?;
        if size == 0 {
            return Ok(());
        }
        exactly(reader, size, body, max_body)?;
        line(reader)?;
    }
}

fn exactly(reader: &mut impl BufRead, length: u64, body: &mut Vec<u8>, max_body: u64) -> io::Result<()> {
    if length > max_body - body.len() as u64 {
        return Err(garbled(TOO_LONG));
    }
    if reader.take(length).read_to_end(body)? as u64 != length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// A line without its end.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.take(64 << 10).read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn garbled(message: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;

    fn check(answer: &str, expected: Result<&str, ErrorKind>) {
        let found = response(answer.as_bytes(), 9);
        let found = found.as_ref().map(|found| found.body.as_str()).map_err(io::Error::kind);
        assert_eq!(found, expected, "{answer:?}");
    }

    #[test]
    fn bodies_end_by_length_by_chunk_or_by_close() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", Ok("ab"));
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            Ok("abc"),
        );
        check("HTTP/1.1 200 OK\r\n\r\nabc", Ok("abc"));
    }

    #[test]
    fn half_and_garbled_answers_are_errors() {
        check("", Err(ErrorKind::UnexpectedEof));
        check("HTTP/1.1 200 OK\r\n", Err(ErrorKind::UnexpectedEof));
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            Err(ErrorKind::UnexpectedEof),
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            Err(ErrorKind::InvalidData),
        );
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            Err(ErrorKind::InvalidData),
        );
        check("HTTP/1.1 no\r\n\r\n", Err(ErrorKind::InvalidData));
        check("SSH-2.0\r\n", Err(ErrorKind::InvalidData));
    }

    #[test]
    fn long_answers_are_not_read_to_their_end() {
        let head = "HTTP/1.1 200 OK\r\n";
        check(&format!("{head}\r\n123456789"), Ok("123456789"));
        check(&format!("{head}\r\n1234567890"), Err(ErrorKind::InvalidData));
        check(
            &format!("{head}Content-Length: 10\r\n\r\n1234567890"),
            Err(ErrorKind::InvalidData),
        );
        let chunks = "5\r\n12345\r\n".repeat(2);
        check(
            &format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}"),
            Err(ErrorKind::InvalidData),
        );
    }

    /// What a chain of programs between us and an Envoy could make of an answer.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let good = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "HTTP/1.1 503 No\r\n\r\nabcde",
        ];
        let bytes = || prop::collection::vec(any::<u8>(), 0..9);
        let edits = prop::collection::vec((any::<Index>(), 0..9_usize, bytes()), 0..4);
        (select(good.to_vec()), edits).prop_map(|(good, edits)| {
            let mut answer = good.as_bytes().to_vec();
            for (at, removed, added) in edits {
                let at = at.index(answer.len() + 1);
                let end = (at + removed).min(answer.len());
                answer.splice(at..end, added);
            }
            answer
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn of_whatever_comes_no_more_is_taken_than_was_asked_for(answer in damaged()) {
            if let Ok(found) = response(&*answer, 9) {
                // A byte that is no UTF-8 becomes a sign of three.
                prop_assert!(found.body.len() <= 27);
            }
        }
    }
}
