//! The keeper's part in backups: making, keeping and showing them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use formats::Bytes;
use formats::backup::setting::{BeforeUpdates, Setting};
use formats::backup::{Contents, EXTENSION, Made, Scope};
use serde_json::{Value, json};

use super::desk::{Desk, value};
use super::desk_bundle::checked_reason;
use super::desk_restore::machine;
use super::job::Hand;
use crate::api::{BackupPiece, CreateBackup, Problem, SetBackups};
use crate::backup::collect::Wanted;
use crate::backup::make::{Origin, make};
use crate::backup::standing::Standing;
use crate::backup::store::{Attempt, Cause, Store, id_of};
use crate::backup::{Lock, Trouble, setting};
use crate::error::{Error, Result};
use crate::lifecycle::silent;
use crate::workplace::now;

impl Desk {
    pub(super) fn backups(&self) -> Store {
        Store::new(&self.data)
    }

    /// Those that are kept, how they stand to what is set now, and the setting.
    pub(super) fn backup_facts(&self) -> Result<Value> {
        let store = self.backups();
        let setting = setting::load(&self.data)?;
        let describe = |id: String| {
            let record = store.record(&id);
            let contents = record.as_ref().map(|record| &record.contents);
            json!({
                "id": id,
                "bytes": store.bytes(&id),
                "locked": store.locked(&id).map(|locked| match locked {
                    formats::age::Locked::Passphrase => "passphrase",
                    formats::age::Locked::Keys => "keys",
                }),
                "cause": record.as_ref().map(|record| record.cause),
                "sha256": record.as_ref().map(|record| record.sha256),
                "created": contents.map(|contents| contents.created),
                "scopes": contents.map(|contents| contents.scopes.clone()),
                "history": contents.map(|contents| contents.history),
                "files": contents.map(|contents| contents.files.len()),
                "excluded": contents.map(|contents| contents.excluded.len()),
            })
        };
        let next = setting.schedule.map(|schedule| schedule.next(unix_now()));
        Ok(json!({
            "backups": store.ids()?.into_iter().map(describe).collect::<Vec<_>>(),
            "standing": value(&self.backup_standing()?)?,
            "setting": value(&setting)?,
            "next": next,
            "attempt": store.attempt(),
        }))
    }

    /// What an installation has to know: whether there is a backup with the settings as they are now.
    pub(super) fn backup_standing(&self) -> Result<Standing> {
        Standing::of(&self.data)
    }

    /// One of those that are kept: everything that is in it and everything that was left out, as far as an answer has room.
    pub(super) fn backup_shown(&self, id: &str) -> Result<Value> {
        self.backups().open(id)?;
        let record = self.backups().record(id);
        let Some(mut record) = record else {
            return Ok(json!({ "id": id, "bytes": self.backups().bytes(id), "contents": null }));
        };
        let (files, excluded) = (record.contents.files.len(), record.contents.excluded.len());
        record.contents.files.truncate(SHOWN);
        record.contents.folders.truncate(SHOWN);
        record.contents.excluded.truncate(SHOWN);
        Ok(json!({
            "id": id,
            "bytes": record.bytes,
            "sha256": record.sha256,
            "cause": record.cause,
            "files": files,
            "excluded": excluded,
            "contents": value(&record.contents)?,
        }))
    }

    pub(super) fn backup_piece(&self, piece: &BackupPiece) -> Result<Value> {
        use base64::Engine as _;
        let (bytes, of) = self.backups().piece(&piece.id, piece.offset)?;
        let bytes = base64::engine::general_purpose::STANDARD.encode(bytes);
        Ok(json!({ "offset": piece.offset, "of": of, "bytes": bytes }))
    }

    pub(super) fn set_backups(&self, order: SetBackups) -> Result<Vec<String>> {
        let SetBackups { mut setting, passphrase } = order;
        if passphrase.is_some() {
            setting.passphrase_file =
                Some(setting::PASSPHRASE.parse().map_err(|_| Error::Bug("a name of ours is refused".into()))?);
        }
        let setting = setting.checked().map_err(|problem| Error::Usage(problem.to_string()))?;
        setting::store(&self.data, &setting, passphrase.as_ref())?;
        Ok(vec![said(&setting)])
    }

    /// Makes one.
    pub(super) fn create_backup(&self, order: &CreateBackup, cause: Cause, hand: &Hand) -> Result<Vec<String>> {
        let setting = setting::load(&self.data)?;
        let lock = match order.lock()? {
            Some(lock) => lock,
            None => setting::lock(&self.data, &setting)?,
        };
        let scopes = order.scopes.clone().unwrap_or_else(|| Scope::ALL.into());
        if scopes.is_empty() {
            return Err(Error::Usage("a backup is of the appliance, the site, or both".into()));
        }
        let history = !order.no_history && (cause == Cause::Asked || setting.history);
        let wanted = Wanted { scopes, history, limits: setting.limits, changing: BTreeSet::new() };
        self.make_backup(order.to.clone(), &wanted, &lock, (cause, &setting), hand)
    }

