//! The table of the site. Pure.
//!
//! A site is switched in the boot state's variable `site` while the base keeps running. Both slots may hold a complete release; the
//! initramfs program takes the named one and, when that cannot be mounted or does not suit the base, the other. So a site has no
//! tries to count: what is switched to either starts or is passed over, and the agent notes which.

use formats::SlotId;
use formats::boot_state;

use super::transition::{Effect, Step};
use crate::journal::{Outcome, Verb};

/// Which site slot runs, and which one is meant to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteState {
    /// The one that runs, or on an image file the one that would.
    pub active: Option<SlotId>,
    /// The one the boot state names.
    pub named: Option<SlotId>,
    /// The other slot holds a complete release that suits the bases that may start.
    pub way_back: bool,
    /// The active release was committed once.
    pub committed: bool,
    /// The one the boot state named when the machine started; nothing on an image file. If that is not the one that runs, it was
    /// passed over.
    pub named_then: Option<SlotId>,
}

impl SiteState {
    /// The slot the machine was to run its site from and does not. A slot switched to since the start is none: it waits.
    pub fn passed_over(&self) -> Option<SlotId> {
        self.named_then.filter(|named| self.named == Some(*named) && self.active.is_some_and(|active| active != *named))
    }
}

/// Something that is asked of the agent about the site, or that it finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteEvent {
    /// Someone installs a release that suits.
    Install,
    /// The site is healthy.
    Commit,
    /// Someone wants the other release.
    Rollback,
    /// Bring the records up to date with what happened.
    Settle {
        /// Why the named slot does not run, as far as anything tells.
        reason: String,
    },
}

/// Decides; performs nothing. `None`: there is nothing to roll back to.
pub fn site_transition(state: SiteState, event: &SiteEvent) -> Option<Step<SiteState>> {
    let stay = Step { next: state, effects: Vec::new() };
    match (event, state.active) {
        (SiteEvent::Install, active) => {
            let target = active.map_or(SlotId::A, |active| !active);
            let mut effects = vec![Effect::Begin(Verb::Install, target, None)];
            effects.extend(pin(state));
            effects.push(Effect::Write(target));
            effects.push(Effect::Boot(boot_state::Event::SwitchSite(target)));
            effects.push(Effect::End(Outcome::Switched));
            Some(switched(state, target, effects))
        }
        (SiteEvent::Rollback, Some(active)) if state.way_back => {
            let effects = vec![
                Effect::Prove(!active),
                Effect::Begin(Verb::Rollback, !active, None),
                Effect::Boot(boot_state::Event::SwitchSite(!active)),
                Effect::End(Outcome::Switched),
            ];
            Some(switched(state, !active, effects))
        }
        (SiteEvent::Rollback, _) => None,
        // The one that runs is the one that was meant to: it proved itself.
        (SiteEvent::Commit, Some(active)) if state.named == Some(active) && !state.committed => {
            let effects = vec![Effect::Note(active, Outcome::Committed)];
            Some(Step { next: SiteState { committed: true, ..state }, effects })
        }
        (SiteEvent::Settle { reason }, Some(active)) => match state.passed_over() {
            Some(named) => {
                let effects = vec![
                    Effect::Note(named, Outcome::FellBack { reason: reason.clone() }),
                    Effect::Boot(boot_state::Event::SwitchSite(active)),
                ];
                Some(Step { next: SiteState { named: Some(active), ..state }, effects })
            }
            None => Some(stay),
        },
        (SiteEvent::Commit | SiteEvent::Settle { .. }, _) => Some(stay),
    }
}

/// Names the active slot before the other one is written: without a name the initramfs program takes the higher sequence, so a power
/// cut right after the footer would switch before the switch.
fn pin(state: SiteState) -> Option<Effect> {
    let active = state.active.filter(|active| state.named != Some(*active))?;
    Some(Effect::Boot(boot_state::Event::SwitchSite(active)))
}

/// What runs stays mounted until the site is restarted; from then on `target` is the active one.
fn switched(state: SiteState, target: SlotId, effects: Vec<Effect>) -> Step<SiteState> {
    Step { next: SiteState { named: Some(target), committed: false, ..state }, effects }
}
