//! The table of what is done when, line by line.

use formats::plan::Totals;
use serde_json::json;

use super::*;
use crate::upgrade::{FORMAT, Stopped};

fn upgrade() -> Upgrade {
    Upgrade {
        format: FORMAT,
        to: vec!["site/app-2.0.0".parse().unwrap()],
        no_soak: None,
        accept_eula: false,
        offline: false,
        among: Vec::new(),
        by: "user 0".into(),
        since: 0,
        record: 5,
        stopped: None,
    }
}

fn plan(packages: &[&str]) -> Plan {
    let step = |package: &&str| {
        let text = json!({"package": package, "reboot": false, "site-downtime": false, "client-upgrade": false,
            "download": 1, "written": 1});
        serde_json::from_value(text).unwrap()
    };
    Plan { steps: packages.iter().map(step).collect(), totals: Totals::default() }
}

fn seen(rest: Rest, packages: &[&str]) -> Seen {
    let next_build = packages.first().map(|id| Digest::of(id.as_bytes()));
    Seen { rest, story: Story::default(), way: Ok(plan(packages)), next_build, window: Ok(()), now: 100 }
}

fn armed(what: &str) -> Rest {
    Rest::Armed { build: Digest::of(what.as_bytes()), release: what.into() }
}

#[test]
fn what_is_done_follows_from_what_is_seen() {
    let later = |what: &str| Next::Later(what.into());
    let base = ["base/os-1.1.0", "site/app-2.0.0"];
    for (seen, wanted) in [
        (seen(Rest::AtRest, &base), Next::Install(base[0].parse().unwrap())),
        (seen(Rest::AtRest, &[]), Next::Finish),
        (seen(Rest::Trial("x proves itself".into()), &base), later("x proves itself")),
        (seen(Rest::Busy("a reset waits".into()), &[]), later("a reset waits")),
        // Written by this upgrade, and the power went before the restart.
        (seen(armed(base[0]), &base), Next::Restart),
        // Somebody else's.
        (seen(armed("other"), &base), later("other waits for a restart")),
        (seen(armed("other"), &[]), later("other waits for a restart")),
    ] {
        assert_eq!(next(&upgrade(), &seen), wanted, "{seen:?}");
    }
}

#[test]
fn the_end_in_the_journal_counts_before_all_else_and_a_stop_before_the_rest() {
    let problem = Problem { code: "blocked".into(), message: "no way".into() };
    let mut at_rest = seen(Rest::AtRest, &["base/os-1.1.0"]);
    at_rest.way = Err(problem.clone());
    assert_eq!(next(&upgrade(), &at_rest), Next::Stop(problem.clone()));
    let stopped = Upgrade { stopped: Some(Stopped { time: 1, problem }), ..upgrade() };
    assert_eq!(next(&stopped, &at_rest), Next::Stopped);
    at_rest.story.ended = true;
    assert_eq!(next(&stopped, &at_rest), Next::Forget);
}

fn release(name: &str, version: &str) -> Release {
    let build_id = Digest::of(version.as_bytes());
    Release { kind: Kind::Base, name: name.into(), version: version.into(), build_id, sequence: 1 }
}

#[test]
fn a_step_that_was_done_and_comes_back_stops_the_upgrade() {
    let mut seen = seen(Rest::AtRest, &["base/os-1.1.0"]);
    seen.story.kept = vec![release("os", "1.0.1"), release("other", "1.1.0")];
    assert_eq!(next(&upgrade(), &seen), Next::Install("base/os-1.1.0".parse().unwrap()));
    seen.story.kept.push(release("os", "1.1.0"));
    let Next::Stop(problem) = next(&upgrade(), &seen) else { panic!("it would go in circles") };
    assert!(problem.message.contains("os 1.1.0 was installed and kept"), "{problem:?}");
}

