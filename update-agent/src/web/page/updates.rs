//! What there is to install, the way to it, and what became of what was installed.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::parts::{button, said};
use super::{Reader, install, report};
use crate::account::Role;
use crate::web::route::Page;
use crate::web::view::View;

/// What the depot offers, and what lies here.
pub fn updates(reader: &Reader, updates: View<'_>, staged: View<'_>, uploads: View<'_>) -> Markup {
    let words = reader.words();
    let operator = reader.may(Role::Operator);
    let open = |one: &View<'_>| ["available", "blocked"].contains(&one.at("/standing").text().as_str());
    let (open, others): (Vec<_>, Vec<_>) = updates.at("/updates").list().partition(open);
    html! {
        section {
            h2 { (words.available) }
            @if updates.there() {
                p { (words.checked) ": " time { (updates.at("/checked").time()) } }
                @for note in updates.at("/notes").list() { p { (said(&note.text())) } }
            } @else { p { (words.not_checked) } }
            @if operator { (button(reader, "check", words.check, &[])) }
            @if !open.is_empty() {
                (table(reader, &open))
                p { a.button href=(Page::Way.path()) { (words.install_all) } }
            } @else if updates.there() { p { (words.no_updates) } }
        }
        @if staged.list().len() > 0 {
            section {
                h2 { (words.staged) }
                table {
                    thead { tr { th scope="col" { (words.package) } th scope="col" { (words.size) } th scope="col" { (words.action) } } }
                    tbody {
                        @for one in staged.list() {
                            @let id = one.at("/id").text();
                            tr {
                                th scope="row" {
                                    @match one.at("/release").release() {
                                        Some(release) => { (release) }
                                        None => { (said(&one.at("/problem").text())) }
                                    }
                                }
                                td { (one.at("/bytes").size()) }
                                td {
                                    @if operator {
                                        @if one.at("/release").there() {
                                            p { a.button href={ (Page::Install.path()) "?staged=" (percent(&id)) } { (words.install) } }
                                        }
                                        (button(reader, "discard", words.discard, &[("staged", &id)]))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if operator {
            (super::upload::manual(reader, uploads))
            section {
                h2 { (words.download_key) }
                p { (words.download_key_hint) }
                (button(reader, "download-key", words.download_key_make, &[]))
            }
        }
        @if !others.is_empty() {
            details {
                summary { (words.others) }
                (table(reader, &others))
            }
        }
    }
}

fn table(reader: &Reader, rows: &[View<'_>]) -> Markup {
    let words = reader.words();
    html! {
        table {
            thead {
                tr {
                    th scope="col" { (words.package) } th scope="col" { (words.size) } th scope="col" { (words.effects) }
                    th scope="col" { (words.state) } th scope="col" { (words.action) }
                }
            }
            tbody { @for one in rows { (row(reader, *one)) } }
        }
    }
}

fn row(reader: &Reader, one: View<'_>) -> Markup {
    let words = reader.words();
    let (package, standing) = (one.at("/package").text(), one.at("/standing").text());
    let available = standing == "available";
    html! {
        tr class=[(!available).then_some("greyed")] {
            th scope="row" id=(package) {
                (package)
                @if let Some(host) = one.at("/hostname").some() { br; small { (host) } }
                @if let Some(count) = one.at("/licences").some() { br; small { (words.licences) ": " (count) } }
                @if let Some(day) = one.at("/expires").some() { br; small { (words.expires) ": " (day) } }
            }
            td { (one.at("/size").size()) }
            td { (effects(reader, one.at("/effects"))) }
            td {
                (said(&one.at("/summary").text()))
                @if let Some(first) = one.at("/first").some() { " " a href={ "#" (first) } { (words.find_out) } }
            }
            td {
                @if available {
                    p { a href={ (Page::Way.path()) "?to=" (percent(&package)) } { (words.notes_read) } }
                    @if reader.may(Role::Operator) {
                        p { a.button href={ (Page::Install.path()) "?package=" (percent(&package)) } { (words.install) } }
                        @if !one.at("/staged").there() {
                            (button(reader, "stage", words.stage, &[("package", &package)]))
                        }
                    }
                }
            }
        }
    }
}

/// A package's id in a query.
fn percent(id: &str) -> String {
    form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

fn effects(reader: &Reader, effects: View<'_>) -> String {
    let words = reader.words();
    let all = [
        ("/reboot", words.effect_reboot),
        ("/site-downtime", words.effect_site),
        ("/client-upgrade", words.effect_clients),
    ];
    let said: Vec<&str> = all.into_iter().filter(|(path, _)| effects.at(path).yes()).map(|(_, word)| word).collect();
    if said.is_empty() { words.effect_none.into() } else { said.join(", ") }
}

/// The way to a release: what is installed in which order, what is to be read before, and the button that takes it.
pub fn way(reader: &Reader, to: &str, answers: [View<'_>; 4], terms: &[View<'_>]) -> Markup {
    let [way, notes, updates, preflight] = answers;
    let words = reader.words();
    let choices: Vec<String> = updates
        .at("/updates")
        .list()
        .filter(|one| ["available", "blocked"].contains(&one.at("/standing").text().as_str()))
        .map(|one| one.at("/package").text())
        .collect();
    let steps = way.at("/steps").list().len();
    html! {
        form method="get" action=(Page::Way.path()) {
            label { (words.up_to) " "
                select name="to" {
                    option value="" {}
                    @for one in &choices { option value=(one) selected[one == to] { (one) } }
                }
            }
            button { (words.plan) }
        }
        ol { @for sentence in way.at("/sentences").list() { li { (said(&sentence.text())) } } }
        @if !notes.there() && reader.may(Role::Operator) && steps > 0 {
            (button(reader, "fetch-texts", words.notes_read, &[("to", to)]))
        }
        @for one in notes.at("/packages").list() {
            details open {
                summary { (words.notes) ": " (one.at("/package").text()) }
                pre lang="en" { (one.at("/notes").text()) }
            }
        }
        @for one in terms {
            details open {
                summary { (words.licence_terms) ": " (one.at("/release").release().unwrap_or_default()) }
                pre lang="en" { (one.at("/text").text()) }
                p { (words.fingerprint) " " code { (one.at("/digest").text()) } }
            }
        }
        @if steps > 0 {
            (install::seen(reader, preflight))
            @if reader.may(Role::Operator) && preflight.there() {
                (install::begin(reader, preflight, "upgrade", &[("to", to.to_owned())]))
            }
        }
    }
}

/// The packages whose licence terms nobody accepted yet, from the answer about notes.
pub fn open_terms(notes: View<'_>) -> impl Iterator<Item = String> {
    let open = |one: &View<'_>| one.at("/terms").there() && !one.at("/terms/accepted").yes();
    notes.at("/packages").list().filter(open).map(|one| one.at("/package").text())
}

/// A download key, to be copied or photographed.
pub fn download_key(reader: &Reader, key: &str, back: &str) -> Markup {
    let words = reader.words();
    html! {
        h2 { (words.download_key) }
        p { (words.download_key_hint) }
        textarea readonly rows="8" cols="60" aria-label=(words.download_key) { (key) }
        @if let Some(path) = squares(key) {
            div.qr {
                svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label=(words.download_key) viewBox={ "0 0 " (path.1) " " (path.1) } {
                    path fill="#000000" d=(path.0) {}
                }
            }
        }
        p { a href=(back) { (words.back) } }
    }
}

/// The black squares of a QR code as a path, and how many there are in a row. Nothing when the text is too long for one.
fn squares(text: &str) -> Option<(String, usize)> {
    let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::L).ok()?;
    let mut path = String::new();
    for (place, colour) in code.to_colors().into_iter().enumerate() {
        let (x, y) = (place.checked_rem(code.width())?, place.checked_div(code.width())?);
        if colour == qrcode::Color::Dark {
            write!(path, "M{x} {y}h1v1h-1z").ok()?;
        }
    }
    Some((path, code.width()))
}

/// What the journal remembers, newest first.
pub fn history(reader: &Reader, records: View<'_>, reports: View<'_>) -> Markup {
    let words = reader.words();
    html! {
        (report::reports(reader, reports))
        table {
            thead {
                tr {
                    th scope="col" { (words.time) } th scope="col" { (words.actor) } th scope="col" { (words.action) }
                    th scope="col" { (words.package) } th scope="col" { (words.outcome) }
                }
            }
            tbody {
                @for one in records.list().rev() {
                    tr {
                        td { time { (one.at("/time").time()) } }
                        td { (one.at("/actor").text()) }
                        td { (one.at("/entry").text()) " " (one.at("/action/verb").text()) (one.at("/event").text()) (one.at("/what").text()) }
                        td {
                            (one.at("/action/release").release().or_else(|| one.at("/release").release()).unwrap_or_default())
                            @for to in one.at("/to").list() { (to.text()) " " }
                        }
                        td { (said(&ending(one))) }
                    }
                }
            }
        }
    }
}

fn ending(record: View<'_>) -> String {
    let outcome = record.at("/outcome");
    let word = outcome.some().or_else(|| outcome.at("/outcome").some()).unwrap_or_default();
    let why = [record.at("/reason"), record.at("/action/reason"), outcome.at("/reason")];
    let why: Vec<String> = why.into_iter().filter_map(View::some).collect();
    format!("{word} {}", why.join("; ")).trim().into()
}
