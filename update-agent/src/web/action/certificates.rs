//! Forms about certificates. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::typed;
use crate::api::{ExportCertificate, ImportCertificate, Request, SigningRequest};
use crate::certificates::export::Format;
use crate::certificates::request::{KeyKind, Subject};
use crate::secret::Secret;
use crate::web::form::Form;
use crate::web::route::Page;

/// What a form asks for; nothing when it is not about certificates.
pub(super) fn made(name: &str, form: &Form) -> Result<Option<(Request, Page)>, String> {
    let text = |field: &str| form.text(field).ok_or_else(|| format!("the field \"{field}\" is empty"));
    if DELETES.contains(&name) && !form.ticked("sure") {
        return Err("nothing was deleted: tick that it is to be for good".into());
    }
    let request = match name {
        IMPORT => Request::ImportCertificate(import(form)?),
        "export-certificate" => Request::ExportCertificate(export(form, text("certificate")?)?),
        "delete-certificate" => Request::DeleteCertificate(text("certificate")?),
        "bind-certificate" => {
            let body = json!({ "certificate": text("certificate")?, "to": place(form)? });
            typed(json!({ "request": "bind-certificate", "body": body }))?
        }
        "unbind-certificate" => typed(json!({ "request": "unbind-certificate", "body": { "to": place(form)? } }))?,
        "signing-request" => Request::SigningRequest(SigningRequest {
            names: words(form, "names"),
            renew: form.text("renew"),
            key: key(form)?,
            subject: Subject {
                organisation: form.text("organisation"),
                locality: form.text("locality"),
                state: form.text("state"),
                country: form.text("country"),
            },
        }),
        "delete-signing-request" => Request::DeleteSigningRequest(text("request")?),
        _ => return Ok(None),
    };
    Ok(Some((request, Page::Certificates)))
}

/// Every file that was chosen, and the text that was pasted.
fn import(form: &Form) -> Result<ImportCertificate, String> {
    let pasted = form.get("pem").filter(|text| !text.trim().is_empty());
    let files: Vec<&[u8]> = form.files("file").chain(pasted.map(str::as_bytes)).collect();
    let file = match files.as_slice() {
        [] => return Err("nothing was sent: choose a file, or paste its text".into()),
        [one] => Zeroizing::new(STANDARD.encode(one)),
        all if all.iter().all(|one| is_pem(one)) => Zeroizing::new(STANDARD.encode(Zeroizing::new(all.join(&b'\n')))),
        _ => return Err("several files are taken together when each is PEM; send DER and PKCS#12 one at a time".into()),
    };
    Ok(ImportCertificate {
        file: Secret::new(file.to_string()),
        passphrase: passphrase(form, "passphrase"),
        names: words(form, "names"),
        check_only: form.ticked("check"),
    })
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(PEM.len()).any(|window| window == PEM)
}

fn export(form: &Form, of: String) -> Result<ExportCertificate, String> {
    let passphrase = passphrase(form, "passphrase");
    if form.ticked("key") && passphrase != self::passphrase(form, "again") {
        return Err("the passphrase was typed differently the second time".into());
    }
    Ok(ExportCertificate {
        of,
        certificate: form.ticked("leaf"),
        key: form.ticked("key"),
        chain: form.ticked("chain"),
        format: if form.get("format") == Some("pkcs12") { Format::Pkcs12 } else { Format::Pem },
        passphrase,
        confirm_unencrypted: form.text("confirm"),
    })
}

/// A passphrase as it was typed; nothing when none was.
pub(super) fn passphrase(form: &Form, field: &str) -> Option<Secret> {
    form.get(field).filter(|text| !text.is_empty()).map(|text| Secret::new(text.into()))
}

fn place(form: &Form) -> Result<Value, String> {
    let at = || form.text("at").ok_or("say which name or address");
    Ok(match form.get("place") {
        Some("name") => json!({ "name": at()? }),
        Some("address") => json!({ "address": at()? }),
        _ => json!("default"),
    })
}

fn key(form: &Form) -> Result<KeyKind, String> {
    let Some(text) = form.text("key") else { return Ok(KeyKind::default()) };
    serde_json::from_value(Value::String(text)).map_err(|problem| problem.to_string())
}

