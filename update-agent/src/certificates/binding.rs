//! Which certificate is shown to whom: by default, to those who ask for a host name, to those who come to an address.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use formats::Digest;
use serde::{Deserialize, Serialize};

use super::self_signed::is_host;

/// To whom a certificate is shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Place {
    /// To clients for whom nothing else is.
    Default,
    /// To those who ask for this host name.
    Name(String),
    /// To those who come to this address of the appliance, and ask for no name something is bound to.
    Address(IpAddr),
}

/// Everything that is bound, by the fingerprint of the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bindings {
    format: u32,
    /// By default; nothing: the self-signed one.
    #[serde(default)]
    pub default: Option<Digest>,
    /// To host names, lower case.
    #[serde(default)]
    pub names: BTreeMap<String, Digest>,
    /// To addresses.
    #[serde(default)]
    pub addresses: BTreeMap<IpAddr, Digest>,
}

impl Default for Bindings {
    fn default() -> Self {
        Self { format: FORMAT, default: None, names: BTreeMap::new(), addresses: BTreeMap::new() }
    }
}

impl Place {
    /// The same in the form it is kept in.
    ///
    /// # Errors
    /// What is wrong with a name, in words.
    pub fn checked(self) -> Result<Self, String> {
        match self {
            Self::Name(name) => {
                let kept = name.trim_end_matches('.').to_ascii_lowercase();
                let told: String = name.chars().take(80).collect();
                if is_host(&kept) {
                    Ok(Self::Name(kept))
                } else {
                    Err(format!("\"{}\" is no host name", told.escape_debug()))
                }
            }
            Self::Address(address) => Ok(Self::Address(address.to_canonical())),
            Self::Default => Ok(Self::Default),
        }
    }
}

impl Bindings {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bindings: Self = serde_json::from_slice(bytes).map_err(|problem| problem.to_string())?;
        if bindings.format != FORMAT {
            return Err(format!("it has format {}, and this agent knows {FORMAT}", bindings.format));
        }
        Ok(bindings)
    }

    /// Binds, or unbinds with nothing. What was bound there before.
    ///
    /// # Errors
    /// More is bound than anybody needs, in words.
    pub fn set(&mut self, place: Place, certificate: Option<Digest>) -> Result<Option<Digest>, String> {
        if certificate.is_some() && self.names.len().saturating_add(self.addresses.len()) >= MOST {
            return Err(format!("{MOST} names and addresses have a certificate of their own; unbind one first"));
        }
        Ok(match (place, certificate) {
            (Place::Default, certificate) => std::mem::replace(&mut self.default, certificate),
            (Place::Name(name), Some(certificate)) => self.names.insert(name, certificate),
            (Place::Name(name), None) => self.names.remove(&name),
            (Place::Address(address), Some(certificate)) => self.addresses.insert(address, certificate),
            (Place::Address(address), None) => self.addresses.remove(&address),
        })
    }

    /// Where a certificate is bound.
    pub fn places(&self, certificate: Digest) -> Vec<Place> {
        let mut places = Vec::new();
        places.extend((self.default == Some(certificate)).then_some(Place::Default));
        let names = self.names.iter().filter(|(_, bound)| **bound == certificate);
        places.extend(names.map(|(name, _)| Place::Name(name.clone())));
        let addresses = self.addresses.iter().filter(|(_, bound)| **bound == certificate);
        places.extend(addresses.map(|(address, _)| Place::Address(*address)));
        places
    }

    /// Every certificate that is bound somewhere.
    pub fn bound(&self) -> impl Iterator<Item = Digest> {
        self.default.iter().chain(self.names.values()).chain(self.addresses.values()).copied()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("everybody"),
            Self::Name(name) => write!(f, "those who ask for \"{name}\""),
            Self::Address(address) => write!(f, "those who come to {address}"),
        }
    }
}

const FORMAT: u32 = 1;
/// Most names and addresses with a certificate of their own.
const MOST: usize = 64;
