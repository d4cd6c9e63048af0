//! What must be true of every medium a cut left behind, and of every machine started from it.

use formats::manifest::Kind;
use formats::reset_record::Then;
use formats::trust::{Role, TrustStore};
use formats::{Guid, SlotId};
use update_agent::disk::Part;
use update_agent::disk::simulated::{Disk, Medium, Operation};
use update_agent::error::Error;
use update_agent::journal::Journal;
use update_agent::lifecycle::{
    Agent, Done, Facts, Model, PendingReset, ResetRequest, Running, SiteState, Spare, State, derive, derive_site,
    summarize,
};

use super::fixtures::{Release, agent};
use super::machine::{self, Started};

/// What the agent is asked to do.
#[derive(Debug, Clone)]
pub enum Act {
    Install(Box<Release>),
    Commit,
    Rollback(Kind),
    Condemn(Kind),
    Settle,
    FactoryReset,
}

/// A history: a disk, what runs, what is asked, and which release must run and stay in the end.
pub struct Scenario {
    pub name: &'static str,
    pub start: Medium,
    pub running: Running,
    pub act: Act,
    /// Kind and sequence.
    pub goal: (Kind, u64),
    /// Slots that must keep every byte.
    pub untouched: Vec<Part>,
}

/// Runs `work` with an agent on this disk.
pub fn with_agent<T>(disk: &Disk, trust: &TrustStore, started: &Started, work: impl FnOnce(&Agent<'_>) -> T) -> T {
    let journal = Journal::new(disk, || 1_700_000_000);
    let failures = started.failures.clone();
    work(&Agent { journal, failures, ..agent(disk, trust, Some(started.running)) })
}

impl Act {
    pub fn run(&self, agent: &Agent<'_>) -> Result<Done, Error> {
        match self {
            Self::Install(release) => agent.install(&release.verified, &mut release.source(), &Model::default()),
            Self::Commit => agent.commit(),
            Self::Rollback(kind) => agent.rollback(*kind),
            Self::Condemn(kind) => agent.condemn(*kind, "the application is dead"),
            Self::Settle => agent.settle(),
            Self::FactoryReset => agent.factory_reset(&reset()),
        }
    }
}

/// The order of a factory reset; what becomes of it is played by the tests of the crate `reset`.
fn reset() -> ResetRequest<'static> {
    ResetRequest { confirm: "demo.example", then: Then::Start, by: "root", id: Guid::new(42), now: 1_700_000_000 }
}

impl Scenario {
    /// Does what is asked, undisturbed; everything that was written and flushed.
    pub fn play(&self, trust: &TrustStore) -> Vec<Operation> {
        let disk = Disk::new(self.start.clone());
        let started = Started { running: self.running, failures: Vec::new() };
        with_agent(&disk, trust, &started, |agent| self.act.run(agent).unwrap());
        disk.log()
    }

    /// The verdict about a medium after a power cut; `settled` is told what the agent then wrote to settle.
    pub fn after_cut(
        &self,
        medium: &Medium,
        trust: &TrustStore,
        settled: &mut dyn FnMut(&Medium, Vec<Operation>),
    ) -> Result<(), String> {
        let mut medium = medium.clone();
        // Something verified boots.
        let started = machine::start(&mut medium, trust)?;
        self.judge(&medium, &started, trust, settled)
    }

    /// The verdict when only the agent was killed and the machine runs on: after it has settled, things are as if it had not been,
    /// as far as it had come.
    pub fn after_kill(&self, medium: &Medium, trust: &TrustStore) -> Result<(), String> {
        let started = Started { running: self.running, failures: Vec::new() };
        let disk = Disk::new(medium.clone());
        with_agent(&disk, trust, &started, |agent| agent.settle()).map_err(|problem| format!("settling: {problem}"))?;
        let now = disk.medium().site.ok_or("no site is simulated")?;
        if !now.started || (self.running.site.is_some() && now.slot.is_none()) {
            return Err(format!("after settling {now:?} is what runs"));
        }
        self.judge(medium, &started, trust, &mut |_, _| {})
    }

    fn judge(
        &self,
        medium: &Medium,
        started: &Started,
        trust: &TrustStore,
        settled: &mut dyn FnMut(&Medium, Vec<Operation>),
    ) -> Result<(), String> {
        let floors = self.floors(trust);
        let disk = Disk::new(medium.clone());
        self.nothing_lost(&disk, started, trust, floors)?;
        truthful(&disk, started, trust).map_err(|problem| format!("before settling: {problem}"))?;
        with_agent(&disk, trust, started, |agent| agent.settle()).map_err(|problem| format!("settling: {problem}"))?;
        let log = disk.log();
        if !log.is_empty() {
            truthful(&disk, started, trust).map_err(|problem| format!("after settling: {problem}"))?;
        }
        let again = with_agent(&disk, trust, started, |agent| agent.settle()).map_err(|problem| problem.to_string())?;
        if !again.steps.is_empty() || disk.log() != log {
            return Err(format!("settling twice does something: {:?}", again.steps));
        }
        settled(medium, log);
        self.nothing_lost(&disk, started, trust, floors)?;
        self.completes(disk, started.clone(), trust, floors)
    }

