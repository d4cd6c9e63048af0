use formats::window::Window;

use super::*;
use crate::depot::window::admitted;

const NOON: i64 = 1_795_435_200;

/// Everything as it should be.
fn fine() -> Seen {
    Seen {
        what: What::Package(Kind::Base),
        suits: Ok(()),
        space: Ok(Space { fetch: Bytes(10), reserve: Bytes(5), free: Bytes(15) }),
        clock: Clock { says: NOON, signed: NOON, good_until: 0 },
        backup: Backup {
            current: true,
            sentence: "the newest backup, 1, has the settings as they are".into(),
            before: BeforeUpdates::No,
            can_encrypt: false,
        },
        unsaved: Vec::new(),
        coverage: Some(Vec::new()),
        job: None,
        rest: Rest::AtRest,
        upgrade: None,
        window: Some(Ok(())),
        terms: Vec::new(),
    }
}

fn stale(before: BeforeUpdates, can_encrypt: bool) -> Seen {
    Seen { backup: Backup { current: false, sentence: "old".into(), before, can_encrypt }, ..fine() }
}

fn shut(hours: u64) -> Result<(), Shut> {
    let window = Window::new(&["tue".into()], "11:00", "14:00", "+00:00").unwrap();
    let setting = formats::depot::Setting { window: Some(window), ..formats::depot::Setting::default() };
    admitted(&setting, fine().clock, std::time::Duration::from_secs(hours * 3600))
}

fn about(kind: certificates::FindingKind) -> Vec<certificates::Finding> {
    vec![certificates::Finding::new(kind, "x".into())]
}

#[test]
fn where_all_is_in_order_every_thing_looked_at_is_green_and_says_so() {
    let findings = judge(&fine());
    let ids: Vec<&str> = findings.iter().map(|finding| finding.id).collect();
    let all = "suits space clock backup certificates-saved certificate-coverage at-work pending upgrade window terms";
    assert_eq!(ids.join(" "), all);
    assert_eq!(worst(&findings), Verdict::Green);
    assert!(findings.iter().all(|finding| !finding.sentence.is_empty() && finding.refusal.is_none()));
}

