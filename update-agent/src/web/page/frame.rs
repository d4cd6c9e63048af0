//! What is around every page.

use maud::{DOCTYPE, Markup, html};

use super::Reader;
use super::parts::{hidden, proof};
use crate::account::Role;
use crate::web::route::{Group, Page};
use crate::web::words::Language;

/// A page of somebody who is signed in.
pub fn frame(reader: &Reader, page: Page, live: &Markup, content: &Markup) -> Markup {
    let words = reader.words();
    document(
        reader,
        page.name(words),
        &html! {
            header {
                a.skip href="#content" { (words.skip) }
                strong { (reader.appliance.as_deref().unwrap_or(words.title)) }
                @if let Some((name, role)) = &reader.who {
                    form.out method="post" action="/sign-out" {
                        (proof(reader))
                        span { (name) " (" (super::parts::role(reader, *role)) ")" }
                        button { (words.sign_out) }
                    }
                }
            }
            nav aria-label=(words.navigation) {
                @if let Some((_, role)) = &reader.who {
                    @for group in Group::ALL { (pages(reader, group, *role, page)) }
                }
            }
            // How a job ended stays in sight where it was begun.
            main id="content" class=[[Page::Status, Page::Updates, Page::Mail, Page::Backups].contains(&page).then_some("jobs")] {
                h1 { (page.name(words)) }
                div id="live" data-every="2" aria-live="polite" { (live) }
                p.lost hidden role="alert" id="lost" { (words.connection_lost) }
                (content)
            }
        },
        page.path(),
    )
}

/// The pages of a group that somebody with this role sees.
fn pages(reader: &Reader, group: Group, role: Role, here: Page) -> Markup {
    let words = reader.words();
    let label = format!("group-{group:?}").to_lowercase();
    html! {
        div role="group" aria-labelledby=(label) {
            small id=(label) { (group.name(words)) }
            @for one in Page::ALL.into_iter().filter(|one| one.group() == group && one.listed(role)) {
                a href=(one.path()) aria-current=[(one == here).then_some("page")] { (one.name(words)) }
            }
        }
    }
}

/// A page of somebody who is not, or not yet.
pub fn plain(reader: &Reader, title: &str, content: &Markup) -> Markup {
    document(reader, title, &html! { main.narrow id="content" { h1 { (title) } (content) } }, "/")
}

fn document(reader: &Reader, title: &str, body: &Markup, here: &str) -> Markup {
    let words = reader.words();
    html! {
        (DOCTYPE)
        html lang=(reader.language.tag()) data-theme=[(!reader.theme.is_empty()).then_some(reader.theme)] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · " (reader.appliance.as_deref().unwrap_or(words.title)) }
                link rel="stylesheet" href="/static/console.css";
                link rel="icon" href="data:,";
                script src="/static/console.js" defer {}
            }
            body {
                (body)
                footer {
                    p { (words.restart_safe) }
                    form method="post" action="/look" {
                        (proof(reader))
                        (hidden("back", here))
                        label { (words.language) " "
                            select name="language" {
                                @for one in Language::ALL {
                                    option value=(one.tag()) lang=(one.tag()) selected[one == reader.language] { (one.name()) }
                                }
                            }
                        }
                        label { (words.theme) " "
                            select name="theme" {
                                @for (theme, name) in
                                    [("", words.theme_auto), ("light", words.theme_light), ("dark", words.theme_dark)]
                                {
                                    option value=(theme) selected[theme == reader.theme] { (name) }
                                }
                            }
                        }
                        button { (words.save) }
                    }
                }
            }
        }
    }
}
