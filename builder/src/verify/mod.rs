//! Is this image or package exactly what was built and signed? Every byte of a shipped image belongs to one check, and a check that fails names
//! the place.
//!
//! Slots are judged by their own signatures and hash trees; everything outside them, and which slots there are, by the signed image
//! record ([`formats::image_record`]); what belongs to nobody must be zero.

mod boot_files;
mod bundle;
mod package;
mod slot;
mod trust;

use std::fmt;
use std::path::Path;

use formats::boot_state::BootState;
use formats::trust::TrustStore;
use formats::{Bytes, image_record};
use serde_json::{Value, json};

pub(crate) use boot_files::files as esp_files;
pub use bundle::verify_bundle;
pub use package::{verify_package, verify_package_for};
pub use trust::{Trust, package_keys};

use crate::Result;
use crate::build::digest;
use crate::error::chain;
use crate::opened::{OpenedImage, SLOT_PARTITIONS};

/// The checks made, in order.
#[derive(Debug, Clone, Default)]
pub struct Report {
    checks: Vec<Check>,
}

/// One check and what came out.
#[derive(Debug, Clone)]
struct Check {
    name: String,
    outcome: Outcome,
}

#[derive(Debug, Clone)]
enum Outcome {
    /// As built and signed; with what was found.
    Good(String),
    /// Different, which is allowed on a disk in use.
    Changed(String),
    /// Wrong, and where.
    Failed(String),
}

/// Checks the raw image at `path` against `trust`. With `in_use`, what a running appliance changes is reported and not judged.
///
/// # Errors
/// Only when the image cannot be read at all or is none; wrong content is in the report.
pub fn verify(path: &Path, trust: &Trust, in_use: bool) -> Result<Report> {
    let image = OpenedImage::open(path)?;
    let mut report = Report::default();
    report.add("primary partition table", image.primary.clone().map(|()| String::new()));
    report.add("backup partition table", image.backup.clone().map(|()| String::new()));
    let store = regions(&image, trust, in_use, &mut report)?;
    boot_state(&image, in_use, &mut report)?;
    boot_files::esp(&image, trust, &mut report)?;
    let mut bootable = false;
    for (label, id) in SLOT_PARTITIONS {
        let sound = slot::check(&image, label, id, trust, store.as_ref(), in_use, &mut report)?;
        bootable |= sound && label.starts_with("base");
    }
    if !bootable {
        report.fail("base slots", "neither holds a base that can start");
    }
    unowned(&image, in_use, &mut report)?;
    Ok(report)
}

impl Report {
    /// How many checks failed.
    pub fn failures(&self) -> usize {
        self.checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed(_))).count()
    }

    /// The first check that failed, and why.
    pub fn first_failure(&self) -> Option<String> {
        let failed = self.checks.iter().find(|check| matches!(check.outcome, Outcome::Failed(_)))?;
        Some(format!("{}: {}", failed.name, failed.outcome.parts().1))
    }

    /// The checks for machines.
    pub fn to_json(&self) -> Value {
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| {
                let (outcome, text) = check.outcome.parts();
                json!({"check": check.name, "outcome": outcome, "text": text})
            })
            .collect();
        json!({"format": 1, "failures": self.failures(), "checks": checks})
    }

    fn add<E: std::error::Error>(&mut self, name: impl Into<String>, result: std::result::Result<String, E>) {
        let outcome = match result {
            Ok(text) => Outcome::Good(text),
            Err(problem) => Outcome::Failed(chain(&problem)),
        };
        self.checks.push(Check { name: name.into(), outcome });
    }

    fn fail(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.checks.push(Check { name: name.into(), outcome: Outcome::Failed(text.into()) });
    }

    fn good(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.checks.push(Check { name: name.into(), outcome: Outcome::Good(text.into()) });
    }

    /// A difference: a failure on a shipped image, a remark when `allowed`.
    fn differs(&mut self, name: impl Into<String>, text: impl Into<String>, allowed: bool) {
        let text = text.into();
        let outcome = if allowed { Outcome::Changed(text) } else { Outcome::Failed(text) };
        self.checks.push(Check { name: name.into(), outcome });
    }
}

impl Outcome {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Good(text) => ("good", text),
            Self::Changed(text) => ("changed", text),
            Self::Failed(text) => ("FAILED", text),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let (outcome, text) = check.outcome.parts();
            writeln!(f, "{}", printable(format!("{outcome:<8}{:<28}{text}", check.name).trim_end()))?;
        }
        let changed = self.checks.iter().filter(|check| matches!(check.outcome, Outcome::Changed(_))).count();
        match (self.failures(), self.checks.len()) {
            (0, all) if changed == 0 => writeln!(f, "verified: {all} checks good"),
            (0, all) => writeln!(f, "verified: {} checks good, {changed} changed in use", all - changed),
            (n, all) => writeln!(f, "NOT verified: {n} of {all} checks failed"),
        }
    }
}

