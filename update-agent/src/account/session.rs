//! Sessions: who is signed in, known by a secret in the browser's cookie.
//!
//! They live in the keeper's memory, as digests: a restart of the appliance ends them all, so what a browser shows after one is never
//! older than the sign-in. Time is the machine's uptime, which nobody can set.

use std::net::IpAddr;
use std::time::Duration;

use formats::Digest;

use super::Role;
use crate::chance;
use crate::error::Result;

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The account.
    pub account: String,
    /// What it may do.
    pub role: Role,
    /// Where it signed in from.
    pub source: IpAddr,
    digest: Digest,
    since: Duration,
    seen: Duration,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Sessions(Vec<Session>);

impl Sessions {
    /// Begins one and returns its secret.
    pub fn begin(&mut self, account: &str, role: Role, source: IpAddr, now: Duration) -> Result<String> {
        let secret = Digest(chance::draw()?).to_string();
        self.tidy(now);
        // Who holds most of them loses the one not used for longest: nobody is kept out by sessions of somebody else.
        while self.of(account) >= EACH || self.0.len() >= MOST {
            let mine = self.of(account) >= EACH;
            let oldest = self.0.iter().enumerate().filter(|(_, one)| !mine || one.account == account);
            let Some((place, _)) = oldest.min_by_key(|(_, one)| one.seen) else { break };
            self.0.remove(place);
        }
        let digest = Digest::of(secret.as_bytes());
        self.0.push(Session { account: account.into(), role, source, digest, since: now, seen: now });
        Ok(secret)
    }

    /// Whose secret this is. `idle` when a page asked by itself: that keeps nobody signed in.
    pub fn find(&mut self, secret: &str, now: Duration, idle: bool) -> Option<Session> {
        self.tidy(now);
        let digest = Digest::of(secret.as_bytes());
        let session = self.0.iter_mut().find(|session| session.digest == digest)?;
        if !idle {
            session.seen = now;
        }
        Some(session.clone())
    }

    /// Ends the one with this secret.
    pub fn end(&mut self, secret: &str) {
        let digest = Digest::of(secret.as_bytes());
        self.0.retain(|session| session.digest != digest);
    }

    /// Ends all of an account, for example because its password or role was changed. `but` stays.
    pub fn end_of(&mut self, account: &str, but: Option<&str>) {
        let but = but.map(|secret| Digest::of(secret.as_bytes()));
        self.0.retain(|session| session.account != account || Some(session.digest) == but);
    }

    /// How many there are.
    pub fn count(&mut self, now: Duration) -> usize {
        self.tidy(now);
        self.0.len()
    }

    /// Ends all.
    pub fn end_all(&mut self) {
        self.0.clear();
    }

    fn of(&self, account: &str) -> usize {
        self.0.iter().filter(|session| session.account == account).count()
    }

    fn tidy(&mut self, now: Duration) {
        self.0.retain(|session| now.saturating_sub(session.seen) < IDLE && now.saturating_sub(session.since) < LONGEST);
    }
}

/// A session nobody uses ends after this time.
pub const IDLE: Duration = Duration::from_mins(30);
/// Every session ends after this time.
pub const LONGEST: Duration = Duration::from_hours(12);
const EACH: usize = 10;
const MOST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn minutes(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_a_page_that_asks_by_itself_is_nobody() {
        let mut sessions = Sessions::default();
        let secret = sessions.begin("anna", Role::Viewer, HOME, minutes(0)).unwrap();
        assert!(sessions.find(&secret, minutes(29), false).is_some());
        assert!(sessions.find(&secret, minutes(58), true).is_some(), "29 minutes after it was used");
        assert!(sessions.find(&secret, minutes(59), true).is_none(), "looking on did not keep it");
    }

    #[test]
    fn every_session_ends_once() {
        let mut sessions = Sessions::default();
        let secret = sessions.begin("anna", Role::Viewer, HOME, minutes(0)).unwrap();
        let mut last = 0;
        while sessions.find(&secret, minutes(last), false).is_some() {
            last += 20;
        }
        assert_eq!(last, 12 * 60);
    }

    #[test]
    fn secrets_are_not_interchangeable_and_end_one_by_one_or_all_of_an_account() {
        let mut sessions = Sessions::default();
        let mut begin = |name| sessions.begin(name, Role::Viewer, HOME, minutes(0)).unwrap();
        let (one, two, other) = (begin("anna"), begin("anna"), begin("otto"));
        assert_eq!(sessions.find(&other, minutes(1), false).unwrap().account, "otto");
        assert!(sessions.find("", minutes(1), false).is_none());
        sessions.end_of("anna", Some(&two));
        assert!(sessions.find(&one, minutes(1), false).is_none() && sessions.find(&two, minutes(1), false).is_some());
        sessions.end(&two);
        assert!(sessions.find(&two, minutes(1), false).is_none() && sessions.find(&other, minutes(1), false).is_some());
        sessions.end_all();
        assert!(sessions.find(&other, minutes(1), false).is_none());
    }

    #[test]
    fn an_account_loses_its_oldest_sessions_and_nobody_elses() {
        let mut sessions = Sessions::default();
        let other = sessions.begin("otto", Role::Viewer, HOME, minutes(0)).unwrap();
        let secrets: Vec<String> =
            (1..=12).map(|at| sessions.begin("anna", Role::Viewer, HOME, minutes(at)).unwrap()).collect();
        let there = |secret: &String| sessions.0.iter().any(|one| one.digest == Digest::of(secret.as_bytes()));
        assert_eq!(secrets.iter().map(there).collect::<Vec<_>>(), [&[false; 2][..], &[true; 10]].concat());
        assert!(there(&other));
    }
}