#[test]
fn an_installation_that_is_interrupted_again_and_again_stops_the_upgrade() {
    let history = |interruptions: u64| {
        let record = |number| {
            let outcome = Outcome::Interrupted;
            let entry = Entry::Note { release: release("os", "1.1.0"), slot: SlotId::B, outcome };
            crate::journal::Record { format: 1, number, time: 0, actor: None, entry }
        };
        // The first is from before the upgrade.
        History((5..=5 + interruptions).map(record).collect(), Vec::new())
    };
    assert_eq!(story(&upgrade(), &history(5)).left, None, "the power may go");
    let (left, reason) = story(&upgrade(), &history(6)).left.unwrap();
    assert_eq!((left, reason.contains("interrupted more than 5 times")), (release("os", "1.1.0"), true));
}

#[test]
fn a_step_waits_for_its_time_and_not_longer() {
    let mut seen = seen(Rest::AtRest, &["base/os-1.1.0"]);
    for (not_before, wanted) in [(101, Next::Wait(101)), (100, Next::Install("base/os-1.1.0".parse().unwrap()))] {
        seen.way.as_mut().unwrap().steps[0].not_before = Some(not_before);
        assert_eq!(next(&upgrade(), &seen), wanted);
    }
}

/// Outside of a window from 01:00 to 02:00, at the beginning of 1970.
fn shut(needs: i64) -> formats::window::Outside {
    formats::window::Window::new(&[], "01:00", "02:00", "+00:00").unwrap().admits(100, needs).unwrap_err()
}

#[test]
fn outside_the_maintenance_window_nothing_begins_and_a_restart_waits_too() {
    let base = ["base/os-1.1.0"];
    for rest in [Rest::AtRest, armed(base[0])] {
        let mut seen = seen(rest, &base);
        seen.window = Err(Shut::Now(shut(60)));
        let Next::Later(why) = next(&upgrade(), &seen) else { panic!("it begins") };
        assert!(why.contains("it opens on 1970-01-01 01:00"), "{why}");
        let summary = Outlook::new(upgrade(), &seen).summary;
        assert!(
            summary.contains("step 1 of 1, next base/os-1.1.0; not now: the maintenance window is closed"),
            "{summary}"
        );
        let clock = "the clock is off".to_owned();
        seen.window = Err(Shut::NoTime(clock.clone()));
        assert!(matches!(next(&upgrade(), &seen), Next::Later(why) if why.ends_with(&clock)));
        assert!(Outlook::new(upgrade(), &seen).summary.ends_with(&clock));
    }
    // Clients come first; there is nothing to wait for at the end.
    let mut seen = seen(Rest::AtRest, &base);
    (seen.window, seen.way.as_mut().unwrap().steps[0].not_before) = (Err(Shut::Now(shut(60))), Some(300));
    assert_eq!(next(&upgrade(), &seen), Next::Wait(300));
    seen.way = Ok(plan(&[]));
    assert_eq!(next(&upgrade(), &seen), Next::Finish);
}

#[test]
fn what_fits_into_no_opening_stops_at_once_with_the_way_out() {
    let mut seen = seen(Rest::AtRest, &["base/os-1.1.0"]);
    (seen.window, seen.way.as_mut().unwrap().steps[0].not_before) = (Err(Shut::Always(shut(7200))), Some(300));
    let Next::Stop(problem) = next(&upgrade(), &seen) else { panic!("it would wait for ever") };
    assert_eq!(problem.code, "window-too-short");
    let wanted = "about 2 h 0 min are needed and the maintenance window is never open for more than 60 min: set a longer one in depot.json";
    assert!(problem.message.starts_with(wanted), "{problem:?}");
}

#[test]
fn a_release_on_trial_is_a_step_of_its_own_in_the_count() {
    let mut seen = seen(Rest::Trial("os 1.1.0 proves itself".into()), &["site/app-2.0.0"]);
    seen.story.kept = vec![release("os", "1.0.1"), release("os", "1.1.0")];
    let outlook = Outlook::new(upgrade(), &seen);
    assert_eq!(outlook.summary, "upgrade to site/app-2.0.0: step 3 of 4, os 1.1.0 proves itself; next site/app-2.0.0");
    seen.way = Ok(plan(&[]));
    assert!(Outlook::new(upgrade(), &seen).summary.ends_with("step 3 of 3, os 1.1.0 proves itself"));
}
