//! `history`: what the journal remembers.

use std::path::Path;

use crate::error::{Doing, Result};
use crate::failed_boot;
use crate::journal::{Entry, Record, UpgradeEvent};
use crate::lifecycle::silent;
use crate::status::print_json;
use crate::workplace::{self, Access, DATA, Workplace};

/// Options of `history`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    place: workplace::Place,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    /// Print the kept log of a release that was given up: the newest, or the
    /// N-th from there
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", conflicts_with_all = ["json", "disk"])]
    log: Option<usize>,
}

/// Prints it, oldest first.
pub fn run(options: &Options) -> Result<()> {
    if let Some(back) = options.log {
        return print_log(back);
    }
    let workplace = Workplace::open(&options.place, Access::Look)?;
    let records = workplace.agent(&silent).journal.history()?.0;
    if options.json {
        return print_json(&records);
    }
    // Of an action that ended, the end says everything.
    let ended: Vec<u64> = records
        .iter()
        .filter_map(|record| if let Entry::End { of, .. } = record.entry { Some(of) } else { None })
        .collect();
    for record in records.iter().filter(|record| !ended.contains(&record.number)) {
        println!("{}", line(record));
    }
    if records.is_empty() {
        println!("nothing was installed since this disk was made");
    }
    Ok(())
}

fn print_log(back: usize) -> Result<()> {
    match failed_boot::read(Path::new(DATA), back).doing(|| "read the log of a failed release".into())? {
        Some(log) => print!("{log}"),
        None if back <= 1 => println!("no release was given up since the data partition was made"),
        None => println!("there is no log number {back}; at most {} are kept, 1 is the newest", failed_boot::KEPT),
    }
    Ok(())
}

fn line(record: &Record) -> String {
    let text = match &record.entry {
        Entry::Begin { action } => format!("{} {}, slot {}: begun", action.verb, action.release, action.slot),
        Entry::End { action, outcome, .. } => {
            format!("{} {}, slot {}: {outcome}", action.verb, action.release, action.slot)
        }
        Entry::Note { release, slot, outcome } => format!("{release}, slot {slot}: {outcome}"),
        Entry::Upgrade { to, event, reason } => {
            let to = to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            let reason = reason.as_ref().map(|reason| match event {
                UpgradeEvent::Begun => format!(", without time for clients: {reason}"),
                _ => format!(": {reason}"),
            });
            format!("upgrade to {to}: {event}{}", reason.unwrap_or_default())
        }
        Entry::Reset { by } => format!("factory reset, asked for by {by}"),
        Entry::Licence { release, .. } => format!("licence {release}: installed"),
        Entry::Eula { release, digest } => format!("licence terms of {release} accepted ({})", digest.short()),
        Entry::Decision { what, reason } => format!("{what}, decided because: {reason}"),
        Entry::Floors { floors } => {
            let floors = floors.iter().map(|floor| format!("{} {}", floor.name, floor.sequence)).collect::<Vec<_>>();
            format!("committed release numbers so far: {}", floors.join(", "))
        }
    };
    let actor = record.actor.as_ref().map(|actor| format!(" [{actor}]")).unwrap_or_default();
    format!("{:5}  {}  {text}{actor}", record.number, date(record.time))
}

/// `2026-03-01 12:30:05` in UTC; the calendar of 400 years counted from March (so that the leap day comes last).
pub(crate) fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = day_of_era
        .saturating_sub(day_of_era / 1460)
        .saturating_add(day_of_era / 36_524)
        .saturating_sub(day_of_era / 146_096)
        / 365;
    let before = (365 * year_of_era).saturating_add(year_of_era / 4).saturating_sub(year_of_era / 100);
    let day_of_year = day_of_era.saturating_sub(before);
    let month_from_march = (5 * day_of_year).saturating_add(2) / 153;
    let day = day_of_year.saturating_sub((153 * month_from_march).saturating_add(2) / 5).saturating_add(1);
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march.saturating_sub(9) };
    let year = (era * 400).saturating_add(year_of_era).saturating_add(u64::from(month <= 2));
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(date(1_772_368_205), "2026-03-01 12:30:05");
    }
}
