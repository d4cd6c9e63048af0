//! When a slot may change. The data flow:
//!
//! 1. `facts` reads the disk (boot state, footers, journal) and what is mounted; `state` (base) and `site_state` derive from it what
//!    the appliance is in the middle of;
//! 2. `transition` (base) and `site` turn (state, event) into (state, effects) or a refusal: pure, total, one line per legal pair;
//! 3. `perform` carries the effects out one after the other; then everything is derived anew from the disk, never from memory.
//!
//! The state is never stored, so no crash can make it lie. Where in the order of effects power may fail without harm is argued in
//! `transition` (boot state against slot) and in [`crate::slot::write`] (within a slot), and enumerated by `tests/crash_states.rs`.
//! Whether a package suits this appliance is decided in `admission`, before the first effect.

mod admission;
mod agent;
mod facts;
mod licence;
mod perform;
mod preview;
mod rates;
mod reset;
mod site;
mod site_state;
mod state;
mod summary;
mod transition;

pub use admission::{Misfit, Model, Unfit, admit};
pub use agent::{Agent, Done, OnTrial, failure_reason, silent};
pub use facts::{Facts, Running, load};
pub use preview::may_replace;
pub use reset::{PendingReset, Request as ResetRequest};
pub use site::{RESTARTED, SiteEvent, site_transition};
pub use site_state::{SiteState, Still, derive_site};
pub use state::{Spare, State, derive};
pub use summary::{Failure, Next, Occupant, Reset, Slot, Summary, Trial, summarize};
pub use transition::{Effect, Event, Refusal, Step, transition};

#[cfg(test)]
mod tests;
