//! Who is told by mail, how the last message ended, and the button that tries it.

use maud::{Markup, html};

use super::Reader;
use super::parts::{button, fact, said};
use crate::account::Role;
use crate::web::view::View;
use crate::web::words::mail::{Words, of};

/// All of it; one sentence with the way out where nobody is told.
pub fn mail(reader: &Reader, facts: View<'_>, nobody: bool) -> Markup {
    let words = of(reader.language);
    let row = |name: &str, text: String| fact(name, Some(&html! { (text) }));
    html! {
        @if nobody {
            section {
                p { (words.nobody) }
                p { (words.set) }
            }
        }
        @if facts.there() {
            section {
                p { (words.hint) " " (words.set) }
                dl {
                    (row(words.server, facts.at("/server").text()))
                    (row(words.port, facts.at("/port").text()))
                    (row(words.security, security(words, facts.at("/security"))))
                    (row(words.from, facts.at("/from").text()))
                    (fact(words.to, Some(&html! { @for one in facts.at("/to").list() { (one.text()) br; } })))
                    (fact(words.last, Some(&last(words, facts.at("/attempt")))))
                }
                @if let Some(problem) = facts.at("/attempt/problem/message").some() {
                    p.problem { (words.failed) ": " (said(&problem)) " " code { (facts.at("/attempt/problem/code").text()) } }
                }
            }
            @if reader.may(Role::Operator) {
                section {
                    h2 { (words.test) }
                    p { (words.test_hint) }
                    (button(reader, "test-mail", words.test, &[]))
                }
            }
        }
    }
}

fn last(words: &Words, attempt: View<'_>) -> Markup {
    html! {
        @if !attempt.there() { (words.none) } @else {
            time { (attempt.at("/time").time()) }
            @if !attempt.at("/problem").there() { " " (words.taken) }
        }
    }
}

fn security(words: &Words, security: View<'_>) -> String {
    match security.text().as_str() {
        "none" => words.security_none.into(),
        "starttls" => words.security_starttls.into(),
        "tls" => words.security_tls.into(),
        other => other.into(),
    }
}
