//! The page before an installation: what was looked at, what it takes, what it does to people, the terms, and one button.

use maud::{Markup, html};

use super::Reader;
use super::parts::{fact, hidden, proof, said};
use crate::account::Role;
use crate::web::route::Query;
use crate::web::view::View;
use crate::web::words::install::{Words, of};

/// Asks whether this package is to be installed.
pub fn install(reader: &Reader, query: &Query, preflight: View<'_>, about: View<'_>) -> Markup {
    let fields = match (&query.package, &query.staged) {
        (Some(id), _) => vec![("package", id.to_string())],
        (None, Some(id)) => vec![("staged", id.clone())],
        (None, None) => Vec::new(),
    };
    html! {
        @for package in preflight.at("/packages").list() { p { strong { (package.text()) } } }
        (seen(reader, preflight))
        @if let Some(notes) = about.at("/notes").some() {
            details { summary { (reader.words().notes) } pre lang="en" { (notes) } }
        }
        @if let Some(text) = about.at("/text").some() {
            details open[preflight.at("/terms").list().len() > 0] {
                summary { (of(reader.language).terms) }
                pre lang="en" { (text) }
                p { (reader.words().fingerprint) " " code { (about.at("/digest").text()) } }
            }
        }
        @if preflight.there() && reader.may(Role::Operator) {
            (begin(reader, preflight, "install", &fields))
        }
    }
}

/// What was looked at, what it takes, and what it does to people.
pub fn seen(reader: &Reader, preflight: View<'_>) -> Markup {
    let words = of(reader.language);
    html! {
        @if preflight.there() {
            section {
                h2 { (words.preflight) }
                table {
                    thead { tr { th scope="col" { (words.finding) } th scope="col" { (words.verdict) } th scope="col" { (reader.words().details) } } }
                    tbody { @for one in preflight.at("/findings").list() { (finding(words, one)) } }
                }
            }
            section {
                h2 { (words.effects) }
                (impact(words, preflight))
                dl {
                    (fact(words.fetch, Some(&html! { (preflight.at("/download").size()) })))
                    (fact(words.write, Some(&html! { (preflight.at("/written").size()) })))
                    (fact(words.estimate, Some(&html! { (estimate(words, preflight)) })))
                }
                @if preflight.at("/backup").yes() { p { (words.backup_made) } }
            }
        }
    }
}

fn finding(words: &'static Words, one: View<'_>) -> Markup {
    let verdict = one.at("/verdict").text();
    html! {
        tr class=[(verdict == "red").then_some("bad")] data-finding=(one.at("/id").text()) {
            th scope="row" { (name(words, &one.at("/id").text())) }
            td { (word(words, &verdict)) }
            td {
                (said(&one.at("/sentence").text()))
                @if let Some(next) = one.at("/next").some() { br; (words.next) ": " (said(&next)) }
            }
        }
    }
}

/// What installing does to whom, in the language of the reader, with the numbers that are known.
fn impact(words: &'static Words, preflight: View<'_>) -> Markup {
    let (effects, impact) = (preflight.at("/effects"), preflight.at("/impact"));
    let restarts = effects.at("/reboot").yes();
    let clients = effects.at("/client-upgrade").yes();
    let away = restarts || effects.at("/site-downtime").yes();
    html! {
        @if restarts { p { (words.restarts) } }
        @if impact.at("/console-sessions-end").yes() {
            p { (words.sessions_end) ": " (impact.at("/console-sessions").number()) }
        }
        @if away { p { (words.site_away) } }
        @if clients { p { (words.clients) } }
        @if !away && !clients { p { (words.nobody) } }
    }
}

/// The button, or two where a backup is offered first; none where the installation would be refused whatever is ticked here.
pub fn begin(reader: &Reader, preflight: View<'_>, action: &str, fields: &[(&str, String)]) -> Markup {
    let words = of(reader.language);
    let refused =
        preflight.at("/findings").list().any(|one| one.at("/refusal").there() && one.at("/id").text() != "terms");
    let terms = preflight.at("/terms").list().len() > 0;
    let label = if action == "upgrade" { words.begin_way } else { words.begin };
    html! {
        @if refused {
            p.problem { (words.not_allowed) }
        } @else {
            form method="post" action={ "/do/" (action) } {
                (proof(reader))
                @for (name, value) in fields { (hidden(name, value)) }
                @if terms {
                    p { (reader.words().terms_open) }
                    label { input type="checkbox" name="accept-eula" required; " " (reader.words().accept_terms) }
                }
                @if action == "upgrade" { p { (reader.words().choose_restart) } }
                @if preflight.at("/backup-offered").yes() {
                    p { button name="backup" value="yes" { (words.backup_first) } }
                    p { button.quiet { (words.without_backup) } }
                } @else {
                    p { button { (label) } }
                }
            }
        }
    }
}

fn estimate(words: &'static Words, preflight: View<'_>) -> String {
    match preflight.at("/seconds").number() {
        0 => words.unknown.into(),
        seconds => format!("{} {}", seconds.div_ceil(60).max(1), words.minutes),
    }
}

fn word(words: &'static Words, verdict: &str) -> &'static str {
    match verdict {
        "green" => words.green,
        "amber" => words.amber,
        _ => words.red,
    }
}

/// What a finding is about, in the language of the reader; an unknown one by its id.
fn name(words: &'static Words, id: &str) -> String {
    let known = [
        ("suits", words.suits),
        ("space", words.space),
        ("clock", words.clock),
        ("backup", words.backup),
        ("certificates-saved", words.saved),
        ("certificate-coverage", words.coverage),
        ("at-work", words.at_work),
        ("pending", words.pending),
        ("upgrade", words.upgrade),
        ("window", words.window),
        ("terms", words.terms),
    ];
    known.into_iter().find(|(known, _)| *known == id).map_or_else(|| id.into(), |(_, name)| name.into())
}