    fn make_backup(
        &self,
        to: Option<PathBuf>,
        wanted: &Wanted,
        lock: &Lock,
        (cause, setting): (Cause, &Setting),
        hand: &Hand,
    ) -> Result<Vec<String>> {
        let origin = self.origin()?;
        let progress = |phase, done, of| hand.show(phase, done, of);
        if let Some(folder) = to {
            if !folder.is_absolute() || !folder.is_dir() {
                return Err(Error::Usage(format!("\"{}\" has to be the absolute path of a folder", folder.display())));
            }
            let host = origin.made.hostname.clone().unwrap_or_else(|| origin.product.clone());
            let path = folder.join(format!("{host}-{}.{EXTENSION}", id_of(origin.created)));
            let written = make(&self.data, &path, wanted, lock, &origin, Bytes(0), &progress)?;
            return Ok(summary(&format!("\"{}\"", path.display()), &written.contents, written.bytes));
        }
        let store = self.backups();
        let (id, path) = store.prepare(origin.created)?;
        let written = make(&self.data, &path, wanted, lock, &origin, RESERVE, &progress)?;
        store.remember(&id, cause, &written)?;
        let mut steps = summary(&id, &written.contents, written.bytes);
        // Behind the new one, so that there is never less than there was.
        let old = store.thin_out(setting.kept())?;
        if !old.is_empty() {
            steps.push(format!("removed, because {} are kept: {}", setting.kept(), old.join(", ")));
        }
        Ok(steps)
    }

    fn origin(&self) -> Result<Origin> {
        let workplace = self.look()?;
        let facts = workplace.agent(&silent).facts()?;
        let machine = machine(&workplace)?;
        let base = facts.home().map(|base| format!("{} {}", base.name, base.version));
        let site = facts.active_site().and_then(|slot| facts.content(formats::manifest::Kind::Site, slot).manifest());
        let site = site.map(|site| format!("{} {}", site.name, site.version));
        let made = Made {
            agent: env!("CARGO_PKG_VERSION").into(),
            base,
            site,
            hostname: machine.hostname,
            appliance: self.depot.appliance_or_nobody(),
            model: machine.model,
            interfaces: machine.interfaces,
        };
        Ok(Origin { product: machine.product, made, created: unix_now() })
    }

    /// The one at work before an installation, if the operator wants one. `asked`: whoever installs wants one; or why not.
    pub(super) fn backup_before(
        &self,
        (asked, no_backup): (bool, Option<&str>),
        what: &str,
        by: &str,
        hand: &Hand,
    ) -> Result<Vec<String>> {
        let setting = setting::load(&self.data)?;
        let wanted = match setting.before_updates {
            BeforeUpdates::No => asked,
            BeforeUpdates::Make => asked || setting.can_encrypt(),
            BeforeUpdates::Require => true,
        };
        if !wanted {
            return Ok(Vec::new());
        }
        if let Some(reason) = no_backup {
            let reason = checked_reason(reason)?;
            self.change(by.into())?
                .agent(&silent)
                .journal
                .decide(format!("{what} without a backup before it"), reason.into())?;
            return Ok(vec![format!("no backup is made before it, decided because: {reason}")]);
        }
        let done = self.create_backup(&CreateBackup::default(), Cause::Update, hand);
        done.map_err(|problem| Trouble::Required(problem.to_string()).into())
    }

    /// Makes one when the schedule says so; whether it did.
    pub(super) fn backup_is_due(&self) -> Result<bool> {
        let Some(schedule) = setting::load(&self.data)?.schedule else { return Ok(false) };
        let attempt = self.backups().attempt();
        let (made, failed) = match attempt {
            Some(Attempt { time, problem: None }) => (Some(time), None),
            Some(Attempt { time, problem: Some(_) }) => (None, Some(time)),
            None => (None, None),
        };
        Ok(schedule.is_due(made, failed, unix_now()))
    }

    /// The one the schedule asks for.
    pub(super) fn scheduled_backup(&self, hand: &Hand) -> Result<Vec<String>> {
        let done = self.create_backup(&CreateBackup::default(), Cause::Schedule, hand);
        let attempt = Attempt { time: unix_now(), problem: done.as_ref().err().map(Problem::from) };
        self.backups().keep_attempt(&attempt).and(done)
    }
}

fn said(setting: &Setting) -> String {
    let schedule = setting
        .schedule
        .map_or_else(|| "none are made by themselves".into(), |schedule| format!("one is made {schedule}"));
    format!("backups: {schedule}; {} are kept", setting.kept())
}

fn summary(name: &str, contents: &Contents, bytes: u64) -> Vec<String> {
    let mut steps = vec![format!("backup {name} is made, {}", Bytes(bytes))];
    steps.extend(described(contents));
    steps
}

/// What is in a backup, and what is not and was not declared to be never in one.
pub(super) fn described(contents: &Contents) -> Vec<String> {
    let scopes: Vec<&str> = contents.scopes.iter().map(|scope| scope.word()).collect();
    let history = if contents.history { "with" } else { "without" };
    let mut steps = vec![format!(
        "it is of {}, {history} logged history: {} files, {}",
        scopes.join(" and "),
        contents.files.len(),
        contents.total()
    )];
    let left: Vec<_> = contents.excluded.iter().filter(|one| one.reason != formats::backup::Reason::Declared).collect();
    steps.extend(
        left.iter()
            .take(NAMED)
            .map(|one| format!("left out: \"{}\" ({}) {}", one.path, Bytes(one.bytes), one.sentence)),
    );
    if left.len() > NAMED {
        steps.push(format!("left out: {} more, which its table of contents names", left.len().saturating_sub(NAMED)));
    }
    steps
}

fn unix_now() -> i64 {
    i64::try_from(now()).unwrap_or(i64::MAX)
}

/// Files of one answer.
const SHOWN: usize = 4000;
/// Things left out that a job names.
const NAMED: usize = 100;
/// What stays free on the data partition.
const RESERVE: Bytes = Bytes(16 << 20);
