//! Accounts, sessions and the audit log of the running agent, in one place that every thread shares.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::account::book::{Book, TOKEN_PREFIX};
use crate::account::claim::ClaimCode;
use crate::account::password::{Hash, Password};
use crate::account::session::{Session, Sessions};
use crate::account::throttle::Throttle;
use crate::account::{Refusal, Role, check_name};
use crate::api::Actor;
use crate::api::people::{Accounts, Change, Entry, Log, TokenEntry};
use crate::audit::{Audit, Deed};
use crate::error::{Doing, Error, Result};
use crate::serve::log;
use crate::workplace::now as unix;

/// All of it. A clone is the same one.
#[derive(Clone)]
pub struct People(Arc<Shared>);

struct Shared {
    data: PathBuf,
    started: Instant,
    /// Whether browsers are answered.
    open: AtomicBool,
    audit: Audit,
    /// Also keeps two changes of the book from being made from the same old one.
    state: Mutex<State>,
    /// Compared with what is typed for a name nobody has, so that it takes as long as for one somebody has.
    nobody: Mutex<Option<Hash>>,
}

#[derive(Default)]
struct State {
    sessions: Sessions,
    throttle: Throttle,
    claim: Option<ClaimCode>,
}

impl People {
    /// Those under `data`, the mounted data partition.
    pub fn new(data: &Path) -> Self {
        Self(Arc::new(Shared {
            data: data.into(),
            started: Instant::now(),
            open: AtomicBool::new(false),
            audit: Audit::new(data),
            state: Mutex::default(),
            nobody: Mutex::default(),
        }))
    }

    /// The firmware's table, in which somebody may have written a claim code when the machine was made. For the first account only, and
    /// before browsers are answered.
    pub fn deployed(&self, table: &[u8]) {
        match ClaimCode::deployed(table) {
            Some(Ok(code)) => self.state().claim = Some(code),
            Some(Err(why)) => log(&why),
            None => {}
        }
    }

    /// From now on somebody far away can sign in.
    pub fn open(&self) {
        self.0.open.store(true, Ordering::Release);
    }

    /// The code by which the first account is made; nothing when there is one, or nobody could type it in anywhere.
    pub fn claim_code(&self) -> Result<Option<String>> {
        if !self.0.open.load(Ordering::Acquire) || !self.book()?.accounts.is_empty() {
            return Ok(None);
        }
        Ok(Some(claim(&mut self.state().claim)?.shown()))
    }

    /// Whether somebody has an account.
    pub fn claimed(&self) -> Result<bool> {
        Ok(!self.book()?.accounts.is_empty())
    }

    /// Makes the first account, an administrator, and signs it in.
    pub fn claim(&self, code: &str, name: &str, password: &Password, source: IpAddr) -> Result<String> {
        let result = self.try_claim(code, name, password, source);
        self.note_door("claim", name, source, outcome(&result));
        result
    }

    fn try_claim(&self, code: &str, name: &str, password: &Password, source: IpAddr) -> Result<String> {
        let mut state = self.state();
        let mut book = self.book()?;
        if !book.accounts.is_empty() {
            return Err(Refusal::Claimed.into());
        }
        self.not_barred(&state, CLAIMING, source)?;
        if !claim(&mut state.claim)?.accepts(code)? {
            state.throttle.failed(CLAIMING, source, self.now());
            return Err(Refusal::WrongClaimCode.into());
        }
        book.add(name, Role::Administrator, password, unix())?;
        book.store(&self.0.data)?;
        state.claim = None;
        state.throttle.passed(CLAIMING, source);
        state.sessions.begin(name, Role::Administrator, source, self.now())
    }

    /// Begins a session and returns its secret.
    pub fn sign_in(&self, name: &str, password: &Password, source: IpAddr) -> Result<String> {
        let result = self.try_sign_in(name, password, source);
        self.note_door("sign-in", name, source, outcome(&result));
        result
    }

