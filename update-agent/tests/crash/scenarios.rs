//! The histories that are cut.

use formats::SlotId::{A, B};
use formats::boot_state::{BootState, SlotState};
use formats::manifest::Kind;
use formats::state_volume::COPY_OFFSETS;
use formats::trust::TrustStore;
use update_agent::disk::Part;
use update_agent::disk::simulated::{Disk, Medium};
use update_agent::lifecycle::Running;
use update_agent::site::Now;

use super::fixtures::{medium, release, release_with, running, state};
use super::machine::Started;
use super::verdict::{Act, Scenario, with_agent};

const GOOD: SlotState = SlotState::GOOD;
const EMPTY: SlotState = SlotState::EMPTY;
const TRIAL: SlotState = SlotState { good: false, tries: 2 };

/// All of them.
pub fn all(trust: &TrustStore) -> Vec<Scenario> {
    let mut scenarios = vec![install_first(), install_over_old(), install_in_slot_a(), install_with_damaged_block()];
    scenarios.extend([install_over_armed(trust), install_after_failure(), install_over_unfinished()]);
    scenarios.extend([
        commit(),
        commit_with_long_journal(),
        roll_back(),
        disarm(trust),
        leave_on_request(),
        condemn(),
        settle_failed(),
        settle_rotten(),
    ]);
    scenarios.push(factory_reset());
    scenarios.extend([site_first(), site_over_old(), site_unnamed(), site_roll_back(), rebuild()]);
    scenarios.extend([
        site_commit(trust),
        site_condemn(trust),
        site_leave_on_request(trust),
        site_first_commit(trust),
        site_first_condemn(trust),
        site_waits(trust),
        site_goes_live_with_its_base(trust),
        site_steps_in(),
    ]);
    scenarios
}

fn install(sequence: u64) -> Act {
    Act::Install(Box::new(release(Kind::Base, sequence)))
}

fn install_site(sequence: u64) -> Act {
    Act::Install(Box::new(release(Kind::Site, sequence)))
}

fn install_first() -> Scenario {
    let [one, site] = [release(Kind::Base, 1), release(Kind::Site, 10)];
    Scenario {
        name: "install the second base release ever",
        start: medium([Some(&one), None], [Some(&site), None], &BootState::initial(A, Some(A))),
        running: running(A, Some(A)),
        act: install(2),
        goal: (Kind::Base, 2),
        untouched: vec![Part::Base(A), Part::Site(A), Part::Site(B)],
    }
}

fn install_over_old() -> Scenario {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    Scenario {
        name: "install over the release before",
        start: medium([Some(&two), Some(&one)], [None, None], &state(A, GOOD, GOOD, None)),
        running: running(A, None),
        act: install(3),
        goal: (Kind::Base, 3),
        untouched: vec![Part::Base(A)],
    }
}

fn install_in_slot_a() -> Scenario {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    Scenario {
        name: "install while slot B runs",
        start: medium(
            [Some(&one), Some(&two)],
            [None, None],
            &state(B, GOOD, SlotState { good: true, tries: 3 }, None),
        ),
        running: running(B, None),
        act: install(3),
        goal: (Kind::Base, 3),
        untouched: vec![Part::Base(B)],
    }
}

fn install_with_damaged_block() -> Scenario {
    let mut scenario = install_over_old();
    let mut volume = scenario.start.part(Part::State).to_vec();
    let at = usize::try_from(COPY_OFFSETS[1]).unwrap();
    volume[at..at + 512].fill(0);
    scenario.start.set(Part::State, volume);
    Scenario { name: "install with one boot state block lost", ..scenario }
}

fn install_over_armed(trust: &TrustStore) -> Scenario {
    let before = install_first();
    let start = after(&before, trust);
    Scenario {
        name: "install another release before the restart",
        start,
        running: running(A, Some(A)),
        act: install(3),
        goal: (Kind::Base, 3),
        untouched: vec![Part::Base(A), Part::Site(A)],
    }
}

fn install_after_failure() -> Scenario {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    Scenario {
        name: "install after a failed trial",
        start: medium(
            [Some(&one), Some(&two)],
            [None, None],
            &BootState { last: Some(A), ..state(B, GOOD, EMPTY, None) },
        ),
        running: running(A, None),
        act: install(3),
        goal: (Kind::Base, 3),
        untouched: vec![Part::Base(A)],
    }
}

/// The agent was killed once in the middle of this: half an image, no footer, an intent without an end.
fn install_over_unfinished() -> Scenario {
    let before = install_over_old();
    let log = before.play(&super::fixtures::trust());
    let mut start = before.start.clone();
    log.iter().take(log.len() / 2).for_each(|operation| start.apply(operation));
    Scenario { name: "install after an interrupted install", start, ..before }
}

fn commit() -> Scenario {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    Scenario {
        name: "commit the release on trial",
        start: medium([Some(&one), Some(&two)], [None, None], &state(B, GOOD, TRIAL, None)),
        running: running(B, None),
        act: Act::Commit,
        goal: (Kind::Base, 2),
        untouched: vec![Part::Base(A), Part::Base(B)],
    }
}

