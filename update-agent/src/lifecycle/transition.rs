//! The table: every legal pair of state and event of the base, and what is to be done. Pure.
//!
//! The order of effects is the argument. `Begin` comes first, so that whatever is found after a power cut can be explained.
//! `BeginWrite` comes before the first byte of a slot changes: GRUB must not choose a slot that is being overwritten. `Arm` comes
//! after the slot is complete and proved: GRUB must not count a try of something that cannot start. Boot state changes are one
//! sector, so each is either made or not. `End` comes last: what it says is true already, and if it is missing, `Settle` derives it
//! from the boot state.

use formats::SlotId;
use formats::boot_state;

use super::state::{Spare, State};
use crate::code::Code;
use crate::journal::{Outcome, Verb};

/// Something that is asked of the agent, or that it finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Someone installs a release that suits this appliance. `same` when the slot armed or on trial holds this very build.
    Install {
        /// The candidate is this build already.
        same: bool,
    },
    /// The machine is healthy, or someone says so.
    Commit,
    /// Someone wants the release before this one, or wants an installation taken back.
    Rollback,
    /// The release on trial is not healthy.
    Condemn {
        /// Why.
        reason: String,
    },
    /// The agent starts, or is about to do something else: bring the records up to date with what happened.
    Settle {
        /// Why the release on trial failed, as far as anything tells.
        reason: String,
    },
}

/// One thing to do. A slot is always that of the base or site the step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make the intent durable.
    Begin(Verb, SlotId, Option<String>),
    /// Change the boot state.
    Boot(boot_state::Event),
    /// Write the release into the slot, see [`crate::slot::write`].
    Write(SlotId),
    /// Read the whole slot and compare it with its root hash.
    Prove(SlotId),
    /// Make the slot empty for everyone who asks.
    Erase(SlotId),
    /// Let the site in `slot` run now, or none; when that fails, the one in `otherwise` again.
    Activate {
        /// The site to run.
        slot: Option<SlotId>,
        /// The site to run when that one cannot.
        otherwise: Option<SlotId>,
    },
    /// Write both blocks of the boot state anew for this running slot.
    Rebuild(SlotId),
    /// Note in the journal how the intent ended.
    End(Outcome),
    /// Note in the journal what happened to a slot without an intent.
    Note(SlotId, Outcome),
}

/// The answer to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<S> {
    /// The state when all effects are done.
    pub next: S,
    /// What to do, in this order.
    pub effects: Vec<Effect>,
}

/// Why an event is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Installing while a release is on trial.
    #[error(
        "slot {candidate} is on trial; commit it with \"update-agent commit\" or leave it with \"update-agent rollback\" first"
    )]
    OnTrial {
        /// The slot.
        candidate: SlotId,
    },
    /// Anything but a restart after the running slot was given up.
    #[error("slot {running} runs but was given up; restart into slot {home} first")]
    RestartFirst {
        /// The slot that runs.
        running: SlotId,
        /// The slot that starts next.
        home: SlotId,
    },
    /// Committing what has not started.
    #[error(
        "slot {candidate} has not been started yet; restart to try it, or take it back with \"update-agent rollback\""
    )]
    NotStarted {
        /// The slot.
        candidate: SlotId,
    },
    /// Rolling back without anything to go back to.
    #[error("there is nothing to roll back to: slot {slot} {}", match .spare {
        Spare::Unproven => "holds a release that never proved itself; install that release again",
        _ => "holds no complete release; install the release you want",
    })]
    NoWayBack {
        /// The other slot.
        slot: SlotId,
        /// What is in it.
        spare: Spare,
    },
    /// Condemning what is not on trial.
    #[error("nothing is on trial; \"update-agent rollback\" goes back to the release before this one")]
    NothingOnTrial,
    /// Changing the site while one is on trial.
    #[error(
        "site slot {candidate} is on trial; wait for its commit, keep it with \"update-agent commit\" or leave it with \"update-agent \
         rollback --site\" first"
    )]
    SiteOnTrial {
        /// The slot.
        candidate: SlotId,
    },
    /// Rolling the site back without anything to go back to.
    #[error("there is no site to go back to: {problem}; install the site you want")]
    NoSite {
        /// What is wrong with the other slot.
        problem: String,
    },
    /// A change without a good slot to fall back to.
    #[error(
        "no slot is marked good, so nothing may be given away; start slot {slot} and let the agent commit it first"
    )]
    NoGoodSlot {
        /// The first slot.
        slot: SlotId,
    },
    /// A change without a boot state.
    #[error("both blocks of the boot state are lost; start the appliance and let the agent rebuild them first")]
    Lost,
    /// Anything that changes what is installed or committed while a factory reset waits.
    #[error(
        "a factory reset waits for the restart; restart, or take it back with \"update-agent factory-reset --cancel\" first"
    )]
    ResetPending,
}