/// The regions outside the slots against the signed record. Returns the trust store of the product the record names: slots of
/// another product do not belong in this image.
fn regions(image: &OpenedImage, trust: &Trust, in_use: bool, report: &mut Report) -> Result<Option<TrustStore>> {
    let area = image.record_area()?;
    let opened = image_record::peek(&area)
        .and_then(|claimed| trust.store(&claimed.product))
        .and_then(|store| Ok((image_record::open(&area, &store)?, store)));
    let (record, store) = match opened {
        Ok(opened) => opened,
        Err(problem) => {
            report.fail("image record", chain(&problem));
            return Ok(None);
        }
    };
    report.good("image record", format!("{} {}", record.product, record.version));
    for region in &record.regions {
        let name = format!("region {}", region.name);
        let end = region.start.0.saturating_add(region.size.0);
        if end > image.size.0 {
            report.fail(name, format!("recorded up to byte {end}, but the image ends at {}", image.size.0));
            continue;
        }
        let found = digest(&image.file, &image.path, region.start, region.size)?;
        if found == region.digest {
            report.good(name, "");
        } else {
            let place = format!(
                "{} bytes at byte {} have sha256 {}, recorded {}",
                region.size.0,
                region.start.0,
                found.short(),
                region.digest.short()
            );
            report.differs(name, place, in_use && region.mutable);
        }
    }
    Ok(Some(store))
}

/// Both copies must be whole on a shipped image; a running one may have lost one.
fn boot_state(image: &OpenedImage, in_use: bool, report: &mut Report) -> Result<()> {
    for (index, copy) in image.boot_state()?.iter().enumerate() {
        let name = format!("boot state copy {}", index + 1);
        match BootState::parse(copy) {
            Ok(state) => report.good(name, one_line(&state)),
            Err(problem) => report.differs(name, chain(&problem), in_use),
        }
    }
    Ok(())
}

/// Bytes no region owns must be zero: between the tables and the first partition, between partitions, behind the last.
fn unowned(image: &OpenedImage, in_use: bool, report: &mut Report) -> Result<()> {
    let mut owned: Vec<(u64, u64)> = image.regions().map(|region| (region.start.0, region.end().0)).collect();
    owned.push((0, TABLE_BYTES));
    // Whole sectors only: no guest ever sees what is behind the last one, and nothing is put there.
    let end = image.size.0 - image.size.0 % 512;
    if end != image.size.0 {
        report.fail("image size", format!("{} bytes behind the last whole sector", image.size.0 - end));
    }
    owned.push((end.saturating_sub(BACKUP_BYTES), end));
    owned.sort_unstable();
    let mut position = 0;
    for (start, end) in owned {
        if start > position
            && let Some(stray) = first_nonzero(image, position, start)?
        {
            let text = format!("byte {stray} belongs to no region and is not zero");
            report.differs("unowned bytes", text, in_use);
            return Ok(());
        }
        position = position.max(end);
    }
    report.good("unowned bytes", "all zero");
    Ok(())
}

/// The first byte in `start..end` that is not zero.
fn first_nonzero(image: &OpenedImage, start: u64, end: u64) -> Result<Option<u64>> {
    let mut position = start;
    while position < end {
        let length = (end - position).min(1 << 20);
        let bytes = image.read(Bytes(position), length)?;
        if let Some(index) = bytes.iter().position(|byte| *byte != 0) {
            return Ok(Some(position + index as u64));
        }
        position += length;
    }
    Ok(None)
}

/// A boot state in one line.
pub(crate) fn one_line(state: &BootState) -> String {
    let lines = state.to_string();
    let facts: Vec<String> = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    facts.join(", ")
}

/// Text out of an image as a terminal may show it: control characters stand as escapes.
pub(crate) fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, character| {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        shown
    })
}

/// Protective MBR, primary header and entries.
const TABLE_BYTES: u64 = 34 * 512;
/// Backup entries and header.
const BACKUP_BYTES: u64 = 33 * 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_out_of_an_image_cannot_steer_a_terminal() {
        assert_eq!(printable("Größe\u{1b}[2J\n\u{9b}"), "Größe\\u{1b}[2J\\n\\u{9b}");
    }

    #[test]
    fn what_changed_in_use_does_not_count_as_good() {
        let mut report = Report::default();
        report.good("a", "");
        report.differs("b", "", true);
        assert!(report.to_string().ends_with("verified: 1 checks good, 1 changed in use\n"), "{report}");
        report.differs("c", "", false);
        assert!(report.to_string().ends_with("NOT verified: 1 of 3 checks failed\n"), "{report}");
    }
}
