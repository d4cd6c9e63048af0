//! What a depot has to serve when a fleet follows a release: second by second, on paper.
//!
//! The appliances are made up; what they do is not: when each one asks is [`formats::calendar`], which ring it is in is
//! [`formats::catalogue::Index::ring`], the code appliances run. The same seed gives the same fleet and the same numbers. Left out: what a
//! network does, and servers that answer late. Whoever has a download open holds one connection for as long as its bandwidth needs.

use std::collections::BTreeMap;

use formats::calendar::Rhythm;
use formats::catalogue::{Index, PackageId, Place, Ring};
use serde::Serialize;

use super::offer::Opens;
use crate::{Error, Result};

/// A fleet and a release.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// How many appliances.
    pub appliances: u32,
    /// Hours between two checks.
    pub hours: u32,
    /// Names the appliances.
    pub seed: u64,
    /// Rollout rings.
    pub rings: Vec<Ring>,
    /// When each opens, in seconds from the release on.
    pub opens: Opens,
    /// For how many days it is followed.
    pub days: u32,
    /// All of them have no power from one second to another, counted from the release.
    pub off: Option<(i64, i64)>,
    /// What is fetched.
    pub costs: Costs,
    /// Bytes each second that one appliance takes of a package.
    pub rate: u64,
}

/// Bodies of answers, in bytes; headers come on top.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Costs {
    /// A check that finds nothing new: two requests.
    pub idle: u64,
    /// What a check fetches besides when there is a new release: [`NEWS`] requests.
    pub news: u64,
    /// The package: one request.
    pub package: u64,
}

/// What the server saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Forecast {
    /// Checks of all appliances.
    pub checks: u64,
    /// Requests.
    pub requests: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Most requests in one second.
    pub peak_requests: u32,
    /// Most requests in one minute.
    pub peak_requests_minute: u32,
    /// Most bytes in one second.
    pub peak_bytes: u64,
    /// Most downloads of the package at the same time.
    pub peak_downloads: u32,
    /// Appliances that began to fetch the package, by ring; `-` without rings.
    pub downloads: BTreeMap<String, u32>,
    /// Each hour from the release on.
    pub by_hour: Vec<Hour>,
}

/// One hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Hour {
    /// Requests in it.
    pub requests: u32,
    /// Downloads that began in it.
    pub downloads: u32,
}

/// Second by second.
struct Server {
    requests: Vec<u32>,
    /// Bytes of metadata.
    bytes: Vec<u64>,
    /// How many more downloads run from this second on than before; fewer: the second list.
    begun: Vec<u32>,
    ended: Vec<u32>,
    checks: u64,
    downloads: BTreeMap<String, u32>,
}

impl Fleet {
    /// Plays it.
    ///
    /// # Errors
    /// [`Error::Input`] for rings and openings no index could state, and times without end.
    pub fn forecast(&self) -> Result<Forecast> {
        let (index, package) = self.release()?;
        if self.hours == 0 || self.rate == 0 || !(1..=MAX_DAYS).contains(&self.days) {
            let problem =
                format!("a fleet is followed for 1 to {MAX_DAYS} days; check-hours and bandwidth are above zero");
            return Err(Error::input(problem));
        }
        let seconds = usize::try_from(i64::from(self.days) * DAY).unwrap_or(0);
        let mut server = Server {
            requests: vec![0; seconds],
            bytes: vec![0; seconds],
            begun: vec![0; seconds],
            ended: vec![0; seconds],
            checks: 0,
            downloads: BTreeMap::new(),
        };
        for number in 0..self.appliances {
            let name = format!("{:016x}-{number}", self.seed);
            let place = Place { channel: CHANNEL, appliance: &name, ring: None, entitled_until: None, now: RELEASE };
            let ring = index.ring(&package, &place).unwrap_or("-");
            self.follow(&name, ring, &mut server);
        }
        Ok(server.forecast(self.rate, self.costs.package))
    }

