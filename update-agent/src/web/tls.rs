//! What browsers are shown: the certificate by the name they ask for and the address they came to, without a restart when it is another.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificates::Serving;
use crate::error::{Error, Result};

/// The certificates now. New ones hold from the next connection on.
#[derive(Debug, Default)]
pub struct Shown(RwLock<Option<Arc<Serving>>>);

impl Shown {
    /// From now on these.
    pub fn replace(&self, serving: Serving) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(serving));
    }

    /// How a connection that came to this address of the appliance is answered; nothing while there is no certificate.
    pub fn config(&self, local: IpAddr) -> Result<Option<Arc<ServerConfig>>> {
        let Some(serving) = self.0.read().unwrap_or_else(PoisonError::into_inner).clone() else { return Ok(None) };
        let bad = |problem: rustls::Error| Error::Bug(format!("prepare TLS: {problem}"));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(bad)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Choice { serving, local }));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Tickets would outlive a certificate that was taken away, and cost memory for each connection.
        config.send_tls13_tickets = 0;
        Ok(Some(Arc::new(config)))
    }
}

/// For one connection.
#[derive(Debug)]
struct Choice {
    serving: Arc<Serving>,
    local: IpAddr,
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identity = self.serving.pick(hello.server_name(), Some(self.local));
        identity.certified_key().ok().map(Arc::new)
    }
}
