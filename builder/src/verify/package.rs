//! A package: signature, length, every member, every chunk, and the image against the hash tree of its manifest.

use std::fs::File;
use std::os::unix::fs::FileExt;

use formats::manifest::ImageInfo;
use formats::package::{Details, Image, Package};
use formats::signature::Signer;
use formats::trust::{Role, TrustStore, TrustedKey};
use formats::verity::{Block, Checker};
use formats::{Bytes, package};

use super::{Report, chain, trust};
use crate::filesystem::SparseFile;
use crate::package::PackageFile;
use crate::{Error, Result};

/// Checks a package with the appliance's own reader. Its image is unpacked into a temporary file, zeros left out.
///
/// # Errors
/// Only when it cannot be read or unpacked at all; wrong content is in the report.
pub fn verify_package(file: &PackageFile, keys: &[TrustedKey]) -> Result<Report> {
    // The product is taken from the package itself: its signature still has to hold. An unreadable package gets the store of no real
    // product, so that the reader itself says what is wrong.
    let product = package::peek_manifest(file.reader()?).map_or_else(|_| "unknown".into(), |manifest| manifest.product);
    verify_package_for(file, &trust::store(&product, keys).map_err(Error::format("the trusted keys"))?)
}

/// The same, for appliances with this trust store.
///
/// # Errors
/// Only when it cannot be read or unpacked at all; wrong content is in the report.
pub fn verify_package_for(file: &PackageFile, store: &TrustStore) -> Result<Report> {
    let mut report = Report::default();
    let opened = Package::open(file.reader()?, store, &[Role::Base, Role::Site, Role::Licence]);
    let Some(package) = step(file, &mut report, "signature", opened, signed)? else {
        return Ok(report);
    };
    report.add("length", package.check_length(file.size).map(|()| format!("{} bytes", file.size.0)));
    let manifest = package.manifest().clone();
    let Some(details) = step(file, &mut report, "documents", package.details(), listed)? else {
        return Ok(report);
    };
    let Some(image) = step(file, &mut report, "image header", details.image(), |_| String::new())? else {
        return Ok(report);
    };
    let scratch = tempfile::tempfile().map_err(Error::io("create", std::env::temp_dir()))?;
    let unpacked = unpack(image, &scratch, manifest.image.as_ref().map_or(Bytes(0), |image| image.size))?;
    let whole = step(file, &mut report, "chunks", unpacked, |count| format!("{count}, nothing behind them"))?.is_some();
    if let (true, Some(image)) = (whole, &manifest.image) {
        tree(&scratch, image, &mut report)?;
    }
    Ok(report)
}

/// Notes the outcome of one step. Damage ends up in the report, a failure to read the file does not.
fn step<T>(
    file: &PackageFile,
    report: &mut Report,
    name: &str,
    result: package::Result<T>,
    text: impl FnOnce(&T) -> String,
) -> Result<Option<T>> {
    match result {
        Ok(value) => {
            report.good(name, text(&value));
            Ok(Some(value))
        }
        Err(package::Error::Format(problem)) => {
            report.fail(name, chain(&problem));
            Ok(None)
        }
        Err(error) => Err(file.refused(error)),
    }
}

fn signer(signer: &Signer) -> String {
    let until = signer.expires.map(|day| format!(" (valid until {day})")).unwrap_or_default();
    format!("{}{until}", signer.name)
}

fn signed<R>(package: &Package<R>) -> String {
    let manifest = package.verified().manifest();
    let signers: Vec<String> = package.verified().signers().iter().map(signer).collect();
    format!("{} {} {} by {}", manifest.kind, manifest.name, manifest.version, signers.join(", "))
}

fn listed<R>(details: &Details<R>) -> String {
    details.package().verified().manifest().members.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The image into a file; how many chunks there were.
fn unpack<R: std::io::Read>(mut image: Image<R>, scratch: &File, size: Bytes) -> Result<package::Result<usize>> {
    let failed = || Error::io("write", std::env::temp_dir());
    scratch.set_len(size.0).map_err(failed())?;
    let output = SparseFile::new(scratch, std::env::temp_dir(), 0);
    let mut count = 0;
    loop {
        match image.next_chunk() {
            Ok(Some(data)) => output.write_at(data.offset.0, data.bytes).map_err(failed())?,
            Ok(None) => return Ok(Ok(count)),
            Err(error) => return Ok(Err(error)),
        }
        count += 1;
    }
}

fn tree(scratch: &File, info: &ImageInfo, report: &mut Report) -> Result<()> {
    let read = |index: u64, buffer: &mut Block| {
        let offset = index * buffer.len() as u64;
        scratch.read_exact_at(buffer, offset).map_err(Error::io("read", std::env::temp_dir()))
    };
    let fault = match Checker::new(&info.parameters(), info.root_hash) {
        Ok(checker) => checker.run(read)?.map(|fault| fault.to_string()),
        Err(problem) => Some(chain(&problem)),
    };
    match fault {
        None => report.good("hash tree", format!("root hash {}", info.root_hash.short())),
        Some(fault) => report.fail("hash tree", fault),
    }
    Ok(())
}
