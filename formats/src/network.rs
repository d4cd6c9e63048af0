//! `network.json` on the data partition: how the appliance gets its address.
//!
//! Written by the agent, applied by the base's hook. Known attacks and our defence: whoever had the disk in hand may have written the
//! file, and a hook is a shell script: only addresses, prefix lengths and interface names get through, each in the one spelling this
//! module gives it, so nothing in it can be an option, a word too many, or a command.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, json};

/// Longest file in bytes.
pub const MAX_FILE: usize = 4 << 10;

/// Most name servers.
pub const MAX_DNS: usize = 3;

/// How the appliance gets its address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// From a DHCP server, on every interface.
    #[default]
    Dhcp,
    /// The same one always.
    Static(Fixed),
}

/// A fixed address. Made by [`Fixed::new`], so it is always one that can work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    interface: Option<String>,
    address: Address,
    gateway: Option<IpAddr>,
    dns: Vec<IpAddr>,
}

/// An address with the length of its network's prefix, for example `192.0.2.10/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Bits of it that name the network.
    pub prefix: u8,
}

impl Address {
    /// True when `other` is in the same network.
    pub fn is_neighbour(&self, other: IpAddr) -> bool {
        let width: u32 = if self.ip.is_ipv4() { 32 } else { 128 };
        let rest = width.saturating_sub(self.prefix.into());
        let same = |one: u128, two: u128| one.checked_shr(rest).unwrap_or(0) == two.checked_shr(rest).unwrap_or(0);
        match (self.ip, other) {
            (IpAddr::V4(one), IpAddr::V4(two)) => same(one.to_bits().into(), two.to_bits().into()),
            (IpAddr::V6(one), IpAddr::V6(two)) => same(one.to_bits(), two.to_bits()),
            _ => false,
        }
    }
}

impl Fixed {
    /// A fixed address that can work: it may be given to a machine, the gateway is another machine of the same network, the interface has
    /// a name the kernel allows. Without an interface, the first one gets it.
    pub fn new(interface: Option<&str>, address: Address, gateway: Option<IpAddr>, dns: Vec<IpAddr>) -> Result<Self> {
        let refused = |problem: String| Err(Error::invalid(WHAT, problem));
        if let Some(name) = interface.filter(|name| !is_interface(name)) {
            return refused(format!("\"{}\" is no name of an interface, for example eth0", json::shown(name)));
        }
        if !is_host(address.ip) {
            return refused(format!("{} cannot be the address of one machine", address.ip));
        }
        if is_edge(&address) {
            return refused(format!("{address} names its whole network; choose another address in it"));
        }
        if let Some(gateway) = gateway
            && (!address.is_neighbour(gateway) || gateway == address.ip || !is_host(gateway))
        {
            return refused(format!("gateway {gateway} is not another machine in the network of {address}"));
        }
        if let Some(server) = dns.iter().find(|server| server.is_unspecified() || server.is_multicast()) {
            return refused(format!("{server} cannot be a name server"));
        }
        if dns.len() > MAX_DNS {
            return refused(format!("{} name servers; at most {MAX_DNS} are used", dns.len()));
        }
        Ok(Self { interface: interface.map(str::to_owned), address, gateway, dns })
    }

    /// The interface that gets it; the first one when it is not said.
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// The address.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Where everything outside the network goes.
    pub const fn gateway(&self) -> Option<IpAddr> {
        self.gateway
    }

    /// Name servers, at most [`MAX_DNS`].
    pub fn dns(&self) -> &[IpAddr] {
        &self.dns
    }
}

impl Network {
    /// Reads the file; what [`Fixed::new`] refuses is refused here.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        match json::document(WHAT, bytes, MAX_FILE, FORMAT)? {
            File { method: Method::Dhcp, .. } => Ok(Self::Dhcp),
            File { method: Method::Static, interface, address, gateway, dns, .. } => {
                let address = address.ok_or_else(|| Error::corrupt(WHAT, "it has no \"address\""))?;
                let address = address.parse().map_err(|problem: Error| Error::corrupt(WHAT, problem.to_string()))?;
                Fixed::new(interface.as_deref(), address, gateway, dns)
                    .map(Self::Static)
                    .map_err(|problem| Error::corrupt(WHAT, problem.to_string()))
            }
        }
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let dhcp = File {
            format: FORMAT,
            method: Method::Dhcp,
            interface: None,
            address: None,
            gateway: None,
            dns: Vec::new(),
        };
        let file = match self {
            Self::Dhcp => dhcp,
            Self::Static(fixed) => File {
                method: Method::Static,
                interface: fixed.interface.clone(),
                address: Some(fixed.address.to_string()),
                gateway: fixed.gateway,
                dns: fixed.dns.clone(),
                ..dhcp
            },
        };
        json::encode(WHAT, &file)
    }

    /// The words the base's hook is called with: `dhcp`, or `static INTERFACE ADDRESS/PREFIX GATEWAY DNS...`, with `-` for what is not
    /// said.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Dhcp => vec!["dhcp".into()],
            Self::Static(fixed) => {
                let gateway = fixed.gateway.map_or_else(|| "-".into(), |gateway| gateway.to_string());
                let interface = fixed.interface.clone().unwrap_or_else(|| "-".into());
                let mut words = vec!["static".into(), interface, fixed.address.to_string(), gateway];
                words.extend(fixed.dns.iter().map(ToString::to_string));
                words
            }
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || Error::invalid(WHAT, format!("\"{}\" is no address such as 192.0.2.10/24", json::shown(text)));
        let (ip, prefix) = text.split_once('/').ok_or_else(refused)?;
        let ip: IpAddr = ip.parse().map_err(|_| refused())?;
        let digits = (1..=3).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|_| digits).ok_or_else(refused)?;
        if prefix == 0 || prefix > if ip.is_ipv4() { 32 } else { 128 } {
            return Err(refused());
        }
        Ok(Self { ip, prefix })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Static(fixed) = self else { return f.write_str("DHCP") };
        write!(f, "static {}", fixed.address)?;
        if let Some(interface) = &fixed.interface {
            write!(f, " on {interface}")?;
        }
        if let Some(gateway) = fixed.gateway {
            write!(f, ", gateway {gateway}")?;
        }
        for (number, server) in fixed.dns.iter().enumerate() {
            write!(f, "{}{server}", if number == 0 { ", name servers " } else { " " })?;
        }
        Ok(())
    }
}

