//! Forms as requests: what a button on a page asks the keeper for. Pure.

mod backups;
pub mod certificates;

use formats::catalogue::PackageId;
use serde_json::{Value, json};

use super::form::Form;
use super::route::Page;
use crate::account::password::Password;
use crate::api::people::Change;
use crate::api::{Install, Package, Request, Stage, Upgrade, Wanted};

/// A request, and the page to go on with when it is done or begun.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// What is asked.
    pub request: Request,
    /// Where the reader goes on.
    pub back: Page,
    /// Whether what is answered has to be shown, not only that it worked.
    pub shown: bool,
}

/// What the form at `/do/NAME` asks for; nothing when there is no such form.
///
/// # Errors
/// What is wrong with a field, for people.
pub fn action(name: &str, form: &Form) -> Option<Result<Action, String>> {
    Some(FAMILIES.iter().find_map(|family| family(name, form).transpose())?.map(|(request, back)| Action {
        shown: matches!(
            request,
            Request::ChangeAccounts(_)
                | Request::DownloadKey
                | Request::ImportCertificate(_)
                | Request::ExportCertificate(_)
        ),
        request,
        back,
    }))
}

/// What the form of this name asks for, and where the reader goes on; nothing when this family has no such form.
type Family = fn(&str, &Form) -> Result<Option<(Request, Page)>, String>;
/// A page with many forms has a family in a file of its own; the first that knows a name answers.
const FAMILIES: &[Family] = &[made, certificates::made, backups::made];

fn made(name: &str, form: &Form) -> Result<Option<(Request, Page)>, String> {
    let text = |field: &str| form.text(field).ok_or_else(|| format!("the field \"{field}\" is empty"));
    let secret = |field: &str| Password::new(form.get(field).unwrap_or_default().into());
    let change = |change| (Request::ChangeAccounts(change), Page::Accounts);
    Ok(Some(match name {
        "check" => (Request::Check, Page::Updates),
        "fetch-texts" => (Request::Texts(Wanted { to: package(form, "to")?, ..Wanted::default() }), Page::Way),
        "install" => {
            let package = match (package(form, "package")?, form.text("staged")) {
                (Some(id), _) => Package::Depot(id),
                (None, Some(id)) => Package::Staged(id),
                (None, None) => return Err("no package is named".into()),
            };
            let accept_eula = form.ticked("accept-eula");
            let order = Install {
                package,
                hardware: None,
                accept_eula,
                restart: true,
                accept_expired: None,
                no_backup: None,
                backup: form.ticked("backup"),
            };
            (Request::Install(order), Page::Updates)
        }
        "stage" => {
            let id = package(form, "package")?.ok_or("no package is named")?;
            (Request::Stage(Stage::Depot(id)), Page::Updates)
        }
        "discard-upload" => {
            let back = if form.get("kind") == Some("backup") { Page::Backups } else { Page::Updates };
            (Request::DiscardUpload(text("upload")?), back)
        }
        "discard" => (Request::Discard(text("staged")?), Page::Updates),
        "upgrade" => {
            let to = package(form, "to")?;
            let order = Upgrade {
                to,
                accept_eula: form.ticked("accept-eula"),
                backup: form.ticked("backup"),
                ..Upgrade::default()
            };
            (Request::Upgrade(order), Page::Updates)
        }
        "cancel-upgrade" => (Request::CancelUpgrade, Page::Updates),
        "download-key" => (Request::DownloadKey, Page::Updates),
        "commit" => (Request::Commit, Page::Status),
        "rollback" => (typed(json!({ "request": "rollback", "body": { "site": form.ticked("site") } }))?, Page::Status),
        "restart" => (Request::Restart, Page::Status),
        "shutdown" => (Request::Shutdown, Page::Status),
        "network" => (network(form)?, Page::Network),
        "support" => (Request::CreateSupport, Page::Support),
        "test-mail" => (Request::TestMail, Page::Mail),
        "factory-reset" => {
            let body = json!({ "confirm": text("confirm")?, "power-off": form.ticked("power-off") });
            (typed(json!({ "request": "factory-reset", "body": body }))?, Page::Reset)
        }
        "cancel-reset" => (Request::CancelReset, Page::Reset),
        "add-account" => {
            change(Change::AddAccount { name: text("name")?, role: role(form)?, password: secret("password") })
        }
        "set-password" => change(Change::SetPassword {
            name: text("name")?,
            password: secret("password"),
            present: Some(secret("present")),
        }),
        "set-role" => change(Change::SetRole { name: text("name")?, role: role(form)? }),
        "remove-account" => change(Change::RemoveAccount { name: text("name")? }),
        "add-token" => {
            let days = text("days")?.parse().map_err(|_| "days are a number")?;
            change(Change::AddToken { name: text("name")?, role: role(form)?, days })
        }
        "remove-token" => change(Change::RemoveToken { name: text("name")? }),
        _ => return Ok(None),
    }))
}

