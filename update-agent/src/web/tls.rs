//! What browsers are shown: the certificate by the name they ask for and the address they came to, without a restart when it is another.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use formats::Digest;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificates::Serving;
use crate::error::{Error, Result};

/// The certificates now. New ones hold from the next connection on.
#[derive(Debug, Default)]
pub struct Shown(RwLock<Option<Arc<Ready>>>);

/// What is shown, with every key in the form TLS takes: made once, not for every connection.
#[derive(Debug)]
struct Ready {
    serving: Serving,
    /// By fingerprint. One that cannot be used is not in it, and its clients are shown nothing.
    keys: BTreeMap<Digest, Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
}

impl Shown {
    /// From now on these.
    pub fn replace(&self, serving: Serving) {
        let all = serving.names.values().chain(serving.addresses.values()).chain([&serving.default]);
        let keys = all.filter_map(|one| Some((one.fingerprint, Arc::new(one.certified_key().ok()?)))).collect();
        let ready = Ready { serving, keys, provider: Arc::new(default_provider()) };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(ready));
    }

    /// How a connection that came to this address of the appliance is answered; nothing while there is no certificate.
    pub fn config(&self, local: IpAddr) -> Result<Option<Arc<ServerConfig>>> {
        let Some(ready) = self.0.read().unwrap_or_else(PoisonError::into_inner).clone() else { return Ok(None) };
        let bad = |problem: rustls::Error| Error::Bug(format!("prepare TLS: {problem}"));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&ready.provider))
            .with_safe_default_protocol_versions()
            .map_err(bad)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Choice { ready, local }));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Tickets would outlive a certificate that was taken away, and cost memory for each connection.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Some(Arc::new(config)))
    }
}

/// For one connection.
#[derive(Debug)]
struct Choice {
    ready: Arc<Ready>,
    local: IpAddr,
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identity = self.ready.serving.pick(hello.server_name(), Some(self.local));
        self.ready.keys.get(&identity.fingerprint).cloned()
    }
}
