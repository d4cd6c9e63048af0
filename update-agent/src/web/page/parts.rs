//! What several pages have.

use maud::{Markup, html};

use super::{Answer, Reader};
use crate::account::Role;
use crate::api::Problem;
use crate::web::view::View;
use crate::web::words::jobs;

/// What proves that a form was sent from a page of its reader.
pub fn proof(reader: &Reader) -> Markup {
    hidden("proof", &reader.proof)
}

/// A field that is sent as it is.
pub fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// A form of one button. `fields` are sent with it.
pub fn button(reader: &Reader, action: &str, label: &str, fields: &[(&str, &str)]) -> Markup {
    html! {
        form.one method="post" action={ "/do/" (action) } {
            (proof(reader))
            @for (name, value) in fields { (hidden(name, value)) }
            button { (label) }
        }
    }
}

/// What the agent says, which is English in every language.
pub fn said(text: &str) -> Markup {
    html! { span lang="en" { (text) } }
}

/// A row of a list of facts; nothing when there is nothing to say.
pub fn fact(name: &str, value: Option<&Markup>) -> Markup {
    html! {
        @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
    }
}

/// A role in words.
pub fn role(reader: &Reader, role: Role) -> &'static str {
    let words = reader.words();
    match role {
        Role::Viewer => words.viewer,
        Role::Operator => words.operator,
        Role::Administrator => words.administrator,
    }
}

/// What went wrong before everything else.
pub fn with_problems(problems: &[&Problem], body: &Markup) -> Markup {
    html! {
        @for problem in problems { (problem_box(problem)) }
        (body)
    }
}

fn problem_box(problem: &Problem) -> Markup {
    html! { p.problem role="alert" { (said(&problem.message)) " " code { (problem.code) } } }
}

/// How something ended that somebody clicked.
pub fn outcome(reader: &Reader, answer: &Answer, back: &str) -> Markup {
    let words = reader.words();
    html! {
        @match answer {
            Err(problem) => { h2 { (words.did_not_work) } (problem_box(problem)) }
            Ok(value) => {
                h2 { (words.done) }
                @for step in View::of(value).at("/steps").list() {
                    @let text = step.text();
                    @match text.strip_prefix("token: ") {
                        Some(token) => { p { (words.show_once) } pre { (token) } }
                        None => { p { (said(&text)) } }
                    }
                }
            }
        }
        p { a href=(back) { (words.back) } }
    }
}

/// What is being done now: the job, and how far an upgrade is. The script asks for it again and again.
pub fn live(reader: &Reader, job: View<'_>, upgrade: View<'_>) -> Markup {
    let words = reader.words();
    let working = job.there() && !job.at("/result").there();
    html! {
        @if let Some(summary) = upgrade.at("/summary").some() {
            section.live {
                h2 { (words.upgrade) }
                p { (said(&summary)) }
                @if reader.may(Role::Operator) { (button(reader, "cancel-upgrade", words.cancel_upgrade, &[])) }
            }
        }
        @if working {
            section.live data-working="yes" {
                h2 { (words.working) ": " (job_name(reader, &job.at("/what").text())) }
                @if let Some(phase) = job.at("/phase").some() { p { (said(&phase)) " " (percent(job)) } }
                @if job.at("/of").number() > 0 {
                    progress max=(job.at("/of").number()) value=(job.at("/done").number()) { (percent(job)) }
                }
            }
        } @else if job.there() {
            section.live.ended {
                h2 { (words.ended) ": " (job_name(reader, &job.at("/what").text())) }
                @if let Some(message) = job.at("/result/message").some() {
                    p.problem role="alert" { (said(&message)) " " code { (job.at("/result/code").text()) } }
                }
                @for step in job.at("/result/steps").list() { p { (said(&step.text())) } }
            }
        }
    }
}

/// A job in words; one that has none as the agent says it.
fn job_name(reader: &Reader, what: &str) -> Markup {
    let words = jobs::of(reader.language);
    let name = match what {
        "backup" => words.backup,
        "backup-test" => words.backup_test,
        "check" => words.check,
        "commit" => words.commit,
        "factory-reset" => words.factory_reset,
        "install" => words.install,
        "mail" => words.mail,
        "network" => words.network,
        "restart" => words.restart,
        "restore" => words.restore,
        "rollback" => words.rollback,
        "shutdown" => words.shutdown,
        "stage" => words.stage,
        "texts" => words.texts,
        "upgrade" => words.upgrade,
        other => return said(other),
    };
    html! { (name) }
}

fn percent(job: View<'_>) -> String {
    let (done, of) = (job.at("/done").number(), job.at("/of").number());
    done.saturating_mul(100).checked_div(of).map(|percent| format!("{percent} %")).unwrap_or_default()
}
