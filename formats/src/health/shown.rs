//! A check for people: what has to hold, in one line. Every value printed has passed the checks, so it is printable ASCII.

use std::fmt;

use super::{Check, LocalUrl, Probe, Room, Trial};

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (within {} s)", self.name, self.probe, self.timeout)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { name, pid_file } => {
                match name {
                    Some(name) => write!(f, "process \"{name}\" runs")?,
                    None => f.write_str("a process runs")?,
                }
                pid_file.iter().try_for_each(|path| write!(f, ", the one in \"{path}\""))
            }
            Self::Http { url, status, contains, .. } => {
                write!(f, "{url} answers {status}")?;
                contains.iter().try_for_each(|text| write!(f, " with \"{text}\""))
            }
            Self::Tcp { port } => write!(f, "port {port} accepts connections"),
            Self::Command { words } => write!(f, "\"{}\" succeeds", words.join(" ")),
            Self::DiskSpace { path, least } => write!(f, "\"{path}\" has {least} free"),
            Self::Clock { within_days } => {
                f.write_str("the clock is after the release")?;
                within_days.iter().try_for_each(|days| write!(f, ", at most {days} days"))
            }
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free(bytes) => bytes.fmt(f),
            Self::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

impl fmt::Display for LocalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, path } = self;
        match (address, address.port()) {
            (std::net::SocketAddr::V4(v4), 80) => write!(f, "http://{}{path}", v4.ip()),
            (std::net::SocketAddr::V6(v6), 80) => write!(f, "http://[{}]{path}", v6.ip()),
            _ => write!(f, "http://{address}{path}"),
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "healthy for {} s, within {} s", self.settle, self.deadline)
    }
}