#[test]
fn each_thing_that_is_out_of_order_changes_its_own_finding_and_no_other() {
    use Verdict::{Amber, Green, Red};
    let way = || Seen { what: What::Way, ..fine() };
    let licence = || Seen { what: What::Package(Kind::Licence), ..fine() };
    let refusal = Problem { code: "below-floor".into(), message: "no".into() };
    let armed = || Rest::Armed { build: formats::Digest::of(b"x"), release: "base 2".into() };
    let early = Clock { says: 0, ..fine().clock };
    let ahead = Clock { says: NOON + 500 * 86_400, ..fine().clock };
    let table: Vec<(&str, Seen, Verdict, Option<&str>)> = vec![
        ("suits", Seen { suits: Err(refusal), ..fine() }, Red, Some("below-floor")),
        (
            "space",
            Seen { space: Ok(Space { fetch: Bytes(11), reserve: Bytes(5), free: Bytes(15) }), ..fine() },
            Red,
            Some("no-space"),
        ),
        (
            "space",
            Seen { space: Ok(Space { fetch: Bytes(0), reserve: Bytes(5), free: Bytes(0) }), ..fine() },
            Green,
            None,
        ),
        ("space", Seen { space: Err("?".into()), ..fine() }, Amber, None),
        ("clock", Seen { clock: early, ..fine() }, Red, None),
        ("clock", Seen { clock: ahead, ..fine() }, Amber, None),
        ("backup", stale(BeforeUpdates::No, false), Red, None),
        ("backup", stale(BeforeUpdates::No, true), Red, None),
        ("backup", stale(BeforeUpdates::Make, false), Red, None),
        ("backup", stale(BeforeUpdates::Make, true), Green, None),
        ("backup", stale(BeforeUpdates::Require, true), Green, None),
        ("backup", stale(BeforeUpdates::Require, false), Red, Some("backup-required")),
        ("certificates-saved", Seen { unsaved: vec!["x".into()], ..fine() }, Amber, None),
        (
            "certificate-coverage",
            Seen { coverage: Some(about(certificates::FindingKind::NameMismatch)), ..fine() },
            Red,
            None,
        ),
        (
            "certificate-coverage",
            Seen { coverage: Some(about(certificates::FindingKind::ExpiresSoon)), ..fine() },
            Green,
            None,
        ),
        ("at-work", Seen { job: Some("install (job 3)".into()), ..fine() }, Red, Some("busy")),
        ("pending", Seen { rest: armed(), ..fine() }, Amber, None),
        ("pending", Seen { rest: armed(), ..way() }, Amber, None),
        ("pending", Seen { rest: Rest::Trial("x".into()), ..fine() }, Amber, None),
        ("pending", Seen { rest: Rest::Busy("x".into()), ..way() }, Amber, None),
        ("pending", Seen { rest: Rest::Trial("x".into()), ..licence() }, Green, None),
        ("upgrade", Seen { upgrade: Some("x".into()), ..fine() }, Amber, None),
        ("upgrade", Seen { upgrade: Some("x".into()), ..way() }, Red, Some("upgrade-under-way")),
        ("window", Seen { window: Some(shut(1)), ..fine() }, Amber, None),
        ("window", Seen { window: Some(shut(1)), ..way() }, Amber, None),
        ("window", Seen { window: Some(shut(4)), ..fine() }, Amber, None),
        ("window", Seen { window: Some(shut(4)), ..way() }, Red, Some("window-too-short")),
        ("terms", Seen { terms: vec!["site 3".into()], ..fine() }, Red, Some("eula-not-accepted")),
    ];
    for (row, (id, seen, verdict, code)) in table.into_iter().enumerate() {
        let findings = judge(&seen);
        for finding in &findings {
            let wanted = if finding.id == id { (verdict, code) } else { (Green, None) };
            assert_eq!((finding.verdict, finding.refusal.as_deref()), wanted, "row {row}, {id}: {finding:?}");
            assert!(finding.verdict != Red || finding.next.is_some(), "row {row}: nothing is to be done? {finding:?}");
        }
        assert_eq!(worst(&findings), verdict, "row {row}");
    }
}

#[test]
fn what_does_not_apply_is_not_judged() {
    let findings = judge(&Seen { coverage: None, window: None, ..fine() });
    assert!(findings.iter().all(|finding| !["certificate-coverage", "window"].contains(&finding.id)));
}

#[test]
fn a_backup_is_offered_where_none_is_made_anyway_and_one_can_be() {
    let offered = |seen: Seen| offers_backup(&seen.backup);
    assert!(offered(stale(BeforeUpdates::No, true)));
    assert!(![stale(BeforeUpdates::No, false), stale(BeforeUpdates::Make, true), fine()].into_iter().any(offered));
}

#[test]
fn who_is_affected_is_said_with_numbers_where_they_are_known_and_without_where_they_are_not() {
    let effects = |reboot, site_downtime| Effects { reboot, site_downtime, client_upgrade: false, soak_hours: None };
    let base = impact(&effects(true, false), 3, true);
    assert!(base.console_sessions_end && base.sentences.contains(&"3 sessions of the console end".into()), "{base:?}");
    assert!(base.sentences.iter().any(|one| one.contains("it does not tell")));
    let site = impact(&effects(false, true), 3, true);
    assert!(!site.console_sessions_end && !site.sentences.iter().any(|one| one.contains("console")), "{site:?}");
    assert_eq!(impact(&effects(false, false), 1, true).sentences, ["nobody notices anything"]);
    assert_eq!(impact(&effects(true, false), 0, false).sentences.len(), 2);
}