fn package(form: &Form, field: &str) -> Result<Option<PackageId>, String> {
    let Some(text) = form.text(field) else { return Ok(None) };
    serde_json::from_value(Value::String(text)).map(Some).map_err(|problem| problem.to_string())
}

fn role(form: &Form) -> Result<crate::account::Role, String> {
    let text = form.text("role").ok_or("no role is named")?;
    serde_json::from_value(Value::String(text)).map_err(|problem| problem.to_string())
}

/// The setting as somebody typed it; what is empty is not said.
fn network(form: &Form) -> Result<Request, String> {
    let body = match form.get("method") {
        Some("static") => {
            let text = form.text("dns").unwrap_or_default();
            let dns: Vec<&str> = text.split([' ', ',']).filter(|one| !one.is_empty()).collect();
            json!({
                "method": "static",
                "address": form.text("address").ok_or("no address is given")?,
                "gateway": form.text("gateway"),
                "interface": form.text("interface"),
                "dns": dns,
            })
        }
        _ => json!({ "method": "dhcp" }),
    };
    typed(json!({ "request": "set-network", "body": body }))
}

fn typed(json: Value) -> Result<Request, String> {
    serde_json::from_value(json).map_err(|problem| problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Role;
    use crate::api::{FactoryReset, Network, Rollback};

    fn asked(name: &str, form: &str) -> Result<Request, String> {
        let form = Form::parse(form.as_bytes()).unwrap();
        action(name, &form).unwrap().map(|action| action.request)
    }

    #[test]
    fn a_form_asks_for_what_its_button_says() {
        for (name, form, wanted) in [
            ("check", "", Request::Check),
            ("test-mail", "", Request::TestMail),
            ("support", "", Request::CreateSupport),
            ("rollback", "", Request::Rollback(Rollback { site: false })),
            ("rollback", "site=yes", Request::Rollback(Rollback { site: true })),
            ("shutdown", "", Request::Shutdown),
            ("discard", "staged=00ff", Request::Discard("00ff".into())),
            ("network", "method=dhcp&address=192.0.2.1/24", Request::SetNetwork(Network::Dhcp {})),
            (
                "factory-reset",
                "confirm=demo&power-off=on",
                Request::FactoryReset(FactoryReset { confirm: "demo".into(), power_off: true }),
            ),
        ] {
            assert_eq!(asked(name, form), Ok(wanted), "{name} {form}");
        }
        let Request::Install(order) = asked("install", "package=base/demo-2.0.0&accept-eula=on").unwrap() else {
            panic!()
        };
        assert!(order.accept_eula && order.restart && matches!(order.package, Package::Depot(_)));
        let Request::SetNetwork(Network::Static { dns, gateway, .. }) =
            asked("network", "method=static&address=192.0.2.1/24&gateway=&dns=192.0.2.53,+192.0.2.54").unwrap()
        else {
            panic!()
        };
        assert_eq!((dns.len(), gateway), (2, None));
    }

    #[test]
    fn passwords_are_taken_as_they_were_typed() {
        let change = asked("add-account", "name=+anna+&role=viewer&password=+with+spaces+at+both+ends+").unwrap();
        let password = Password::new(" with spaces at both ends ".into());
        let wanted = Change::AddAccount { name: "anna".into(), role: Role::Viewer, password };
        assert_eq!(change, Request::ChangeAccounts(wanted));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_and_other_forms_are_none() {
        for (name, form) in [
            ("install", ""),
            ("install", "package=demo"),
            ("discard", "staged=+"),
            ("add-account", "name=anna&role=root&password=x"),
            ("add-token", "name=ci&role=viewer&days=soon"),
            ("network", "method=static"),
            ("factory-reset", ""),
        ] {
            assert!(asked(name, form).is_err(), "{name} {form}");
        }
        assert_eq!(action("format-disk", &Form::default()), None);
    }
}