/// What stands in a field between spaces and commas.
pub(super) fn words(form: &Form, field: &str) -> Vec<String> {
    let text = form.get(field).unwrap_or_default();
    text.split(|one: char| one == ',' || one.is_whitespace()).filter(|one| !one.is_empty()).map(Into::into).collect()
}

/// The form that brings files.
pub const IMPORT: &str = "import-certificate";
/// What cannot be taken back.
const DELETES: &[&str] = &["delete-certificate", "delete-signing-request"];
const PEM: &[u8] = b"-----BEGIN ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{BindCertificate, UnbindCertificate};
    use crate::certificates::Place;

    fn asked(name: &str, form: &str) -> Result<Request, String> {
        made(name, &Form::parse(form.as_bytes()).unwrap()).map(|made| made.unwrap().0)
    }

    /// A form with these files, and more text fields.
    fn sent(files: &[&str], fields: &str) -> Result<ImportCertificate, String> {
        let head = "--c\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n";
        let files: Vec<String> = files.iter().map(|file| format!("{head}{file}\r\n")).collect();
        let body = format!("{}{fields}--c--", files.concat());
        import(&Form::read("multipart/form-data; boundary=c", body.as_bytes()).unwrap())
    }

    #[test]
    fn what_was_chosen_and_what_was_pasted_is_imported_together_where_that_can_be_told_apart() {
        let decoded =
            |order: ImportCertificate| String::from_utf8(STANDARD.decode(order.file.reveal()).unwrap()).unwrap();
        assert_eq!(decoded(sent(&["\u{1}DER"], "").unwrap()), "\u{1}DER");
        assert_eq!(decoded(sent(&["-----BEGIN A", "", "-----BEGIN B"], "").unwrap()), "-----BEGIN A\n-----BEGIN B");
        let pasted = "--c\r\nContent-Disposition: form-data; name=\"pem\"\r\n\r\n-----BEGIN C\r\n";
        assert_eq!(decoded(sent(&["-----BEGIN A"], pasted).unwrap()), "-----BEGIN A\n-----BEGIN C");
        assert!(sent(&["-----BEGIN A", "\u{1}DER"], "").unwrap_err().contains("one at a time"));
        assert!(sent(&[""], "").unwrap_err().contains("nothing was sent"));
        let Ok(Request::ImportCertificate(order)) =
            asked(IMPORT, "pem=x&check=yes&names=a.example,+b.example&passphrase=")
        else {
            panic!()
        };
        assert!(order.check_only && order.passphrase.is_none());
        assert_eq!(order.names, ["a.example", "b.example"]);
    }

    #[test]
    fn places_keys_and_parts_are_what_was_chosen() {
        let bind = |to| Ok(Request::BindCertificate(BindCertificate { certificate: "3f9a".into(), to }));
        assert_eq!(asked("bind-certificate", "certificate=3f9a&place=default&at=x"), bind(Place::Default));
        assert_eq!(
            asked("bind-certificate", "certificate=3f9a&place=name&at=x.example"),
            bind(Place::Name("x.example".into()))
        );
        assert_eq!(
            asked("unbind-certificate", "place=address&at=192.0.2.1"),
            Ok(Request::UnbindCertificate(UnbindCertificate { to: Place::Address([192, 0, 2, 1].into()) }))
        );
        let Ok(Request::ExportCertificate(wanted)) =
            asked("export-certificate", "certificate=3f9a&leaf=on&key=on&format=pkcs12&passphrase=a+b&again=a+b")
        else {
            panic!()
        };
        assert!(wanted.certificate && wanted.key && !wanted.chain && wanted.format == Format::Pkcs12);
        assert_eq!(wanted.passphrase.unwrap().reveal(), "a b");
        for (name, form) in [
            ("bind-certificate", "certificate=3f9a&place=address&at=somewhere"),
            ("bind-certificate", "certificate=3f9a&place=name"),
            ("bind-certificate", "place=default"),
            ("export-certificate", "certificate=3f9a&key=on&passphrase=a&again=b"),
            ("signing-request", "names=a.example&key=rsa512"),
            ("delete-certificate", "certificate=3f9a"),
            ("delete-signing-request", "request=3f9a"),
            (IMPORT, "pem=+"),
        ] {
            assert!(asked(name, form).is_err(), "{name} {form}");
        }
    }
}
