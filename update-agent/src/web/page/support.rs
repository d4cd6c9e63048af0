//! The support bundle: everything that will be in it, and the button that makes it.

use maud::{Markup, html};

use super::Reader;
use super::parts::{button, said};
use crate::account::Role;
use crate::web::view::View;
use crate::web::words::support::of;

/// All of it.
pub fn support(reader: &Reader, contents: View<'_>) -> Markup {
    let words = of(reader.language);
    html! {
        @if contents.there() && reader.may(Role::Operator) {
            section {
                p { (words.hint) }
                p { (words.secrets) }
                p { (words.size) ": " strong { (contents.at("/bytes").size()) } ", " (words.redacted) ": " strong { (contents.at("/redacted").number()) } }
                (button(reader, "support", words.make, &[]))
            }
            section {
                h2 { (words.contents) }
                table tabindex="0" {
                    thead { tr { th scope="col" { (words.file) } th scope="col" { (words.length) } th scope="col" { (words.why) } th scope="col" { (words.redacted) } } }
                    tbody {
                        @for one in contents.at("/entries").list() {
                            tr {
                                th scope="row" { (one.at("/name").text()) }
                                td { (one.at("/bytes").size()) }
                                td {
                                    (said(&one.at("/why").text()))
                                    @if let Some(note) = one.at("/note").some() { br; (words.cut) ": " (said(&note)) }
                                }
                                td { (redacted(one.at("/redacted"))) }
                            }
                        }
                    }
                }
            }
            section {
                h2 { (words.left_out) }
                table tabindex="0" {
                    thead { tr { th scope="col" { (words.what) } th scope="col" { (words.why) } } }
                    tbody {
                        @for one in contents.at("/left-out").list() {
                            tr { th scope="row" { (said(&one.at("/name").text())) } td { (said(&one.at("/why").text())) } }
                        }
                    }
                }
            }
        }
    }
}

/// For example `3 known-secret`, a line each.
fn redacted(counts: View<'_>) -> Markup {
    html! {
        @for (kind, number) in counts.fields() { div { (number.number()) " " (said(kind)) } }
    }
}
