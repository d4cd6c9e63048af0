//! `bulkhead depot add`, `promote`, `withdraw` and `rings`.

use std::path::PathBuf;

use builder::depot::Opens;
use builder::{Error, Result};
use formats::catalogue::{PackageId, Ring};
use formats::results::Results;

use super::super::output;
use super::set_up::good_until;
use super::signing::Signing;

#[derive(Debug, clap::Args)]
pub struct Add {
    #[command(flatten)]
    signing: Signing,
    /// The packages
    #[arg(required = true)]
    packages: Vec<PathBuf>,
    /// Results of scenarios that "bulkhead-vm scenario --results" wrote, where the
    /// depot wants to see some; repeatable
    #[arg(long, value_name = "FILE")]
    results: Vec<PathBuf>,
    /// The channel that offers them
    #[arg(long)]
    channel: String,
    /// When they open for a ring from now on, such as early=+0h,rest=+48h; a ring
    /// that is not named is open at once
    #[arg(long, value_name = "RING=TIME", value_delimiter = ',', value_parser = parse_opening)]
    ring_opens: Vec<(String, i64)>,
    /// Offer them to appliances whose entitlement has ended as well, such as
    /// security fixes
    #[arg(long)]
    for_all: bool,
}

#[derive(Debug, clap::Args)]
pub struct Promote {
    #[command(flatten)]
    signing: Signing,
    /// The package, such as base/demo-base-1.2.0
    package: PackageId,
    /// The channel that is to offer it
    #[arg(long)]
    channel: String,
    /// When it opens for a ring from now on, such as early=+0h,rest=+48h
    #[arg(long, value_name = "RING=TIME", value_delimiter = ',', value_parser = parse_opening)]
    ring_opens: Vec<(String, i64)>,
    /// Offer it to appliances whose entitlement has ended as well
    #[arg(long)]
    for_all: bool,
}

#[derive(Debug, clap::Args)]
pub struct Withdraw {
    #[command(flatten)]
    signing: Signing,
    /// The package, such as base/demo-base-1.2.0
    package: PackageId,
    /// One line for operators who wanted to install it, or have it
    #[arg(long)]
    reason: String,
    /// In this channel only
    #[arg(long)]
    channel: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Rings {
    #[command(flatten)]
    signing: Signing,
    /// The rings in the order in which they open, and how many of 1000 appliances
    /// are in each; none: no rings
    #[arg(value_name = "NAME=SHARE", value_parser = parse_ring)]
    rings: Vec<Ring>,
}

impl Add {
    pub fn run(self) -> Result<()> {
        let opens: Opens = self.ring_opens.into_iter().collect();
        let results = self.results.iter().map(|path| {
            let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
            Results::parse(&bytes).map_err(Error::format(format!("\"{}\"", path.display())))
        });
        let results = results.collect::<Result<Vec<_>>>()?;
        let change = self.signing.change(|edit, before| {
            edit.show_results(results);
            let add = |path: &PathBuf| {
                let id = edit.add(before, path, &self.channel, &opens)?;
                if self.for_all {
                    edit.offer_to_all(&id, &self.channel, true)?;
                }
                Ok(id)
            };
            self.packages.iter().map(add).collect::<Result<Vec<_>>>()
        })?;
        let Some((added, state)) = change else { return Ok(()) };
        for id in added {
            output::line(format_args!("{id} in channel {}", self.channel))?;
        }
        good_until(&state)
    }
}

impl Promote {
    pub fn run(self) -> Result<()> {
        let opens: Opens = self.ring_opens.into_iter().collect();
        let change = self.signing.change(|edit, _| {
            edit.promote(&self.package, &self.channel, &opens)?;
            if self.for_all { edit.offer_to_all(&self.package, &self.channel, true) } else { Ok(()) }
        })?;
        let Some(((), state)) = change else { return Ok(()) };
        output::line(format_args!("{} in channel {}", self.package, self.channel))?;
        good_until(&state)
    }
}

impl Withdraw {
    pub fn run(self) -> Result<()> {
        let change = self.signing.change(|edit, _| edit.withdraw(&self.package, self.channel.as_deref(), &self.reason));
        let Some(((), state)) = change? else { return Ok(()) };
        output::line(format_args!("{} is withdrawn: {}", self.package, self.reason))?;
        good_until(&state)
    }
}

impl Rings {
    pub fn run(self) -> Result<()> {
        let Some(((), state)) = self.signing.change(|edit, _| edit.set_rings(self.rings))? else { return Ok(()) };
        good_until(&state)
    }
}

/// `early=100`.
pub fn parse_ring(text: &str) -> Result<Ring, String> {
    let ring =
        text.split_once('=').and_then(|(name, share)| Some(Ring { name: name.into(), share: share.parse().ok()? }));
    ring.ok_or_else(|| format!("\"{text}\" is not NAME=SHARE with a share of 1000"))
}

/// `rest=+48h`, in seconds.
pub fn parse_opening(text: &str) -> Result<(String, i64), String> {
    let wrong = || format!("\"{text}\" is not RING=+TIME with a time such as 30m, 48h or 7d");
    let (ring, after) = text.split_once("=+").ok_or_else(wrong)?;
    let unit = match after.chars().last() {
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let number = after.get(..after.len() - 1).and_then(|number| number.parse::<u32>().ok()).ok_or_else(wrong)?;
    Ok((ring.to_owned(), i64::from(number) * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_read_as_the_help_shows_them() {
        assert_eq!(parse_opening("early=+0h"), Ok(("early".into(), 0)));
        assert_eq!(parse_opening("rest=+48h"), Ok(("rest".into(), 172_800)));
        assert_eq!(parse_opening("rest=+7d"), Ok(("rest".into(), 604_800)));
        for wrong in ["rest", "rest=48h", "rest=+48", "rest=+h", "rest=+-1h", "rest=+1é", ""] {
            assert!(parse_opening(wrong).is_err(), "{wrong}");
        }
    }
}
