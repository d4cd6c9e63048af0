//! The keeper's part in the support bundle: where its parts come from, and which secrets the appliance has.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use formats::Digest;
use serde_json::{Value, json};

use super::desk::{Desk, value};
use super::recent;
use crate::airgap::identity;
use crate::api::{Actor, Intent, Wanted};
use crate::command::history::date;
use crate::error::{Doing, Result};
use crate::lifecycle::silent;
use crate::secret::Secret;
use crate::support::bundle::{Bundle, EXTENSION, Order, collect};
use crate::support::{Part, Raw, Sources, machine};
use crate::workplace::now;
use crate::{failed_boot, kernel_log, network, plain_file};

impl Desk {
    /// What a bundle made now would have in it.
    pub(super) fn support_contents(&self, actor: &Actor) -> Result<Value> {
        value(&self.support(actor).manifest)
    }

    /// Makes one. It is in the answer and nowhere else.
    pub(super) fn support_bundle(&self, actor: &Actor) -> Result<Value> {
        let (file, contents) = self.support(actor).write(identity::own(&self.data))?;
        let name: String = date(contents.made).chars().filter(|one| !"-:".contains(*one)).collect();
        Ok(json!({
            "name": format!("support-{}.{EXTENSION}", name.replace(' ', "-")),
            "bytes": file.len(),
            "sha256": Digest::of(&file),
            "contents": value(&contents)?,
            "file": STANDARD.encode(&file),
        }))
    }

    fn support(&self, actor: &Actor) -> Bundle {
        let order = Order { by: actor.to_string(), role: actor.role(), made: now(), appliance: self.called() };
        collect(self, order)
    }

    /// What an installation of the newest release would find.
    fn newest_preflight(&self) -> Result<Value> {
        value(&self.preflight(&Intent::Way(Wanted::default()), &self.look()?, None)?)
    }

    /// Certificates without the text of requests, which says nothing more.
    fn certificate_facts(&self) -> Result<Value> {
        let mut listing = value(&self.certificates()?)?;
        let requests = listing.get_mut("signing-requests").and_then(Value::as_array_mut);
        requests.into_iter().flatten().filter_map(Value::as_object_mut).for_each(|one| drop(one.remove("pem")));
        Ok(listing)
    }

    fn failed_releases(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        for back in (1..=failed_boot::KEPT).rev() {
            let log = failed_boot::read(&self.data, back).doing(|| "read the log of a failed release".into())?;
            if let Some(log) = log {
                text.extend(format!("== number {back} from the newest\n{log}\n").into_bytes());
            }
        }
        Ok(text)
    }
}

impl Sources for Desk {
    fn read(&self, part: Part) -> Result<Raw> {
        let text = |text: Vec<u8>| Ok(Raw::Text(text));
        let facts = match part {
            Part::Agent => return text(recent::lines().into_bytes()),
            Part::Failed => return text(self.failed_releases()?),
            Part::Kernel => return text(kernel_log::tail(KERNEL).into_bytes()),
            Part::Machine => return text(machine::facts(Path::new("/"), &self.data)),
            Part::Status => self.status()?,
            Part::History => value(&self.look()?.agent(&silent).journal.history()?.0)?,
            Part::Health => value(&self.health()?)?,
            Part::Reports => self.reports()?,
            Part::Job => value(&self.jobs.last())?,
            Part::Preflight => self.newest_preflight()?,
            Part::Updates => value(&self.updates()?)?,
            Part::Depot => value(&self.depot.setting()?)?,
            Part::Staged => value(&self.staged()?)?,
            Part::Licences => value(&self.licences()?)?,
            Part::Network => value(&network::facts(&self.data))?,
            Part::Mail => self.mail_facts()?,
            Part::Certificates => self.certificate_facts()?,
            Part::Backups => self.backup_facts()?,
            Part::Audit => value(&self.people.log()?.lines)?,
        };
        Ok(Raw::Facts(facts))
    }

    /// What cannot be read is not known, and nothing reads it for the bundle either.
    fn secrets(&self) -> Vec<Secret> {
        let own = self.data.join("bulkhead");
        let mut found: Vec<String> = Vec::new();
        for folder in [&own, &self.depot.shipped] {
            let read = |name: &str| plain_file::read(&folder.join(name), SECRET).ok();
            let depot = read("depot.json").and_then(|bytes| formats::depot::Setting::parse(&bytes).ok());
            let backup = read("backup.json").and_then(|bytes| formats::backup::setting::Setting::parse(&bytes).ok());
            let files = [
                depot.as_ref().and_then(|setting| setting.mail.as_ref()?.password_file.as_ref()),
                depot.as_ref().and_then(|setting| setting.proxy_password_file.as_ref()),
                backup.as_ref().and_then(|setting| setting.passphrase_file.as_ref()),
            ];
            let texts = files.into_iter().flatten().filter_map(|name| read(name.as_str()));
            found.extend(texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        }
        let identity = plain_file::read(&self.data.join(identity::FILE), SECRET).unwrap_or_default();
        let identity: Value = serde_json::from_slice(&identity).unwrap_or_default();
        found.extend(identity.get("secret").and_then(Value::as_str).map(str::to_owned));
        found.extend(self.people.claim_code().unwrap_or_default());
        found.into_iter().map(Secret::new).collect()
    }
}

/// Bytes of the kernel's log.
const KERNEL: usize = 256 << 10;
/// Bytes of a file with a secret, or of a setting.
const SECRET: usize = 64 << 10;
