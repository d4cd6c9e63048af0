//! Steps as a person reads them.

use std::fmt;

use super::{Action, Change, Fact, Limit, Power};
use crate::Pattern;

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power(power) => power.fmt(f),
            Self::Expect { wanted, not_before, .. } => {
                write!(f, "expect {wanted}")?;
                list(f, ", not before it: ", not_before)
            }
            Self::Run(run) => {
                write!(f, "run {}", one_line(&run.command))?;
                if run.exit_code != 0 {
                    write!(f, ", exit code {}", run.exit_code)?;
                }
                list(f, ", prints ", &run.prints)?;
                list(f, ", prints not ", &run.prints_not)
            }
            Self::Until { command, .. } => write!(f, "until {}", one_line(command)),
            Self::Type(text) => write!(f, "type {}", one_line(text)),
            Self::Status { facts, .. } => {
                for (index, (pointer, fact)) in facts.iter().enumerate() {
                    write!(f, "{}{pointer} {fact}", if index == 0 { "status " } else { ", " })?;
                }
                Ok(())
            }
            Self::Freeze { drive, when, .. } => {
                write!(f, "freeze {drive}")?;
                list(f, " at ", when.as_slice())?;
                f.write_str(" until the machine restarts")
            }
            Self::Http { port, path, status, prints, .. } => {
                write!(f, "http port {port} {path} answers {status}")?;
                list(f, " with ", prints)
            }
            Self::Depot { on, rate } => {
                write!(f, "depot {}", if *on { "on" } else { "off" })?;
                rate.map_or(Ok(()), |rate| write!(f, ", {rate} each second"))
            }
            Self::Sent { path, percent: (from, to), .. } => write!(f, "sent {from} to {to} % of {path}"),
            Self::Answer { depot, drive } => write!(f, "{depot} answers the key, on {drive}"),
            Self::Mail { letters, prints, .. } => {
                write!(f, "mail: {letters} sent")?;
                list(f, ", the last with ", prints)
            }
            Self::Change { drive, change } => write!(f, "{change} on {drive}"),
            Self::Exchange(drive) => write!(f, "disk and {drive} change places"),
            Self::Unchanged(drive) => write!(f, "{drive} is unchanged"),
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On { clock: None } => f.write_str("power on"),
            Self::On { clock: Some(clock) } => write!(f, "power on, its clock {clock}"),
            Self::Reset => f.write_str("reset"),
            Self::Button(_) => f.write_str("power button"),
            Self::Off(_) => f.write_str("wait until it has switched itself off"),
            Self::Cut { when, after } => {
                f.write_str("power cut")?;
                list(f, " at ", when.as_ref().map(|(when, _)| when.clone()).as_slice())?;
                if after.is_zero() { Ok(()) } else { write!(f, " after {} ms", after.as_millis()) }
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |place: &super::Place| {
            let offset = place.offset.map_or_else(|| "its footer".to_owned(), |offset| format!("byte {offset}"));
            format!("partition {} at {offset}", place.partition)
        };
        match self {
            Self::FlipByte(at) => write!(f, "flip a bit of {}", place(at)),
            Self::Zero(at, length) => write!(f, "zero {length} of {}", place(at)),
            Self::CopyPartition { from, to } => write!(f, "copy partition {from} over {to}"),
            Self::DestroyBootState => f.write_str("destroy the boot state"),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(value) => write!(f, "is {value}"),
            Self::Contains(text) => write!(f, "contains \"{text}\""),
            Self::Absent => f.write_str("is absent"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boots(count) => write!(f, "{count} boots"),
            Self::Quiet(time) => write!(f, "{} s on a quiet machine", time.as_secs_f64()),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, before: &str, patterns: &[Pattern]) -> fmt::Result {
    for (index, pattern) in patterns.iter().enumerate() {
        write!(f, "{}{pattern}", if index == 0 { before } else { "; " })?;
    }
    Ok(())
}

fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

const LONGEST: usize = 100;
