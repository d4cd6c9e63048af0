//! HTML. Text of answers is escaped by the macro that writes it; nothing here writes text around it.
//!
//! Every page works without a script: what it does more with one is in `console.js`.

mod backups;
mod certificates;
mod confirm;
mod frame;
mod install;
mod mail;
mod parts;
mod people;
mod report;
mod settings;
mod status;
mod support;
mod updates;
mod upload;

use maud::Markup;
use serde_json::Value;

pub use certificates::examined;
pub use frame::{frame, plain};
pub use parts::{live, outcome};
pub use people::{claim, sign_in};
pub use updates::{download_key, open_terms};

use super::route::{Page, Query};
use super::view::View;
use super::words::{Language, Words};
use crate::account::Role;
use crate::api::Problem;
use crate::code::Code;

/// The style sheet.
pub const STYLE: &str = include_str!("console.css");
/// The script.
pub const SCRIPT: &str = include_str!("console.js");

/// Whom a page is for, and how they want it.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Their language.
    pub language: Language,
    /// `light`, `dark`, or empty for what their device says.
    pub theme: &'static str,
    /// Who is signed in.
    pub who: Option<(String, Role)>,
    /// What the appliance is called.
    pub appliance: Option<String>,
    /// Proves that a form comes from a page of their session.
    pub proof: String,
}

impl Reader {
    /// The words of their language.
    pub const fn words(&self) -> &'static Words {
        self.language.words()
    }

    /// Whether they may do what this role may.
    pub fn may(&self, role: Role) -> bool {
        self.who.as_ref().is_some_and(|(_, own)| *own >= role)
    }
}

/// An answer of the keeper, or why there is none.
pub type Answer = Result<Value, Problem>;

/// What a page has on it, from the answers to what it asks.
pub fn content(page: Page, reader: &Reader, answers: &[Answer], query: &Query) -> Markup {
    let null = Value::Null;
    let view = |place: usize| match answers.get(place) {
        Some(Ok(value)) => View::of(value),
        _ => View::of(&null),
    };
    // That nobody is told by mail is how an appliance begins, and no fault: the page says it itself.
    let calm = |problem: &&Problem| page == Page::Mail && problem.code == Code::NoMail.word();
    let (nobody, problems): (Vec<_>, Vec<_>) =
        answers.iter().filter_map(|answer| answer.as_ref().err()).partition(calm);
    let body = match page {
        Page::Status => status::status(reader, view(0)),
        Page::Confirm => confirm::confirm(reader, query.what.as_deref(), view(0)),
        Page::Health => status::health(reader, view(0)),
        Page::Updates => updates::updates(reader, view(0), view(1), view(3)),
        Page::Way => {
            let terms: Vec<View<'_>> = (4..answers.len()).map(view).collect();
            updates::way(reader, &query.to_text(), [view(0), view(1), view(2), view(3)], &terms)
        }
        Page::Install => install::install(reader, query, view(0), view(1)),
        Page::History => updates::history(reader, view(0), view(1)),
        Page::Licences => status::licences(reader, view(0)),
        Page::Network => settings::network(reader, view(0)),
        Page::Support => support::support(reader, view(0)),
        Page::Mail => mail::mail(reader, view(0), !nobody.is_empty()),
        Page::Backups => backups::backups(reader, view(0), view(1)),
        Page::Backup => backups::contents(reader, view(0)),
        Page::Certificates => certificates::certificates(reader, view(0)),
        Page::Reset => settings::reset(reader, view(0)),
        Page::Accounts => people::accounts(reader, view(0)),
        Page::Audit => people::audit(reader, view(0)),
    };
    parts::with_problems(&problems, &body)
}
