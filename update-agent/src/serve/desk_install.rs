//! Installing a package for whoever asked: from a file, from staging, or from the depot.

use formats::manifest::Kind;
use formats::reset_record::Then;

use super::desk::{Desk, only_bundles};
use super::desk_bundle::bundle;
use super::job::Hand;
use crate::api::{Install, Package};
use crate::code::Code;
use crate::command::concluded;
use crate::command::install::firmware_model;
use crate::error::{Error, Result};
use crate::lifecycle::Model;
use crate::source::PackageFile;
use crate::workplace::Workplace;
use crate::{certificates, eula};

impl Desk {
    /// Installs what is asked for; a package of the depot is staged for that, and not any more once it is installed.
    pub(super) fn install(&self, order: &Install, by: String, hand: &Hand) -> Result<Vec<String>> {
        let mut steps = self.backup_before((order.backup, order.no_backup.as_deref()), "an installation", &by, hand)?;
        steps.extend(self.install_now(order, by, hand)?);
        Ok(steps)
    }

    fn install_now(&self, order: &Install, by: String, hand: &Hand) -> Result<Vec<String>> {
        if let Package::File(path) = &order.package
            && let Some(bundle) = bundle(path)?
        {
            return self.install_bundle(bundle, order, &by, hand);
        }
        if order.accept_expired.is_some() {
            return Err(only_bundles());
        }
        let Package::Depot(id) = &order.package else { return self.install_file(order, by, hand, &|_| Ok(())) };
        let agreed = self.agreed(id, order.accept_eula, &by)?;
        let staged = self.stage_from_depot(id, true, hand)?;
        let staged_order = Install { package: Package::Staged(staged.id.clone()), ..order.clone() };
        let mut steps: Vec<String> = agreed.into_iter().chain(staged.steps).collect();
        steps.extend(self.install_file(&staged_order, by, hand, &|_| Ok(()))?);
        if staged.fetched {
            self.staging().discard(&staged.id)?;
        }
        Ok(steps)
    }

    /// Installs a package that is here. `still` is asked once nobody else can change anything, and before anything is changed.
    pub(super) fn install_file(
        &self,
        order: &Install,
        by: String,
        hand: &Hand,
        still: &dyn Fn(&Workplace) -> Result<()>,
    ) -> Result<Vec<String>> {
        let (file, name) = self.opened(&order.package)?;
        // Before the disk is taken: a slow or hostile package must not keep the overseer from judging what is on trial.
        let package = self.read(file, &name)?;
        let report = self.begin_report(&order.package, &package, &by, hand);
        let (done, down) = match self.install_read(order, package, by, hand, still) {
            Ok((steps, down)) => (Ok(steps), down),
            Err(problem) => (Err(problem), None),
        };
        // Before a restart, which may end this program at once.
        self.end_report(report, hand, &done);
        down.map_or(Ok(()), |place| self.go_down(place, Then::Start))?;
        done
    }

    /// Installs a package that was read; and what to restart with, where that is wanted.
    fn install_read(
        &self,
        order: &Install,
        mut package: PackageFile,
        by: String,
        hand: &Hand,
        still: &dyn Fn(&Workplace) -> Result<()>,
    ) -> Result<(Vec<String>, Option<Workplace>)> {
        let workplace = self.change(by)?;
        still(&workplace)?;
        let progress = |phase, done, of| hand.show(phase, done, of);
        let agent = workplace.agent(&progress);
        let verified = package.verified().clone();
        let release = verified.manifest();
        let mut steps = vec![format!("{} {}, signed by {}", release.name, release.version, verified.signer_names())];
        steps.extend(package.unconfined());
        steps.extend(eula::pass(&agent.journal, &package, order.accept_eula)?);
        if let Some(site) = &release.site {
            steps.extend(self.coverage(&site.hostname, &agent.facts()?).iter().map(certificates::Finding::words));
        }
        let firmware = if workplace.is_image() { None } else { firmware_model() };
        let model = Model { said: order.hardware.clone(), firmware };
        let with_clock = |problem: Error| match problem.reason() {
            Code::ExpiredKey => match agent.facts() {
                Ok(facts) => problem.with(self.clock(&facts)),
                Err(_) => problem,
            },
            _ => problem,
        };
        if release.kind == Kind::Licence {
            let done = agent.install_licence(&self.licence_store(), &verified, &package, &model);
            steps.extend(done.map_err(with_clock)?);
            return Ok((steps, None));
        }
        let done = agent.install(&verified, &mut package, &model).map_err(with_clock)?;
        steps.extend(concluded(&workplace, &done));
        if release.kind == Kind::Base && !workplace.is_image() {
            if order.restart {
                steps.push("restarting into it".into());
                return Ok((steps, Some(workplace)));
            }
            steps.push("restart to try it; \"update-agent rollback\" takes it back before that".into());
        }
        Ok((steps, None))
    }
}
