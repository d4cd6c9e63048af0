//! The real machine.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use formats::Bytes;
use formats::health::{Probe, Room};
use nix::sys::statvfs::statvfs;

use super::rounds::limit;
use super::{Asked, Miss, Probes, Seen, command, http, process};
use crate::workplace;

/// Looks at the machine this program runs on.
#[derive(Debug, Clone)]
pub struct Appliance {
    /// Mount points of the verified file systems; programs are run only from these.
    pub verified: Vec<PathBuf>,
}

impl Default for Appliance {
    /// Base and site.
    fn default() -> Self {
        Self { verified: vec!["/".into(), "/site".into()] }
    }
}

impl Probes for Appliance {
    fn look(&self, asked: &Asked) -> Seen {
        let time = limit(asked);
        match &asked.check.probe {
            Probe::Process { name, pid_file } => process::look(name.as_deref(), pid_file.as_deref()),
            Probe::Http { url, status, contains, limit } => {
                http::look(url, *status, contains.as_deref(), limit.0, time)
            }
            Probe::Tcp { port } => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
                let connected = TcpStream::connect_timeout(&address, time);
                connected.map(drop).map_err(|problem| Miss::new(format!("cannot connect: {problem}")))
            }
            Probe::Command { words } => command::look(words, &self.verified, time),
            Probe::DiskSpace { path, least } => room(Path::new(path), *least),
            Probe::Clock { within_days } => clock(now(), asked.made, *within_days),
        }
    }
}

/// What an unprivileged program could still write counts, not what is kept for root.
fn room(path: &Path, least: Room) -> Seen {
    let facts = statvfs(path).map_err(|problem| Miss::new(problem.desc()))?;
    let unit = facts.fragment_size();
    judge_room(facts.blocks_available().saturating_mul(unit), facts.blocks().saturating_mul(unit), least)
}

fn judge_room(free: u64, whole: u64, least: Room) -> Seen {
    let percent = u64::try_from(u128::from(free).saturating_mul(100).checked_div(whole.into()).unwrap_or(0));
    let percent = percent.unwrap_or(100);
    let enough = match least {
        Room::Free(Bytes(bytes)) => free >= bytes,
        Room::Percent(wanted) => percent >= u64::from(wanted),
    };
    if enough { Ok(()) } else { Err(Miss::new(format!("{} KiB ({percent} %) are free", free / 1024))) }
}

/// `made` and the clock are seconds since 1970.
fn clock(now: i64, made: i64, within_days: Option<u32>) -> Seen {
    let Some(age) = now.checked_sub(made).filter(|age| *age >= 0) else {
        return Err(Miss::new(format!("the clock is {} days before the release", made.saturating_sub(now) / DAY)));
    };
    match within_days {
        Some(days) if age > i64::from(days).saturating_mul(DAY) => {
            Err(Miss::new(format!("the clock is {} days after the release", age / DAY)))
        }
        _ => Ok(()),
    }
}

/// Whether this clock is right is what is asked.
fn now() -> i64 {
    i64::try_from(workplace::now()).unwrap_or(i64::MAX)
}

const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use formats::health::Check;

    use super::*;

    fn look(probe: Probe) -> Seen {
        let check = Check { timeout: 2, ..Check::new("x", probe) };
        Appliance::default().look(&Asked { name: "site/x".into(), check, made: 1_700_000_000 })
    }

    #[test]
    fn a_port_that_accepts_connections_is_well_until_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(look(Probe::Tcp { port }), Ok(()));
        drop(listener);
        assert!(look(Probe::Tcp { port }).unwrap_err().saw.starts_with("cannot connect"));
    }

    #[test]
    fn room_is_counted_in_bytes_and_in_percent() {
        assert_eq!(look(Probe::DiskSpace { path: "/".into(), least: Room::Free(Bytes(1)) }), Ok(()));
        let much = Room::Free(Bytes(u64::MAX));
        assert!(look(Probe::DiskSpace { path: "/".into(), least: much }).unwrap_err().saw.ends_with("are free"));
        assert!(look(Probe::DiskSpace { path: "/none".into(), least: much }).is_err());
        assert_eq!(judge_room(5, 100, Room::Percent(5)), Ok(()));
        assert_eq!(judge_room(4096, 102_400, Room::Percent(5)), Err(Miss::new("4 KiB (4 %) are free")));
        assert_eq!(judge_room(u64::MAX, u64::MAX, Room::Percent(99)), Ok(()));
        assert!(judge_room(0, 0, Room::Percent(1)).is_err());
    }

    #[test]
    fn a_clock_before_the_release_or_long_after_it_is_wrong() {
        assert_eq!(clock(1000, 1000, None), Ok(()));
        assert_eq!(clock(0, 10 * DAY, None), Err(Miss::new("the clock is 10 days before the release")));
        assert_eq!(clock(10 * DAY, 0, Some(10)), Ok(()));
        assert_eq!(clock(11 * DAY, 0, Some(10)), Err(Miss::new("the clock is 11 days after the release")));
        assert_eq!(look(Probe::Clock { within_days: None }), Ok(()));
    }
}
