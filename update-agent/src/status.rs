//! What runs, and what went wrong: read from the report of this start, the boot state, and the log of failed starts.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use formats::boot_report::{
    BootFailure, BootReport, Content, FAILURES_PATH, Firmware, REPORT_PATH, SiteReport, StateSummary,
};
use formats::boot_state::BootState;
use serde::Serialize;

use crate::error::{At, Doing, Result};
use crate::state::{self, Blocks, Device};

/// Failed starts shown, newest last.
const FAILURES_SHOWN: usize = 3;
const DATA: &str = "/data";

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print the text for the login screen
    #[arg(long, conflicts_with = "json")]
    banner: bool,
    /// Print the one line test machines wait for
    #[arg(long, conflicts_with_all = ["json", "banner"])]
    ready: bool,
    /// Boot report of the initramfs program
    #[arg(long, value_name = "FILE", default_value = REPORT_PATH)]
    report: PathBuf,
}

/// All there is to say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    #[serde(flatten)]
    report: BootReport,
    /// The boot state now; the report has the one of the start.
    state_now: Option<StateSummary>,
    /// How many of its two blocks are whole now.
    whole_blocks_now: Option<usize>,
    failures: Vec<BootFailure>,
    #[serde(skip)]
    state: Option<BootState>,
}

/// Prints the status.
pub fn run(options: &Options) -> Result<()> {
    let report = report(&options.report)?;
    if options.ready {
        println!("{}", ready(&report));
    } else if options.banner {
        print!("{}", banner(&report));
    } else {
        let status = gather(report);
        if options.json {
            let json = serde_json::to_string_pretty(&status).map_err(std::io::Error::from);
            println!("{}", json.doing(|| "write JSON".into())?);
        } else {
            print!("{}", text(&status));
        }
    }
    Ok(())
}

/// The report of this start.
pub fn report(path: &Path) -> Result<BootReport> {
    let bytes = fs::read(path).doing(|| {
        format!(
            "read the boot report \"{}\" (this is no Bulkhead appliance, or it was not started from its disk)",
            path.display()
        )
    })?;
    BootReport::parse(&bytes).at(|| path.display().to_string())
}

fn gather(report: BootReport) -> Status {
    let blocks: Option<Blocks> = report
        .state
        .device
        .as_ref()
        .and_then(|device| Device::open(Path::new(device), false).map_err(|problem| eprintln!("{problem}")).ok())
        .map(|device| state::read(&device));
    let log = fs::read(Path::new(DATA).join(FAILURES_PATH)).unwrap_or_default();
    let mut failures = BootFailure::parse_log(&log);
    failures.drain(..failures.len().saturating_sub(FAILURES_SHOWN));
    let state = blocks.as_ref().and_then(|blocks| blocks.newest);
    Status {
        report,
        state_now: state.as_ref().map(StateSummary::from),
        whole_blocks_now: blocks.map(|blocks| blocks.whole),
        failures,
        state,
    }
}

/// The line a test waits for on the serial console.
fn ready(report: &BootReport) -> String {
    let site = match &report.site {
        Some(SiteReport::Running { content, .. }) => format!("{} {}", content.name, content.version),
        _ => "none".into(),
    };
    format!(
        "BULKHEAD READY product={} version={} slot={} verified={} site={site}",
        report.product,
        report.base.version,
        report.slot,
        yes(report.base.verified)
    )
}

/// `/etc/issue`: a frame, then the facts. A backslash would be an escape of getty, so there is none.
fn banner(report: &BootReport) -> String {
    let mut text = format!("\n  {} {}\n  {}\n", report.product, report.base.version, "-".repeat(46));
    for (name, value) in facts(report) {
        line(&mut text, name, &value.replace('\\', "/"));
    }
    text.push('\n');
    text
}

/// Everything, for a terminal.
fn text(status: &Status) -> String {
    let mut text = format!("  {} {}\n", status.report.product, status.report.base.version);
    for (name, value) in facts(&status.report) {
        line(&mut text, name, &value);
    }
    if let Some(state) = status.state {
        let whole = status.whole_blocks_now.unwrap_or(0);
        line(
            &mut text,
            "state",
            &format!("number {}, {whole} of 2 blocks whole, slot {} first", state.sequence, state.order),
        );
        line(&mut text, "", &format!("slot A {}; slot B {}", state.a, state.b));
    } else {
        line(&mut text, "state", "unknown; the boot loader starts whatever loads");
    }
    for warning in &status.report.warnings {
        line(&mut text, "warning", warning);
    }
    for failure in &status.failures {
        let slot = failure.slot.map_or_else(|| "unknown".into(), |slot| slot.to_string());
        line(&mut text, "failed", &format!("slot {slot}, version {}: {}", failure.version, failure.reason));
    }
    text
}

fn facts(report: &BootReport) -> Vec<(&'static str, String)> {
    let site = match &report.site {
        Some(SiteReport::Running { slot, content }) => format!("{} {}, slot {slot}", content.name, content.version),
        Some(SiteReport::Unusable { error }) => format!("none: {error}"),
        None => "none".into(),
    };
    let firmware = match (report.firmware, report.secure_boot) {
        (Firmware::Bios, _) => "BIOS",
        (Firmware::Uefi, false) => "UEFI, Secure Boot off",
        (Firmware::Uefi, true) => "UEFI, Secure Boot enforced",
    };
    let data = match (&report.data.error, &report.data.device) {
        (Some(error), _) => error.clone(),
        (None, Some(device)) => format!("{device}{}", if report.data.grown { ", grown at this start" } else { "" }),
        (None, None) => "none".into(),
    };
    vec![
        ("slot", report.slot.to_string()),
        ("verified", verified(&report.base)),
        ("site", site),
        ("firmware", firmware.into()),
        ("data", data),
    ]
}

fn verified(content: &Content) -> String {
    if content.verified { format!("yes, signed by {}", content.signers.join(", ")) } else { "NO".into() }
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    if writeln!(text, "  {name:<9} {value}").is_err() {
        text.push_str(value);
    }
}

const fn yes(condition: bool) -> &'static str {
    if condition { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::tests::sample;
    use formats::SlotId;

    #[test]
    fn the_ready_line_has_product_version_slot_verdict_and_site() {
        let mut report = sample();
        assert_eq!(ready(&report), "BULKHEAD READY product=demo version=1.0.0 slot=A verified=yes site=none");
        report.site = Some(SiteReport::Running { slot: SlotId::B, content: report.base.clone() });
        assert!(ready(&report).ends_with("site=demo 1.0.0"));
    }

    #[test]
    fn the_banner_states_slot_and_verdict_without_escapes() {
        let mut report = sample();
        report.data.error = Some("a\\nb".into());
        let banner = banner(&report);
        for wanted in ["demo 1.0.0", "slot      A", "verified  yes, signed by release", "Secure Boot enforced"] {
            assert!(banner.contains(wanted), "{banner}");
        }
        assert!(!banner.contains('\\'));
    }

    #[test]
    fn warnings_and_failed_starts_are_shown() {
        let mut report = sample();
        report.warnings.push("disks are copies".into());
        let failure = BootFailure {
            format: 1,
            time: 0,
            slot: Some(SlotId::B),
            version: "1.1.0".into(),
            build_id: None,
            reason: "no signature".into(),
        };
        let status = Status { report, state_now: None, whole_blocks_now: None, failures: vec![failure], state: None };
        let text = text(&status);
        assert!(text.contains("warning   disks are copies"), "{text}");
        assert!(text.contains("failed    slot B, version 1.1.0: no signature"), "{text}");
        assert!(text.contains("state     unknown"), "{text}");
    }
}
