//! `health`: every check once, now.

use std::path::{Path, PathBuf};

use formats::boot_report::REPORT_PATH;

use crate::error::{Error, Result};
use crate::health::{Checklist, Finding, Shared, operators_file};
use crate::judge;
use crate::lifecycle::silent;
use crate::serve::mounted;
use crate::status::{self, print_json};
use crate::workplace::{Access, DATA, Workplace};

/// Options of `health`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    /// Trust store; by default the one this appliance was started with
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Boot report of the initramfs program
    #[arg(long, value_name = "FILE", default_value = REPORT_PATH)]
    report: PathBuf,
}

/// Runs the checks of base, site and operator and prints each finding; an error when one of them fails.
pub fn run(options: &Options) -> Result<()> {
    let findings = findings(&options.report, options.trust.as_deref())?;
    if options.json {
        print_json(&findings)?;
    } else {
        findings.iter().for_each(print);
    }
    match findings.iter().filter(|finding| !finding.holds()).count() {
        0 => Ok(()),
        failing => Err(Error::Unhealthy { failing, of: findings.len() }),
    }
}

/// What every check sees now.
pub(crate) fn findings(report: &Path, trust: Option<&Path>) -> Result<Vec<Finding>> {
    let report = status::report(report)?;
    let workplace = Workplace::appliance(&report, trust, Access::Look)?;
    let list = Checklist::new(&workplace.agent(&silent).facts()?, operators_file(Path::new(DATA)));
    let mut findings = vec![judge::finding(&report, mounted(DATA))];
    findings.extend(Shared::of_this_machine().run(&list));
    Ok(findings)
}

fn print(finding: &Finding) {
    println!("{finding}");
    for line in finding.output.lines() {
        println!("        | {line}");
    }
}
