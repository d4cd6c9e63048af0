//! What runs, what is on trial, what failed and why, and what the next restart does: read from the report of this start, the boot
//! state, the slots, the journal and the log of failed starts, and derived anew each time.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use formats::SlotId;
use formats::boot_report::{BootFailure, BootReport, Content, Firmware, SiteReport, StateSummary};
use formats::boot_state::BootState;
use formats::manifest::Date;
use formats::plan::Inventory;
use formats::reset_record::Then;
use serde::Serialize;

use crate::command::install::firmware_model;
use crate::depot::{Places, offer};
use crate::error::{At, Doing, Result};
use crate::licence::{Directory, Licences, Standing, standing};
use crate::lifecycle::{Facts, Occupant, Summary, silent, summarize};
use crate::slot;
use crate::state::{self, Blocks};
use crate::upgrade::look::of_this_machine;
use crate::upgrade::outlook::Outlook;
use crate::workplace::{self, Access, Workplace};

/// Failed starts shown, newest last.
const FAILURES_SHOWN: usize = 3;

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
    #[command(flatten)]
    place: workplace::Place,
}

/// All there is to say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    #[serde(flatten)]
    report: BootReport,
    /// What the slots and the records say; nothing when they cannot be read.
    lifecycle: Option<Summary>,
    /// The boot state now; the report has the one of the start.
    state_now: Option<StateSummary>,
    /// How many of its two blocks are whole now.
    whole_blocks_now: Option<usize>,
    failures: Vec<BootFailure>,
    /// What licences give; nothing when that is not known.
    licences: Option<Standing>,
    /// What a planner on another machine has to know; nothing when it is not known.
    inventory: Option<Inventory>,
    /// How far the upgrade is; nothing when none is under way.
    upgrade: Option<Outlook>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade_problem: Option<String>,
    #[serde(skip)]
    state: Option<BootState>,
}

/// Prints the status.
pub fn run(options: &Options) -> Result<()> {
    if options.place.disk.is_some() {
        return of_image(options);
    }
    let report = report(&options.place.report)?;
    if options.ready {
        println!("{}", ready(&report));
    } else if options.banner {
        print!("{}", banner(&report));
    } else {
        let status = gather(report, options.place.trust.as_deref());
        if options.json {
            print_json(&status)?;
        } else {
            print!("{}", text(&status));
        }
    }
    Ok(())
}

/// What an image file holds and what a machine started from it would do.
fn of_image(options: &Options) -> Result<()> {
    let workplace = Workplace::open(&options.place, Access::Look)?;
    let summary = summarize(&workplace.agent(&silent).facts()?);
    if options.json {
        return print_json(&summary);
    }
    let mut text = String::new();
    lifecycle_lines(&mut text, &summary);
    slot_lines(&mut text, &summary);
    print!("{text}");
    Ok(())
}

/// On standard output, for machines and for people.
pub(crate) fn print_json(facts: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(facts).doing(|| "write JSON".into())?);
    Ok(())
}

