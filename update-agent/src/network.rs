//! `network`: how the appliance gets its address, kept on the data partition and applied by the base's hook.
//!
//! What an address means on a base is the base's business: [`HOOK`] is called with the words of
//! [`formats::network::Network::words`], when the setting changes and, through `network apply`, at every start. The setting is written
//! first and applied then, so that a restart in between ends with what was asked for.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use formats::network::{Address, Fixed, MAX_FILE, Network};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

use crate::error::{At, Doing, Error, Result};
use crate::plain_file;
use crate::serve::log;
use crate::workplace::DATA;

/// The base's own program that sets addresses.
pub const HOOK: &str = "/usr/lib/bulkhead/network";
const FILE: &str = "bulkhead/network.json";

/// Options of `network`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Keep a setting and apply it
    Set(Set),
    /// Apply the setting that is kept; for the start of the base
    Apply,
}

#[derive(Debug, clap::Args)]
struct Set {
    /// "dhcp", or an address with the length of its prefix: 192.0.2.10/24
    #[arg(value_name = "dhcp|ADDRESS/PREFIX")]
    address: String,
    /// The machine in the same network through which all others are reached
    #[arg(long, value_name = "ADDRESS")]
    gateway: Option<IpAddr>,
    /// A name server; may be given three times
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,
    /// The interface that gets the address; by default the first one
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
}

/// Shows, sets or applies the setting.
pub fn run(options: &Options) -> Result<()> {
    match &options.verb {
        None => {
            println!("{}", setting()?);
            for address in addresses() {
                println!("{address}");
            }
            Ok(())
        }
        Some(Verb::Set(wanted)) => {
            let network = wanted.network()?;
            store(Path::new(DATA), &network)?;
            apply(&network)?;
            log(&format!("network: {network}"));
            Ok(())
        }
        // A damaged setting must not leave the appliance without any address.
        Some(Verb::Apply) => match setting() {
            Ok(network) => apply(&network),
            Err(problem) => apply(&Network::Dhcp).and(Err(problem)),
        },
    }
}

impl Set {
    fn network(&self) -> Result<Network> {
        let usage = |problem: formats::Error| Error::Usage(problem.to_string());
        if self.address == "dhcp" {
            if self.gateway.is_some() || !self.dns.is_empty() || self.interface.is_some() {
                return Err(Error::Usage("with dhcp, gateway, name servers and interface come from the server".into()));
            }
            return Ok(Network::Dhcp);
        }
        let address: Address = self.address.parse().map_err(usage)?;
        let fixed = Fixed::new(self.interface.as_deref(), address, self.gateway, self.dns.clone());
        fixed.map(Network::Static).map_err(usage)
    }
}

/// The setting that is kept; DHCP when none was made.
pub fn setting() -> Result<Network> {
    load(Path::new(DATA))
}

fn load(data: &Path) -> Result<Network> {
    let path = data.join(FILE);
    match plain_file::read(&path, MAX_FILE) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(Network::default()),
        bytes => {
            let bytes = bytes.doing(|| format!("read \"{}\"", path.display()))?;
            Network::parse(&bytes).at(|| path.display().to_string())
        }
    }
}

/// Keeps a setting: after a power cut there is the old or the new one.
fn store(data: &Path, network: &Network) -> Result<()> {
    let path = data.join(FILE);
    let beside = path.with_extension("json.new");
    let bytes = network.encode().at(|| path.display().to_string())?;
    let doing = || format!("write \"{}\"", path.display());
    let directory = path.parent().unwrap_or(data);
    fs::create_dir_all(directory).doing(doing)?;
    plain_file::replace(&path, &beside, &bytes, 0o666).doing(doing)
}

/// Has the base's hook set the addresses.
fn apply(network: &Network) -> Result<()> {
    let words = network.words();
    let command = format!("\"{HOOK} {}\"", words.join(" "));
    let done =
        Command::new(HOOK).args(&words).env_clear().status().doing(|| {
            format!("start {command} (the setting is kept; this base has to bring that program to apply it)")
        })?;
    if done.success() {
        return Ok(());
    }
    let cause =
        io::Error::other(format!("it ended with {done}; the setting is kept and tried again at the next start"));
    Err(Error::System { action: format!("apply the network setting with {command}"), cause })
}

/// The addresses this machine has, for example `eth0 192.0.2.10/24`; those that reach only the machine or its link are left out.
pub fn addresses() -> Vec<String> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let shown = interfaces.filter_map(|interface| {
        let address = interface.address.as_ref().and_then(ip)?;
        let mask = interface.netmask.as_ref().and_then(ip);
        let reaches = !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK) && !is_link_local(address);
        reaches.then(|| format!("{} {}", interface.interface_name, with_prefix(address, mask)))
    });
    shown.collect()
}

fn with_prefix(address: IpAddr, mask: Option<IpAddr>) -> String {
    match mask {
        Some(IpAddr::V4(mask)) => format!("{address}/{}", mask.to_bits().leading_ones()),
        Some(IpAddr::V6(mask)) => format!("{address}/{}", mask.to_bits().leading_ones()),
        None => address.to_string(),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(address: &str) -> Set {
        Set { address: address.into(), gateway: None, dns: Vec::new(), interface: None }
    }

    #[test]
    fn a_setting_is_kept_and_read_again() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(load(data.path()).unwrap(), Network::Dhcp);
        let network = set("192.0.2.10/24").network().unwrap();
        store(data.path(), &network).unwrap();
        assert_eq!(load(data.path()).unwrap(), network);
        store(data.path(), &Network::Dhcp).unwrap();
        assert_eq!(load(data.path()).unwrap(), Network::Dhcp);
        let left: Vec<_> =
            fs::read_dir(data.path().join("bulkhead")).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["network.json"]);
    }

    #[test]
    fn what_a_cut_or_a_prepared_disk_left_is_no_obstacle_and_no_way_out() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("bulkhead");
        fs::create_dir(&folder).unwrap();
        let victim = data.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.join("network.json.new")).unwrap();
        std::os::unix::fs::symlink(&victim, folder.join("network.json")).unwrap();
        assert!(load(data.path()).is_err(), "a link is not followed");
        store(data.path(), &Network::Dhcp).unwrap();
        assert_eq!(load(data.path()).unwrap(), Network::Dhcp);
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        fs::write(folder.join("network.json"), "{").unwrap();
        assert!(load(data.path()).is_err());
    }

    #[test]
    fn words_that_contradict_each_other_are_refused() {
        let dhcp = Set { gateway: "192.0.2.1".parse().ok(), ..set("dhcp") };
        assert!(dhcp.network().is_err());
        assert!(set("192.0.2.10").network().is_err());
        assert_eq!(set("dhcp").network().unwrap(), Network::Dhcp);
    }

    #[test]
    fn addresses_have_the_length_of_their_prefix() {
        let mask = "255.255.240.0".parse().ok();
        assert_eq!(with_prefix("192.0.2.10".parse().unwrap(), mask), "192.0.2.10/20");
        assert_eq!(with_prefix("2001:db8::5".parse().unwrap(), "ffff:ffff:ffff:ffff::".parse().ok()), "2001:db8::5/64");
        assert!(is_link_local("fe80::1".parse().unwrap()));
    }
}
