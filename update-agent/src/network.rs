//! How the appliance gets its address: kept on the data partition and applied by the base's hook.
//!
//! The running agent does both, for whoever asks it ([`crate::command::network`], the console, other clients of its socket); the base
//! itself has the kept setting applied at its start.
//!
//! What an address means on a base is the base's business: [`HOOK`] is called with the words of
//! [`formats::network::Network::words`], when the setting changes and, through `network apply`, at every start. The setting is written
//! first and applied then, so that a restart in between ends with what was asked for.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use formats::network::{MAX_FILE, Network};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use serde::Serialize;

use crate::api;
use crate::error::{At, Doing, Error, Result};
use crate::hook::{self, Ended};
use crate::plain_file;
use crate::workplace::DATA;

/// The base's own program that sets addresses.
pub const HOOK: &str = "/usr/lib/bulkhead/network";
const FILE: &str = "bulkhead/network.json";
/// How long the hook may take; it was promised to return soon.
const HOOK_LIMIT: Duration = Duration::from_mins(1);

/// What is set and what is.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// The setting; nothing when it cannot be read.
    pub setting: Option<api::Network>,
    /// Why it cannot.
    pub problem: Option<String>,
    /// For example `eth0 192.0.2.10/24`.
    pub addresses: Vec<String>,
}

/// The setting kept under `data`, the mounted data partition, and the addresses of this machine.
pub fn facts(data: &Path) -> Facts {
    let (setting, problem) = match load(data) {
        Ok(network) => (Some(api::Network::from(&network)), None),
        Err(problem) => (None, Some(problem.to_string())),
    };
    Facts { setting, problem, addresses: addresses() }
}

/// Keeps a setting under `data` and has `hook` apply it. What was done, a sentence each.
pub fn set(data: &Path, hook: &Path, network: &Network) -> Result<Vec<String>> {
    store(data, network)?;
    apply(hook, network)?;
    Ok(vec![format!("network: {network}")])
}

/// Applies the setting that is kept, for the start of the base. A damaged one must not leave the appliance without any address.
pub fn apply_kept() -> Result<()> {
    let hook = Path::new(HOOK);
    match setting() {
        Ok(network) => apply(hook, &network),
        Err(problem) => apply(hook, &Network::Dhcp).and(Err(problem)),
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
fn apply(hook: &Path, network: &Network) -> Result<()> {
    let words = network.words();
    let command = format!("\"{} {}\"", hook.display(), words.join(" "));
    let ended = hook::run(Command::new(hook).args(&words).env_clear(), HOOK_LIMIT)
        .doing(|| format!("start {command} (the setting is kept; this base has to bring that program to apply it)"))?;
    let how = match ended {
        Ended::Itself(status) if status.success() => return Ok(()),
        Ended::Itself(status) => format!("it ended with {status}"),
        Ended::TooLate { .. } => format!("it was not done after {} s", HOOK_LIMIT.as_secs()),
    };
    let cause = io::Error::other(format!(
        "{how}; what it said is in the log of the agent; the setting is kept and tried again at the next start"
    ));
    Err(Error::System { action: format!("apply the network setting with {command}"), cause })
}

/// The names of its interfaces, without the one that reaches only itself.
pub fn interfaces() -> Vec<String> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let others = all.filter(|interface| !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK));
    let names: BTreeSet<String> = others.map(|interface| interface.interface_name).collect();
    names.into_iter().collect()
}

/// The addresses this machine has, for example `eth0 192.0.2.10/24`; those that reach only the machine or its link are left out.
pub fn addresses() -> Vec<String> {
    let shown = |(name, address, mask): (String, _, _)| format!("{name} {}", with_prefix(address, mask));
    reaching().into_iter().map(shown).collect()
}

/// The same without interface and prefix.
pub fn bare_addresses() -> Vec<IpAddr> {
    reaching().into_iter().map(|(_, address, _)| address).collect()
}

/// Interface, address and mask.
fn reaching() -> Vec<(String, IpAddr, Option<IpAddr>)> {
    let Ok(interfaces) = getifaddrs() else { return Vec::new() };
    let reaching = interfaces.filter_map(|interface| {
        let address = interface.address.as_ref().and_then(ip)?;
        let mask = interface.netmask.as_ref().and_then(ip);
        let reaches = !interface.flags.contains(InterfaceFlags::IFF_LOOPBACK) && !is_link_local(address);
        reaches.then_some((interface.interface_name, address, mask))
    });
    reaching.collect()
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
    use formats::network::Fixed;

    use super::*;

    fn fixed(address: &str) -> Network {
        Network::Static(Fixed::new(None, address.parse().unwrap(), None, Vec::new()).unwrap())
    }

    #[test]
    fn a_setting_is_kept_and_read_again() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(load(data.path()).unwrap(), Network::Dhcp);
        let network = fixed("192.0.2.10/24");
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
    fn addresses_have_the_length_of_their_prefix() {
        let mask = "255.255.240.0".parse().ok();
        assert_eq!(with_prefix("192.0.2.10".parse().unwrap(), mask), "192.0.2.10/20");
        assert_eq!(with_prefix("2001:db8::5".parse().unwrap(), "ffff:ffff:ffff:ffff::".parse().ok()), "2001:db8::5/64");
        assert!(is_link_local("fe80::1".parse().unwrap()));
    }
}
