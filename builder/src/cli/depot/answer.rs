//! `bulkhead depot answer`, `plan` and `ledger`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use builder::depot::answer::{Bringing, Offer, Shelf, read_inventory, read_key};
use builder::depot::ledger::{Account, Event, Ledger, REISSUES};
use builder::depot::{Depot, Hiding, bundle, ledger};
use builder::{Error, Result};
use formats::bundle::EXTENSION;
use formats::catalogue::PackageId;
use formats::download_key::SignedKey;
use formats::manifest::Date;
use formats::plan::Options;
use serde::Serialize;
use serde_json::json;

use super::super::keys::now;
use super::super::output;

/// Answer the download key of an appliance without a network
///
/// Prints what the appliance would see if it could ask, and writes a path
/// bundle: everything from what is installed to the newest release.
#[derive(Debug, clap::Args)]
pub struct Answer {
    /// The depot
    #[arg(value_name = "DEPOT")]
    directory: PathBuf,
    /// The key that "update-agent download-key" printed, a file that contains it,
    /// or - for standard input
    key: String,
    /// The file to write [default: PRODUCT-APPLIANCE.path]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The package to come to, such as site/demo-site-2.0.0 [default: the newest]
    #[arg(long, value_name = "ID")]
    to: Option<PackageId>,
    /// Print the list, and write nothing
    #[arg(long, conflicts_with = "output")]
    list: bool,
    #[command(flatten)]
    counting: Counting,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is counted, and what follows from it.
#[derive(Debug, clap::Args)]
pub struct Counting {
    /// File in which downloads are counted; without one nothing is
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// How often more than once an appliance may get a package
    #[arg(long, value_name = "N", default_value_t = REISSUES, requires = "ledger")]
    pub reissues: u32,
    /// Leave what was downloaded in the list with its day, or out of the list
    #[arg(long, value_enum, default_value_t = Hiding::Mark, requires = "ledger")]
    pub downloaded: Hiding,
}

/// Plan for an appliance that is elsewhere, as it would itself
#[derive(Debug, clap::Args)]
pub struct Planning {
    /// The depot
    #[arg(value_name = "DEPOT")]
    directory: PathBuf,
    /// What "update-agent status --json" printed there
    #[arg(long, value_name = "FILE", required_unless_present = "key")]
    inventory: Option<PathBuf>,
    /// Its download key instead
    #[arg(long, value_name = "KEY", conflicts_with = "inventory")]
    key: Option<String>,
    /// The package to come to, such as site/demo-site-2.0.0 [default: the newest]
    #[arg(long, value_name = "ID")]
    to: Option<PackageId>,
    /// Leave no time between sites for clients to follow
    #[arg(long)]
    no_soak: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print what was downloaded by download keys
#[derive(Debug, clap::Args)]
pub struct LedgerArguments {
    /// The ledger
    file: PathBuf,
    /// Of this appliance only
    #[arg(long, value_name = "NAME")]
    appliance: Option<String>,
    /// Let the next key of this appliance count: it was reset, or its first key was
    /// somebody else's
    #[arg(long, value_name = "NAME", conflicts_with = "appliance", requires = "reason")]
    forget_key: Option<String>,
    /// Why, for whoever reads the ledger later
    #[arg(long, requires = "forget_key")]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Answer {
    pub fn run(self) -> Result<()> {
        let signed = key(&self.key)?;
        let depot = Depot::new(&self.directory);
        let stock = Shelf::open(&depot, now()?)?;
        stock.judge(&signed)?;
        let inventory = &signed.key().inventory;
        let ledger = self.counting.ledger();
        let account = ledger.as_ref().map(|ledger| ledger.account(&inventory.appliance)).transpose()?;
        let offers = stock.marked(inventory, account.as_ref(), self.counting.downloaded)?;
        let plan = stock.bringing(inventory, self.to.as_ref());
        if self.list {
            let sentences = plan.as_ref().map(Bringing::sentences).unwrap_or_default();
            return show(&offers, plan.as_ref().ok(), &sentences, None, self.json);
        }
        if !self.json {
            // Also when there is no way: the list says why.
            show(&offers, None::<&Bringing>, &[], None, false)?;
        }
        let plan = plan?;
        let order = plan.order();
        let contents = stock.bundle(&inventory.appliance, order.clone(), now()?)?;
        if let Some(ledger) = &ledger {
            // First written down, then handed out: see the ledger.
            ledger.issue(&signed, &order, now()?)?;
        }
        let path = self.output.unwrap_or_else(|| file_name(&signed).into());
        contents.write(&path)?;
        let written = Written { path: &path, contents: &contents };
        show(if self.json { &offers } else { &[] }, Some(&plan), &plan.sentences(), Some(&written), self.json)
    }
}

impl Counting {
    pub fn ledger(&self) -> Option<Ledger> {
        self.ledger.as_ref().map(|path| Ledger::new(path, self.reissues))
    }
}

impl Planning {
    pub fn run(self) -> Result<()> {
        let inventory = match (&self.inventory, &self.key) {
            (Some(path), _) => {
                let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
                read_inventory(&bytes)?
            }
            (None, Some(text)) => key(text)?.key().inventory.clone(),
            (None, None) => return Err(Error::input("name an inventory or a download key")),
        };
        let depot = Depot::new(&self.directory);
        let stock = Shelf::open(&depot, now()?)?;
        let plan = stock.way(&inventory, self.to.as_ref(), Options { no_soak: self.no_soak })?;
        show(&[], Some(&plan), &plan.sentences(), None, self.json)
    }
}

impl LedgerArguments {
    pub fn run(self) -> Result<()> {
        let file = Ledger::new(&self.file, REISSUES);
        if let (Some(appliance), Some(reason)) = (&self.forget_key, &self.reason) {
            file.forget_key(appliance, reason, now()?)?;
            return output::line(format_args!("the next key of appliance {appliance} counts"));
        }
        let lines = file.lines()?;
        let wanted = |name: &str| self.appliance.as_deref().is_none_or(|one| one == name);
        let lines: Vec<_> = lines.into_iter().filter(|line| wanted(&line.appliance)).collect();
        if self.json {
            return output::line(format_args!("{:#}", json!({"format": 1, "lines": lines})));
        }
        for line in &lines {
            let what = match &line.event {
                Event::Issued { packages, .. } => {
                    packages.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
                }
                Event::KeyForgotten { reason } => format!("key forgotten: {}", reason.escape_debug()),
            };
            output::line(format_args!("{} {} {what}", Date::shown(line.time), line.appliance.escape_debug()))?;
        }
        let mut names: Vec<&String> = lines.iter().map(|line| &line.appliance).collect();
        names.sort();
        names.dedup();
        let known = ledger::appliances(&lines);
        for name in names {
            for (id, issues) in Account::of(&lines, name).packages {
                output::line(format_args!("{} {id}: {} time(s)", name.escape_debug(), issues.count))?;
            }
        }
        let (count, since) = (known.len(), now()?.saturating_sub(86_400));
        let new = known.values().filter(|first| **first > since).count();
        output::line(format_args!("{count} appliance(s), {new} of them new within a day"))
    }
}

/// A bundle that is there now.
struct Written<'a> {
    path: &'a Path,
    contents: &'a bundle::Contents,
}

fn show(
    offers: &[Offer],
    plan: Option<&impl Serialize>,
    sentences: &[String],
    written: Option<&Written<'_>>,
    json: bool,
) -> Result<()> {
    if json {
        let bundle = written.map(|written| json!({"file": written.path, "size": written.contents.size()}));
        let facts = json!({"format": 1, "updates": offers, "plan": plan, "sentences": sentences, "bundle": bundle});
        return output::line(format_args!("{facts:#}"));
    }
    for offer in offers {
        let downloaded =
            offer.downloaded.map(|issues| format!("; downloaded {}", Date::shown(issues.last))).unwrap_or_default();
        output::line(format_args!("{}{downloaded}", offer.summary))?;
        output::line(format_args!("    {}, SHA-256 {}", offer.size, offer.sha256))?;
    }
    for sentence in sentences {
        output::line(sentence)?;
    }
    match written {
        Some(written) => output::line(format_args!("{}: {}", written.path.display(), written.contents.size())),
        None => Ok(()),
    }
}

/// A key that was pasted, or is in a file.
fn key(text: &str) -> Result<SignedKey> {
    if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("BKDK")) {
        return read_key(text);
    }
    let mut bytes = Vec::new();
    let read = match text {
        "-" => std::io::stdin().take(MAX_KEY).read_to_end(&mut bytes),
        path => std::fs::File::open(path).and_then(|file| file.take(MAX_KEY).read_to_end(&mut bytes)),
    };
    read.map_err(Error::io("read", text))?;
    read_key(&String::from_utf8_lossy(&bytes))
}

/// What a bundle is called when nobody says.
fn file_name(signed: &SignedKey) -> String {
    let inventory = &signed.key().inventory;
    let short: String = inventory.appliance.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("{}-{short}.{EXTENSION}", inventory.product)
}

/// More than any key has.
const MAX_KEY: u64 = 64 << 10;