    fn try_sign_in(&self, name: &str, password: &Password, source: IpAddr) -> Result<String> {
        let book = self.book()?;
        if book.accounts.is_empty() {
            return Err(Refusal::NotClaimed.into());
        }
        self.not_barred(&self.state(), name, source)?;
        let account = book.account(name);
        // The hash is computed without the lock, which everybody else needs.
        let right = match account {
            Some(account) => account.password.matches(password)?,
            None => self.nobody()?.matches(password)?,
        };
        let mut state = self.state();
        // Nobody signs in whom nobody knows, and whoever was changed or removed while the hash was computed is not who signs in here.
        let now = self.book()?;
        let right = right && account.is_some() && now.account(name) == account;
        self.judge(&mut state, name, source, right)?;
        let account = account.ok_or(Refusal::WrongPassword)?;
        state.sessions.begin(name, account.role, source, self.now())
    }

    /// Counts a password that was right or wrong, and refuses a wrong one. It is asked again whether it may be tried at all: of many guesses
    /// that came at the same time no more than the free ones may count.
    fn judge(&self, state: &mut State, name: &str, source: IpAddr, right: bool) -> Result<()> {
        self.not_barred(state, name, source)?;
        if right {
            state.throttle.passed(name, source);
            return Ok(());
        }
        state.throttle.failed(name, source, self.now());
        Err(Refusal::WrongPassword.into())
    }

    /// Whose session or token this is. `idle` when a page asked by itself.
    pub fn who(&self, secret: &str, source: IpAddr, idle: bool) -> Result<Option<(String, Role)>> {
        // The role is the account's now, also after the file of accounts was restored.
        let book = self.book()?;
        if secret.starts_with(TOKEN_PREFIX) {
            let token = book.token(secret, unix());
            return Ok(token.map(|token| (token.name.clone(), token.role)));
        }
        let session = self.state().sessions.find(secret, self.now(), idle);
        // A stolen cookie is of no use elsewhere. Whose address changes signs in again.
        let here = |session: &Session| session.source.to_canonical() == source.to_canonical();
        let known =
            |session: Session| book.account(&session.account).map(|account| (session.account.clone(), account.role));
        Ok(session.filter(here).and_then(known))
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.state().sessions.count(self.now())
    }

    /// Ends a session.
    pub fn sign_out(&self, secret: &str) {
        self.state().sessions.end(secret);
    }

    /// Who may sign in, without secrets.
    pub fn accounts(&self) -> Result<Accounts> {
        let book = self.book()?;
        let entry = |one: &crate::account::book::Account| Entry {
            name: one.name.clone(),
            role: one.role,
            changed: one.changed,
        };
        let token = |one: &crate::account::book::Token| TokenEntry {
            name: one.name.clone(),
            role: one.role,
            made_by: one.made_by.clone(),
            created: one.created,
            expires: one.expires,
        };
        Ok(Accounts {
            accounts: book.accounts.iter().map(entry).collect(),
            tokens: book.tokens.iter().map(token).collect(),
        })
    }

    /// Changes accounts or tokens; what was done, a sentence each. Sessions end with what they were made from; `keep` is the secret of whoever
    /// asks, whose session goes on when it is their own password.
    pub fn change(&self, change: &Change, keep: Option<&str>) -> Result<Vec<String>> {
        let mut state = self.state();
        let mut book = self.book()?;
        let (step, account) = match change {
            Change::AddAccount { name, role, password } => {
                book.add(name, *role, password, unix())?;
                state.claim = None;
                (format!("{name} is {role}"), None)
            }
            Change::SetPassword { name, password, .. } => {
                book.set_password(name, password, unix())?;
                (format!("{name} has a new password, and every other session of it ended"), Some(name))
            }
            Change::SetRole { name, role } => {
                book.set_role(name, *role)?;
                let ended = if *role < Role::Administrator { tokens_ended(&mut book, name) } else { String::new() };
                (format!("{name} is {role} now and signs in again{ended}"), Some(name))
            }
            Change::RemoveAccount { name } => {
                book.remove(name)?;
                (format!("{name} is removed{}", tokens_ended(&mut book, name)), Some(name))
            }
            Change::AddToken { name, role, days } => {
                if !(1..=MAX_DAYS).contains(days) {
                    return Err(Error::Usage(format!("a token is good for 1 to {MAX_DAYS} days")));
                }
                let now = unix();
                let expires = now.saturating_add(u64::from(*days).saturating_mul(DAY));
                // What a token makes ends with whoever made that token.
                let made_by = match keep {
                    Some(secret) if secret.starts_with(TOKEN_PREFIX) => {
                        book.token(secret, now).and_then(|token| token.made_by.clone())
                    }
                    Some(secret) => state.sessions.find(secret, self.now(), true).map(|session| session.account),
                    None => None,
                };
                (format!("token: {}", book.add_token(name, *role, made_by, now, expires)?), None)
            }
            Change::RemoveToken { name } => {
                book.remove_token(name)?;
                (format!("the token {name} is removed"), None)
            }
        };
        book.store(&self.0.data)?;
        if let Some(account) = account {
            let own = matches!(change, Change::SetPassword { .. });
            state.sessions.end_of(account, keep.filter(|_| own));
        }
        Ok(vec![step])
    }

