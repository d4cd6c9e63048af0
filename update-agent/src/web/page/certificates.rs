//! Certificates: what is here, what is to be said about it, to whom it is shown; and the forms that change that.

use maud::{Markup, html};

use super::Reader;
use super::parts::{button, fact, hidden, proof, said};
use crate::account::Role;
use crate::web::view::View;
use crate::web::words::certificates::{Words, of};

/// All of it.
pub fn certificates(reader: &Reader, listing: View<'_>) -> Markup {
    let words = of(reader.language);
    let administrator = reader.may(Role::Administrator);
    html! {
        @for problem in listing.at("/problems").list() { p.problem { (said(&problem.text())) } }
        section { (overview(words, listing)) }
        @for one in listing.at("/certificates").list() { (certificate(reader, words, one)) }
        @if listing.at("/signing-requests").list().len() > 0 {
            section {
                h2 { (words.requests) }
                @for one in listing.at("/signing-requests").list() { (waiting(reader, words, one)) }
            }
        }
        @if administrator {
            (import(reader, words))
            section {
                h2 { (words.request_make) }
                p { (words.request_hint) }
                form method="post" action="/do/signing-request" {
                    (proof(reader))
                    label { (words.request_names) input name="names" required autocomplete="off" autocapitalize="none" spellcheck="false"; }
                    (key_choice(words))
                    @for (name, label) in [
                        ("organisation", words.organisation), ("locality", words.locality), ("state", words.state), ("country", words.country),
                    ] {
                        label { (label) input name=(name) autocomplete="off"; }
                    }
                    button { (words.request_make) }
                }
            }
        }
    }
}

fn overview(words: &Words, listing: View<'_>) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { (words.issued_to) } th scope="col" { (words.valid) } th scope="col" { (words.key) }
                    th scope="col" { (words.chain) } th scope="col" { (words.used_by) } th scope="col" { (words.findings) }
                }
            }
            tbody {
                @for one in listing.at("/certificates").list() {
                    tr {
                        th scope="row" { a href={ "#" (anchor(one)) } { (one.at("/confirmation").text()) } }
                        td { (validity(one)) }
                        td { (key(words, one)) }
                        td { (chain(words, one)) }
                        td { (used_by(words, one)) }
                        td {
                            @let codes: Vec<String> = one.at("/findings").list().map(|finding| finding.at("/code").text()).collect();
                            (if codes.is_empty() { words.none.into() } else { codes.join(", ") })
                        }
                    }
                }
            }
        }
    }
}

fn certificate(reader: &Reader, words: &Words, one: View<'_>) -> Markup {
    let fingerprint = one.at("/fingerprint").text();
    html! {
        section id=(anchor(one)) {
            h2 { (one.at("/confirmation").text()) }
            @if one.at("/own").yes() { p { (words.own) } }
            (facts(reader, words, one))
            (findings(words, one.at("/findings")))
            @if reader.may(Role::Administrator) {
                @if !one.at("/own").yes() {
                    @for place in one.at("/bound").list() {
                        @let (kind, at) = place_fields(place);
                        (button(reader, "unbind-certificate", &format!("{} {}", words.unbind, told(words, place)), &[("place", kind), ("at", &at)]))
                    }
                    (bind(reader, words, &fingerprint))
                }
                (export(reader, words, one, &fingerprint))
                @if !one.at("/own").yes() {
                    details {
                        summary { (words.renew) }
                        p { (words.renew_hint) }
                        form method="post" action="/do/signing-request" {
                            (proof(reader)) (hidden("renew", &fingerprint))
                            (key_choice(words))
                            button { (words.request_make) }
                        }
                    }
                    @if one.at("/bound").list().len() > 0 {
                        p { button disabled { (words.delete) } " " (words.bound_keeps) }
                    } @else {
                        (delete(reader, words, "delete-certificate", ("certificate", &fingerprint)))
                    }
                }
            }
        }
    }
}