    /// An index that states the rings, and the release in it.
    fn release(&self) -> Result<(Index, PackageId)> {
        let mut index = Index::new("fleet", RELEASE);
        index.rings.clone_from(&self.rings);
        index.encode().map_err(Error::format("the rings"))?;
        if let Some(ring) = self.opens.keys().find(|name| !self.rings.iter().any(|ring| ring.name == **name)) {
            return Err(Error::input(format!("there is no ring \"{ring}\"")));
        }
        let package = "base/fleet-base-2.0.0".parse().map_err(Error::format("the release"))?;
        Ok((index, package))
    }

    /// One appliance from the release on.
    fn follow(&self, name: &str, ring: &str, server: &mut Server) {
        let rhythm = Rhythm { appliance: name, hours: self.hours };
        let opens = self.opens.get(ring).copied().unwrap_or(0);
        let (mut last, mut started) = (RELEASE - 1, RELEASE - 30 * DAY);
        let (mut knows, mut has) = (false, false);
        while let Some(next) = rhythm.next(Some(last), started) {
            let mut at = next - RELEASE;
            let missed = |(off, on): &(i64, i64)| (*off..*on).contains(&at) && started < RELEASE + *on;
            if let Some((_, on)) = self.off.filter(missed) {
                started = RELEASE + on;
                continue;
            }
            at = at.max(started - RELEASE);
            let Ok(second) = usize::try_from(at) else { break };
            if second >= server.requests.len() {
                break;
            }
            server.check(second, self.costs.idle, (!knows).then_some(self.costs.news));
            knows = true;
            if !has && at >= opens {
                has = true;
                let lasts = self.costs.package.div_ceil(self.rate);
                server.download(second, usize::try_from(lasts).unwrap_or(usize::MAX), ring);
            }
            last = RELEASE + at;
        }
    }
}

impl Server {
    fn check(&mut self, second: usize, idle: u64, news: Option<u64>) {
        self.checks += 1;
        self.requests[second] += IDLE + news.map_or(0, |_| NEWS);
        self.bytes[second] += idle + news.unwrap_or(0);
    }

    fn download(&mut self, second: usize, lasts: usize, ring: &str) {
        self.requests[second] += 1;
        self.begun[second] += 1;
        if let Some(end) = second.checked_add(lasts).and_then(|end| self.ended.get_mut(end)) {
            *end += 1;
        }
        *self.downloads.entry(ring.to_owned()).or_default() += 1;
    }

    fn forecast(self, rate: u64, package: u64) -> Forecast {
        let (mut open, mut peak_downloads, mut peak_bytes) = (0_u32, 0, 0);
        for (second, metadata) in self.bytes.iter().enumerate() {
            open = open + self.begun[second] - self.ended[second];
            peak_downloads = peak_downloads.max(open);
            peak_bytes = peak_bytes.max(u64::from(open) * rate + metadata);
        }
        let sum = |part: &[u32]| part.iter().sum::<u32>();
        let by_hour = self.requests.chunks(3600).zip(self.begun.chunks(3600));
        let fetched: u64 = self.downloads.values().map(|count| u64::from(*count) * package).sum();
        Forecast {
            checks: self.checks,
            requests: self.requests.iter().map(|count| u64::from(*count)).sum(),
            bytes: self.bytes.iter().sum::<u64>() + fetched,
            peak_requests: self.requests.iter().copied().max().unwrap_or(0),
            peak_requests_minute: self.requests.chunks(60).map(sum).max().unwrap_or(0),
            peak_bytes,
            peak_downloads,
            downloads: self.downloads,
            by_hour: by_hour.map(|(requests, begun)| Hour { requests: sum(requests), downloads: sum(begun) }).collect(),
        }
    }
}

