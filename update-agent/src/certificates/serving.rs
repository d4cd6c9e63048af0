//! What a server shows its clients: a chain and its key, by the name a client asks for and the address it came to.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use formats::Digest;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::entry::Entry;
use crate::error::{Doing, Result};
use crate::secret::Secret;

/// A certificate to be shown, with its chain and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// The certificate first, PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: Secret,
}

/// All that is to be shown, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Serving {
    /// Another one whenever anything below is another one: to see whether servers have to take it up.
    pub change: Digest,
    /// To clients for whom nothing else is.
    pub default: Identity,
    /// To those who ask for this host name.
    pub names: BTreeMap<String, Identity>,
    /// To those who came to this address of the appliance, and ask for no name above.
    pub addresses: BTreeMap<IpAddr, Identity>,
    /// What could not be served as it should be, a sentence each.
    pub problems: Vec<String>,
}

impl Serving {
    /// What is to be shown to a client that asks for `name` at the address `local`.
    pub fn pick(&self, name: Option<&str>, local: Option<IpAddr>) -> &Identity {
        let by_name =
            name.map(|name| name.trim_end_matches('.').to_ascii_lowercase()).and_then(|name| self.names.get(&name));
        // A socket for both protocols tells IPv4 addresses in the form of IPv6.
        let by_address = || self.addresses.get(&local?.to_canonical());
        by_name.or_else(by_address).unwrap_or(&self.default)
    }

    /// The same with its `change` made from everything else.
    #[must_use]
    pub(super) fn stamped(mut self) -> Self {
        let one = |to: String, identity: &Identity| format!("{to} {}\n{}", identity.fingerprint, identity.chain);
        let mut all = one("default".into(), &self.default);
        all.extend(self.names.iter().map(|(name, identity)| one(format!("name {name}"), identity)));
        all.extend(self.addresses.iter().map(|(address, identity)| one(format!("address {address}"), identity)));
        self.change = Digest::of(all.as_bytes());
        self
    }
}

impl Identity {
    /// Of something that has a key.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let key = Secret::new(entry.key_pem()?.to_string());
        // Clients have the authority at the end or do not believe it, so it only costs them bytes.
        let chain = entry.chain.iter().filter(|one| !one.facts().self_signed).cloned().collect();
        let shown = Entry { chain, certificate: entry.certificate.clone(), key: None };
        Some(Self { fingerprint: entry.fingerprint(), chain: shown.chain_pem().to_string(), key })
    }

    /// In the form `rustls` takes.
    pub fn certified_key(&self) -> Result<CertifiedKey> {
        let doing = || format!("serve the certificate {}", self.fingerprint);
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<std::result::Result<Vec<_>, _>>();
        let chain = chain.map_err(io::Error::other).doing(doing)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.reveal().as_bytes()).map_err(io::Error::other).doing(doing)?;
        let key = any_supported_type(&key).map_err(io::Error::other).doing(doing)?;
        Ok(CertifiedKey::new(chain, key))
    }
}
