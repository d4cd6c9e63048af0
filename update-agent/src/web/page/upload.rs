//! Files from the reader's computer. Without a script it is a form like any other; with one the file goes in pieces.

use maud::{Markup, html};

use super::Reader;
use super::parts::{button, hidden, proof};
use crate::web::view::View;
use crate::web::words::upload;

/// Where a package is chosen, and what is unfinished.
pub fn manual(reader: &Reader, uploads: View<'_>) -> Markup {
    let words = upload::of(reader.language);
    html! {
        section {
            h2 { (words.manual) }
            p { (words.hint) }
            (form(reader, "package"))
            (unfinished(reader, "package", uploads))
        }
    }
}

/// A form that uploads a file of this kind.
pub fn form(reader: &Reader, kind: &str) -> Markup {
    let words = upload::of(reader.language);
    html! {
        form method="post" action={ "/upload?" (kind) } enctype="multipart/form-data" data-going=(words.going) data-waiting=(words.waiting) {
            (proof(reader)) (hidden("kind", kind))
            label { (words.file) " " input type="file" name="file" required; }
            button { (words.upload) }
            p role="status" {}
            progress max="100" value="0" hidden aria-label=(words.upload) {}
        }
    }
}

/// What of this kind is not all there.
pub fn unfinished(reader: &Reader, kind: &str, uploads: View<'_>) -> Markup {
    let words = upload::of(reader.language);
    let open = |one: &View<'_>| one.at("/kind").text() == kind && !one.at("/complete").yes();
    let open: Vec<View<'_>> = uploads.list().filter(open).collect();
    html! {
        @if !open.is_empty() {
            h3 { (words.unfinished) }
            p { (words.unfinished_hint) }
            ul {
                @for one in open {
                    li {
                        (one.at("/name").text()) ": " (percent(one)) " (" (one.at("/by").text()) ") "
                        (button(reader, "discard-upload", words.discard, &[("upload", &one.at("/id").text()), ("kind", kind)]))
                    }
                }
            }
        }
    }
}

fn percent(one: View<'_>) -> String {
    let (done, of) = (one.at("/offset").number(), one.at("/of").number());
    format!("{} %", done.saturating_mul(100).checked_div(of).unwrap_or(0))
}
