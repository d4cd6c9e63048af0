//! Signing in, accounts, and the audit log.

use maud::{Markup, html};

use super::parts::{button, hidden, proof, role, said};
use super::{Answer, Reader};
use crate::account::Role;
use crate::web::view::View;

/// Name and password.
pub fn sign_in(reader: &Reader, failed: Option<&Answer>, back: &str) -> Markup {
    let words = reader.words();
    html! {
        (failure(failed))
        form method="post" action="/sign-in" {
            (proof(reader)) (hidden("back", back))
            label { (words.name) input name="name" required autocomplete="username" autocapitalize="none" spellcheck="false"; }
            label { (words.password) input name="password" type="password" required autocomplete="current-password"; }
            button { (words.sign_in) }
        }
    }
}

/// The first account.
pub fn claim(reader: &Reader, failed: Option<&Answer>) -> Markup {
    let words = reader.words();
    html! {
        (failure(failed))
        p { (words.claim_hint) }
        form method="post" action="/claim" {
            (proof(reader))
            label { (words.claim_code) input name="code" required autocomplete="one-time-code" spellcheck="false"; }
            label { (words.name) input name="name" required autocomplete="username" autocapitalize="none" spellcheck="false"; }
            label { (words.new_password) input name="password" type="password" required minlength="12" autocomplete="new-password"; }
            button { (words.claim) }
        }
    }
}

fn failure(failed: Option<&Answer>) -> Markup {
    html! {
        @if let Some(Err(problem)) = failed {
            p.problem role="alert" { (said(&problem.message)) " " code { (problem.code) } }
        }
    }
}

/// Who may sign in; for everybody else than administrators their own password.
pub fn accounts(reader: &Reader, accounts: View<'_>) -> Markup {
    let words = reader.words();
    let own = reader.who.as_ref().map(|(name, _)| name.as_str()).unwrap_or_default();
    let administrator = reader.may(Role::Administrator);
    html! {
        @if administrator {
            section {
                table {
                    thead { tr { th scope="col" { (words.name) } th scope="col" { (words.role) } th scope="col" { (words.action) } } }
                    tbody {
                        @for one in accounts.at("/accounts").list() {
                            @let name = one.at("/name").text();
                            tr {
                                th scope="row" { (name) }
                                td { (roles(reader, "set-role", &name, &one.at("/role").text())) }
                                td { (button(reader, "remove-account", words.remove, &[("name", &name)])) }
                            }
                        }
                    }
                }
            }
            section {
                h2 { (words.add_account) }
                form method="post" action="/do/add-account" {
                    (proof(reader))
                    label { (words.name) input name="name" required autocomplete="off" autocapitalize="none" spellcheck="false"; }
                    label { (words.role) (role_choice(reader, "viewer")) }
                    label { (words.new_password) input name="password" type="password" required minlength="12" autocomplete="new-password"; }
                    button { (words.add) }
                }
            }
        }
        section {
            h2 { (words.password_change) }
            form method="post" action="/do/set-password" {
                (proof(reader))
                @if administrator {
                    label { (words.account)
                        select name="name" {
                            @for one in accounts.at("/accounts").list() {
                                @let name = one.at("/name").text();
                                option value=(name) selected[name == own] { (name) }
                            }
                        }
                    }
                } @else { (hidden("name", own)) }
                label { (words.password_present) input name="present" type="password" required autocomplete="current-password"; }
                label { (words.new_password) input name="password" type="password" required minlength="12" autocomplete="new-password"; }
                button { (words.save) }
            }
        }
        @if administrator {
            section {
                h2 { (words.tokens) }
                table {
                    thead { tr { th scope="col" { (words.name) } th scope="col" { (words.role) } th scope="col" { (words.made_by) } th scope="col" { (words.until) } th scope="col" { (words.action) } } }
                    tbody {
                        @for one in accounts.at("/tokens").list() {
                            @let name = one.at("/name").text();
                            tr {
                                th scope="row" { (name) }
                                td { (one.at("/role").text()) }
                                td { (one.at("/made-by").text()) }
                                td { (one.at("/expires").day()) }
                                td { (button(reader, "remove-token", words.remove, &[("name", &name)])) }
                            }
                        }
                    }
                }
                h3 { (words.add_token) }
                form method="post" action="/do/add-token" {
                    (proof(reader))
                    label { (words.name) input name="name" required autocomplete="off" autocapitalize="none" spellcheck="false"; }
                    label { (words.role) (role_choice(reader, "viewer")) }
                    label { (words.days) input name="days" type="number" min="1" max="3650" value="365" required; }
                    button { (words.add) }
                }
            }
        }
    }
}

fn roles(reader: &Reader, action: &str, name: &str, now: &str) -> Markup {
    html! {
        form.one method="post" action={ "/do/" (action) } {
            (proof(reader)) (hidden("name", name))
            label { span.unseen { (reader.words().role) } (role_choice(reader, now)) }
            button { (reader.words().save) }
        }
    }
}

fn role_choice(reader: &Reader, now: &str) -> Markup {
    html! {
        select name="role" {
            @for one in Role::ALL { option value=(one.word()) selected[one.word() == now] { (role(reader, one)) } }
        }
    }
}

/// Who did what, newest first.
pub fn audit(reader: &Reader, log: View<'_>) -> Markup {
    let words = reader.words();
    html! {
        @if log.at("/broken").there() {
            p.problem role="alert" { (words.audit_broken) " " (log.at("/broken/line").text()) ": " (said(&log.at("/broken/why").text())) }
        } @else {
            p { (words.audit_holds) " " (log.at("/head/number").text()) ", " (words.fingerprint) " " code { (log.at("/head/digest").text()) } }
        }
        table {
            thead {
                tr {
                    th scope="col" { (words.line) } th scope="col" { (words.time) } th scope="col" { (words.actor) }
                    th scope="col" { (words.source) } th scope="col" { (words.action) } th scope="col" { (words.outcome) }
                }
            }
            tbody {
                @for one in log.at("/lines").list().rev() {
                    tr {
                        td { (one.at("/number").text()) }
                        td { time { (one.at("/time").time()) } }
                        td { (one.at("/actor").text()) }
                        td { (one.at("/source").text()) }
                        td { (said(&one.at("/action").text())) " " (said(&one.at("/about").text())) }
                        td { (said(&one.at("/outcome").text())) }
                    }
                }
            }
        }
    }
}
