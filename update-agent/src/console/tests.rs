//! The console as a person uses it: what the screen says in each state, and what typing leads to.

use formats::boot_report::BootFailure;
use formats::manifest::Kind;
use formats::reset_record::Then;
use formats::{Digest, SlotId};

use super::menu::{Answer, Dialog, Order, items};
use super::screen::{COLUMNS, LINES, View, screen};
use crate::journal::Release;
use crate::judge::tests::sample;
use crate::lifecycle::{Failure, Next, Occupant, Reset, Slot, Spare, State, Summary, Trial};
use crate::slot::Pair;
use SlotId::{A, B};

fn release(version: &str) -> Release {
    Release { kind: Kind::Base, name: "demo".into(), version: version.into(), build_id: Digest([1; 32]), sequence: 1 }
}

fn occupant(slot: SlotId) -> Occupant {
    Occupant { slot, release: Some(release(if slot == A { "1.0.0" } else { "2.0.0" })) }
}

fn view(state: State) -> View {
    let slot = |slot| Slot { release: occupant(slot).release, problem: None };
    let trial = |started, tries_left| Some(Trial { occupant: occupant(B), started, tries_left });
    let summary = Summary {
        state: state.to_string(),
        running: Some(occupant(A)),
        on_trial: match state {
            State::Armed { .. } => trial(false, 3),
            State::Trial { .. } => trial(true, 2),
            _ => None,
        },
        site_state: "site slot A runs; nothing is pending".into(),
        site_running: Some(Occupant { slot: A, release: Some(release("10.0.0")) }),
        site_on_trial: None,
        site_waiting: None,
        failed: Vec::new(),
        next_restart: Next {
            base: Some(occupant(A)),
            otherwise: Some(occupant(B)),
            site: None,
            reset: None,
            reset_problem: None,
        },
        base: Pair::of(slot),
        site: Pair::of(|_| Slot { release: None, problem: None }),
        site_named: None,
        floors: Vec::new(),
    };
    View {
        report: sample(),
        lifecycle: Some((state, summary)),
        upgrade: None,
        failures: Vec::new(),
        setting: "DHCP".into(),
        addresses: vec!["eth0 192.0.2.10/24".into()],
        claim: None,
    }
}

const STEADY: State = State::Steady { home: A, spare: Spare::Good };
const ARMED: State = State::Armed { home: A, candidate: B, tries: 3 };
const TRIAL: State = State::Trial { home: A, candidate: B, tries_left: 2 };

/// Types these lines into the menu, one after the other.
fn typed(view: &View, lines: &[&str]) -> Answer {
    let start = Answer { next: Dialog::Menu, note: None, orders: Vec::new() };
    lines.iter().fold(start, |before, line| {
        assert_eq!(before.orders, [], "something was done before {line:?}");
        before.next.answer(line, view)
    })
}

/// Chooses the entry whose label has these words in it.
fn choose(view: &View, words: &str) -> String {
    let items = items(view);
    let at = items.iter().position(|item| item.label.contains(words));
    (at.unwrap_or_else(|| panic!("no {words:?} in {items:?}")) + 1).to_string()
}