/// So long that it is shortened while this commit is written down; its floor is the only witness of release 9 of another line.
fn commit_with_long_journal() -> Scenario {
    let mut scenario = commit();
    let disk = Disk::new(scenario.start.clone());
    let started = Started { running: running(A, None), failures: Vec::new() };
    with_agent(&disk, &super::fixtures::trust(), &started, |agent| {
        let filler = update_agent::journal::Release::from(release(Kind::Base, 1).verified.manifest());
        while agent.journal.history().unwrap().0.len() < 160 {
            let reason = "x".repeat(120);
            let outcome = update_agent::journal::Outcome::Failed { reason };
            agent.journal.note(filler.clone(), B, outcome).unwrap();
        }
        let length = disk.medium().journal.len();
        let reason = "x".repeat(update_agent::journal::LIMIT - length - 700);
        agent.journal.note(filler, B, update_agent::journal::Outcome::Failed { reason }).unwrap();
    });
    scenario.start = disk.medium();
    Scenario { name: "commit while the journal is shortened", ..scenario }
}

fn roll_back() -> Scenario {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    Scenario {
        name: "roll back to the release before",
        start: medium([Some(&one), Some(&two)], [None, None], &state(B, GOOD, GOOD, None)),
        running: running(B, None),
        act: Act::Rollback(Kind::Base),
        goal: (Kind::Base, 1),
        untouched: vec![Part::Base(A), Part::Base(B)],
    }
}

fn disarm(trust: &TrustStore) -> Scenario {
    Scenario {
        name: "take an installation back before the restart",
        start: after(&install_first(), trust),
        running: running(A, Some(A)),
        act: Act::Rollback(Kind::Base),
        goal: (Kind::Base, 1),
        untouched: vec![Part::Base(A), Part::Base(B)],
    }
}

fn leave_on_request() -> Scenario {
    Scenario { name: "leave the trial on request", act: Act::Rollback(Kind::Base), goal: (Kind::Base, 1), ..commit() }
}

fn condemn() -> Scenario {
    Scenario {
        name: "leave the trial because it is not healthy",
        act: Act::Condemn(Kind::Base),
        goal: (Kind::Base, 1),
        ..commit()
    }
}

fn settle_failed() -> Scenario {
    Scenario {
        name: "give up a release that failed its trial",
        act: Act::Settle,
        goal: (Kind::Base, 1),
        ..install_after_failure()
    }
}

/// Slot A was committed, and then started until no try was left.
fn settle_rotten() -> Scenario {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    let rotten = SlotState { good: true, tries: 0 };
    Scenario {
        name: "give up a good release that does not start any more",
        start: medium(
            [Some(&two), Some(&one)],
            [None, None],
            &BootState { last: Some(B), ..state(A, rotten, GOOD, None) },
        ),
        running: running(B, None),
        act: Act::Settle,
        goal: (Kind::Base, 1),
        untouched: vec![Part::Base(A), Part::Base(B)],
    }
}

fn factory_reset() -> Scenario {
    Scenario {
        name: "ask for a factory reset",
        act: Act::FactoryReset,
        goal: (Kind::Base, 1),
        untouched: vec![Part::Base(A), Part::Base(B), Part::Site(A), Part::Site(B)],
        ..install_first()
    }
}

fn site_first() -> Scenario {
    let one = release(Kind::Base, 1);
    Scenario {
        name: "install the first site",
        start: medium([Some(&one), None], [None, None], &BootState::initial(A, None)),
        running: running(A, None),
        act: install_site(10),
        goal: (Kind::Site, 10),
        untouched: vec![Part::Base(A), Part::Base(B)],
    }
}

fn site_over_old() -> Scenario {
    let [one, old, site] = [release(Kind::Base, 1), release(Kind::Site, 10), release(Kind::Site, 11)];
    Scenario {
        name: "switch the site over the release before",
        start: medium([Some(&one), None], [Some(&site), Some(&old)], &state(A, GOOD, EMPTY, Some(A))),
        running: running(A, Some(A)),
        act: install_site(12),
        goal: (Kind::Site, 12),
        untouched: vec![Part::Base(A), Part::Base(B), Part::Site(A)],
    }
}

fn site_unnamed() -> Scenario {
    let [one, site] = [release(Kind::Base, 1), release(Kind::Site, 10)];
    Scenario {
        name: "switch the site when the boot state names none",
        start: with_site(medium([Some(&one), None], [None, Some(&site)], &state(A, GOOD, EMPTY, None)), B),
        running: Running { site_named_then: None, ..running(A, Some(B)) },
        act: install_site(11),
        goal: (Kind::Site, 11),
        untouched: vec![Part::Base(A), Part::Site(B)],
    }
}

