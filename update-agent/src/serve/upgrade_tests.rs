//! Upgrades on an appliance that is simulated.

use super::*;
use world::{STONES, world};

#[path = "upgrade_world.rs"]
mod world;

#[test]
fn every_step_is_installed_once_in_its_order_and_the_end_is_remembered() {
    let world = world();
    world.begin(&["base/os-2.0.0", "site/app-2.0.0"]);
    assert_eq!(world.summary(), "upgrade to base/os-2.0.0 and site/app-2.0.0: step 1 of 4, next base/os-1.1.0");
    world.follow(2);
    assert_eq!(world.summary(), "upgrade to base/os-2.0.0 and site/app-2.0.0: step 3 of 4, next base/os-2.0.0");
    assert!(world.follow(50) < 50);
    assert_eq!(*world.written.borrow(), STONES);
    assert_eq!(world.runs(), ("2.0.0".into(), "2.0.0".into()));
    assert_eq!((world.wanted().unwrap(), world.said(UpgradeEvent::Done)), (None, 1));
}

#[test]
fn a_power_cut_at_any_write_changes_neither_the_way_nor_its_end() {
    let mut cuts = 0;
    loop {
        let world = world();
        world.begin(&["site/app-2.0.0"]);
        world.left.set(cuts);
        assert!(world.follow(80) < 80, "cut {cuts}: it does not end");
        if world.left.get() < 1000 {
            // It came to its end before that write.
            assert!(cuts > 20, "only {cuts} writes");
            return;
        }
        assert_eq!(world.runs(), ("2.0.0".into(), "2.0.0".into()), "cut {cuts}");
        assert_eq!((world.wanted().unwrap(), world.said(UpgradeEvent::Done)), (None, 1), "cut {cuts}");
        assert_eq!(world.said(UpgradeEvent::Stopped), 0, "cut {cuts}");
        // In order; what the cut took is written once more.
        let mut written = world.written.borrow().clone();
        assert!(written.len() <= STONES.len() + 1, "cut {cuts}: {written:?}");
        written.dedup();
        assert_eq!(written, STONES, "cut {cuts}");
        cuts += 1;
    }
}

#[test]
fn it_stops_at_the_first_release_that_does_not_prove_itself_and_goes_on_when_asked_again() {
    let mut world = world();
    world.red = vec!["base/os-2.0.0".parse().unwrap()];
    world.begin(&["site/app-2.0.0"]);
    assert!(world.follow(50) < 50);
    assert_eq!(world.runs(), ("1.1.0".into(), "1.2.0".into()));
    let stopped = world.wanted().unwrap().unwrap().stopped.unwrap();
    assert_eq!(stopped.problem.code, "upgrade-stopped");
    let text = world.summary();
    for wanted in ["stopped on 1970-01-01", "os 2.0.0 was left: not healthy: page", "\"update-agent upgrade\" goes on"]
    {
        assert!(text.contains(wanted), "{text}");
    }
    let kept = world.wanted().unwrap().unwrap();
    assert_eq!(turn(&world, &kept).unwrap(), Turn::Waited, "it stays stopped");
    assert_eq!(world.said(UpgradeEvent::Stopped), 1);

    world.red.clear();
    world.begin(&["site/app-2.0.0"]);
    assert!(world.follow(50) < 50);
    assert_eq!((world.wanted().unwrap(), world.runs()), (None, ("2.0.0".into(), "2.0.0".into())));
}

#[test]
fn a_site_that_brings_the_machine_down_twice_is_left() {
    let world = world();
    world.begin(&["site/app-2.0.0"]);
    world.follow(1);
    for _ in 0..2 {
        let upgrade = world.wanted().unwrap().unwrap();
        assert_eq!(turn(&world, &upgrade).unwrap(), Turn::Moved);
        assert!(world.slots.borrow().trial.is_some());
        world.start();
    }
    assert!(world.follow(50) < 50);
    let text = world.summary();
    assert!(text.contains("app 1.2.0 was left: the appliance restarted before"), "{text}");
}

#[test]
fn an_unreachable_depot_is_asked_again_ever_later_and_a_refusal_stops() {
    let world = world();
    let unreachable = || crate::depot::Trouble::Unreachable { url: "http://x".into(), why: "no route".into() }.into();
    *world.refusals.borrow_mut() =
        vec![Error::NoUpgrade, unreachable(), Error::AtWork { what: "stage".into(), id: 1 }, unreachable()];
    world.begin(&["site/app-2.0.0"]);
    let upgrade = world.wanted().unwrap().unwrap();
    let (mut pace, mut now) = (Pace::default(), Instant::now());
    assert!(!pace.is_due(&upgrade, now), "whoever asked reads the answer first");
    now += PAUSE;
    // Another job at work is no failure: it is waited for.
    for (pause, said) in [(10, true), (PAUSE.as_secs(), false), (30, true)] {
        assert!(pace.is_due(&upgrade, now));
        let turned = turn(&world, &upgrade).unwrap();
        let line = pace.take(&turned, now);
        assert_eq!(line.is_some_and(|line| line.contains(&format!("tries again in {pause} s"))), said, "{pause}");
        now += Duration::from_secs(pause - 1);
        assert!(!pace.is_due(&upgrade, now));
        now += Duration::from_secs(1);
    }
    assert_eq!(turn(&world, &upgrade).unwrap(), Turn::Moved);
    let stopped = world.wanted().unwrap().unwrap().stopped.unwrap();
    assert_eq!(stopped.problem.code, "no-upgrade");
    assert_eq!(world.runs(), ("1.0.0".into(), "1.0.0".into()));
}

#[test]
fn clients_get_their_time_and_the_summary_says_until_when() {
    let world = world();
    world.begin(&["site/app-2.0.0"]);
    world.follow(2);
    assert_eq!(world.runs(), ("1.1.0".into(), "1.2.0".into()));
    world.soaks_until.set(Some(5000));
    world.follow(10);
    assert_eq!(world.runs(), ("1.1.0".into(), "1.2.0".into()), "the base belongs to the next site");
    let text = world.summary();
    assert!(
        text.ends_with("next base/os-2.0.0, not before 1970-01-01 01:23:20, because clients are still following"),
        "{text}"
    );
    world.now.set(5000);
    world.soaks_until.set(None);
    assert!(world.follow(50) < 50);
    assert_eq!(world.runs(), ("2.0.0".into(), "2.0.0".into()));
}

#[test]
fn without_time_for_clients_the_wait_is_left_out() {
    let world = world();
    world.begin(&["site/app-2.0.0"]);
    world.kept.borrow_mut().as_mut().unwrap().no_soak = Some("a new fleet".into());
    world.soaks_until.set(Some(5000));
    assert!(world.follow(50) < 50);
    assert_eq!(world.runs(), ("2.0.0".into(), "2.0.0".into()));
}
