//! Loopback addresses that belong to one test.
//!
//! All of 127.0.0.0/8 is this machine. A test process claims a /24 by holding a port in it open, and
//! gives each caller a separate address. All ports of the address are free, so fixed port numbers never collide.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::Mutex;

/// A socket held open on the last address of a /24 marks it as taken.
const CLAIM_PORT: u16 = 19_999;

struct Block {
    second: u8,
    third: u8,
    next: u8,
    _claim: TcpListener,
}

static BLOCK: Mutex<Option<Block>> = Mutex::new(None);

/// An unused address.
pub(crate) fn address() -> Ipv4Addr {
    let mut block = BLOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if block.as_ref().is_none_or(|b| b.next == 254) {
        *block = Some(claim());
    }
    let block = block.as_mut().expect("claimed above");
    let address = Ipv4Addr::new(127, block.second, block.third, block.next);
    block.next += 1;
    address
}

/// `port` on an unused address.
pub(crate) fn socket(port: u16) -> SocketAddr {
    SocketAddr::from((address(), port))
}

fn claim() -> Block {
    // 127.64.0.0 to 127.191.255.0; a start that differs between processes finds a free one at once.
    (0..1 << 15)
        .map(|i| (process::id() + i) & 0x7fff)
        .map(|n| (64 + (n >> 8) as u8, n as u8))
        .find_map(|(second, third)| {
            let _claim = TcpListener::bind((Ipv4Addr::new(127, second, third, 254), CLAIM_PORT)).ok()?;
            Some(Block {
                second,
                third,
                next: 1,
                _claim,
            })
        })
        .expect("a free /24 between 127.64.0.0 and 127.192.0.0; is 127.0.0.0/8 not routed to lo?")
}
