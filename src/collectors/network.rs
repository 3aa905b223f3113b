//! The networks that spans may go to.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::{Schema, json_schema};

use crate::settings_value::SettingValue;

/// A network, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        match text.parse::<IpNet>().or_else(|_| single()) {
            // A host with the length of its network would stand for something else than it says.
            Ok(network) if network.addr() != network.network() => {
                let meant = network.trunc();
                Err(format!("`{text}` is an address within a network, which is {meant}"))
            }
            Ok(network) => Ok(Self(network)),
            Err(_) => Err(format!(
                "`{text}` is not a network; example: 10.0.0.0/8. A name can resolve to any address, so it is no limit"
            )),
        }
    }
}

impl Network {
    /// Whether an address is one of the network.
    #[must_use]
    pub fn contains(&self, address: &IpAddr) -> bool {
        self.0.contains(address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

impl SettingValue for Network {
    fn name() -> Cow<'static, str> {
        "a network, such as 10.0.0.0/8".into()
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9a-fA-F.:]+(/[0-9]+)?$"})
    }
}

setting_value!(Network);
