//! What the keeper does about a request: facts are answered at once, changes become jobs.
//!
//! Each request opens the disk anew and each change holds the lock of the appliance, so the daemon, the commands and the loop that
//! commits never change one disk at the same time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use formats::Digest;
use formats::boot_report::SiteReport;
use formats::manifest::Kind;
use formats::reset_record::Then;
use nix::unistd::Uid;
use serde_json::{Value, json};

use super::desk_bundle::bundle;
use super::job::{For, Hand, Jobs};
use super::overseer::RESTART_LIMIT;
use super::people::People;
use crate::api::role::rule;
use crate::api::{Actor, Job, Package, Request, Stage};
use crate::backup::store::Cause;
use crate::certificates;
use crate::command::{concluded, factory_reset, health};
use crate::depot::Places;
use crate::error::{Doing, Error, Result};
use crate::health::Finding;
use crate::lifecycle::silent;
use crate::named_file;
use crate::network;
use crate::power::Power;
use crate::reader::Program;
use crate::serve::log;
use crate::source::PackageFile;
use crate::staging::Staging;
use crate::status;
use crate::workplace::{Access, Place, Workplace};

/// How long a change waits for another one to end. Jobs are one at a time, so it is the overseer's, or a command on an image file.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where requests are dealt with.
#[derive(Clone)]
pub struct Desk {
    /// What is changed: the running appliance, or, for tests, a disk image file.
    pub place: Place,
    /// The mounted data partition.
    pub data: PathBuf,
    /// Who reads packages.
    pub program: Program,
    /// The jobs.
    pub jobs: Jobs,
    /// The certificates.
    pub certificates: certificates::Store,
    /// Where what a depot says is asked for and kept.
    pub depot: Places,
    /// The base's program that sets addresses.
    pub network_hook: PathBuf,
    /// What ends the machine.
    pub power: Arc<dyn Power>,
    /// Accounts, and the log of what was done.
    pub people: People,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is so.
    Facts(Value),
    /// It began.
    Begun(Box<Job>),
}

impl Desk {
    /// What this appliance is, in a few words: its product and its site; nothing when it is not known what runs.
    pub fn called(&self) -> Option<String> {
        let report = status::report(&self.place.report).ok()?;
        Some(match report.site {
            Some(SiteReport::Running { content, .. }) => format!("{} · {}", report.product, content.name),
            _ => report.product,
        })
    }

    /// Answers a request of somebody who may ask for it, and writes down what changes something. `session` is theirs, if they have one.
    pub fn answer(&self, actor: &Actor, request: Request, session: Option<&str>) -> Result<Answer> {
        let rule = rule(&request);
        let answer = self.deal(actor, request, session);
        if let Some(action) = rule.action {
            let outcome = match &answer {
                Ok(Answer::Facts(_)) => "done",
                Ok(Answer::Begun(_)) => "begun",
                Err(problem) => problem.code(),
            };
            self.people.note_asked(actor, action, &rule.about, outcome);
        }
        answer
    }

