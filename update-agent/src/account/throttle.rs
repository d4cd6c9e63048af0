//! How often somebody may guess. Pure; the keeper tells it the time.
//!
//! Counted are failures of an account and failures from an address (for IPv6 from a network of 64 bits, which one household has). Five are
//! free. Each one after that bars account or address for a time that doubles, up to a quarter of an hour: about a hundred guesses a day,
//! and whoever was only mistaken comes in again by itself. Whoever is at the machine needs no password (`update-agent account`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// What was tried so far.
#[derive(Debug, Default)]
pub struct Throttle(BTreeMap<Key, Tries>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Account(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Tries {
    failed: u32,
    last: Duration,
}

impl Tries {
    fn barred_until(self) -> Duration {
        match self.failed.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(more) => {
                self.last.saturating_add(FIRST.saturating_mul(2_u32.saturating_pow(more.min(10))).min(LONGEST))
            }
        }
    }
}

impl Throttle {
    /// How long nobody may try, for this account and from this address; nothing when it may be tried now.
    pub fn barred(&self, account: &str, source: IpAddr, now: Duration) -> Option<Duration> {
        let until = keys(account, source).iter().filter_map(|key| Some(self.0.get(key)?.barred_until())).max()?;
        until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// It was tried, and was wrong.
    pub fn failed(&mut self, account: &str, source: IpAddr, now: Duration) {
        let own = keys(account, source);
        for key in own.clone() {
            let tries = self.0.entry(key).or_insert(Tries { failed: 0, last: now });
            *tries = Tries { failed: tries.failed.saturating_add(1), last: now };
        }
        self.0.retain(|_, tries| now.saturating_sub(tries.last) < FORGOTTEN);
        // Made-up names must not fill the memory. Whoever may try again goes first, and of those who was silent for longest; never who failed
        // just now, or a full list would count nobody who is not in it.
        while self.0.len() > MOST {
            let others = self.0.iter().filter(|(key, _)| !own.contains(key));
            let worth = |tries: &Tries| (tries.barred_until().saturating_sub(now), tries.last);
            let Some((least, _)) = others.min_by_key(|(_, tries)| worth(tries)) else { break };
            let least = least.clone();
            self.0.remove(&least);
        }
    }

    /// It was right.
    pub fn passed(&mut self, account: &str, source: IpAddr) {
        for key in keys(account, source) {
            self.0.remove(&key);
        }
    }
}

fn keys(account: &str, source: IpAddr) -> [Key; 2] {
    [Key::Account(account.chars().take(NAME).collect()), Key::Address(network_of(source))]
}

/// What counts as one visitor: an address, for IPv6 the network of 64 bits it is in.
pub fn network_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

const FREE: u32 = 5;
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(15);
/// Longer than the longest bar.
const FORGOTTEN: Duration = Duration::from_hours(24);
const MOST: usize = 4096;
const NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn guesses_become_slow_and_stay_possible() {
        let (mut throttle, home) = (Throttle::default(), address("192.0.2.7"));
        let (mut now, mut guesses) = (seconds(0), 0);
        while now < Duration::from_hours(24) {
            if let Some(left) = throttle.barred("anna", home, now) {
                now += left;
            } else {
                throttle.failed("anna", home, now);
                guesses += 1;
            }
        }
        assert!((90..=120).contains(&guesses), "{guesses} in a day");
    }

    #[test]
    fn account_and_address_are_barred_each_by_itself() {
        let (mut throttle, home, away) = (Throttle::default(), address("192.0.2.7"), address("198.51.100.1"));
        for _ in 0..5 {
            assert_eq!(throttle.barred("anna", home, seconds(0)), None);
            throttle.failed("anna", home, seconds(0));
        }
        assert_eq!(throttle.barred("anna", away, seconds(0)), Some(seconds(10)), "the account, from anywhere");
        assert_eq!(throttle.barred("otto", home, seconds(4)), Some(seconds(6)), "the address, for anybody");
        assert_eq!(throttle.barred("otto", away, seconds(0)), None);
        assert_eq!(throttle.barred("anna", home, seconds(10)), None);
        throttle.passed("anna", home);
        throttle.failed("anna", home, seconds(11));
        assert_eq!(throttle.barred("anna", home, seconds(11)), None, "who was right begins anew");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_a_mapped_address_as_what_it_is() {
        let mut throttle = Throttle::default();
        for host in 1..=5 {
            throttle.failed(&format!("user-{host}"), address(&format!("2001:db8::{host}")), seconds(0));
            throttle.failed(&format!("user-{host}"), address("::ffff:192.0.2.7"), seconds(0));
        }
        assert!(throttle.barred("new", address("2001:db8::77"), seconds(0)).is_some());
        assert!(throttle.barred("new", address("192.0.2.7"), seconds(0)).is_some());
        assert_eq!(throttle.barred("new", address("2001:db8:0:1::77"), seconds(0)), None);
    }

    #[test]
    fn made_up_names_do_not_fill_the_memory_nor_free_who_is_barred() {
        let (mut throttle, home) = (Throttle::default(), address("192.0.2.7"));
        for _ in 0..6 {
            throttle.failed("anna", home, seconds(0));
        }
        for name in 0..10_000_u32 {
            throttle.failed(&format!("made-up-{name}"), IpAddr::V4(name.into()), seconds(1));
        }
        assert!(throttle.0.len() <= MOST);
        assert!(throttle.barred("anna", home, seconds(1)).is_some());
    }

    #[test]
    fn a_list_full_of_others_who_are_barred_counts_a_new_one_all_the_same() {
        let (mut throttle, home) = (Throttle::default(), address("192.0.2.7"));
        for name in 0..4096_u32 {
            for _ in 0..7 {
                throttle.failed(&format!("made-up-{name}"), IpAddr::V4((name / 2).into()), seconds(0));
            }
        }
        for _ in 0..6 {
            assert_eq!(throttle.barred("anna", home, seconds(1)), None);
            throttle.failed("anna", home, seconds(1));
            if throttle.barred("anna", home, seconds(1)).is_some() {
                return;
            }
        }
        panic!("anna can be guessed without end");
    }
}
