//! Whom to believe about servers, and what to say when one is not believed.
//!
//! Authorities everybody knows come with the program, an operator's own are added to them. A depot is signed, so nothing that is installed
//! depends on this; it keeps others from learning what an appliance asks for, and a password from whoever is on the way to a mail server.

use std::error::Error;
use std::io;
use std::sync::Arc;

use formats::window::local;
use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use rustls::CertificateError;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::tls::{RootCerts, TlsConfig};

/// Who may vouch for servers.
#[derive(Debug, Clone)]
pub(super) struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Those everybody knows, and an operator's own (PEM).
    ///
    /// # Errors
    /// A sentence when there is no certificate in what should be certificates.
    pub(super) fn new(own: Option<&str>) -> Result<Self, String> {
        let mut all: Vec<CertificateDer<'static>> = webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
        if let Some(own) = own {
            let bad = |what: &str| {
                format!("the file that \"ca-file\" in depot.json names {what}; it has to be certificates (PEM)")
            };
            let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(own.as_bytes())
                .take(MAX_OWN.saturating_add(1))
                .collect::<Result<_, _>>()
                .map_err(|_| bad("is damaged"))?;
            match certificates.len() {
                0 => return Err(bad("has no certificate")),
                1..=MAX_OWN => all.extend(certificates),
                _ => return Err(bad(&format!("has more than {MAX_OWN} certificates"))),
            }
        }
        Ok(Self(all))
    }

    /// For fetching files.
    pub(super) fn for_web(&self) -> TlsConfig {
        let roots = self.0.iter().map(|one| ureq::tls::Certificate::from_der(one).to_owned());
        TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
            .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
            .build()
    }

    /// For sending mail to this server.
    pub(super) fn for_mail(&self, server: &str) -> Result<TlsParameters, String> {
        let mut parameters = TlsParameters::builder(server.to_owned()).certificate_store(CertificateStore::None);
        for one in &self.0 {
            let certificate = Certificate::from_der(one.to_vec()).map_err(|problem| problem.to_string())?;
            parameters = parameters.add_root_certificate(certificate);
        }
        parameters.build().map_err(|problem| problem.to_string())
    }
}

/// A sentence about a server that is not believed; nothing when the problem is another one.
pub(super) fn words(problem: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(problem);
    while let Some(one) = next {
        if let Some(problem) = one.downcast_ref::<rustls::Error>() {
            return Some(told(problem));
        }
        // What is in here is not its source, only the source of what is in here.
        let inner = one.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| one.source());
    }
    None
}

fn told(problem: &rustls::Error) -> String {
    let second = |time: rustls::pki_types::UnixTime| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match problem {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => format!(
            "its certificate was good until {}, and the clock of this appliance says {}: set the clock if it is wrong, or else tell whoever \
             runs the server",
            local(second(*not_after), 0),
            local(second(*time), 0)
        ),
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => format!(
            "its certificate is good from {} on, and the clock of this appliance says {}: set the clock",
            local(second(*not_before), 0),
            local(second(*time), 0)
        ),
        // Another authority may have the name of one that is known.
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate comes from an authority this appliance does not know: put the authority's certificate beside depot.json and \
             name it there under \"ca-file\""
                .into()
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => format!(
            "its certificate is for other names: {}; check the address",
            presented.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ")
        ),
        problem => format!("its TLS is refused: {problem}"),
    }
}

/// Most certificates of an operator.
const MAX_OWN: usize = 64;
/// Names that are told.
const NAMES: usize = 8;
