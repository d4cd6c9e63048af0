//! Backups: those that are kept, what is in them, and the forms that make, test, restore and delete them and set when they are made.

use maud::{Markup, html};

use super::Reader;
use super::parts::{button, fact, hidden, proof, said};
use super::upload;
use crate::account::Role;
use crate::web::route::Page;
use crate::web::view::View;
use crate::web::words::backups::{Words, of};
use crate::workplace::now;

/// All of it.
pub fn backups(reader: &Reader, facts: View<'_>, uploads: View<'_>) -> Markup {
    let words = of(reader.language);
    let administrator = reader.may(Role::Administrator);
    let standing = facts.at("/standing");
    html! {
        @if let Some(sentence) = standing.at("/sentence").some() {
            p.problem[standing.at("/state").text() != "current"] { (said(&sentence)) }
        }
        @if let Some(problem) = facts.at("/attempt/problem/message").some() {
            p.problem { (words.after_failure) ": " (said(&problem)) }
        }
        @if facts.at("/next").there() { p { (words.next) ": " time { (facts.at("/next").time()) } } }
        @if facts.at("/backups").list().len() == 0 { p { (words.none) } } @else { (kept(reader, words, facts)) }
        @if administrator {
            @for one in facts.at("/backups").list() { (open(reader, words, &one.at("/id").text())) }
            (brought(reader, words, uploads))
            (make(reader, words))
            (setting(reader, words, facts.at("/setting")))
        }
    }
}

