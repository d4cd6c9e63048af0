//! The words of a letter about updates. Pure.

use formats::Bytes;
use formats::catalogue::PackageId;
use formats::manifest::Effects;

/// The appliance that writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its product.
    pub product: String,
    /// The host name of its site, if it has one.
    pub hostname: Option<String>,
    /// Its name among all.
    pub appliance: String,
    /// What runs, one line each.
    pub runs: Vec<String>,
    /// Its maintenance window, if there is one.
    pub window: Option<String>,
}

/// An update somebody is told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub package: PackageId,
    /// Why it is not the next step; nothing when it is.
    pub after: Option<String>,
    /// Bytes of the package.
    pub size: Bytes,
    /// What installing it does.
    pub effects: Effects,
    /// Its release notes, if they could be had.
    pub notes: Option<String>,
}

/// Subject and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// One line without control characters.
    pub subject: String,
    /// The rest.
    pub text: String,
}

/// Updates that opened for an appliance, the most important first; `others` are named only.
pub fn offers(about: &About, offers: &[Offer], others: &[PackageId]) -> Words {
    let name = about.hostname.as_deref().unwrap_or(&about.product);
    let first = offers.first().map(|offer| offer.package.to_string()).unwrap_or_default();
    let more = offers.len().saturating_add(others.len()).saturating_sub(1);
    let and_more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let mut text = format!("There is news for {name}.\n\n{}", described(about));
    for offer in offers {
        text.push_str(&described_offer(offer));
    }
    if !others.is_empty() {
        let names: Vec<String> = others.iter().map(ToString::to_string).collect();
        text.extend(["\nAlso to be had: ", &names.join(", "), "\n"]);
    }
    text.push_str("\nAll there is, with the reason why something cannot be installed yet: update-agent list\n");
    Words { subject: plain_line(&format!("{name}: {first}{and_more} can be installed")), text }
}

/// A letter that says nothing but that letters arrive.
pub fn test(about: &About) -> Words {
    let name = about.hostname.as_deref().unwrap_or(&about.product);
    let text = format!(
        "Mail from {name} arrives. When an update can be installed there, you will be told in this way.\n\n{}",
        described(about)
    );
    Words { subject: plain_line(&format!("{name}: a test of its mail")), text }
}

fn described(about: &About) -> String {
    let mut lines = vec![format!("Appliance: {}, name {}", about.product, about.appliance)];
    lines.extend(about.runs.iter().map(|line| format!("Runs: {line}")));
    lines.extend(about.window.iter().map(|window| format!("Maintenance window: {window}")));
    lines.join("\n") + "\n"
}

fn described_offer(offer: &Offer) -> String {
    let mut effects: Vec<String> = offer.effects.sentences().collect();
    effects
        .extend(offer.effects.soak_hours.map(|hours| format!("clients get {hours} h to follow before the next step")));
    if effects.is_empty() {
        effects.push("none".into());
    }
    let id = &offer.package;
    let install = match &offer.after {
        None => format!("Install it: update-agent install {id}"),
        Some(after) => format!("{after}\nSee the whole way: update-agent plan --to {id}"),
    };
    let notes = match &offer.notes {
        Some(notes) => plain_text(notes).lines().map(|line| format!("  {line}").trim_end().to_owned() + "\n").collect(),
        None => "  could not be fetched just now; they come with the package\n".to_owned(),
    };
    format!("\n{id}\nSize: {}\nEffects: {}\n{install}\nNotes:\n{notes}", offer.size, effects.join("; "))
}

/// Without anything that could steer a terminal, or end a header.
fn plain_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SUBJECT).collect()
}

fn plain_text(text: &str) -> String {
    let mut kept: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).take(NOTES).collect();
    if text.chars().nth(NOTES).is_some() {
        kept.push_str("\n(shortened)");
    }
    kept
}

/// Characters of a subject.
const SUBJECT: usize = 200;
/// Characters of notes.
const NOTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            product: "demo".into(),
            hostname: Some("hello".into()),
            appliance: "0123".into(),
            runs: vec!["demo-base 1.0.0".into(), "demo-site 1.0.0".into()],
            window: Some("every day from 22:00 to 04:00 (UTC+01:00)".into()),
        }
    }

    fn offer() -> Offer {
        Offer {
            package: "base/demo-base-2.0.0".parse().unwrap(),
            after: None,
            size: Bytes(18 << 20),
            effects: Effects { reboot: true, site_downtime: true, client_upgrade: false, soak_hours: None },
            notes: Some("# 2.0.0\n\n- better\n".into()),
        }
    }

    #[test]
    fn a_letter_has_version_notes_effects_size_and_command() {
        let words = offers(&about(), &[offer()], &[]);
        assert_eq!(words.subject, "hello: base/demo-base-2.0.0 can be installed");
        assert_eq!(
            words.text,
            "There is news for hello.\n\nAppliance: demo, name 0123\nRuns: demo-base 1.0.0\nRuns: demo-site 1.0.0\nMaintenance window: \
             every day from 22:00 to 04:00 (UTC+01:00)\n\nbase/demo-base-2.0.0\nSize: 18 MiB\nEffects: the appliance restarts\nInstall it: \
             update-agent install base/demo-base-2.0.0\nNotes:\n  # 2.0.0\n\n  - better\n\nAll there is, with the reason why something cannot \
             be installed yet: update-agent list\n"
        );
    }

    #[test]
    fn what_cannot_be_next_says_what_comes_first_and_many_are_named_only() {
        let after = Some("base 1.0.0 does not satisfy it; install base/demo-base-2.0.0 first".into());
        let effects = Effects { reboot: false, site_downtime: true, client_upgrade: true, soak_hours: Some(24) };
        let site = Offer { package: "site/demo-site-3.0.0".parse().unwrap(), after, notes: None, effects, ..offer() };
        let words = offers(&About { hostname: None, ..about() }, &[site], &["base/demo-base-2.0.0".parse().unwrap()]);
        assert_eq!(words.subject, "demo: site/demo-site-3.0.0 and 1 more can be installed");
        for wanted in [
            "install base/demo-base-2.0.0 first",
            "update-agent plan --to site/demo-site-3.0.0",
            "the application is away for a moment; client programs have to be upgraded; clients get 24 h to follow",
            "could not be fetched",
            "Also to be had: base/demo-base-2.0.0",
        ] {
            assert!(words.text.contains(wanted), "\"{wanted}\" in {}", words.text);
        }
    }

    #[test]
    fn notes_cannot_steer_a_terminal_or_fill_a_mailbox() {
        let notes = format!("a\u{1b}[2Jb\r\nc{}", "x".repeat(NOTES));
        let text = offers(&about(), &[Offer { notes: Some(notes), ..offer() }], &[]).text;
        assert!(text.contains("  a[2Jb\n  cx") && text.contains("(shortened)"));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && text.len() < NOTES + 1000);
    }
}