/// One machine's address, and not this machine's own view of itself.
fn is_host(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast() || ip.octets().first() == Some(&0));
    !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || broadcast)
}

/// The first and the last address of an IPv4 network, which no machine may have.
fn is_edge(address: &Address) -> bool {
    let IpAddr::V4(ip) = address.ip else { return false };
    if address.prefix > 30 {
        return false;
    }
    let host = u32::MAX.checked_shr(address.prefix.into()).unwrap_or(0);
    ip.to_bits() & host == 0 || ip.to_bits() & host == host
}

/// What the kernel allows, and no more than that a shell takes for one word: letters, digits, `.`, `_` and `-`, not in front.
fn is_interface(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=15).contains(&name.len())
        && name.bytes().all(letter)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    format: u32,
    method: Method,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dns: Vec<IpAddr>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    Dhcp,
    Static,
}

const WHAT: &str = "network setting";
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(address: &str, gateway: Option<&str>) -> Result<Fixed> {
        Fixed::new(Some("eth0"), address.parse()?, gateway.map(|gateway| gateway.parse().unwrap()), Vec::new())
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dns = ["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()].to_vec();
        let address = "192.0.2.10/24".parse().unwrap();
        let full = Fixed::new(Some("eth0.1"), address, "192.0.2.1".parse().ok(), dns).unwrap();
        let bare = Fixed::new(None, "2001:db8::5/64".parse().unwrap(), None, Vec::new()).unwrap();
        for network in [Network::Dhcp, Network::Static(full.clone()), Network::Static(bare)] {
            assert_eq!(Network::parse(&network.encode().unwrap()), Ok(network));
        }
        let network = Network::Static(full);
        let words = ["static", "eth0.1", "192.0.2.10/24", "192.0.2.1", "192.0.2.53", "2001:db8::53"];
        assert_eq!(network.words(), words);
        assert_eq!(
            network.to_string(),
            "static 192.0.2.10/24 on eth0.1, gateway 192.0.2.1, name servers 192.0.2.53 2001:db8::53"
        );
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        assert_eq!(Network::parse(br#"{"format":1,"method":"dhcp","vlan":7}"#), Ok(Network::Dhcp));
        assert!(Network::parse(br#"{"format":2,"method":"dhcp"}"#).is_err());
    }

    #[test]
    fn addresses_that_cannot_work_are_refused() {
        for address in [
            "192.0.2.10",
            "192.0.2.10/33",
            "192.0.2.10/0",
            "192.0.2.10/+24",
            "192.0.2.10/024 ",
            "192.0.2.300/24",
            "192.0.2.0/24",
            "192.0.2.255/24",
            "127.0.0.1/8",
            "0.1.2.3/8",
            "224.0.0.1/4",
            "::1/128",
            "2001:db8::/129",
            "ff02::1/64",
            "-h/24",
            "",
        ] {
            assert!(fixed(address, None).is_err(), "{address}");
        }
        for address in ["192.0.2.10/24", "192.0.2.0/31", "192.0.2.7/32", "10.0.0.1/1", "2001:db8::/64"] {
            assert!(fixed(address, None).is_ok(), "{address}");
        }
        for gateway in ["192.0.3.1", "192.0.2.10", "2001:db8::1", "0.0.0.0"] {
            assert!(fixed("192.0.2.10/24", Some(gateway)).is_err(), "{gateway}");
        }
        assert!(fixed("192.0.2.10/24", Some("192.0.2.254")).is_ok());
        assert!(fixed("2001:db8::5/64", Some("2001:db8::1")).is_ok());
    }

    #[test]
    fn nothing_but_a_name_gets_to_the_hook_as_interface() {
        let address: Address = "192.0.2.10/24".parse().unwrap();
        for name in ["", "-a", ".", "eth0;reboot", "a b", "a\nb", "$HOME", "../x", "averyverylongname", "\u{e9}th0"] {
            assert!(Fixed::new(Some(name), address, None, Vec::new()).is_err(), "{name}");
        }
        let many = vec!["192.0.2.53".parse().unwrap(); MAX_DNS + 1];
        assert!(Fixed::new(None, address, None, many).is_err());
        assert!(Fixed::new(None, address, None, vec!["0.0.0.0".parse().unwrap()]).is_err());
    }

    #[test]
    fn damaged_files_are_refused() {
        for text in [
            "",
            "{}",
            r#"{"format":1}"#,
            r#"{"format":1,"method":"static"}"#,
            r#"{"format":1,"method":"static","address":"192.0.2.10"}"#,
            r#"{"format":1,"method":"static","address":"192.0.2.10/24","gateway":"x"}"#,
            r#"{"format":1,"method":"static","address":"192.0.2.10/24","dns":["1.1.1.1;reboot"]}"#,
            r#"{"format":1,"method":"dhcp","method":"static"}"#,
        ] {
            assert!(Network::parse(text.as_bytes()).is_err(), "{text}");
        }
        let long = format!(r#"{{"format":1,"method":"dhcp","x":"{}"}}"#, "x".repeat(MAX_FILE));
        assert!(Network::parse(long.as_bytes()).is_err());
    }
}