impl Refusal {
    /// The code of this refusal.
    pub const fn code(&self) -> Code {
        match self {
            Self::OnTrial { .. } => Code::OnTrial,
            Self::SiteOnTrial { .. } => Code::SiteOnTrial,
            Self::RestartFirst { .. } => Code::RestartFirst,
            Self::NotStarted { .. } => Code::NotStarted,
            Self::NoWayBack { .. } => Code::NoWayBack,
            Self::NothingOnTrial => Code::NothingOnTrial,
            Self::NoSite { .. } => Code::NoSiteToGoBackTo,
            Self::NoGoodSlot { .. } => Code::NoGoodSlot,
            Self::Lost => Code::BootStateLost,
            Self::ResetPending => Code::ResetPending,
        }
    }
}

/// Decides; performs nothing.
#[expect(clippy::match_same_arms, reason = "a table: one line per pair, in the order of the events")]
pub fn transition(state: State, event: &Event) -> Result<Step<State>, Refusal> {
    use Event as E;
    use State as S;
    match (state, event) {
        (S::Steady { home, .. } | S::Writing { home, .. } | S::Failed { home, .. }, E::Install { .. }) => {
            Ok(install(home))
        }
        // Installing the same release twice is done when it is done once; another one takes the place of the first.
        (S::Armed { .. } | S::Trial { .. }, E::Install { same: true }) => Ok(stay(state)),
        (S::Armed { home, .. } | S::NotLoaded { home, .. }, E::Install { .. }) => Ok(install(home)),
        (S::Trial { candidate, .. }, E::Install { .. }) => Err(Refusal::OnTrial { candidate }),

        (S::Steady { .. }, E::Commit) => Ok(stay(state)),
        (S::Trial { home, candidate, .. }, E::Commit) => Ok(commit(candidate, Some(home))),
        (S::Unproven { slot, runs: true }, E::Commit) => Ok(commit(slot, None)),
        (S::Armed { candidate, .. }, E::Commit) => Err(Refusal::NotStarted { candidate }),
        // What waits for `Settle` is not pending for a commit: the running slot is good.
        (S::Writing { .. } | S::NotLoaded { .. } | S::Failed { .. }, E::Commit) => Ok(stay(state)),

        (S::Steady { home, spare: Spare::Good }, E::Rollback) => Ok(go_back(home)),
        (S::Steady { home, spare }, E::Rollback) => Err(Refusal::NoWayBack { slot: !home, spare }),
        (S::Writing { target, .. }, E::Rollback) => Err(Refusal::NoWayBack { slot: target, spare: Spare::Nothing }),
        (S::Failed { failed, .. }, E::Rollback) => Err(Refusal::NoWayBack { slot: failed, spare: Spare::Unproven }),
        (S::Armed { home, candidate, .. }, E::Rollback) => Ok(disarm(home, candidate)),
        (S::NotLoaded { candidate, .. }, E::Rollback) => {
            Err(Refusal::NoWayBack { slot: candidate, spare: Spare::Unproven })
        }
        (S::Trial { home, candidate, .. }, E::Rollback) => Ok(leave(home, candidate, "rolled back on request")),

        (S::Trial { home, candidate, .. }, E::Condemn { reason }) => Ok(leave(home, candidate, reason)),
        (
            S::Steady { .. } | S::Writing { .. } | S::Armed { .. } | S::NotLoaded { .. } | S::Failed { .. },
            E::Condemn { .. },
        ) => Err(Refusal::NothingOnTrial),

        (S::Lost { running: Some(slot) }, E::Settle { .. }) => {
            Ok(Step { next: S::Steady { home: slot, spare: Spare::Unproven }, effects: vec![Effect::Rebuild(slot)] })
        }
        // Now and not after its other tries: what could not be loaded once waits for nobody's next restart to fail again.
        (S::NotLoaded { home, candidate, .. }, E::Settle { reason }) => Ok(conclude_failure(home, candidate, reason)),
        (S::Failed { home, failed }, E::Settle { reason }) => Ok(conclude_failure(home, failed, reason)),
        // An intent without an end is ended by the agent, which knows it; nothing else is due.
        (_, E::Settle { .. }) => Ok(stay(state)),

        (S::Leaving { home, running }, _) => Err(Refusal::RestartFirst { running, home }),
        (S::Unproven { slot, .. }, _) => Err(Refusal::NoGoodSlot { slot }),
        (S::Lost { .. }, _) => Err(Refusal::Lost),
    }
}