const DAY: i64 = 86_400;
/// A moment like any other.
const RELEASE: i64 = 1_800_000_000;
const CHANNEL: &str = "stable";
/// The root that is not there, and the timestamp.
const IDLE: u32 = 2;
/// Snapshot, the package's role, the index's role, the index, and the notes.
pub const NEWS: u32 = 5;
const MAX_DAYS: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Fleet {
        let ring = |name: &str, share| Ring { name: name.into(), share };
        Fleet {
            appliances: 5000,
            hours: 24,
            seed: 1,
            rings: vec![ring("early", 100), ring("rest", 900)],
            opens: Opens::from([("rest".into(), 2 * DAY)]),
            days: 5,
            off: None,
            costs: Costs { idle: 1000, news: 50_000, package: 10_000_000 },
            rate: 1_000_000,
        }
    }

    #[test]
    fn everybody_asks_once_a_day_and_fetches_once_when_its_ring_has_opened() {
        let seen = fleet().forecast().unwrap();
        assert_eq!(seen.checks, 5 * 5000);
        assert_eq!(seen.downloads.values().sum::<u32>(), 5000);
        assert!((430..570).contains(&seen.downloads["early"]), "{:?}", seen.downloads);
        assert_eq!(seen.requests, 25_000 * 2 + 5000 * 5 + 5000);
        assert_eq!(seen.bytes, 25_000 * 1000 + 5000 * 50_000 + 5000 * 10_000_000);
        let begun = |hours: std::ops::Range<usize>| seen.by_hour[hours].iter().map(|hour| hour.downloads).sum::<u32>();
        assert_eq!(begun(0..48), seen.downloads["early"], "nobody of the rest before it opens");
        assert_eq!(begun(48..72), seen.downloads["rest"]);
    }

    #[test]
    fn the_load_is_spread_over_the_day() {
        let seen = fleet().forecast().unwrap();
        let mean = 5000 * 2 / 24;
        for hour in &seen.by_hour[96..] {
            assert!((mean * 3 / 4..mean * 5 / 4).contains(&hour.requests), "{hour:?}");
        }
        // 4500 downloads of 10 s in 86400 s: one every other second or so.
        assert!((2..10).contains(&seen.peak_downloads), "{}", seen.peak_downloads);
        assert!(seen.peak_bytes >= u64::from(seen.peak_downloads) * 1_000_000);
    }

    #[test]
    fn nobody_asks_without_power_and_those_who_missed_their_moment_come_soon_after_and_spread() {
        let cut = Fleet { off: Some((30 * 3600, 40 * 3600)), ..fleet() };
        let seen = cut.forecast().unwrap();
        assert!(seen.by_hour[30..40].iter().all(|hour| hour.requests == 0));
        // About 10 of 24 missed it; they come within the hour after, besides those whose moment it is.
        let hour = seen.by_hour[40].requests / 2;
        assert!((2000..2700).contains(&hour), "{hour}");
        assert!(seen.peak_requests < 40, "{}", seen.peak_requests);
        assert_eq!(seen.downloads.values().sum::<u32>(), 5000);
    }

    #[test]
    fn a_seed_is_a_fleet_and_nonsense_is_refused() {
        assert_eq!(fleet().forecast().unwrap(), fleet().forecast().unwrap());
        assert_ne!(fleet().forecast().unwrap(), Fleet { seed: 2, ..fleet() }.forecast().unwrap());
        let refused = |fleet: Fleet| fleet.forecast().unwrap_err().exit_code();
        assert_eq!(refused(Fleet { hours: 0, ..fleet() }), 3);
        assert_eq!(refused(Fleet { days: 0, ..fleet() }), 3);
        assert_eq!(refused(Fleet { rate: 0, ..fleet() }), 3);
        assert_eq!(refused(Fleet { rings: vec![], ..fleet() }), 3, "an opening for a ring that is not there");
        let half = vec![Ring { name: "half".into(), share: 500 }];
        assert_eq!(refused(Fleet { rings: half, opens: Opens::new(), ..fleet() }), 3);
    }
}