/// What a certificate says.
fn facts(reader: &Reader, words: &Words, one: View<'_>) -> Markup {
    let names: Vec<String> = one.at("/names").list().chain(one.at("/addresses").list()).map(View::text).collect();
    let above: Vec<String> = one.at("/above").list().map(|one| one.at("/subject").text()).collect();
    let row = |name: &str, text: String| fact(name, (!text.is_empty()).then(|| html! { (text) }).as_ref());
    html! {
        dl {
            (row(words.subject, one.at("/subject").text()))
            (row(words.names, names.join(", ")))
            (row(words.issuer, one.at("/issuer").text()))
            (row(words.valid, validity(one)))
            (row(words.key, key(words, one)))
            @if one.at("/chain").there() { (row(words.chain, chain(words, one))) }
            (row(words.above, above.join(" · ")))
            @if one.at("/bound").there() {
                (row(words.used_by, used_by(words, one)))
                (row(words.exported, one.at("/exported/time").some().map_or_else(|| words.never.into(), |_| one.at("/exported/time").time())))
            }
            (row(reader.words().fingerprint, one.at("/fingerprint").text()))
        }
    }
}

fn findings(words: &Words, findings: View<'_>) -> Markup {
    html! {
        @for one in findings.list() {
            @let severity = one.at("/severity").text();
            p.problem[severity != "note"] {
                strong { (match severity.as_str() { "refused" => words.refused, "warning" => words.warning, _ => words.note }) ": " }
                (said(&one.at("/text").text())) " " code { (one.at("/code").text()) }
                br;
                (words.cure) ": " (said(&one.at("/cure").text()))
            }
        }
    }
}

fn bind(reader: &Reader, words: &Words, fingerprint: &str) -> Markup {
    html! {
        details {
            summary { (words.bind) }
            form method="post" action="/do/bind-certificate" {
                (proof(reader)) (hidden("certificate", fingerprint))
                label { (words.bind_to)
                    select name="place" {
                        option value="default" { (words.place_default) }
                        option value="name" { (words.place_name) }
                        option value="address" { (words.place_address) }
                    }
                }
                label { (words.place_at) input name="at" autocomplete="off" autocapitalize="none" spellcheck="false"; }
                button { (words.bind) }
            }
        }
    }
}

fn export(reader: &Reader, words: &Words, one: View<'_>, fingerprint: &str) -> Markup {
    let chain = one.at("/above").list().len() > 0;
    html! {
        details {
            summary { (words.export) }
            p { (words.export_hint) }
            form method="post" action="/do/export-certificate" {
                (proof(reader)) (hidden("certificate", fingerprint))
                label { input type="checkbox" name="leaf" checked; " " (words.certificate) }
                @if chain { label { input type="checkbox" name="chain" checked; " " (words.chain) } }
                @if one.at("/has-key").yes() { label { input type="checkbox" name="key"; " " (words.key_private) } }
                label { (words.format)
                    select name="format" { option value="pem" { "PEM" } option value="pkcs12" { "PKCS#12" } }
                }
                @if one.at("/has-key").yes() {
                    label { (words.passphrase_key) input name="passphrase" type="password" autocomplete="new-password"; }
                    label { (words.again) input name="again" type="password" autocomplete="new-password"; }
                    label {
                        (words.confirm_clear) ": " strong { (one.at("/confirmation").text()) }
                        input name="confirm" autocomplete="off" spellcheck="false";
                    }
                }
                button { (words.export) }
            }
        }
    }
}

fn import(reader: &Reader, words: &Words) -> Markup {
    html! {
        section {
            h2 { (words.import_certificate) }
            p { (words.import_hint) }
            form method="post" action="/do/import-certificate" enctype="multipart/form-data" {
                (proof(reader))
                label { (words.files) input type="file" name="file" multiple; }
                label { (words.pasted) br; textarea name="pem" rows="4" cols="64" spellcheck="false" autocomplete="off" {} }
                label { (words.passphrase_file) input name="passphrase" type="password" autocomplete="off"; }
                label { (words.names_asked) input name="names" autocomplete="off" autocapitalize="none" spellcheck="false"; }
                button name="check" value="yes" { (words.check_only) } " "
                button { (words.import) }
            }
        }
    }
}

