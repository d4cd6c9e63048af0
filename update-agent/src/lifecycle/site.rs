//! The table of the site. Pure.
//!
//! A new site goes live while the base keeps running, and is on trial from then on. The boot state keeps naming the old slot until
//! the trial is won: any restart, crash or power cut brings the old site back by itself, and a commit is one sector. That a trial is
//! under way is told by the journal's open `Try` together with what is really mounted; which start of the machine it began in tells
//! an agent that was killed (and goes on) from a machine that restarted (and has fallen back).
//!
//! The order of effects is the argument, as in `transition`. `Begin` of an installation comes before the first byte. The running
//! slot is named before the other one is written: without a name the initramfs program takes the higher sequence, so a power cut
//! right after the footer would switch before the switch. `Try` is durable before anything is unmounted, so that whatever is found
//! mounted can be explained. The reason why a trial is left is durable before the old site comes back. `Committed` is written down
//! after the boot state names the slot, which says the same.
//!
//! Nothing of this runs on an image file: there the boot state is switched and the next start of a machine is the first.

use formats::SlotId;
use formats::boot_state;

use super::site_state::{SiteState, Still};
use super::transition::{Effect, Refusal, Step};
use crate::journal::{Outcome, Verb};

/// Something that is asked of the agent about the site, or that it finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteEvent {
    /// Someone installs a release that suits.
    Install {
        /// The slot on trial holds this very build.
        same: bool,
        /// It suits the base that waits for its trial, and not the one that runs.
        waits: bool,
    },
    /// The site is healthy, or someone says so.
    Commit,
    /// Someone wants the other release, or does not want the one on trial or the one that waits.
    Rollback,
    /// The site on trial is not healthy.
    Condemn {
        /// Why.
        reason: String,
    },
    /// Bring machine and records up to date with what happened.
    Settle {
        /// Why the named slot does not run, as far as anything tells.
        reason: String,
    },
}

/// What a restart does to a trial, and the way out.
pub const RESTARTED: &str = "the appliance restarted before the site had proved itself; \"update-agent rollback --site\" tries it \
                             again, installing replaces it";

/// Decides; performs nothing.
#[expect(clippy::match_same_arms, reason = "a table: one line per pair, in the order of the events")]
pub fn site_transition(state: &SiteState, event: &SiteEvent) -> Result<Step<SiteState>, Refusal> {
    use SiteEvent as E;
    use SiteState as S;
    match (state, event) {
        (S::Steady(still) | S::Waiting { still, .. } | S::PassedOver(still), E::Install { waits, .. }) => {
            Ok(install(still, *waits))
        }
        (S::Trial { .. }, E::Install { same: true, .. }) => Ok(stay(state)),

        (S::Steady(still), E::Commit) => Ok(note_commit(state, still)),
        (S::Waiting { still, ready: true }, E::Commit) => Ok(try_other(still, Vec::new(), None)),
        (S::Trial { candidate, .. }, E::Commit) => Ok(commit(*candidate)),

        (S::Steady(still) | S::PassedOver(still), E::Rollback) => go_back(still),
        (S::Waiting { still, .. }, E::Rollback) => Ok(take_back(still)),
        (S::Trial { home, candidate }, E::Rollback) => Ok(leave(*home, *candidate, "rolled back on request")),

        (S::Trial { home, candidate }, E::Condemn { reason }) => Ok(leave(*home, *candidate, reason)),
        (S::Steady(_) | S::Waiting { .. } | S::PassedOver(_), E::Condemn { .. }) => Err(Refusal::NothingOnTrial),

        (S::PassedOver(still), E::Settle { reason }) => Ok(keep_substitute(still, reason)),
        (S::Switching { home, candidate }, E::Settle { .. }) => Ok(switch_on(*home, *candidate)),
        (S::NotSwitched { home, .. }, E::Settle { .. }) => Ok(conclude(*home, Outcome::Interrupted)),
        (S::Restarted { home, .. }, E::Settle { .. }) => {
            Ok(conclude(*home, Outcome::FellBack { reason: RESTARTED.into() }))
        }
        (S::Leaving { home, candidate, runs, reason }, E::Settle { .. }) => {
            Ok(leave_on(*home, *candidate, *runs, reason))
        }

        // What cannot be mounted waits for `Settle`, and is no reason against a commit of something else.
        (_, E::Settle { .. }) | (S::Waiting { .. } | S::PassedOver(_), E::Commit) => Ok(stay(state)),
        (
            S::Trial { candidate, .. }
            | S::Switching { candidate, .. }
            | S::NotSwitched { candidate, .. }
            | S::Restarted { candidate, .. }
            | S::Leaving { candidate, .. },
            _,
        ) => Err(Refusal::SiteOnTrial { candidate: *candidate }),
    }
}

fn stay(state: &SiteState) -> Step<SiteState> {
    Step { next: state.clone(), effects: Vec::new() }
}

fn install(still: &Still, waits: bool) -> Step<SiteState> {
    let target = still.spare;
    let mut effects = vec![Effect::Begin(Verb::Install, target, None)];
    effects.extend(pin(still));
    effects.push(Effect::Write(target));
    if !still.live {
        return switch_boot_state(still, target, effects);
    }
    if waits {
        effects.push(Effect::End(Outcome::Waiting));
        return Step { next: SiteState::Waiting { still: still.clone(), ready: false }, effects };
    }
    effects.push(Effect::End(Outcome::Written));
    effects.push(Effect::Begin(Verb::Try, target, None));
    effects.push(Effect::Activate { slot: Some(target), otherwise: still.active });
    Step { next: SiteState::Trial { home: still.active, candidate: target }, effects }
}