    fn deal(&self, actor: &Actor, request: Request, session: Option<&str>) -> Result<Answer> {
        let by = actor.to_string();
        let facts = |facts: Value| Ok(Answer::Facts(facts));
        match request {
            Request::Status => facts(self.status()?),
            Request::History => facts(value(&self.look()?.agent(&silent).journal.history()?.0)?),
            Request::Reports => facts(self.reports()?),
            Request::Job => facts(value(&self.jobs.last())?),
            Request::Licences => facts(value(&self.licences()?)?),
            Request::Staged => facts(value(&self.staged()?)?),
            Request::Eula(package) => facts(self.eula(&package)?),
            Request::Discard(id) => {
                self.staging().discard(&id)?;
                facts(json!({ "steps": [format!("{id} is removed")] }))
            }
            Request::Health => facts(value(&self.health()?)?),
            Request::Check => self.begin("check", by, |desk, _, _| desk.check()),
            Request::Updates => facts(value(&self.updates()?)?),
            Request::Plan(wanted) => facts(value(&self.plan(&wanted)?)?),
            Request::Preflight(intent) => facts(value(&self.preflight(&intent, &self.look()?, None)?)?),
            Request::DownloadKey => facts(value(&self.download_key()?)?),
            Request::Texts(wanted) => self.begin("texts", by, move |desk, _, _| desk.fetch_texts(&wanted)),
            Request::Notes(wanted) => facts(value(&self.notes(&wanted)?)?),
            Request::FactoryReset(order) => {
                let user = Uid::from_raw(actor.user());
                self.begin("factory-reset", by, move |desk, by, hand| {
                    let progress = |phase, done, of| hand.show(phase, done, of);
                    factory_reset::perform(&desk.change(by)?, &order, user, &progress)
                })
            }
            Request::CancelReset => {
                // In the client's turn, so it does not wait for a job.
                let workplace = Workplace::open(&self.place, Access::Change)?.by(by);
                let done = workplace.agent(&silent).cancel_reset()?;
                facts(json!({ "steps": concluded(&workplace, &done) }))
            }
            Request::Install(order) => self.begin("install", by, move |desk, by, hand| desk.install(&order, by, hand)),
            Request::Stage(order) => self.begin("stage", by, move |desk, by, hand| desk.stage(&order, &by, hand)),
            Request::Commit => self.begin("commit", by, |desk, by, hand| {
                let workplace = desk.change(by)?;
                let done = workplace.agent(&|phase, done, of| hand.show(phase, done, of)).commit()?;
                Ok(concluded(&workplace, &done))
            }),
            Request::Rollback(order) => self.begin("rollback", by, move |desk, by, hand| {
                let workplace = desk.change(by)?;
                let kind = if order.site { Kind::Site } else { Kind::Base };
                let done = workplace.agent(&|phase, done, of| hand.show(phase, done, of)).rollback(kind)?;
                Ok(concluded(&workplace, &done))
            }),
            Request::Upgrade(order) => {
                self.begin("upgrade", by, move |desk, by, hand| desk.begin_upgrade(&order, &by, hand))
            }
            Request::UpgradeOutlook => facts(value(&self.outlook()?)?),
            Request::CancelUpgrade => facts(json!({ "steps": self.cancel_upgrade(&by)? })),
            Request::Mail => facts(self.mail_facts()?),
            Request::TestMail => self.begin("mail", by, |desk, _, _| desk.test_mail()),
            Request::Network => facts(value(&network::facts(&self.data))?),
            Request::SetNetwork(wanted) => {
                let wanted = wanted.checked()?;
                self.begin("network", by, move |desk, _, _| network::set(&desk.data, &desk.network_hook, &wanted))
            }
            request @ (Request::Uploads
            | Request::Upload(_)
            | Request::BeginUpload(_)
            | Request::UploadPiece(_)
            | Request::DiscardUpload(_)
            | Request::FinishUpload(_)) => self.uploading(request, actor),
            Request::Backups => facts(self.backup_facts()?),
            Request::Backup(id) => facts(self.backup_shown(&id)?),
            Request::BackupPiece(piece) => facts(self.backup_piece(&piece)?),
            Request::DeleteBackup(id) => {
                self.backups().remove(&id)?;
                facts(json!({ "steps": [format!("backup {id} is removed")] }))
            }
            Request::CreateBackup(order) => {
                self.begin("backup", by, move |desk, _, hand| desk.create_backup(&order, Cause::Asked, hand))
            }
            Request::TestBackup(order) => self.begin("backup-test", by, |desk, _, _| desk.test_backup(order)),
            Request::Restore(order) => self.begin("restore", by, |desk, by, _| desk.restore(order, by)),
            Request::SetBackups(order) => facts(json!({ "steps": self.set_backups(order)? })),
            Request::Certificates => facts(value(&self.certificates()?)?),
            Request::ImportCertificate(order) => facts(self.import_certificate(&order)?),
            Request::ExportCertificate(wanted) => facts(self.export_certificate(&wanted)?),
            Request::DeleteCertificate(wanted) => facts(self.delete_certificate(&wanted)?),
            Request::BindCertificate(order) => facts(self.bind_certificate(order)?),
            Request::UnbindCertificate(order) => facts(self.unbind_certificate(order)?),
            Request::SigningRequest(order) => facts(self.signing_request(&order)?),
            Request::DeleteSigningRequest(id) => facts(self.delete_signing_request(&id)?),
            Request::ClaimCode => facts(value(&self.people.claim_code()?)?),
            Request::Accounts => facts(value(&self.people.accounts()?)?),
            Request::ChangeAccounts(change) => facts(json!({ "steps": self.people.change(&change, session)? })),
            Request::ForgetAccounts => facts(json!({ "steps": self.people.forget()? })),
            Request::Audit => facts(value(&self.people.log()?)?),
            Request::Support => facts(self.support_contents(actor)?),
            Request::CreateSupport => facts(self.support_bundle(actor)?),
            Request::Restart => self.begin("restart", by, |desk, by, _| desk.end(by, Then::Start)),
            Request::Shutdown => self.begin("shutdown", by, |desk, by, _| desk.end(by, Then::PowerOff)),
        }
    }

