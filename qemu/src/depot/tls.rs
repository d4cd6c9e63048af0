//! A depot behind HTTPS: an authority made for this run, what it vouches for, and another authority that vouches for nothing here.
//!
//! All of it is made anew for each run and lies in the folder with the order. The guest finds the two authorities' certificates at the
//! depot's plain address ([`AUTHORITIES`]): how an operator brings a certificate to an appliance is not what a scenario shows.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{Error, Result};

/// Paths at the plain address, and files in the folder with the order: who vouches for the depot, and somebody else.
pub const AUTHORITIES: [&str; 2] = ["authority.pem", "other-authority.pem"];

/// Makes both authorities, and key and certificate for the server at `address`, an IP address.
pub fn prepare(state: &Path, address: &str) -> Result<()> {
    let [ours, _] = AUTHORITIES.map(|name| authority(state, name));
    let key = KeyPair::generate().map_err(failed)?;
    let parameters = CertificateParams::new(vec![address.to_owned()]).map_err(failed)?;
    let certificate = parameters.signed_by(&key, &ours?).map_err(failed)?;
    write(state, CERTIFICATE, certificate.der())?;
    write(state, KEY, &key.serialize_der())
}

fn authority(state: &Path, name: &str) -> Result<Issuer<'static, KeyPair>> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut parameters = CertificateParams::new(Vec::new()).map_err(failed)?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, name.trim_end_matches(".pem"));
    let certificate = parameters.self_signed(&key).map_err(failed)?;
    write(state, name, certificate.pem().as_bytes())?;
    Ok(Issuer::new(parameters, key))
}

/// The server's side of a connection, encrypted.
pub fn encrypted<S: Read + Write>(state: &Path, stream: S) -> Result<StreamOwned<ServerConnection, S>> {
    let read = |name: &str| {
        let path = state.join(name);
        std::fs::read(&path).map_err(Error::io("read", &path))
    };
    let certificate = CertificateDer::from(read(CERTIFICATE)?);
    let key = PrivateKeyDer::try_from(read(KEY)?).map_err(|error| Error::Environment(error.to_owned()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key));
    let connection = config.and_then(|config| ServerConnection::new(Arc::new(config)));
    Ok(StreamOwned::new(connection.map_err(|error| Error::Environment(error.to_string()))?, stream))
}

fn write(state: &Path, name: &str, content: &[u8]) -> Result<()> {
    let path = state.join(name);
    std::fs::write(&path, content).map_err(Error::io("write", &path))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Environment(format!("make a certificate: {error}"))
}

const CERTIFICATE: &str = "certificate.der";
const KEY: &str = "key.der";
