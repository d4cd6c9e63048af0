//! `network`: shows the setting, has the running agent change it, and applies it at the start of the base.

use std::net::IpAddr;

use formats::network::{Address, Fixed, Network};

use crate::api;
use crate::error::{Error, Result};
use crate::network::{addresses, apply_kept, setting};

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
    #[command(flatten)]
    agent: super::Agent,
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
        Some(Verb::Set(wanted)) => wanted.agent.run("/v1/network", &api::Network::from(&wanted.network()?)),
        Some(Verb::Apply) => apply_kept(),
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        set: Set,
    }

    fn network(words: &[&str]) -> Result<Network> {
        Line::try_parse_from([&["set"], words].concat()).unwrap().set.network()
    }

    #[test]
    fn words_that_contradict_each_other_are_refused() {
        assert!(network(&["dhcp", "--gateway=192.0.2.1"]).is_err());
        assert!(network(&["192.0.2.10"]).is_err());
        assert!(network(&["192.0.2.10/24", "--gateway=192.0.3.1"]).is_err());
        assert_eq!(network(&["dhcp"]).unwrap(), Network::Dhcp);
        let fixed = network(&["192.0.2.10/24", "--gateway=192.0.2.1", "--dns=2001:db8::53"]).unwrap();
        assert_eq!(fixed.words(), ["static", "-", "192.0.2.10/24", "192.0.2.1", "2001:db8::53"]);
    }
}