    /// Removes what an agent left that was ended in the middle of its work. Nothing of it is needed, so a failure is only said.
    pub fn tidy(&self) {
        // First of all: nothing else may look at what is half restored.
        if let Err(problem) = self.finish_restore().and_then(|()| self.backups().tidy()) {
            log(&problem.to_string());
        }
        if let Err(problem) = self.staging().tidy().and_then(|()| self.uploads().tidy()) {
            log(&problem.to_string());
        }
        if let Err(problem) = self.depot.tidy() {
            log(&problem.to_string());
        }
        if let Err(problem) = self.settle_licences() {
            log(&problem.to_string());
        }
        if let Err(problem) = self.certificates.tidy_requests() {
            log(&problem.to_string());
        }
        // Drawn early, so that `status`, which writes nothing, can tell it.
        if let Err(problem) = self.depot.appliance() {
            log(&problem.to_string());
        }
    }

    pub(super) fn begin(
        &self,
        what: &str,
        by: String,
        work: impl FnOnce(&Self, String, &Hand) -> Result<Vec<String>> + Send + 'static,
    ) -> Result<Answer> {
        let (desk, actor) = (self.clone(), by.clone());
        let job = self.jobs.begin(what, by, For::Somebody, move |hand| work(&desk, actor, hand))?;
        Ok(Answer::Begun(Box::new(job)))
    }

    /// Ends the machine because somebody wants it.
    fn end(&self, by: String, then: Then) -> Result<Vec<String>> {
        self.go_down(self.change(by)?, then)?;
        Ok(vec![match then {
            Then::Start => "restarting".into(),
            Then::PowerOff => "turning off; somebody has to turn the appliance on again".into(),
        }])
    }

    /// Ends the machine, and lets nothing change the disk while it goes down, or until it is clear that it does not.
    pub(super) fn go_down(&self, workplace: Workplace, then: Then) -> Result<()> {
        self.power.go_down(then)?;
        let lock = workplace.into_lock();
        let held = thread::Builder::new().name("going down".into()).spawn(move || {
            thread::sleep(RESTART_LIMIT);
            drop(lock);
        });
        held.map(drop).doing(|| "start a thread that holds the disk".into())
    }