    /// The floors of both lines at the start.
    fn floors(&self, trust: &TrustStore) -> [u64; 2] {
        let disk = Disk::new(self.start.clone());
        let started = Started { running: self.running, failures: Vec::new() };
        floors(&with_agent(&disk, trust, &started, |agent| agent.facts().unwrap()))
    }

    fn nothing_lost(&self, disk: &Disk, started: &Started, trust: &TrustStore, before: [u64; 2]) -> Result<(), String> {
        let now = floors(&with_agent(disk, trust, started, |agent| agent.facts().unwrap()));
        if now.iter().zip(before).any(|(now, before)| *now < before) {
            return Err(format!("the floor was lowered from {before:?} to {now:?}"));
        }
        let medium = disk.medium();
        match self.untouched.iter().find(|part| medium.part(**part) != self.start.part(**part)) {
            Some(part) => Err(format!("{part} was changed")),
            None => Ok(()),
        }
    }

    /// An operator who does what status says reaches the goal.
    fn completes(&self, disk: Disk, started: Started, trust: &TrustStore, before: [u64; 2]) -> Result<(), String> {
        let (mut disk, mut started) = (disk, started);
        for _ in 0..MAX_ROUNDS {
            let facts = with_agent(&disk, trust, &started, |agent| agent.facts().unwrap());
            let state = derive(&facts);
            match self.next_move(&facts, state) {
                Move::Done => {
                    truthful(&disk, &started, trust)?;
                    return self.final_check(&facts, before);
                }
                Move::Restart => {
                    let mut medium = disk.medium();
                    started = machine::start(&mut medium, trust)?;
                    disk = Disk::new(medium);
                }
                Move::Act(act) => {
                    with_agent(&disk, trust, &started, |agent| act.run(agent))
                        .map_err(|problem| format!("retry from \"{state}\": {problem}"))?;
                }
            }
        }
        Err("the retry does not complete".into())
    }

    fn next_move(&self, facts: &Facts, state: State) -> Move {
        let (kind, goal) = self.goal;
        let sequence = |slot: SlotId| facts.content(kind, slot).manifest().map(|manifest| manifest.sequence);
        let Some(running) = facts.running else { return Move::Restart };
        match (kind, state) {
            (_, State::Leaving { .. }) => Move::Restart,
            _ if matches!(self.act, Act::FactoryReset) => match facts.reset {
                PendingReset::Asked(_) => Move::Done,
                PendingReset::None | PendingReset::Unusable(_) => Move::Act(self.act.clone()),
            },
            (Kind::Site, _) => self.next_site_move(facts, running.site),
            (_, State::Steady { home, .. }) if sequence(home) == Some(goal) && home == running.base => Move::Done,
            (_, State::Trial { candidate, .. }) if sequence(candidate) == Some(goal) => Move::Act(Act::Commit),
            // The other release was started by the power cut: leave it, as the refusal says.
            (_, State::Trial { .. }) if matches!(self.act, Act::Install(_)) => Move::Act(Act::Rollback(Kind::Base)),
            (_, State::Armed { candidate, .. }) if sequence(candidate) == Some(goal) => Move::Restart,
            _ => Move::Act(self.act.clone()),
        }
    }

    /// A site runs when it is mounted, and stays when the boot state names it.
    fn next_site_move(&self, facts: &Facts, runs: Option<SlotId>) -> Move {
        let goal = self.goal.1;
        let named = facts.boot.and_then(|boot| boot.site);
        let sequence = |slot: SlotId| facts.site.get(slot).manifest().map(|manifest| manifest.sequence);
        match derive_site(facts) {
            SiteState::Trial { candidate, .. } if sequence(candidate) == Some(goal) => Move::Act(Act::Commit),
            SiteState::Trial { .. } => Move::Act(Act::Rollback(Kind::Site)),
            SiteState::Waiting { still, .. } if sequence(still.spare) == Some(goal) => match derive(facts) {
                State::Armed { .. } => Move::Restart,
                _ => Move::Act(Act::Commit),
            },
            // As status says of a trial that a restart ended.
            _ if runs.and_then(sequence) != Some(goal) && matches!(self.act, Act::Commit) => {
                Move::Act(Act::Rollback(Kind::Site))
            }
            _ if runs.and_then(sequence) != Some(goal) => Move::Act(self.act.clone()),
            _ if named.is_none() => Move::Act(Act::Commit),
            _ if named != runs => Move::Restart,
            _ if facts.floor(Kind::Site, "demo-site").is_none_or(|floor| floor < goal) => Move::Act(Act::Commit),
            _ => Move::Done,
        }
    }

