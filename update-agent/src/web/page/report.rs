//! Reports of installations, above the history.

use maud::{Markup, html};

use super::Reader;
use super::parts::{fact, said};
use crate::web::view::View;
use crate::web::words::report::of;

/// All of them, the newest first; each opens.
pub fn reports(reader: &Reader, reports: View<'_>) -> Markup {
    let (words, general) = (of(reader.language), reader.words());
    html! {
        @if reports.list().len() > 0 {
            section {
                h2 { (words.reports) }
                @for one in reports.list() {
                    details {
                        summary { time { (one.at("/started").time()) } " " (said(&one.at("/summary").text())) }
                        dl {
                            (fact(general.actor, one.at("/by").some().map(|by| html! { (by) }).as_ref()))
                            (fact(words.notes, one.at("/notes").some().map(|line| said(&line)).as_ref()))
                            (fact(words.phases, phases(words.seconds, one).as_ref()))
                            (fact(words.found, found(one).as_ref()))
                            (fact(words.checks, checks(general.holds, one).as_ref()))
                        }
                        @for step in one.at("/result/steps").list() { p { (said(&step.text())) } }
                        p { a href={ "/download/report/" (one.at("/id").text()) } { (words.download) } }
                    }
                }
            }
        }
    }
}

fn phases(unit: &str, report: View<'_>) -> Option<Markup> {
    let each = report.at("/result/phases").list();
    let each: Vec<String> =
        each.map(|one| format!("{} {} {unit}", one.at("/name").text(), one.at("/seconds").number())).collect();
    (!each.is_empty()).then(|| said(&each.join(", ")))
}

/// What was not green.
fn found(report: View<'_>) -> Option<Markup> {
    let findings = report.at("/preflight/findings").list().filter(|one| one.at("/verdict").text() != "green");
    let each: Vec<String> =
        findings.map(|one| format!("{}: {}", one.at("/verdict").text(), one.at("/sentence").text())).collect();
    (!each.is_empty()).then(|| html! { @for one in &each { p { (said(one)) } } })
}

fn checks(holds: &str, report: View<'_>) -> Option<Markup> {
    let each = report.at("/checks").list();
    let each: Vec<String> = each
        .map(|one| format!("{}: {}", one.at("/name").text(), one.at("/problem").some().unwrap_or_else(|| holds.into())))
        .collect();
    (!each.is_empty()).then(|| said(&each.join(", ")))
}