    fn stage(&self, order: &Stage, by: &str, hand: &Hand) -> Result<Vec<String>> {
        let (path, reason) = match order {
            Stage::File(path) => (path, None),
            Stage::Expired(bundle) => (&bundle.file, Some(bundle.reason.as_str())),
            Stage::Depot(id) => return Ok(self.stage_from_depot(id, false, hand)?.steps),
        };
        if let Some(bundle) = bundle(path)? {
            return self.stage_bundle(bundle, reason, by, hand);
        }
        if reason.is_some() {
            return Err(only_bundles());
        }
        let (file, name) = open(path)?;
        let progress = |phase, done, of| hand.show(phase, done, of);
        let trust = self.package_trust(self.look()?.trust())?;
        let (id, release) = self.staging().stage(file, &name, &trust, &self.program, &progress)?;
        Ok(vec![format!("{release} is staged as {id}")])
    }

    /// What runs, and who is signed in, which only the agent itself knows.
    pub(super) fn status(&self) -> Result<Value> {
        let mut facts = status::everything(&self.place)?;
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("console-sessions".into(), self.people.sessions().into());
        }
        Ok(facts)
    }

    fn eula(&self, package: &Package) -> Result<Value> {
        if let Package::Depot(id) = package
            && let Some(terms) = self.terms_in_depot(id)?
        {
            return Ok(terms);
        }
        let (file, name) = self.opened(package)?;
        let workplace = self.look()?;
        let package = PackageFile::glance(file, &name, &self.package_trust(workplace.trust())?, &self.program)?;
        let release = crate::journal::Release::from(package.verified().manifest());
        let digest = package.eula().map(|text| Digest::of(text.as_bytes()));
        let history = workplace.agent(&silent).journal.history()?;
        let accepted = digest.is_some_and(|digest| history.accepted(digest));
        Ok(json!({
            "release": value(&release)?,
            "notes": package.notes(),
            "text": package.eula(),
            "digest": digest,
            "accepted": accepted,
        }))
    }

    /// The checks of base, site and operator, run now. An image file runs nothing that could be healthy.
    pub(super) fn health(&self) -> Result<Vec<Finding>> {
        if self.place.disk.is_some() {
            return Ok(Vec::new());
        }
        health::findings(&self.place.report, self.place.trust.as_deref())
    }

    pub(super) fn opened(&self, package: &Package) -> Result<(File, String)> {
        match package {
            Package::File(path) => open(path),
            Package::Staged(id) => self.staging().open(id),
            Package::Depot(id) => self.staged_from_depot(id),
        }
    }

    pub(super) fn staging(&self) -> Staging {
        Staging::new(&self.data)
    }

    /// Of a disk image file, which nobody else may have open, it waits for whoever has it for a moment.
    pub(super) fn look(&self) -> Result<Workplace> {
        self.workplace(Access::Look)
    }

    /// Waits for the overseer, which needs the disk for moments only: right after a start, or when it keeps what was on trial.
    pub(super) fn change(&self, by: String) -> Result<Workplace> {
        self.workplace(Access::Change).map(|workplace| workplace.by(by))
    }

    fn workplace(&self, access: Access) -> Result<Workplace> {
        let until = Instant::now() + PATIENCE;
        loop {
            match Workplace::open(&self.place, access) {
                Err(Error::Busy(_)) if Instant::now() < until => thread::sleep(Duration::from_millis(100)),
                other => return other,
            }
        }
    }
}

/// What has an age of its own is a path bundle.
pub(super) fn only_bundles() -> Error {
    Error::Usage(
        "only a path bundle can be taken whatever day it is: packages have no last day, and what a server says has to be good today".into(),
    )
}

/// Opens a package file by the path a client named.
pub(super) fn open(path: &Path) -> Result<(File, String)> {
    let name = format!("package \"{}\"", path.display());
    if !path.is_absolute() {
        return Err(Error::Usage(format!("{name}: the path has to be absolute")));
    }
    Ok((named_file::open(path, &name)?, name))
}

pub(super) fn value(facts: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(facts).doing(|| "write JSON".into())
}