    /// Whether this is the password of an account; wrong ones count as at signing in.
    pub fn confirm(&self, name: &str, password: &Password, source: IpAddr) -> Result<()> {
        self.not_barred(&self.state(), name, source)?;
        let book = self.book()?;
        let account = book.account(name).ok_or_else(|| Refusal::Unknown(name.into()))?;
        let right = account.password.matches(password)?;
        self.judge(&mut self.state(), name, source, right)
    }

    /// Ends every session: the accounts may be those of another day.
    pub(super) fn end_sessions(&self) {
        self.state().sessions.end_all();
    }

    /// Sets the file of accounts aside.
    pub fn forget(&self) -> Result<Vec<String>> {
        let mut state = self.state();
        let path = self.0.data.join(crate::account::book::FILE);
        let aside = path.with_extension("forgotten");
        match std::fs::rename(&path, &aside) {
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => {}
            done => done.doing(|| format!("set \"{}\" aside", path.display()))?,
        }
        *state = State::default();
        Ok(vec!["all accounts and tokens are forgotten; the claim code makes the first account again".into()])
    }

    /// The last lines of the audit log.
    pub fn log(&self) -> Result<Log> {
        let (mut lines, end) = self.0.audit.lines()?;
        lines.drain(..lines.len().saturating_sub(SHOWN));
        let (head, broken) = match end {
            Ok(head) => (Some(head), None),
            Err(broken) => (None, Some(broken)),
        };
        Ok(Log { lines, head, broken })
    }

    /// What somebody did who was not let in yet, or is now. Refusals that cost whoever asks nothing would drive everything else out of the
    /// log, so they are not in it; and what is no name is not repeated: it may be a password in the wrong field.
    fn note_door(&self, action: &str, name: &str, source: IpAddr, outcome: &str) {
        if ["too-many-tries", "claimed", "not-claimed"].contains(&outcome) {
            return;
        }
        let actor = if check_name(name).is_ok() { name } else { "?" };
        self.note(&Deed { actor, source: &source.to_canonical().to_string(), action, about: "", outcome });
    }

    /// What somebody asked for who may ask.
    pub(super) fn note_asked(&self, actor: &Actor, action: &str, about: &str, outcome: &str) {
        self.note(&Deed { actor: &actor.name(), source: &actor.source(), action, about, outcome });
    }

    /// Writes into the audit log. What happened has happened, so a failure is only said.
    fn note(&self, deed: &Deed<'_>) {
        if let Err(problem) = self.0.audit.write(deed, unix()) {
            log(&format!("{} by {} is not in the audit log: {problem}", deed.action, deed.actor));
        }
    }

    fn not_barred(&self, state: &State, name: &str, source: IpAddr) -> Result<()> {
        match state.throttle.barred(name, source, self.now()) {
            Some(left) => Err(Refusal::TooManyTries(left).into()),
            None => Ok(()),
        }
    }

    fn nobody(&self) -> Result<Hash> {
        let mut nobody = self.0.nobody.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = &*nobody {
            return Ok(hash.clone());
        }
        let hash = Hash::of(&Password::new("nobody".into()))?;
        Ok(nobody.insert(hash).clone())
    }

    fn book(&self) -> Result<Book> {
        Book::load(&self.0.data)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time that nobody can set. Sessions and bars begin anew when the agent does.
    fn now(&self) -> Duration {
        self.0.started.elapsed()
    }
}

/// The word for the audit log.
pub(super) fn outcome<T>(result: &Result<T>) -> &'static str {
    match result {
        Ok(_) => "done",
        Err(problem) => problem.code(),
    }
}