fn site_roll_back() -> Scenario {
    Scenario {
        name: "roll the site back",
        act: Act::Rollback(Kind::Site),
        goal: (Kind::Site, 10),
        untouched: vec![Part::Base(A), Part::Site(A), Part::Site(B)],
        ..site_over_old()
    }
}

/// A site is on trial in slot B, the one before in slot A is named.
fn site_commit(trust: &TrustStore) -> Scenario {
    let before = site_over_old();
    Scenario {
        name: "commit the site on trial",
        start: after(&before, trust),
        act: Act::Commit,
        untouched: vec![Part::Base(A), Part::Base(B), Part::Site(A), Part::Site(B)],
        ..before
    }
}

fn site_condemn(trust: &TrustStore) -> Scenario {
    Scenario {
        name: "leave the site on trial because it is not healthy",
        act: Act::Condemn(Kind::Site),
        goal: (Kind::Site, 11),
        ..site_commit(trust)
    }
}

fn site_leave_on_request(trust: &TrustStore) -> Scenario {
    Scenario {
        name: "leave the site on trial on request",
        act: Act::Rollback(Kind::Site),
        goal: (Kind::Site, 11),
        ..site_commit(trust)
    }
}

/// There is nothing to fall back to.
fn site_first_commit(trust: &TrustStore) -> Scenario {
    let before = site_first();
    Scenario { name: "commit the first site", start: after(&before, trust), act: Act::Commit, ..before }
}

/// An operator who condemns the first site has none; the retry installs it again.
fn site_first_condemn(trust: &TrustStore) -> Scenario {
    let before = site_first();
    let start = after(&before, trust);
    let log = Scenario { name: "", start: start.clone(), act: Act::Condemn(Kind::Site), ..site_first() }.play(trust);
    // Half of it is done by a killed agent; the same operator then installs the site again.
    let mut half = start;
    log.iter().take(log.len() / 2).for_each(|operation| half.apply(operation));
    Scenario { name: "install the first site after the one before was half left", start: half, ..before }
}

/// Base 2 is armed, and site 11 needs it.
fn site_waits(trust: &TrustStore) -> Scenario {
    let needs_two = release_with(Kind::Site, 11, |site| site.requires.base = Some(">=2".parse().unwrap()));
    Scenario {
        name: "install a site that waits for the base that is armed",
        start: after(&install_first(), trust),
        running: running(A, Some(A)),
        act: Act::Install(Box::new(needs_two)),
        goal: (Kind::Site, 11),
        untouched: vec![Part::Base(A), Part::Base(B), Part::Site(A)],
    }
}

/// Base 2 is on trial, and site 11 waits for its commit.
fn site_goes_live_with_its_base(trust: &TrustStore) -> Scenario {
    let before = site_waits(trust);
    let mut start = after(&before, trust);
    let trial = BootState { sequence: 30, ..state(B, GOOD, TRIAL, Some(A)) };
    start.set(Part::State, formats::state_volume::image(&trial).unwrap());
    Scenario {
        name: "commit a base a site waits for",
        start,
        running: Running { boot: Some(formats::Guid::new(2)), ..running(B, Some(A)) },
        act: Act::Commit,
        untouched: vec![Part::Base(A), Part::Base(B), Part::Site(A), Part::Site(B)],
        ..before
    }
}

/// The named site does not suit the base that runs, so the other one was started.
fn site_steps_in() -> Scenario {
    let [one, old] = [release(Kind::Base, 1), release(Kind::Site, 10)];
    let needs_two = release_with(Kind::Site, 11, |site| site.requires.base = Some(">=2".parse().unwrap()));
    let start = medium([Some(&one), None], [Some(&old), Some(&needs_two)], &state(A, GOOD, EMPTY, Some(B)));
    Scenario {
        name: "keep the site that stepped in",
        start: with_site(start, A),
        running: Running { site_named_then: Some(B), ..running(A, Some(A)) },
        act: Act::Settle,
        goal: (Kind::Site, 10),
        untouched: vec![Part::Base(A), Part::Base(B), Part::Site(A), Part::Site(B)],
    }
}

/// This site slot is mounted, whatever the boot state names.
fn with_site(mut medium: Medium, slot: formats::SlotId) -> Medium {
    medium.site = Some(Now { slot: Some(slot), started: true });
    medium
}

fn rebuild() -> Scenario {
    let [one, two] = [release(Kind::Base, 1), release(Kind::Base, 2)];
    let mut start = medium([Some(&two), Some(&one)], [None, None], &BootState::initial(A, None));
    start.set(Part::State, vec![0; 1 << 20]);
    Scenario {
        name: "rebuild a lost boot state",
        start,
        running: running(A, None),
        act: Act::Settle,
        goal: (Kind::Base, 2),
        untouched: vec![Part::Base(A), Part::Base(B)],
    }
}

/// The medium after a scenario went well.
fn after(scenario: &Scenario, trust: &TrustStore) -> Medium {
    let mut medium = scenario.start.clone();
    scenario.play(trust).iter().for_each(|operation| medium.apply(operation));
    medium
}
