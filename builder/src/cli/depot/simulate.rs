//! `bulkhead depot simulate`.

use std::fmt::Write as _;

use builder::depot::simulate::{Costs, Fleet, Forecast};
use builder::{Error, Result};
use formats::catalogue::Ring;
use serde_json::json;

use super::super::output;
use super::offer::{parse_opening, parse_ring};

/// Say what a depot has to serve when a fleet follows a release
///
/// Computes with the rings and the checking times appliances have; the fleet is
/// made up. docs/scale.md reads the numbers.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many appliances
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    appliances: u32,
    /// Hours between two checks, check-hours of the appliances
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    check_hours: u32,
    /// Rollout rings, such as early=50,rest=950
    #[arg(long, value_name = "NAME=SHARE", value_delimiter = ',', value_parser = parse_ring)]
    rings: Vec<Ring>,
    /// When they open after the release, such as rest=+48h
    #[arg(long, value_name = "RING=TIME", value_delimiter = ',', value_parser = parse_opening)]
    ring_opens: Vec<(String, i64)>,
    /// Days to follow them
    #[arg(long, value_name = "N", default_value_t = 7)]
    days: u32,
    /// Bytes of the package
    #[arg(long, value_name = "BYTES", default_value_t = 100_000_000)]
    package: u64,
    /// Bytes of the timestamp and of the answer that there is no new root
    #[arg(long, value_name = "BYTES", default_value_t = 700)]
    idle: u64,
    /// Bytes of the metadata a release changes
    #[arg(long, value_name = "BYTES", default_value_t = 80_000)]
    news: u64,
    /// Bytes each second an appliance fetches a package with
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000)]
    bandwidth: u64,
    /// No appliance has power from this hour on for so many hours, such as 30+8
    #[arg(long, value_name = "HOUR+HOURS", value_parser = parse_off)]
    power_cut: Option<(i64, i64)>,
    /// Another number is another fleet
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let costs = Costs { idle: self.idle, news: self.news, package: self.package };
        let fleet = Fleet {
            appliances: self.appliances,
            hours: self.check_hours,
            seed: self.seed,
            rings: self.rings,
            opens: self.ring_opens.into_iter().collect(),
            days: self.days,
            off: self.power_cut,
            costs,
            rate: self.bandwidth,
        };
        let seen = fleet.forecast()?;
        if self.json {
            let facts = serde_json::to_value(&seen).map_err(|cause| Error::Bug(cause.to_string()))?;
            return output::line(format_args!("{:#}", json!({"format": 1, "costs": costs, "forecast": facts})));
        }
        output::text(shown(&fleet, &seen))
    }
}

fn shown(fleet: &Fleet, seen: &Forecast) -> String {
    let seconds = u64::from(fleet.days) * 86_400;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |name: &str, value: String| {
        let _ok = writeln!(text, "{name:<26} {value}");
    };
    line("appliances", format!("{}, one check every {} hours", fleet.appliances, fleet.hours));
    line("checks", seen.checks.to_string());
    line("requests", format!("{}, {} a second on average", seen.requests, hundredths(seen.requests * 100 / seconds)));
    line("most requests", format!("{} in one second, {} in one minute", seen.peak_requests, seen.peak_requests_minute));
    line("sent", format!("{} GB, without headers", hundredths(seen.bytes / 10_000_000)));
    line(
        "most sent in one second",
        format!("{} MB, {} Mbit/s", hundredths(seen.peak_bytes / 10_000), seen.peak_bytes / 125_000),
    );
    line("most downloads at once", seen.peak_downloads.to_string());
    for (ring, count) in &seen.downloads {
        line("downloads", format!("ring {ring}: {count}"));
    }
    let busiest = seen.by_hour.iter().map(|hour| hour.requests).max().unwrap_or(0).max(1);
    let _ok = writeln!(text, "\n hour  requests  downloads");
    for (number, hour) in seen.by_hour.iter().enumerate() {
        let width = usize::try_from(hour.requests * 40 / busiest).unwrap_or(0);
        let _ok = writeln!(text, "{number:>5} {:>9} {:>10}  {}", hour.requests, hour.downloads, "#".repeat(width));
    }
    text
}

/// 1234 hundredths as `12.34`.
fn hundredths(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

/// `30+8`, in seconds from and to.
fn parse_off(text: &str) -> Result<(i64, i64), String> {
    let wrong = || format!("\"{text}\" is not HOUR+HOURS such as 30+8");
    let (from, hours) = text.split_once('+').ok_or_else(wrong)?;
    let (from, hours) = (from.parse::<u16>().map_err(|_| wrong())?, hours.parse::<u16>().map_err(|_| wrong())?);
    if hours == 0 {
        return Err(wrong());
    }
    let from = i64::from(from) * 3600;
    Ok((from, from + i64::from(hours) * 3600))
}