fn go_back(still: &Still) -> Result<Step<SiteState>, Refusal> {
    match (&still.no_way_back, still.active) {
        (None, Some(active)) if still.live => {
            let reason = Some("rolled back on request".to_owned());
            Ok(try_other(still, vec![Effect::Prove(!active)], reason))
        }
        (None, Some(active)) => {
            let effects = vec![Effect::Prove(!active), Effect::Begin(Verb::Rollback, !active, None)];
            Ok(switch_boot_state(still, !active, effects))
        }
        (problem, _) => Err(Refusal::NoSite { problem: problem.clone().unwrap_or_default() }),
    }
}

/// The other slot goes live, after `effects`.
fn try_other(still: &Still, mut effects: Vec<Effect>, reason: Option<String>) -> Step<SiteState> {
    let target = still.spare;
    effects.extend(pin(still));
    effects.push(Effect::Begin(Verb::Try, target, reason));
    effects.push(Effect::Activate { slot: Some(target), otherwise: still.active });
    Step { next: SiteState::Trial { home: still.active, candidate: target }, effects }
}

/// On an image file, whose machine tries nothing while it runs.
fn switch_boot_state(still: &Still, target: SlotId, mut effects: Vec<Effect>) -> Step<SiteState> {
    effects.push(Effect::Boot(boot_state::Event::SwitchSite(target)));
    effects.push(Effect::End(Outcome::Switched));
    let still = Still { active: Some(target), named: Some(target), spare: !target, committed: false, ..still.clone() };
    Step { next: SiteState::Steady(still), effects }
}

fn take_back(still: &Still) -> Step<SiteState> {
    let effects = vec![Effect::Note(still.spare, Outcome::Disarmed)];
    Step { next: SiteState::Steady(still.clone()), effects }
}

/// The site that runs proved itself without ever being on trial: it came with the disk, or it is the first one and the power went
/// before its trial was written down. Nothing else is there, so it is named when nothing is.
fn note_commit(state: &SiteState, still: &Still) -> Step<SiteState> {
    let Some(active) = still.active.filter(|active| still.named.is_none_or(|named| named == *active)) else {
        return stay(state);
    };
    let mut effects: Vec<Effect> = pin(still).into_iter().collect();
    if !still.committed {
        effects.push(Effect::Note(active, Outcome::Committed));
    }
    let next = SiteState::Steady(Still { named: Some(active), committed: true, ..still.clone() });
    Step { next, effects }
}

fn commit(candidate: SlotId) -> Step<SiteState> {
    let effects = vec![
        Effect::Boot(boot_state::Event::SwitchSite(candidate)),
        // Of the trial that is open.
        Effect::End(Outcome::Committed),
    ];
    Step { next: settled(Some(candidate)), effects }
}

fn leave(home: Option<SlotId>, candidate: SlotId, reason: &str) -> Step<SiteState> {
    let mut effects = vec![Effect::Begin(Verb::Leave, candidate, Some(reason.into()))];
    let rest = leave_on(home, candidate, true, reason);
    effects.extend(rest.effects);
    Step { effects, ..rest }
}

fn leave_on(home: Option<SlotId>, candidate: SlotId, runs: bool, reason: &str) -> Step<SiteState> {
    let mut effects = Vec::new();
    if runs {
        // Rather none than one that was given up.
        effects.push(Effect::Activate { slot: home, otherwise: None });
    }
    if home.is_none() {
        // Nothing else is there, so the next start would take it again.
        effects.push(Effect::Erase(candidate));
    }
    effects.push(Effect::End(Outcome::FellBack { reason: reason.into() }));
    Step { next: settled(home), effects }
}

fn switch_on(home: Option<SlotId>, candidate: SlotId) -> Step<SiteState> {
    let effects = vec![Effect::Activate { slot: Some(candidate), otherwise: home }];
    Step { next: SiteState::Trial { home, candidate }, effects }
}

/// The one before runs already.
fn conclude(home: Option<SlotId>, outcome: Outcome) -> Step<SiteState> {
    Step { next: settled(home), effects: vec![Effect::End(outcome)] }
}

/// The reason first, for once the boot state is changed nothing on the disk shows any more that another one was meant to run.
fn keep_substitute(still: &Still, reason: &str) -> Step<SiteState> {
    let mut effects = Vec::new();
    if let (Some(named), Some(active)) = (still.named, still.active) {
        effects.push(Effect::Note(named, Outcome::FellBack { reason: reason.into() }));
        effects.push(Effect::Boot(boot_state::Event::SwitchSite(active)));
    }
    Step { next: SiteState::Steady(Still { named: still.active, ..still.clone() }), effects }
}

/// Names the active slot before the other one is written or tried.
fn pin(still: &Still) -> Option<Effect> {
    let active = still.active.filter(|active| still.named != Some(*active))?;
    Some(Effect::Boot(boot_state::Event::SwitchSite(active)))
}

fn settled(active: Option<SlotId>) -> SiteState {
    SiteState::Steady(Still::running(active))
}