/// What a file held, after it was imported or only looked at.
pub fn examined(reader: &Reader, answer: View<'_>, back: &str) -> Markup {
    let words = of(reader.language);
    let imported = answer.at("/steps").list().any(|step| step.text().ends_with("is imported"));
    html! {
        h2 { (if imported { reader.words().done } else { words.check_only }) }
        @if !imported { p { (words.checked) } }
        (facts(reader, words, answer.at("/certificate")))
        (findings(words, answer.at("/findings")))
        @for step in answer.at("/steps").list() { p { (said(&step.text())) } }
        p { a href=(back) { (reader.words().back) } }
    }
}

fn waiting(reader: &Reader, words: &Words, one: View<'_>) -> Markup {
    let id = one.at("/id").text();
    let names: Vec<String> = one.at("/names").list().chain(one.at("/addresses").list()).map(View::text).collect();
    html! {
        dl {
            (fact(words.names, Some(&html! { (names.join(", ")) })))
            (fact(words.key, Some(&html! { (one.at("/key").text()) })))
        }
        details { summary { "PEM" } pre { (one.at("/pem").text()) } }
        p { a.button href={ "/download/signing-request/" (id) } { (words.download) } }
        @if reader.may(Role::Administrator) { (delete(reader, words, "delete-signing-request", ("request", &id))) }
    }
}

/// A button that is pressed on purpose only: a key that was made here is nowhere else.
fn delete(reader: &Reader, words: &Words, action: &str, (field, value): (&str, &str)) -> Markup {
    html! {
        details {
            summary { (words.delete) }
            form method="post" action={ "/do/" (action) } {
                (proof(reader)) (hidden(field, value))
                label { input type="checkbox" name="sure" required; " " (words.delete_sure) }
                button.danger { (words.delete) }
            }
        }
    }
}

fn key_choice(words: &Words) -> Markup {
    html! {
        label { (words.key)
            select name="key" {
                @for (value, name) in
                    [("ec-p256", "EC P-256"), ("ec-p384", "EC P-384"), ("rsa2048", "RSA 2048"), ("rsa3072", "RSA 3072"), ("rsa4096", "RSA 4096")]
                {
                    option value=(value) { (name) }
                }
            }
        }
    }
}

fn anchor(one: View<'_>) -> String {
    format!("c{}", one.at("/fingerprint").text())
}

fn validity(one: View<'_>) -> String {
    format!("{} – {}", one.at("/not-before").day(), one.at("/not-after").day())
}

fn key(words: &Words, one: View<'_>) -> String {
    let missing = one.at("/has-key").there() && !one.at("/has-key").yes();
    let signature = one.at("/signature").some().map(|signature| format!(", {signature}")).unwrap_or_default();
    format!(
        "{}{signature}{}",
        one.at("/key").text(),
        if missing { format!(" ({})", words.key_missing) } else { String::new() }
    )
}

fn chain(words: &Words, one: View<'_>) -> String {
    match one.at("/chain/state").text().as_str() {
        "self-signed" => words.chain_self_signed.into(),
        "complete" => words.chain_complete.into(),
        _ => format!("{}: {}", words.chain_incomplete, one.at("/chain/missing").text()),
    }
}

fn used_by(words: &Words, one: View<'_>) -> String {
    let places: Vec<String> = one.at("/bound").list().map(|place| told(words, place)).collect();
    if places.is_empty() { words.none.into() } else { places.join(", ") }
}

fn told(words: &Words, place: View<'_>) -> String {
    match place_fields(place) {
        ("name", at) => format!("{}: {at}", words.place_name),
        ("address", at) => format!("{}: {at}", words.place_address),
        _ => words.place_default.into(),
    }
}

/// A place as the form says it.
fn place_fields(place: View<'_>) -> (&'static str, String) {
    let at = |kind: &'static str| place.at(&format!("/{kind}")).some().map(|at| (kind, at));
    at("name").or_else(|| at("address")).unwrap_or(("default", String::new()))
}
