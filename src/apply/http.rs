//! `GET` over a socket, with a deadline: all that Envoy's admin interface needs.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Longest answer that is read, in bytes: the whole configuration of a large proxy fits.
const MAX_BODY: u64 = 256 << 20;

/// A connection, and when to give it up.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    deadline: Instant,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connection {
    /// A connection to a socket file.
    pub(super) fn unix(path: &Path, deadline: Instant) -> io::Result<Self> {
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
        })
    }

    /// A connection to `host:port`.
    pub(super) fn tcp(address: &str, deadline: Instant) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, remaining(deadline)?) {
                Ok(stream) => {
                    return Ok(Self {
                        stream: Stream::Tcp(stream),
                        deadline,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The body of the answer to one request.
    pub(super) fn get(mut self, path: &str) -> io::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.write_all(request.as_bytes())?;
        response(BufReader::new(self))
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
fn response(mut reader: impl BufRead) -> io::Result<String> {
    let status = line(&mut reader)?;
    let mut words = status.split(' ');
    if !words.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
        return Err(garbled("the answer is not HTTP"));
    }
    if words.next() != Some("200") {
        return Err(garbled(&format!("the answer is `{status}`")));
    }
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
        _ if is_chunked => chunks(&mut reader, &mut body)?,
        Some(length) => exactly(&mut reader, length, &mut body)?,
        None => {
            reader.take(MAX_BODY).read_to_end(&mut body)?;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let size = line(reader)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| garbled("the answer has a garbled chunk"))?;
        if size == 0 {
            return Ok(());
        }
        exactly(reader, size, body)?;
        line(reader)?;
    }
}

fn exactly(reader: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if length > MAX_BODY - body.len() as u64 {
        return Err(garbled("the answer is too long"));
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
    use super::*;

    fn check(answer: &str, expected: Result<&str, ErrorKind>) {
        let found = response(answer.as_bytes());
        let found = found.as_deref().map_err(io::Error::kind);
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
        check("HTTP/1.1 503 Unavailable\r\n\r\n", Err(ErrorKind::InvalidData));
        check("SSH-2.0\r\n", Err(ErrorKind::InvalidData));
    }
}