    fn final_check(&self, facts: &Facts, before: [u64; 2]) -> Result<(), String> {
        if let PendingReset::Asked(record) = &facts.reset
            && record.floors != facts.floors()
        {
            return Err(format!("the reset would keep {:?} instead of {:?}", record.floors, facts.floors()));
        }
        let now = floors(facts);
        let (kind, goal) = self.goal;
        let of = usize::from(kind == Kind::Site);
        if now[of] < goal || now[1 - of] < before[1 - of] {
            return Err(format!("release {goal} is committed, but the floors are {now:?}"));
        }
        Ok(())
    }
}

enum Move {
    Done,
    Restart,
    Act(Act),
}

fn floors(facts: &Facts) -> [u64; 2] {
    [facts.floor(Kind::Base, "demo-base").unwrap_or(0), facts.floor(Kind::Site, "demo-site").unwrap_or(0)]
}

/// What the agent says against what is.
fn truthful(disk: &Disk, started: &Started, trust: &TrustStore) -> Result<(), String> {
    let medium = disk.medium();
    let facts = with_agent(disk, trust, started, |agent| agent.facts().unwrap());
    let state = derive(&facts);
    let whole = |slot: SlotId| machine::verified_base(&medium, slot, trust);
    let sure = |slot: SlotId, claim: &str| {
        whole(slot)
            .map(drop)
            .map_err(|problem| format!("\"{state}\": slot {slot} is said to be {claim}, but: {problem}"))
    };
    let said = facts.base.get(started.running.base).manifest();
    if said != Some(whole(started.running.base)?.manifest()) {
        return Err("status names another release than runs".into());
    }
    for slot in SlotId::BOTH.into_iter().filter(|slot| facts.is_good(*slot)) {
        sure(slot, "good")?;
    }
    match state {
        State::Steady { home, spare: Spare::Good } => sure(!home, "a way back")?,
        State::Armed { candidate, .. } | State::Trial { candidate, .. } => sure(candidate, "complete")?,
        State::Writing { target, .. } if whole(target).is_ok() && facts.is_good(target) => {
            return Err(format!("slot {target} is said to be incomplete"));
        }
        _ => {}
    }
    truthful_about_site(&facts, &medium, trust)?;
    let actual = machine::start(&mut medium.clone(), trust)?.running;
    match state.starts_next() {
        Some(said) if said != actual.base => {
            return Err(format!("\"{state}\": slot {said} is said to start next, slot {} does", actual.base));
        }
        Some(_) => {}
        None => return Ok(()),
    }
    let said = summarize(&facts).next_restart.site.map(|site| site.slot);
    if said == actual.site {
        Ok(())
    } else {
        Err(format!("site slot {said:?} is said to start next, {:?} does", actual.site))
    }
}

/// What is mounted is verified and suits the base; on trial is what is mounted and not named.
fn truthful_about_site(facts: &Facts, medium: &Medium, trust: &TrustStore) -> Result<(), String> {
    let (state, mounted) = (derive_site(facts), medium.site.and_then(|now| now.slot));
    let whole = |slot: SlotId| machine::verified(medium.part(Part::Site(slot)), trust, Role::Site);
    if let Some(slot) = mounted {
        let site = whole(slot).map_err(|problem| format!("site slot {slot} is mounted, but: {problem}"))?;
        let base = facts.home().ok_or("no base runs")?;
        let suits = site.manifest().requires.base.as_ref().is_none_or(|needed| needed.matches(&base.version));
        if !suits {
            return Err(format!("site slot {slot} runs on a base it does not accept"));
        }
    }
    let named = facts.boot.and_then(|boot| boot.site);
    match &state {
        SiteState::Trial { candidate, .. } if mounted != Some(*candidate) || named == mounted => {
            Err(format!("site slot {candidate} is said to be on trial, {mounted:?} is mounted, {named:?} named"))
        }
        SiteState::Trial { home: Some(home), .. } => {
            whole(*home).map(drop).map_err(|problem| format!("site slot {home} is said to come back, but: {problem}"))
        }
        SiteState::Steady(still) if still.active != mounted => {
            Err(format!("{:?} is said to run, {mounted:?} does", still.active))
        }
        _ => Ok(()),
    }
}

const MAX_ROUNDS: usize = 10;