/// Everything, as JSON.
pub fn everything(place: &workplace::Place) -> Result<serde_json::Value> {
    let json = if place.disk.is_some() {
        let workplace = Workplace::open(place, Access::Look)?;
        serde_json::to_value(summarize(&workplace.agent(&silent).facts()?))
    } else {
        serde_json::to_value(gather(report(&place.report)?, place.trust.as_deref()))
    };
    json.doing(|| "write JSON".into())
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

fn gather(mut report: BootReport, trust: Option<&Path>) -> Status {
    let known = Workplace::appliance(&report, trust, Access::Look)
        .and_then(|workplace| {
            let agent = workplace.agent(&silent);
            let facts = agent.facts()?;
            let licences = agent.licences(&Directory::new(Path::new(workplace::DATA)))?;
            // The report is about the start; the site may have been switched since.
            if let Some(site) = site_now(&facts) {
                report.site = Some(site);
            }
            let given = standing(&licences, facts.site_info(), today(&facts));
            let upgrade = of_this_machine(&facts, &licences);
            Ok((summarize(&facts), given, inventory(&facts, &licences), upgrade))
        })
        .map_err(|problem| eprintln!("update-agent: {problem}"))
        .ok();
    let (lifecycle, licences, inventory, upgrade) = match known {
        Some((lifecycle, licences, inventory, upgrade)) => (Some(lifecycle), Some(licences), inventory, upgrade),
        None => (None, None, None, None),
    };
    let (upgrade, upgrade_problem) = match upgrade {
        Some(Ok(outlook)) => (Some(outlook), None),
        Some(Err(problem)) => (None, Some(problem)),
        None => (None, None),
    };
    let blocks: Option<Blocks> = report.state.device.as_ref().and_then(|device| {
        let blocks = state::open(Path::new(device), false).and_then(|device| state::read(&device));
        blocks.map_err(|problem| eprintln!("{problem}")).ok()
    });
    let mut failures = workplace::failures();
    failures.drain(..failures.len().saturating_sub(FAILURES_SHOWN));
    let state = blocks.as_ref().and_then(|blocks| blocks.newest);
    Status {
        report,
        lifecycle,
        state_now: state.as_ref().map(StateSummary::from),
        whole_blocks_now: blocks.map(|blocks| blocks.whole),
        failures,
        licences,
        inventory,
        upgrade,
        upgrade_problem,
        state,
    }
}

/// What updates depend on, for planning elsewhere.
fn inventory(facts: &Facts, licences: &Licences) -> Option<Inventory> {
    let places = Places::of_this_machine();
    let setting = places.setting().map_err(|problem| eprintln!("update-agent: {problem}")).unwrap_or_default();
    offer::inventory(facts, &setting, places.appliance_kept()?, firmware_model(), licences, places.clock(facts)).ok()
}

/// Today by the machine's clock, but not before the base that runs was made.
fn today(facts: &Facts) -> Date {
    Date::of_unix(facts.not_before_home(workplace::now())).unwrap_or(Date::LAST)
}

/// The site that runs now, in the form of the report; nothing when none does.
fn site_now(facts: &Facts) -> Option<SiteReport> {
    let slot = facts.active_site()?;
    let slot::Content::Whole(site) = facts.site.get(slot) else { return None };
    Some(SiteReport::Running { slot, content: site.as_ref().into() })
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
    if let Some(summary) = &status.lifecycle {
        lifecycle_lines(&mut text, summary);
    }
    if let Some(standing) = &status.licences {
        licence_lines(&mut text, standing);
    }
    if let Some(outlook) = &status.upgrade {
        line(&mut text, "upgrade", &outlook.summary);
    }
    if let Some(problem) = &status.upgrade_problem {
        line(&mut text, "upgrade", &format!("not known: {problem}"));
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

/// What licences give, and each of them. Nothing is said where there are none.
pub(crate) fn licence_lines(text: &mut String, standing: &Standing) {
    let mut parts = Vec::new();
    parts.extend(standing.count.map(|count| format!("{count} in all")));
    if !standing.features.is_empty() {
        parts.push(format!("open: {}", standing.features.join(", ")));
    }
    parts.extend(standing.entitled_until.map(|day| format!("entitled to new packages until {day}")));
    let lines = standing.licences.iter().map(|one| one.summary.clone()).chain(standing.problems.iter().cloned());
    let head = (!parts.is_empty()).then(|| parts.join("; "));
    for (name, value) in ["licences"].into_iter().chain(std::iter::repeat("")).zip(head.into_iter().chain(lines)) {
        line(text, name, &value);
    }
}

/// What is on trial, what the next restart does, and what failed.
fn lifecycle_lines(text: &mut String, summary: &Summary) {
    line(text, "update", &summary.state);
    line(text, "", &format!("site: {}", summary.site_state));
    let next = &summary.next_restart;
    if let Some(base) = &next.base {
        let otherwise = next.otherwise.as_ref().map(|other| format!("; else {}", occupant(other))).unwrap_or_default();
        line(text, "next", &format!("{}{otherwise}", occupant(base)));
    }
    if let Some(site) = &next.site {
        line(text, "next site", &occupant(site));
    }
    if let Some(reset) = &next.reset {
        let then = match reset.then {
            Then::Start => "starts as for the first time",
            Then::PowerOff => "turns itself off",
        };
        line(
            text,
            "reset",
            &format!(
                "the next restart destroys everything in /data, then the appliance {then}; asked for by {}",
                reset.by
            ),
        );
    }
    if let Some(problem) = &next.reset_problem {
        line(text, "reset", &format!("none: {problem}; \"update-agent factory-reset --cancel\" clears it"));
    }
    for failure in &summary.failed {
        line(
            text,
            "failed",
            &format!("{} in {} slot {}: {}", failure.release, failure.release.kind, failure.slot, failure.reason),
        );
    }
}

/// Every slot with what is in it.
fn slot_lines(text: &mut String, summary: &Summary) {
    for (kind, pair) in [("base", &summary.base), ("site", &summary.site)] {
        for slot in SlotId::BOTH {
            let content = pair.get(slot);
            let shown = match (&content.release, &content.problem) {
                (Some(release), _) => release.to_string(),
                (None, Some(problem)) => problem.clone(),
                (None, None) => "empty".into(),
            };
            line(text, &format!("{kind} {slot}"), &shown);
        }
    }
}

fn occupant(occupant: &Occupant) -> String {
    match &occupant.release {
        Some(release) => format!("slot {}, {release}", occupant.slot),
        None => format!("slot {}", occupant.slot),
    }
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
        let status = Status {
            report,
            lifecycle: None,
            state_now: None,
            whole_blocks_now: None,
            failures: vec![failure],
            licences: None,
            inventory: None,
            upgrade: None,
            upgrade_problem: None,
            state: None,
        };
        let text = text(&status);
        assert!(text.contains("warning   disks are copies"), "{text}");
        assert!(text.contains("failed    slot B, version 1.1.0: no signature"), "{text}");
        assert!(text.contains("state     unknown"), "{text}");
    }
}
