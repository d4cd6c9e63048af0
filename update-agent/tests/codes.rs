//! The codes are a promise to scripts and consoles: documented, unique, and the last word of every failure.

use std::collections::BTreeMap;
use std::process::Command;

use formats::manifest::Kind;
use formats::{Damage, Distrust, SlotId};
use update_agent::code::Code;
use update_agent::error::Error;
use update_agent::lifecycle::{Misfit, Refusal, Spare, Unfit};

const DOCUMENT: &str = include_str!("../../docs/errors.md");

/// Rows of the table: code, exit code, meaning, what to do.
fn rows() -> Vec<[&'static str; 4]> {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        cells.try_into().unwrap_or_else(|_| panic!("not four cells: {row}"))
    })
    .collect()
}

#[test]
fn the_document_lists_exactly_the_codes_in_their_order_with_their_exit_codes() {
    let documented: Vec<(String, String)> =
        rows().into_iter().map(|[code, exit, ..]| (code.trim_matches('`').into(), exit.into())).collect();
    let known: Vec<(String, String)> =
        Code::ALL.iter().map(|code| (code.word().into(), code.exit().to_string())).collect();
    assert_eq!(documented, known);
    assert!(rows().iter().all(|[.., meaning, advice]| !meaning.is_empty() && !advice.is_empty()));
}

fn content(cause: formats::Error) -> Error {
    Error::Content { place: "package".into(), cause }
}

/// One error of every kind that tells one refusal from another.
fn refusals() -> Vec<Error> {
    let (slot, version, range) = (SlotId::A, semver::Version::new(1, 0, 0), semver::VersionReq::STAR);
    let misfits = [
        Misfit::Downgrade { sequence: 1, floor: 2 },
        Misfit::OtherBuild { sequence: 1 },
        Misfit::Hardware { needed: vec![], ours: vec![] },
        Misfit::NeedsBase { needed: range.clone(), base: version.clone() },
        Misfit::NeedsSite { needed: range.clone(), site: None },
        Misfit::LeavesSiteBehind { site: version, needed: range },
        Misfit::RefusedByBase { base: semver::Version::new(1, 0, 0), needed: semver::VersionReq::STAR },
        Misfit::OtherSite { theirs: "a".into(), ours: "b".into() },
        Misfit::Expired { expired: formats::manifest::Date::LAST, today: formats::manifest::Date::LAST },
        Misfit::NoSlot(Kind::Licence),
        Misfit::TooBig("by 1".into()),
    ];
    let not_now = [
        Refusal::OnTrial { candidate: slot },
        Refusal::RestartFirst { running: slot, home: slot },
        Refusal::NotStarted { candidate: slot },
        Refusal::NoWayBack { slot, spare: Spare::Nothing },
        Refusal::NothingOnTrial,
        Refusal::SiteOnTrial { candidate: slot },
        Refusal::NoSite { problem: "x".into() },
        Refusal::NoGoodSlot { slot },
        Refusal::Lost,
    ];
    let mut all: Vec<Error> = Damage::ALL.map(|why| content(formats::Error::damaged("package", why, "x"))).into();
    all.extend(Distrust::ALL.map(|why| content(formats::Error::untrusted("manifest", why, "x"))));
    all.push(content(formats::Error::unsupported("manifest", "x")));
    all.push(content(formats::Error::invalid("manifest", "x")));
    all.extend(misfits.map(|misfit| Error::Unfit(Unfit { release: "demo 1.0.0".into(), misfit })));
    all.extend(not_now.map(Error::NotNow));
    all.push(Error::Source("x".into()));
    all.push(Error::Reader("x".into()));
    all.push(Error::Rotten("x".into()));
    all.push(Error::NotKept("x".into()));
    all.push(Error::WrongRootHash("x".into()));
    all.extend([Error::SiteNotSwitched("x".into()), Error::SiteDown("x".into()), Error::NoSiteHook("x".into())]);
    all.push(Error::Busy("x".into()));
    all.extend([Error::Usage("x".into()), Error::NotAFile { name: "x".into(), what: "a pipe" }]);
    all
}

#[test]
fn no_two_refusals_share_a_code() {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for error in refusals() {
        let text = format!("{error:?}");
        if let Some(other) = seen.insert(error.code(), text.clone()) {
            panic!("\"{}\" stands for {other} and for {text}", error.code());
        }
    }
}

#[test]
fn the_code_is_the_last_word_on_the_terminal() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_update-agent")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (exit, text) = run(&["status", "--disk", "/nowhere/disk.img"]);
    assert_eq!((exit, text.trim_end().ends_with(" [usage]")), (Some(2), true), "{text}");
    let (exit, text) = run(&["status", "--disk", "/nowhere/disk.img", "--trust", "/nowhere/trust.json"]);
    assert_eq!((exit, text.trim_end().ends_with(" [not-found]")), (Some(6), true), "{text}");
}
