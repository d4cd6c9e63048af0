//! A network setting as clients say and see it.

use std::net::IpAddr;

use formats::network::{Fixed, Network as Setting};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the appliance gets its address: `network.json` without its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Network {
    /// From a DHCP server, on every interface.
    Dhcp {},
    /// The same one always.
    Static {
        /// The interface that gets it; by default the first one.
        #[serde(default)]
        interface: Option<String>,
        /// For example `192.0.2.10/24`.
        address: String,
        /// Where everything outside the network goes.
        #[serde(default)]
        gateway: Option<IpAddr>,
        /// Name servers.
        #[serde(default)]
        dns: Vec<IpAddr>,
    },
}

impl Network {
    /// The setting, if it is one that can work.
    pub fn checked(&self) -> Result<Setting> {
        let usage = |problem: formats::Error| Error::Usage(problem.to_string());
        match self {
            Self::Dhcp {} => Ok(Setting::Dhcp),
            Self::Static { interface, address, gateway, dns } => {
                let address = address.parse().map_err(usage)?;
                let fixed = Fixed::new(interface.as_deref(), address, *gateway, dns.clone());
                fixed.map(Setting::Static).map_err(usage)
            }
        }
    }
}

impl From<&Setting> for Network {
    fn from(setting: &Setting) -> Self {
        match setting {
            Setting::Dhcp => Self::Dhcp {},
            Setting::Static(fixed) => Self::Static {
                interface: fixed.interface().map(Into::into),
                address: fixed.address().to_string(),
                gateway: fixed.gateway(),
                dns: fixed.dns().to_vec(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_survives_the_way_through_the_interface_and_one_that_cannot_work_does_not() {
        let address = "192.0.2.10/24".parse().unwrap();
        let fixed = Fixed::new(Some("eth0"), address, "192.0.2.1".parse().ok(), vec!["2001:db8::53".parse().unwrap()]);
        for setting in [Setting::Dhcp, Setting::Static(fixed.unwrap())] {
            let json = serde_json::to_string(&Network::from(&setting)).unwrap();
            assert_eq!(serde_json::from_str::<Network>(&json).unwrap().checked().unwrap(), setting, "{json}");
        }
        let edge =
            Network::Static { interface: None, address: "192.0.2.255/24".into(), gateway: None, dns: Vec::new() };
        assert_eq!(edge.checked().unwrap_err().code(), "usage");
        for json in [r#"{"method":"dhcp","address":"192.0.2.10/24"}"#, r#"{"method":"static"}"#, "{}"] {
            assert!(serde_json::from_str::<Network>(json).is_err(), "{json}");
        }
    }
}