fn agent(words: &[&str]) -> Order {
    Order::Agent(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn the_claim_code_is_shown_while_there_is_one() {
    let mut view = view(STEADY);
    assert!(!screen(&view, &Dialog::Menu, None).contains("claim"));
    view.claim = Some("01AB-CDEF-GHJK".into());
    let shown = screen(&view, &Dialog::Menu, None);
    assert!(shown.contains(" claim     01AB-CDEF-GHJK is the code for the first account"), "{shown}");
}

#[test]
fn the_screen_answers_the_four_questions() {
    let mut view = view(ARMED);
    let failed = Failure { slot: B, release: release("1.9.0"), reason: "the page did not answer".into() };
    view.lifecycle.as_mut().unwrap().1.failed.push(failed);
    let text = screen(&view, &Dialog::Menu, Some("nothing was done"));
    for wanted in [
        " demo 1.0.0\n",
        " runs      slot A, demo 1.0.0, verified",
        " site      slot A, demo 10.0.0",
        " on trial  slot B, demo 2.0.0, from the next restart on",
        " failed    demo 1.9.0 in base slot B: the page did not answer",
        " restart   starts slot A, demo 1.0.0; if that fails slot B, demo 2.0.0",
        " network   eth0 192.0.2.10/24 (DHCP)",
        "\nnothing was done\n",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
    assert!(text.ends_with(" Number, or Enter to look again: "), "{text}");
}

#[test]
fn whatever_happened_it_fits_a_serial_line_and_steers_no_terminal() {
    let mut full = view(TRIAL);
    let endless = format!("\u{1b}[2J{} \u{202e}{}", "x".repeat(400), "many words ".repeat(100));
    full.report.product = endless.clone();
    full.report.warnings = vec![endless.clone(); 20];
    full.addresses = vec![endless.clone(); 20];
    full.setting = endless.clone();
    let failure = Failure { slot: B, release: release(&endless), reason: endless.clone() };
    full.lifecycle.as_mut().unwrap().1.failed = vec![failure; 5];
    let start = BootFailure {
        format: 1,
        time: 0,
        slot: None,
        version: endless.clone(),
        build_id: None,
        reason: endless.clone(),
    };
    full.failures = vec![start; 5];
    let mut dialogs: Vec<Dialog> = items(&full).into_iter().map(|item| item.leads_to).collect();
    dialogs.push(Dialog::Menu);
    dialogs.push(Dialog::Gateway("192.0.2.10/24".parse().unwrap()));
    for dialog in dialogs {
        let text = screen(&full, &dialog, Some(&endless));
        assert!(text.lines().count() <= LINES, "{} lines:\n{text}", text.lines().count());
        assert!(text.lines().all(|line| line.len() <= COLUMNS), "{text}");
        assert!(text.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()), "{text:?}");
        assert!(text.contains(" runs      slot A"), "what runs is never cut off:\n{text}");
        assert!(text.contains(" more      update-agent status"), "{text}");
    }
}

#[test]
fn unreadable_records_are_said_and_leave_the_machine_usable() {
    let blind = View { lifecycle: None, ..view(STEADY) };
    let text = screen(&blind, &Dialog::Menu, None);
    assert!(text.contains("records of slots and boot state cannot be read"), "{text}");
    assert_eq!(typed(&blind, &[&choose(&blind, "Restart"), "yes"]).orders, [Order::System("reboot")]);
}

#[test]
fn restarting_into_the_other_slot_is_what_the_state_allows() {
    for (state, label, orders) in [
        (
            STEADY,
            "Restart into the other slot: slot B, demo 2.0.0",
            vec![agent(&["rollback"]), Order::System("reboot")],
        ),
        (ARMED, "Restart into the other slot, on trial: slot B", vec![Order::System("reboot")]),
        (ARMED, "Take back", vec![agent(&["rollback"])]),
        (TRIAL, "Keep what is on trial: slot B", vec![agent(&["commit"])]),
        (TRIAL, "Leave the trial, restart into slot A", vec![agent(&["rollback"]), Order::System("reboot")]),
    ] {
        let view = view(state);
        let number = choose(&view, label);
        assert_eq!(typed(&view, &[&number, "yes"]).orders, orders, "{label}");
        for no in ["", "y", "YES", "no", &number] {
            let answer = typed(&view, &[&number, no]);
            assert_eq!((answer.orders, answer.next), (Vec::new(), Dialog::Menu), "{label}: {no:?}");
        }
    }
    for state in [
        State::Steady { home: A, spare: Spare::Unproven },
        State::Writing { home: A, target: B },
        State::NotLoaded { home: A, candidate: B, tries: 2 },
        State::Failed { home: A, failed: B },
        State::Leaving { home: A, running: B },
        State::Unproven { slot: A, runs: true },
        State::Lost { running: Some(A) },
    ] {
        let view = view(state);
        assert!(items(&view).iter().all(|item| !item.label.contains("slot")), "{state:?}");
    }
}

#[test]
fn a_site_on_trial_is_kept_or_left_without_a_restart() {
    let mut view = view(STEADY);
    let site = Occupant { slot: B, release: Some(release("11.0.0")) };
    view.lifecycle.as_mut().unwrap().1.site_on_trial = Some(site);
    let text = screen(&view, &Dialog::Menu, None);
    assert!(text.contains(" on trial  site slot B, demo 11.0.0, running"), "{text}");
    for (label, words) in [("Keep the site", vec!["commit"]), ("Leave the site", vec!["rollback", "--site"])] {
        assert_eq!(typed(&view, &[&choose(&view, label), "yes"]).orders, [agent(&words)]);
    }
}

#[test]
fn a_fixed_address_is_asked_for_step_by_step() {
    let view = view(STEADY);
    let number = choose(&view, "network");
    let asked = |lines: &[&str]| typed(&view, &[&[number.as_str()], lines].concat());
    assert_eq!(asked(&["dhcp"]).orders, [agent(&["network", "set", "dhcp"])]);
    assert_eq!(
        asked(&["192.0.2.10/24", "192.0.2.1", "192.0.2.53 2001:db8::53"]).orders,
        [agent(&["network", "set", "192.0.2.10/24", "--gateway=192.0.2.1", "--dns=192.0.2.53", "--dns=2001:db8::53"])]
    );
    assert_eq!(asked(&["192.0.2.10/24", "", ""]).orders, [agent(&["network", "set", "192.0.2.10/24"])]);
    assert_eq!(asked(&[""]).next, Dialog::Menu);
}

#[test]
fn an_address_that_cannot_work_is_refused_where_it_is_typed() {
    let view = view(STEADY);
    let number = choose(&view, "network");
    for (lines, problem) in [
        (vec!["192.0.2.10"], "is no address such as 192.0.2.10/24"),
        (vec!["192.0.2.255/24"], "names its whole network"),
        (vec!["; reboot"], "is no address such as"),
        (vec!["192.0.2.10/24", "192.0.3.1"], "not another machine in the network"),
        (vec!["192.0.2.10/24", "-x"], "no address such as 192.0.2.1"),
        (vec!["192.0.2.10/24", "", "a b"], "not addresses"),
        (vec!["192.0.2.10/24", "", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4"], "at most 3"),
    ] {
        let answer = typed(&view, &[vec![number.as_str()], lines.clone()].concat());
        assert!(answer.note.as_deref().unwrap_or_default().contains(problem), "{lines:?}: {answer:?}");
        assert_eq!(answer.orders, []);
        assert_ne!(answer.next, Dialog::Menu, "{lines:?}: it is asked again");
    }
}

#[test]
fn what_cannot_be_understood_has_no_consequence() {
    let view = view(STEADY);
    let number = items(&view).len();
    for line in ["0", "99", "-1", "x", "1.5", "99999999999999999999999", "\u{1b}[A", "reboot"] {
        let answer = typed(&view, &[line]);
        assert_eq!((answer.next, answer.orders), (Dialog::Menu, Vec::new()), "{line}");
        assert_eq!(answer.note, Some(format!("choose a number from 1 to {number}")), "{line}");
    }
    assert_eq!(typed(&view, &["  "]).note, None);
}

#[test]
fn a_reset_that_waits_is_shown_and_can_be_taken_back() {
    let mut view = view(STEADY);
    view.lifecycle.as_mut().unwrap().1.next_restart.reset =
        Some(Reset { then: Then::PowerOff, by: "root".into(), asked: 0 });
    let text = screen(&view, &Dialog::Menu, None);
    assert!(text.contains(" restart   FACTORY RESET: everything in /data is destroyed, then the appliance"), "{text}");
    let number = choose(&view, "Take the factory reset back");
    assert_eq!(typed(&view, &[&number, "yes"]).orders, [agent(&["factory-reset", "--cancel"])]);
}

#[test]
fn a_reset_is_confirmed_here_and_asks_for_its_own_words() {
    let view = view(STEADY);
    let number = choose(&view, "Factory reset");
    assert_eq!(typed(&view, &[&number, "yes"]).orders, [agent(&["factory-reset"])]);
}