/// Takes the tokens back that an account made, and says so.
fn tokens_ended(book: &mut Book, account: &str) -> String {
    match book.end_tokens_of(account) {
        0 => String::new(),
        count => format!("; with it ended the tokens it had made: {count}"),
    }
}

fn claim(code: &mut Option<ClaimCode>) -> Result<&mut ClaimCode> {
    match code {
        Some(code) => Ok(code),
        None => Ok(code.insert(ClaimCode::draw()?)),
    }
}

/// Stands for the claim code among the accounts that are guessed.
const CLAIMING: &str = " claim";
const MAX_DAYS: u32 = 3650;
const DAY: u64 = 24 * 60 * 60;
/// Lines of the audit log that are shown.
const SHOWN: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

    fn password(text: &str) -> Password {
        Password::new(format!("{text} horse battery"))
    }

    fn claimed() -> (tempfile::TempDir, People, String) {
        let data = tempfile::tempdir().unwrap();
        let people = People::new(data.path());
        people.open();
        let code = people.claim_code().unwrap().unwrap();
        let secret = people.claim(&code, "anna", &password("correct"), HOME).unwrap();
        (data, people, secret)
    }

    fn code<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
        result.unwrap_err().code()
    }

    #[test]
    fn the_first_account_needs_the_code_and_is_made_once() {
        let data = tempfile::tempdir().unwrap();
        let people = People::new(data.path());
        assert_eq!(people.claim_code().unwrap(), None, "nobody could type it in anywhere");
        people.open();
        assert_eq!(code(people.sign_in("anna", &password("correct"), HOME)), "not-claimed");
        assert_eq!(code(people.claim("0000-0000-0000", "anna", &password("correct"), HOME)), "wrong-claim-code");
        let claim = people.claim_code().unwrap().unwrap();
        assert_eq!(code(people.claim(&claim, "anna", &Password::new("short".into()), HOME)), "weak-password");
        let secret = people.claim(&claim, "anna", &password("correct"), HOME).unwrap();
        assert_eq!(people.who(&secret, HOME, false).unwrap(), Some(("anna".into(), Role::Administrator)));
        assert_eq!(people.claim_code().unwrap(), None);
        assert_eq!(code(people.claim(&claim, "otto", &password("correct"), HOME)), "claimed");
    }

    #[test]
    fn a_session_is_good_where_it_began_and_until_it_is_ended() {
        let (_data, people, secret) = claimed();
        assert_eq!(people.who(&secret, AWAY, false).unwrap(), None);
        assert!(people.who(&secret, HOME, false).unwrap().is_some());
        people.sign_out(&secret);
        assert_eq!(people.who(&secret, HOME, false).unwrap(), None);
    }

    #[test]
    fn guessing_is_stopped_also_for_names_nobody_has_and_written_down() {
        let (_data, people, _) = claimed();
        for name in ["anna", "nobody"] {
            for _ in 0..5 {
                assert_eq!(code(people.sign_in(name, &password("wrong"), AWAY)), "wrong-password");
                people.0.state.lock().unwrap().throttle.passed("", AWAY);
            }
            assert_eq!(code(people.sign_in(name, &password("correct"), HOME)), "too-many-tries");
        }
        let log = people.log().unwrap();
        let outcomes: Vec<&str> = log.lines.iter().map(|line| line.outcome.as_str()).collect();
        assert_eq!(outcomes.iter().filter(|one| **one == "wrong-password").count(), 10);
        assert!(log.broken.is_none() && !outcomes.contains(&"too-many-tries"), "what costs nothing fills no log");
    }

    #[test]
    fn sessions_end_with_what_they_were_made_from() {
        let (_data, people, own) = claimed();
        let add = Change::AddAccount { name: "otto".into(), role: Role::Administrator, password: password("another") };
        people.change(&add, None).unwrap();
        let otto = people.sign_in("otto", &password("another"), HOME).unwrap();
        let second = people.sign_in("anna", &password("correct"), HOME).unwrap();
        let new = Change::SetPassword { name: "anna".into(), password: password("new"), present: None };
        people.change(&new, Some(&own)).unwrap();
        assert!(people.who(&own, HOME, false).unwrap().is_some(), "who changed it stays");
        assert_eq!(people.who(&second, HOME, false).unwrap(), None);
        people.change(&Change::SetRole { name: "otto".into(), role: Role::Viewer }, Some(&own)).unwrap();
        assert_eq!(people.who(&otto, HOME, false).unwrap(), None);
        let otto = people.sign_in("otto", &password("another"), HOME).unwrap();
        people.change(&Change::RemoveAccount { name: "otto".into() }, Some(&own)).unwrap();
        assert_eq!(people.who(&otto, HOME, false).unwrap(), None);
    }

    #[test]
    fn tokens_end_with_the_administrator_who_made_them_and_bear_nobody_elses_name() {
        let (_data, people, own) = claimed();
        let add = |name: &str| Change::AddAccount {
            name: name.into(),
            role: Role::Administrator,
            password: password("another"),
        };
        let token = |name: &str, by: Option<&str>| {
            let add = Change::AddToken { name: name.into(), role: Role::Administrator, days: 1 };
            let step = people.change(&add, by).map_err(|problem| problem.code())?.remove(0);
            Ok::<_, &str>(step.strip_prefix("token: ").unwrap().to_owned())
        };
        people.change(&add("otto"), None).unwrap();
        let otto = people.sign_in("otto", &password("another"), HOME).unwrap();
        let first = token("first", Some(&otto)).unwrap();
        let second = token("second", Some(&first)).unwrap();
        let others = [token("of-anna", Some(&own)).unwrap(), token("here", None).unwrap()];
        assert_eq!(token("otto", None), Err("name-taken"));
        assert_eq!(code(people.change(&add("first"), None)), "name-taken");
        let listed = people.accounts().unwrap().tokens;
        assert_eq!(
            listed.iter().map(|one| one.made_by.as_deref()).collect::<Vec<_>>(),
            [Some("otto"), Some("otto"), Some("anna"), None]
        );

        let steps = people.change(&Change::SetRole { name: "otto".into(), role: Role::Operator }, Some(&own)).unwrap();
        assert_eq!(steps, ["otto is operator now and signs in again; with it ended the tokens it had made: 2"]);
        assert!([&first, &second].iter().all(|one| people.who(one, HOME, false).unwrap().is_none()));
        assert!(others.iter().all(|one| people.who(one, HOME, false).unwrap().is_some()));
        people.end_sessions();
        assert_eq!(people.who(&own, HOME, false).unwrap(), None);
        assert!(people.who(&others[0], HOME, false).unwrap().is_some(), "a token is no session");
    }

    #[test]
    fn a_token_is_good_from_anywhere_until_it_is_removed() {
        let (_data, people, _) = claimed();
        let add = Change::AddToken { name: "ci".into(), role: Role::Operator, days: 1 };
        let step = people.change(&add, None).unwrap().remove(0);
        let secret = step.strip_prefix("token: ").unwrap();
        assert_eq!(people.who(secret, AWAY, false).unwrap(), Some(("ci".into(), Role::Operator)));
        let shown = serde_json::to_string(&people.accounts().unwrap()).unwrap();
        assert!(shown.contains("ci") && !shown.contains(secret));
        people.change(&Change::RemoveToken { name: "ci".into() }, None).unwrap();
        assert_eq!(people.who(secret, AWAY, false).unwrap(), None);
        for days in [0, 3651] {
            let wrong = Change::AddToken { name: "ci".into(), role: Role::Operator, days };
            assert_eq!(code(people.change(&wrong, None)), "usage");
        }
    }

    #[test]
    fn who_is_at_the_machine_can_begin_anew() {
        let (data, people, secret) = claimed();
        let before = std::fs::read(data.path().join(crate::account::book::FILE)).unwrap();
        people.forget().unwrap();
        assert_eq!(people.who(&secret, HOME, false).unwrap(), None);
        assert!(people.claim_code().unwrap().is_some());
        assert_eq!(std::fs::read(data.path().join("bulkhead/accounts.forgotten")).unwrap(), before);
        people.forget().unwrap();
    }
}
