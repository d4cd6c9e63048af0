//! What the initramfs program tells the running system (`/run/bulkhead/boot.json`) and, when it could not start it, the next one
//! (`boot-failures.jsonl` on the data partition).
//!
//! Both are machine files: versioned, written by one release and possibly read by another, so unknown fields are ignored and every
//! field added later is optional. The agent derives all it says about this boot from them.

use serde::{Deserialize, Serialize};

use crate::boot_state::{BootState, SlotState};
use crate::signature::VerifiedManifest;
use crate::{Digest, Error, Result, SlotId};

/// Where the running system finds the report of its own start.
pub const REPORT_PATH: &str = "/run/bulkhead/boot.json";

/// Where failed starts are kept, relative to the root of the data partition: one JSON object per line, newest last.
pub const FAILURES_PATH: &str = "bulkhead/boot-failures.jsonl";

/// Upper bound of the failure log in bytes; the older half goes when it is reached.
pub const FAILURES_LIMIT: usize = 64 << 10;

/// One successful start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BootReport {
    /// Version of this record: 1.
    pub format: u32,
    /// The product all slots of this disk belong to.
    pub product: String,
    /// The base slot that runs.
    pub slot: SlotId,
    /// What is in it.
    pub base: Content,
    /// The site slot that runs, why none does, or nothing when the appliance has no site.
    pub site: Option<SiteReport>,
    /// The read-write partition.
    pub data: DataReport,
    /// The boot state as GRUB left it.
    pub state: StateReport,
    /// How the machine started.
    pub firmware: Firmware,
    /// True when the firmware enforced Secure Boot.
    pub secure_boot: bool,
    /// The disk everything is on, for example `/dev/vda`.
    pub disk: String,
    /// Oddities that did not stop the start, each a sentence.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A verified slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Content {
    /// Name of the package it was written from.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its build.
    pub build_id: Digest,
    /// Its place in the package line.
    pub sequence: u64,
    /// True when signature and hash tree are checked; nothing else is ever mounted.
    pub verified: bool,
    /// Names of the keys that signed it.
    pub signers: Vec<String>,
}

impl From<&VerifiedManifest> for Content {
    /// Of a slot whose footer is verified and whose image is opened through its hash tree.
    fn from(verified: &VerifiedManifest) -> Self {
        let manifest = verified.manifest();
        Self {
            name: manifest.name.clone(),
            version: manifest.version.to_string(),
            build_id: manifest.build_id,
            sequence: manifest.sequence,
            verified: true,
            signers: verified.signers().iter().map(|signer| signer.name.clone()).collect(),
        }
    }
}

/// The site slot in use, or why none is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SiteReport {
    /// Mounted at `/site`.
    Running {
        /// Which of the two site slots.
        slot: SlotId,
        /// What is in it.
        #[serde(flatten)]
        content: Content,
    },
    /// There is something in a site slot, but nothing that may run.
    Unusable {
        /// One sentence per slot.
        error: String,
    },
}

/// The state of the data partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataReport {
    /// The partition, for example `/dev/vda8`.
    pub device: Option<String>,
    /// True when this start made it larger.
    pub grown: bool,
    /// Why it is not mounted (then `/data` is empty and lost at restart) or could not grow.
    pub error: Option<String>,
}

/// The boot state, as read once before anything of this boot changed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StateReport {
    /// The state partition, for example `/dev/vda3`.
    pub device: Option<String>,
    /// How many of the two blocks were whole.
    pub whole_blocks: u8,
    /// The newest whole block.
    pub newest: Option<StateSummary>,
}

/// A boot state in the words of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSummary {
    /// Its sequence number.
    pub sequence: u64,
    /// The slot tried first.
    pub order: SlotId,
    /// Base slot A.
    pub a: SlotSummary,
    /// Base slot B.
    pub b: SlotSummary,
    /// The slot started last.
    pub last: Option<SlotId>,
    /// The active site slot.
    pub site: Option<SlotId>,
}

/// A slot in the words of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotSummary {
    /// True when the slot was committed.
    pub good: bool,
    /// How often GRUB may still start it.
    pub tries: u8,
}

impl From<&BootState> for StateSummary {
    fn from(state: &BootState) -> Self {
        let slot = |slot: SlotState| SlotSummary { good: slot.good, tries: slot.tries };
        Self {
            sequence: state.sequence,
            order: state.order,
            a: slot(state.a),
            b: slot(state.b),
            last: state.last,
            site: state.site,
        }
    }
}

/// How the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// Through the master boot record.
    Bios,
    /// Through `EFI/BOOT/BOOTX64.EFI`.
    Uefi,
}

/// One start that did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BootFailure {
    /// Version of this record: 1.
    pub format: u32,
    /// Seconds since 1970 by the machine's clock, which may be wrong.
    pub time: u64,
    /// The slot, when it was known by then.
    pub slot: Option<SlotId>,
    /// Version of the base that failed.
    pub version: String,
    /// Its build.
    pub build_id: Option<Digest>,
    /// What, which, why.
    pub reason: String,
}

