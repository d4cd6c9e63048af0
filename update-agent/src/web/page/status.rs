//! What the appliance is and does.

use maud::{Markup, html};

use super::Reader;
use super::parts::{button, fact, said};
use crate::account::Role;
use crate::web::route::Page;
use crate::web::view::View;

/// What runs, what is on trial, what failed, what the next restart does.
pub fn status(reader: &Reader, status: View<'_>) -> Markup {
    let words = reader.words();
    // On a disk image, as in tests, the summary is all there is.
    let lifecycle = if status.at("/lifecycle").there() { status.at("/lifecycle") } else { status };
    let occupant = |path: &str| {
        let one = lifecycle.at(path);
        let slot = one.at("/slot").text().to_uppercase();
        let release = one.at("/release").release()?;
        Some(html! { (release) " (" (words.slot) " " (slot) ")" })
    };
    let operator = reader.may(Role::Operator);
    html! {
        section {
            h2 { (words.appliance) }
            dl {
                (fact(words.product, status.at("/product").some().map(|text| html! { (text) }).as_ref()))
                (fact(words.base, occupant("/running").as_ref()))
                (fact(words.site, occupant("/site-running").as_ref()))
                (fact(words.on_trial, occupant("/on-trial").or_else(|| occupant("/site-on-trial")).as_ref()))
                (fact(words.base_state, lifecycle.at("/state").some().map(|text| said(&text)).as_ref()))
                (fact(words.site_state, lifecycle.at("/site-state").some().map(|text| said(&text)).as_ref()))
                (fact(words.firmware, status.at("/firmware").some().map(|text| html! { (text) }).as_ref()))
                (fact(words.secure_boot, status.at("/secure-boot").there().then(|| {
                    html! { (if status.at("/secure-boot").yes() { words.yes } else { words.no }) }
                }).as_ref()))
                (fact(words.entitled_until, status.at("/licences/entitled-until").some().map(|day| html! { (day) }).as_ref()))
            }
        }
        @if status.at("/warnings").list().len() > 0 {
            section { h2 { (words.warnings) } @for one in status.at("/warnings").list() { p.problem { (said(&one.text())) } } }
        }
        section {
            h2 { (words.next_restart) }
            dl {
                (fact(words.base, occupant("/next-restart/base").as_ref()))
                (fact(words.next_restart_else, occupant("/next-restart/otherwise").as_ref()))
                (fact(words.site, occupant("/next-restart/site").as_ref()))
            }
            @if lifecycle.at("/next-restart/reset").there() { p.problem { (words.reset_pending) } }
            @if operator { (asks_first("restart", words.restart)) (asks_first("shutdown", words.shutdown)) }
        }
        section {
            h2 { (words.slots) }
            table {
                thead { tr { th scope="col" { (words.slot) } th scope="col" { (words.base) } th scope="col" { (words.site) } } }
                tbody {
                    @for slot in ["a", "b"] {
                        tr {
                            th scope="row" { (slot.to_uppercase()) }
                            @for kind in ["base", "site"] {
                                @let one = lifecycle.at(&format!("/{kind}/{slot}"));
                                td {
                                    @if let Some(release) = one.at("/release").release() { (release) }
                                    @else if let Some(problem) = one.at("/problem").some() { (said(&problem)) }
                                    @else { (words.nothing) }
                                }
                            }
                        }
                    }
                }
            }
            @if operator {
                @if lifecycle.at("/on-trial").there() || lifecycle.at("/site-on-trial").there() {
                    (button(reader, "commit", words.commit, &[]))
                }
                (asks_first("rollback", words.rollback))
                (asks_first("rollback-site", words.rollback_site))
            }
        }
        @if status.at("/failures").list().len() > 0 {
            section {
                h2 { (words.failed_starts) }
                @for one in status.at("/failures").list().rev() {
                    p.problem { time { (one.at("/time").time()) } " " (said(&one.at("/reason").text())) }
                }
            }
        }
    }
}

/// A button that leads to a question first.
fn asks_first(what: &str, label: &str) -> Markup {
    html! { p { a.button href={ (Page::Confirm.path()) "?what=" (what) } { (label) } } }
}

/// Every health check.
pub fn health(reader: &Reader, findings: View<'_>) -> Markup {
    let words = reader.words();
    html! {
        table {
            thead { tr { th scope="col" { (words.health_check) } th scope="col" { (words.health_wanted) } th scope="col" { (words.outcome) } } }
            tbody {
                @for one in findings.list() {
                    @let problem = one.at("/problem").some();
                    tr class=[problem.is_some().then_some("bad")] {
                        th scope="row" { (one.at("/name").text()) }
                        td { (said(&one.at("/wanted").text())) }
                        td {
                            @match &problem {
                                None => { (words.holds) }
                                Some(problem) => { (words.unhealthy) ": " (said(problem)) }
                            }
                            @if let Some(output) = one.at("/output").some() {
                                details { summary { (words.details) } pre lang="en" { (output) } }
                            }
                        }
                    }
                }
            }
        }
        @if findings.list().len() == 0 { p { (words.nothing) } }
    }
}

/// What licences give.
pub fn licences(reader: &Reader, licences: View<'_>) -> Markup {
    let words = reader.words();
    let features: Vec<String> = licences.at("/features").list().map(View::text).collect();
    html! {
        dl {
            (fact(words.number, licences.at("/count").some().map(|count| html! { (count) }).as_ref()))
            (fact(words.features, Some(&html! { (if features.is_empty() { words.nothing.into() } else { features.join(", ") }) })))
            (fact(words.entitled_until, licences.at("/entitled-until").some().map(|day| html! { (day) }).as_ref()))
        }
        @for one in licences.at("/licences").list() {
            section {
                h2 { (one.at("/release").release().unwrap_or_default()) }
                p { (said(&one.at("/summary").text())) }
            }
        }
        @for one in licences.at("/problems").list() { p.problem { (said(&one.text())) } }
    }
}