fn stay(state: State) -> Step<State> {
    Step { next: state, effects: Vec::new() }
}

fn install(home: SlotId) -> Step<State> {
    let target = !home;
    let effects = vec![
        Effect::Begin(Verb::Install, target, None),
        Effect::Boot(boot_state::Event::BeginWrite(target)),
        Effect::Write(target),
        Effect::Boot(boot_state::Event::Arm(target)),
        Effect::End(Outcome::Armed),
    ];
    Step { next: State::Armed { home, candidate: target, tries: boot_state::TRIAL_TRIES }, effects }
}

fn commit(slot: SlotId, home: Option<SlotId>) -> Step<State> {
    let effects = vec![
        Effect::Begin(Verb::Commit, slot, None),
        Effect::Boot(boot_state::Event::Commit(slot)),
        Effect::End(Outcome::Committed),
    ];
    // The old home stays good: it is the way back.
    let spare = if home.is_some() { Spare::Good } else { Spare::Nothing };
    Step { next: State::Steady { home: slot, spare }, effects }
}

fn go_back(home: SlotId) -> Step<State> {
    let spare = !home;
    let effects = vec![
        // Before anything is written: a slot that rotted while it was not used must not get a trial.
        Effect::Prove(spare),
        Effect::Begin(Verb::Rollback, spare, None),
        Effect::Boot(boot_state::Event::Arm(spare)),
        Effect::End(Outcome::Armed),
    ];
    Step { next: State::Armed { home, candidate: spare, tries: boot_state::TRIAL_TRIES }, effects }
}

fn disarm(home: SlotId, candidate: SlotId) -> Step<State> {
    let effects = vec![
        Effect::Begin(Verb::Disarm, candidate, None),
        Effect::Boot(boot_state::Event::GiveUp(candidate)),
        Effect::End(Outcome::Disarmed),
    ];
    Step { next: State::Steady { home, spare: Spare::Unproven }, effects }
}

fn leave(home: SlotId, candidate: SlotId, reason: &str) -> Step<State> {
    let effects = vec![
        // The reason is durable before the slot is given up: a fall back nobody can explain is worse than a late one.
        Effect::Begin(Verb::Leave, candidate, Some(reason.into())),
        Effect::Boot(boot_state::Event::GiveUp(candidate)),
        Effect::End(Outcome::FellBack { reason: reason.into() }),
    ];
    Step { next: State::Leaving { home, running: candidate }, effects }
}

/// The reason first, for once the boot state is changed nothing on the disk shows any more that there was a trial.
fn conclude_failure(home: SlotId, failed: SlotId, reason: &str) -> Step<State> {
    let effects = vec![
        Effect::Note(failed, Outcome::FellBack { reason: reason.into() }),
        Effect::Boot(boot_state::Event::GiveUp(failed)),
    ];
    Step { next: State::Steady { home, spare: Spare::Unproven }, effects }
}