impl BootReport {
    /// The version of the record this code writes.
    pub const FORMAT: u32 = 1;

    /// The report in `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let report: Self = serde_json::from_slice(bytes).map_err(|e| Error::corrupt("boot report", e.to_string()))?;
        if report.format != Self::FORMAT {
            return Err(Error::unsupported(
                "boot report",
                format!("format {}, expected {}", report.format, Self::FORMAT),
            ));
        }
        Ok(report)
    }

    /// As JSON, ending in a newline.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::invalid("boot report", e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl BootFailure {
    /// As one line of JSON, ending in a newline.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self).map_err(|e| Error::invalid("boot failure", e.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// `log` with `line` appended, cut at a line boundary to stay within [`FAILURES_LIMIT`].
    pub fn append(log: &[u8], line: &[u8]) -> Vec<u8> {
        let kept = if log.len().saturating_add(line.len()) <= FAILURES_LIMIT {
            log
        } else {
            let tail = log.get(log.len().saturating_sub(FAILURES_LIMIT.div_ceil(2))..).unwrap_or_default();
            tail.iter()
                .position(|byte| *byte == b'\n')
                .and_then(|at| tail.get(at.saturating_add(1)..))
                .unwrap_or_default()
        };
        let mut whole = kept.to_vec();
        // A line torn by a power cut ends without a newline: close it, so that it spoils only itself.
        if whole.last().is_some_and(|byte| *byte != b'\n') {
            whole.push(b'\n');
        }
        whole.extend_from_slice(line);
        whole
    }

    /// Every readable line of a failure log, oldest first; a torn line is skipped. The log lies on a disk anybody may have written:
    /// control characters, which a terminal would obey, are taken out.
    pub fn parse_log(log: &[u8]) -> Vec<Self> {
        let lines = log.split(|byte| *byte == b'\n');
        let mut failures: Vec<Self> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        for failure in &mut failures {
            failure.version.retain(|letter| !letter.is_control());
            failure.reason.retain(|letter| !letter.is_control());
        }
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content {
            name: "demo".into(),
            version: "1.0.0".into(),
            build_id: Digest::of(b"demo"),
            sequence: 1,
            verified: true,
            signers: vec!["base".into()],
        }
    }

    fn report(site: Option<SiteReport>) -> BootReport {
        BootReport {
            format: 1,
            product: "demo".into(),
            slot: SlotId::A,
            base: content(),
            site,
            data: DataReport { device: Some("/dev/vda8".into()), grown: false, error: None },
            state: StateReport::default(),
            firmware: Firmware::Bios,
            secure_boot: false,
            disk: "/dev/vda".into(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn reports_survive_encoding_with_and_without_a_site() {
        let running = SiteReport::Running { slot: SlotId::B, content: content() };
        let unusable = SiteReport::Unusable { error: "slot A: no footer".into() };
        for site in [None, Some(running), Some(unusable)] {
            let report = report(site);
            assert_eq!(BootReport::parse(&report.encode().unwrap()), Ok(report));
        }
    }

    #[test]
    fn reads_what_a_newer_release_wrote_and_refuses_another_format() {
        let mut value: serde_json::Value = serde_json::from_slice(&report(None).encode().unwrap()).unwrap();
        value["new-field"] = 1.into();
        assert!(BootReport::parse(value.to_string().as_bytes()).is_ok());
        value["format"] = 2.into();
        assert!(matches!(BootReport::parse(value.to_string().as_bytes()), Err(Error::Unsupported { .. })));
    }

    fn failure(reason: &str) -> BootFailure {
        BootFailure {
            format: 1,
            time: 0,
            slot: Some(SlotId::A),
            version: "1.0.0".into(),
            build_id: None,
            reason: reason.into(),
        }
    }

    #[test]
    fn failure_log_stays_bounded_and_keeps_the_newest() {
        let mut log = Vec::new();
        for n in 0..5000 {
            log = BootFailure::append(&log, &failure(&n.to_string()).encode().unwrap());
            assert!(log.len() <= FAILURES_LIMIT);
        }
        let kept = BootFailure::parse_log(&log);
        assert_eq!(kept.last().map(|f| f.reason.as_str()), Some("4999"));
        assert!(kept.len() > 100);
    }

    #[test]
    fn a_torn_line_spoils_only_itself() {
        let line = failure("x").encode().unwrap();
        let log = BootFailure::append(&line[..20], &line);
        assert_eq!(BootFailure::parse_log(&log).len(), 1);
    }

    #[test]
    fn a_failure_log_cannot_send_commands_to_a_terminal() {
        let line = br#"{"format":1,"time":1,"slot":"a","version":"1.0.0\u001b[2J","build-id":null,"reason":"bad\u0007 \u009b31m slot"}"#;
        let failures = BootFailure::parse_log(line);
        assert_eq!(failures.len(), 1);
        assert!(failures.iter().all(|failure| !failure.reason.contains(char::is_control)));
        assert_eq!(failures[0].version, "1.0.0[2J");
    }
}
