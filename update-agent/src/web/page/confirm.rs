//! One page between a button that disturbs people and what it does: what happens, whom it concerns, what starts next. Needs no script.

use maud::{Markup, html};

use super::Reader;
use super::parts::{fact, hidden, proof};
use crate::account::Role;
use crate::web::route::Page;
use crate::web::view::View;
use crate::web::words::confirm::of;

/// A question, and the form that answers it with yes.
pub struct Question<'a> {
    /// The question.
    pub asks: &'a str,
    /// What happens then, a sentence.
    pub does: &'a str,
    /// The sessions of the console end with it.
    pub ends_sessions: bool,
    /// What is worth knowing, as pairs of name and value.
    pub facts: Vec<(&'a str, Option<String>)>,
    /// The form's name and the label of its button.
    pub button: (&'a str, &'a str),
    /// What is sent with it.
    pub fields: &'a [(&'a str, &'a str)],
}

/// Asks what the address names, from the answer about status.
pub fn confirm(reader: &Reader, what: Option<&str>, status: View<'_>) -> Markup {
    let (words, general) = (of(reader.language), reader.words());
    // On a disk image, as in tests, the summary is all there is.
    let lifecycle = if status.at("/lifecycle").there() { status.at("/lifecycle") } else { status };
    let release = |path: &str| lifecycle.at(path).at("/release").release();
    let other = |kind: &str, now: &str| {
        let slot = lifecycle.at(now).at("/slot").text();
        release(&format!("/{kind}/{}", if slot == "a" { "b" } else { "a" }))
    };
    let next_start = |base| {
        let reset = lifecycle.at("/next-restart/reset").there().then(|| general.reset_pending.to_owned());
        vec![
            (words.base_now, release("/running")),
            (base, release("/next-restart/base")),
            (general.next_restart_else, release("/next-restart/otherwise")),
            (words.site_after, release("/next-restart/site")),
            (general.reset, reset),
        ]
    };
    let question = match what {
        Some("restart") => Question {
            asks: words.restart,
            does: words.restart_does,
            ends_sessions: true,
            facts: next_start(words.base_after),
            button: ("restart", general.restart),
            fields: &[],
        },
        Some("shutdown") => Question {
            asks: words.shutdown,
            does: words.shutdown_does,
            ends_sessions: true,
            facts: next_start(words.base_on),
            button: ("shutdown", general.shutdown),
            fields: &[],
        },
        Some("rollback") => Question {
            asks: words.rollback,
            does: words.rollback_does,
            ends_sessions: false,
            facts: vec![(words.base_now, release("/running")), (words.other_slot, other("base", "/running"))],
            button: ("rollback", general.rollback),
            fields: &[],
        },
        Some("rollback-site") => Question {
            asks: words.rollback_site,
            does: words.rollback_site_does,
            ends_sessions: false,
            facts: vec![(words.base_now, release("/site-running")), (words.other_slot, other("site", "/site-running"))],
            button: ("rollback", general.rollback_site),
            fields: &[("site", "yes")],
        },
        _ => return html! { p { (words.nothing_asked) } },
    };
    asked(reader, &question, status.at("/console-sessions").number(), Page::Status)
}

/// The page of a question. `sessions` is how many people are signed in to the console now.
pub fn asked(reader: &Reader, question: &Question<'_>, sessions: u64, back: Page) -> Markup {
    let words = of(reader.language);
    html! {
        section {
            h2 { (question.asks) }
            p { (question.does) }
            dl {
                @for (name, value) in &question.facts {
                    (fact(name, value.as_ref().map(|value| html! { (value) }).as_ref()))
                }
                @if question.ends_sessions { (fact(words.sessions_end, Some(&html! { (sessions) }))) }
            }
            @if !question.ends_sessions { p { (words.sessions_stay) } }
            p { (words.users) }
            @if reader.may(Role::Operator) {
                form method="post" action={ "/do/" (question.button.0) } {
                    (proof(reader))
                    @for (name, value) in question.fields { (hidden(name, value)) }
                    button { (question.button.1) }
                }
            }
            p { a href=(back.path()) { (words.back) } }
        }
    }
}