fn kept(reader: &Reader, words: &Words, facts: View<'_>) -> Markup {
    let heads =
        [words.backup, words.made, words.size, words.scope, words.history, words.reason, words.locked, words.files];
    html! {
        table {
            thead { tr { @for head in heads { th scope="col" { (head) } } th scope="col" { (reader.words().action) } } }
            tbody {
                @for one in facts.at("/backups").list() {
                    @let id = one.at("/id").text();
                    tr {
                        th scope="row" { (id) }
                        td { (age(words, one)) }
                        td { (one.at("/bytes").size()) }
                        td { (scopes(words, one.at("/scopes"))) }
                        td { (if one.at("/history").yes() { words.yes } else { words.no }) }
                        td { (cause(words, one)) }
                        td { (match one.at("/locked").text().as_str() { "passphrase" => words.locked_passphrase, "keys" => words.locked_keys, _ => "" }) }
                        td {
                            @if reader.may(Role::Operator) { a href={ (Page::Backup.path()) "?backup=" (id) } { (one.at("/files").text()) } }
                            @else { (one.at("/files").text()) }
                        }
                        td {
                            @if reader.may(Role::Administrator) {
                                a.button href={ "/download/backup/" (id) } { (words.download) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Backups from the reader's computer: where one is chosen, and what is done with those that are here.
fn brought(reader: &Reader, words: &Words, uploads: View<'_>) -> Markup {
    let whole = |one: &View<'_>| one.at("/kind").text() == "backup" && one.at("/complete").yes();
    html! {
        section {
            h2 { (words.from_file) }
            p { (words.from_file_hint) }
            (upload::form(reader, "backup"))
            @for one in uploads.list().filter(whole) {
                @let (id, name) = (one.at("/id").text(), one.at("/name").text());
                (test_and_restore(reader, words, ("uploaded", &id), &name))
                (button(reader, "discard-upload", words.discard, &[("upload", &id), ("kind", "backup")]))
            }
            (upload::unfinished(reader, "backup", uploads))
        }
    }
}

/// What is done with one that is kept: reading it to its end, putting it back, and removing it.
fn open(reader: &Reader, words: &Words, id: &str) -> Markup {
    html! {
        (test_and_restore(reader, words, ("id", id), id))
        details {
            summary { (words.delete) ": " (id) }
            form method="post" action="/do/delete-backup" {
                (proof(reader)) (hidden("id", id))
                label { input type="checkbox" name="sure" required; " " (words.delete_sure) }
                button.danger { (words.delete) }
            }
        }
    }
}

/// The forms for a backup that this field names.
fn test_and_restore(reader: &Reader, words: &Words, (field, id): (&str, &str), name: &str) -> Markup {
    html! {
        details {
            summary { (words.test) ": " (name) }
            p { (words.test_hint) " " (words.open_hint) }
            form method="post" action="/do/test-backup" {
                (proof(reader)) (hidden(field, id))
                (key_fields(words))
                button { (words.test) }
            }
        }
        details {
            summary { (words.restore) ": " (name) }
            p { (words.restore_hint) }
            form method="post" action="/do/restore" {
                (proof(reader)) (hidden(field, id))
                (key_fields(words))
                (scope_choice(words))
                label { (words.only) input name="only" autocomplete="off" autocapitalize="none" spellcheck="false"; }
                button name="preview" value="yes" { (words.preview) }
                label { input type="checkbox" name="sure"; " " (words.sure) }
                button.danger { (words.restore) }
            }
        }
    }
}

fn key_fields(words: &Words) -> Markup {
    html! {
        label { (words.passphrase) input name="passphrase" type="password" autocomplete="off"; }
        label { (words.identity) input name="identity" type="password" autocomplete="off"; }
    }
}

fn scope_choice(words: &Words) -> Markup {
    html! {
        label { (words.scope)
            select name="scope" {
                option value="both" { (words.both) }
                option value="appliance" { (words.appliance) }
                option value="site" { (words.site) }
            }
        }
    }
}

fn make(reader: &Reader, words: &Words) -> Markup {
    html! {
        section {
            h2 { (words.make) }
            form method="post" action="/do/create-backup" {
                (proof(reader))
                (scope_choice(words))
                label { input type="checkbox" name="history" checked; " " (words.history) }
                p id="passphrase-hint" { (words.passphrase_hint) " " (words.make_hint) }
                label { (words.passphrase) input name="passphrase" type="password" minlength="12" autocomplete="new-password" aria-describedby="passphrase-hint"; }
                label { (words.again) input name="again" type="password" autocomplete="new-password"; }
                button { (words.make) }
            }
        }
    }
}

fn setting(reader: &Reader, words: &Words, setting: View<'_>) -> Markup {
    let list = |path: &str| setting.at(path).list().map(View::text).collect::<Vec<_>>().join(" ");
    let field = |name: &str, label: &str, value: String| {
        html! { label { (label) input name=(name) value=(value) autocomplete="off" autocapitalize="none" spellcheck="false"; } }
    };
    let before = setting.at("/before-updates").text();
    html! {
        section {
            h2 { (words.settings) }
            form method="post" action="/do/set-backups" {
                (proof(reader))
                (field("at", words.at, setting.at("/schedule/at").text()))
                (field("days", words.schedule_day, list("/schedule/days")))
                (field("clock", words.clock, setting.at("/schedule/utc-offset").text()))
                (field("recipients", words.recipients, list("/recipients")))
                @if let Some(name) = setting.at("/passphrase-file").some() {
                    (hidden("passphrase-file", &name))
                    p { (words.has_passphrase) }
                    label { input type="checkbox" name="forget"; " " (words.forget) }
                }
                label { (words.passphrase_keep) input name="passphrase" type="password" minlength="12" autocomplete="new-password"; }
                label { (words.again) input name="again" type="password" autocomplete="new-password"; }
                (field("keep", words.keep, setting.at("/keep").some().unwrap_or_else(|| formats::backup::setting::KEEP.to_string())))
                label { input type="checkbox" name="history" checked[setting.at("/history").yes()]; " " (words.history) }
                label { (words.before)
                    select name="before" {
                        @for (value, name) in [("no", words.before_no), ("make", words.before_make), ("require", words.before_require)] {
                            option value=(value) selected[value == before] { (name) }
                        }
                    }
                }
                (field("file-bytes", words.file_bytes, setting.at("/limits/file-bytes").text()))
                (field("files", words.file_count, setting.at("/limits/files").text()))
                button { (reader.words().save) }
            }
        }
    }
}

/// Everything that is in one, and everything that was left out.
pub fn contents(reader: &Reader, one: View<'_>) -> Markup {
    let words = of(reader.language);
    let contents = one.at("/contents");
    let row = |name: &str, text: String| fact(name, (!text.is_empty()).then(|| html! { (text) }).as_ref());
    html! {
        h2 { (one.at("/id").text()) }
        dl {
            (row(words.made, contents.at("/created").time()))
            (row(words.size, one.at("/bytes").size()))
            (row(words.scope, scopes(words, contents.at("/scopes"))))
            (row(words.history, if contents.at("/history").yes() { words.yes } else { words.no }.into()))
            (row(words.reason, cause(words, one).into()))
            (row(reader.words().fingerprint, one.at("/sha256").text()))
        }
        h2 { (words.left_out) " (" (one.at("/excluded").number()) ")" }
        table tabindex="0" {
            thead { tr { th scope="col" { (words.path) } th scope="col" { (words.size) } th scope="col" { (words.files) } th scope="col" { (words.reason) } } }
            tbody {
                @for one in contents.at("/excluded").list() {
                    tr { th scope="row" { (one.at("/path").text()) } td { (one.at("/bytes").size()) } td { (one.at("/files").text()) } td { (said(&one.at("/sentence").text())) } }
                }
            }
        }
        h2 { (words.included) " (" (one.at("/files").number()) ")" }
        table tabindex="0" {
            thead { tr { th scope="col" { (words.path) } th scope="col" { (words.size) } } }
            tbody {
                @for one in contents.at("/files").list() {
                    tr { th scope="row" { (one.at("/path").text()) } td { (one.at("/bytes").size()) } }
                }
            }
        }
        p { a href=(Page::Backups.path()) { (reader.words().back) } }
    }
}

/// When it was made, and how long ago that is by the machine's clock.
fn age(words: &Words, one: View<'_>) -> Markup {
    let days = now().saturating_sub(one.at("/created").number()).checked_div(DAY).unwrap_or_default();
    html! {
        @if one.at("/created").there() { time { (one.at("/created").time()) } br; small { (days) " " (words.days_old) } }
    }
}

fn scopes(words: &Words, scopes: View<'_>) -> String {
    let told: Vec<&str> =
        scopes.list().map(|scope| if scope.text() == "site" { words.site } else { words.appliance }).collect();
    told.join(", ")
}

fn cause(words: &Words, one: View<'_>) -> &'static str {
    match one.at("/cause").text().as_str() {
        "asked" => words.cause_asked,
        "schedule" => words.cause_schedule,
        "update" => words.cause_update,
        _ => "",
    }
}

const DAY: u64 = 86_400;
