//! The accounts and tokens of an appliance, in one file that is replaced in one step.
//!
//! A power cut leaves the old or the new file, whole. A file that cannot be read lets nobody in and is never replaced: whoever is at the
//! machine can set it aside (`update-agent account forget-all`), after which the appliance is claimed anew.

use std::io;
use std::path::{Path, PathBuf};

use formats::Digest;
use serde::{Deserialize, Serialize};

use super::password::{Hash, Password};
use super::{Refusal, Role, check_name};
use crate::chance;
use crate::error::{Doing, Error, Result};
use crate::plain_file;

/// The file, below the data partition.
pub const FILE: &str = "bulkhead/accounts.json";

/// Somebody who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Account {
    /// What it is called; see [`check_name`].
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Of its password.
    pub password: Hash,
    /// When the password was set; seconds since 1970.
    pub changed: u64,
}

/// What a program signs in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Token {
    /// What it is called, as accounts are.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the secret, which has 32 random bytes of its own: nobody can go through all of them, so it needs no slow hash.
    pub digest: Digest,
    /// The account that made it, and with which it ends; nothing when it was made at the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// When it was made; seconds since 1970.
    pub created: u64,
    /// When it ends; seconds since 1970.
    pub expires: u64,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Book {
    format: u32,
    /// In the order they were made.
    pub accounts: Vec<Account>,
    /// In the order they were made.
    pub tokens: Vec<Token>,
}

impl Default for Book {
    fn default() -> Self {
        Self { format: FORMAT, accounts: Vec::new(), tokens: Vec::new() }
    }
}

impl Book {
    /// What is kept under `data`, the mounted data partition; nothing in it when nothing is.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn load(data: &Path) -> Result<Self> {
        let path = data.join(FILE);
        let damaged = |why: String| Error::from(Refusal::Damaged { path: path.clone(), why });
        match plain_file::read(&path, MAX_FILE) {
            Ok(bytes) => {
                let book: Self = serde_json::from_slice(&bytes).map_err(|problem| damaged(problem.to_string()))?;
                match book.format {
                    FORMAT => Ok(book),
                    format => Err(damaged(format!("it has format {format}, and this agent knows {FORMAT}"))),
                }
            }
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(problem) => Err(problem).doing(|| format!("read \"{}\"", path.display())),
        }
    }

    /// Keeps it. Durable on return.
    pub fn store(&self, data: &Path) -> Result<()> {
        let path: PathBuf = data.join(FILE);
        let doing = || format!("write \"{}\"", path.display());
        let bytes = serde_json::to_vec(self).doing(doing)?;
        std::fs::create_dir_all(data.join("bulkhead")).doing(doing)?;
        plain_file::replace(&path, &path.with_extension("new"), &bytes, 0o600).doing(doing)
    }

    /// The account of this name.
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }

    /// Adds an account.
    ///
    /// # Errors
    /// When name or password break their rules, the name is taken, or there are too many.
    pub fn add(&mut self, name: &str, role: Role, password: &Password, now: u64) -> Result<()> {
        check_name(name).map_err(Error::Usage)?;
        password.check(name).map_err(|rule| Refusal::WeakPassword(rule.into()))?;
        self.not_taken(name)?;
        if self.accounts.len() >= MAX_ACCOUNTS {
            return Err(Refusal::Full { most: MAX_ACCOUNTS, what: "accounts" }.into());
        }
        self.accounts.push(Account { name: name.into(), role, password: Hash::of(password)?, changed: now });
        Ok(())
    }

    /// Sets a password.
    ///
    /// # Errors
    /// When it breaks the rules, is the one before, or there is no such account.
    pub fn set_password(&mut self, name: &str, password: &Password, now: u64) -> Result<()> {
        password.check(name).map_err(|rule| Refusal::WeakPassword(rule.into()))?;
        let account = self.find(name)?;
        if account.password.matches(password)? {
            return Err(Refusal::WeakPassword("this is the password the account has already".into()).into());
        }
        account.password = Hash::of(password)?;
        account.changed = now;
        Ok(())
    }

    /// Gives an account another role. The last administrator stays one.
    pub fn set_role(&mut self, name: &str, role: Role) -> Result<()> {
        self.find(name)?;
        if role < Role::Administrator {
            self.keep_an_administrator(name)?;
        }
        self.find(name)?.role = role;
        Ok(())
    }

    /// Removes an account. The last administrator stays.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        self.find(name)?;
        self.keep_an_administrator(name)?;
        self.accounts.retain(|account| account.name != name);
        Ok(())
    }

    /// Makes a token and returns its secret, which nobody can tell again.
    pub fn add_token(
        &mut self,
        name: &str,
        role: Role,
        made_by: Option<String>,
        now: u64,
        expires: u64,
    ) -> Result<String> {
        check_name(name).map_err(Error::Usage)?;
        self.not_taken(name)?;
        if self.tokens.len() >= MAX_TOKENS {
            return Err(Refusal::Full { most: MAX_TOKENS, what: "tokens" }.into());
        }
        let secret = format!("{TOKEN_PREFIX}{}", Digest(chance::draw()?));
        let digest = Digest::of(secret.as_bytes());
        self.tokens.push(Token { name: name.into(), role, digest, made_by, created: now, expires });
        Ok(secret)
    }

    /// Removes a token.
    pub fn remove_token(&mut self, name: &str) -> Result<()> {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.name != name);
        if self.tokens.len() == before { Err(Refusal::Unknown(name.into()).into()) } else { Ok(()) }
    }

    /// The token with this secret, if it is good now. Digests are compared, so how long that takes tells nothing about secrets.
    pub fn token(&self, secret: &str, now: u64) -> Option<&Token> {
        let digest = Digest::of(secret.as_bytes());
        self.tokens.iter().find(|token| token.digest == digest && now < token.expires)
    }

    /// Removes the tokens an account made, and says how many that were.
    pub fn end_tokens_of(&mut self, account: &str) -> usize {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.made_by.as_deref() != Some(account));
        before.saturating_sub(self.tokens.len())
    }

    /// Accounts and tokens have names of their own, or the audit log would not say who it was.
    fn not_taken(&self, name: &str) -> Result<()> {
        if self.account(name).is_some() || self.tokens.iter().any(|token| token.name == name) {
            return Err(Refusal::Exists(name.into()).into());
        }
        Ok(())
    }

    fn find(&mut self, name: &str) -> Result<&mut Account> {
        self.accounts
            .iter_mut()
            .find(|account| account.name == name)
            .ok_or_else(|| Refusal::Unknown(name.into()).into())
    }

    fn keep_an_administrator(&self, besides: &str) -> Result<()> {
        let other = |account: &&Account| account.name != besides && account.role == Role::Administrator;
        match (self.account(besides).map(|account| account.role), self.accounts.iter().find(other)) {
            (Some(Role::Administrator), None) => Err(Refusal::LastAdministrator(besides.into()).into()),
            _ => Ok(()),
        }
    }
}

/// What the secret of every token begins with, so that one that was left somewhere is recognised.
pub const TOKEN_PREFIX: &str = "bulkhead-";
const FORMAT: u32 = 1;
const MAX_FILE: usize = 256 << 10;
const MAX_ACCOUNTS: usize = 100;
const MAX_TOKENS: usize = 100;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn good(text: &str) -> Password {
        Password::new(format!("{text} horse battery"))
    }

    fn book() -> Book {
        let mut book = Book::default();
        book.add("anna", Role::Administrator, &good("correct"), 1).unwrap();
        book.add("otto", Role::Operator, &good("another"), 2).unwrap();
        book
    }

    #[test]
    fn it_comes_back_as_it_was_kept_and_only_its_owner_reads_it() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(Book::load(data.path()).unwrap(), Book::default());
        let book = book();
        book.store(data.path()).unwrap();
        assert_eq!(Book::load(data.path()).unwrap(), book);
        let mode = fs::metadata(data.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_lets_nobody_in_and_stays_as_it_is() {
        let data = tempfile::tempdir().unwrap();
        book().store(data.path()).unwrap();
        let path = data.path().join(FILE);
        let whole = fs::read_to_string(&path).unwrap();
        for bad in [&whole[..whole.len() - 2], "", &whole.replacen("\"format\":1", "\"format\":2", 1)] {
            fs::write(&path, bad).unwrap();
            let problem = Book::load(data.path()).unwrap_err();
            assert_eq!(problem.code(), "accounts-damaged", "{bad}");
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
    }

    #[test]
    fn names_are_taken_once_and_somebody_can_always_administer() {
        let mut book = book();
        let code = |result: Result<()>| result.map_err(|problem| problem.code());
        assert_eq!(code(book.add("anna", Role::Viewer, &good("third"), 3)), Err("name-taken"));
        assert_eq!(code(book.add("a b", Role::Viewer, &good("third"), 3)), Err("usage"));
        assert_eq!(code(book.add("eva", Role::Viewer, &Password::new("short".into()), 3)), Err("weak-password"));
        assert_eq!(code(book.remove("anna")), Err("last-administrator"));
        assert_eq!(code(book.set_role("anna", Role::Operator)), Err("last-administrator"));
        assert_eq!(code(book.remove("nobody")), Err("no-account"));
        book.set_role("otto", Role::Administrator).unwrap();
        book.remove("anna").unwrap();
        assert_eq!(code(book.remove("otto")), Err("last-administrator"));
        for number in 0..MAX_ACCOUNTS - 1 {
            // One hash for all, which would take minutes otherwise.
            let account = Account { name: format!("user-{number}"), ..book.accounts[0].clone() };
            book.accounts.push(account);
        }
        assert_eq!(code(book.add("more", Role::Viewer, &good("third"), 3)), Err("accounts-full"));
    }

    #[test]
    fn a_password_is_changed_for_another_one() {
        let mut book = book();
        assert_eq!(book.set_password("anna", &good("correct"), 9).unwrap_err().code(), "weak-password");
        book.set_password("anna", &good("other"), 9).unwrap();
        let account = book.account("anna").unwrap();
        assert!(account.password.matches(&good("other")).unwrap() && account.changed == 9);
    }

    #[test]
    fn a_token_is_known_by_its_secret_until_it_ends() {
        let mut book = book();
        let secret = book.add_token("ci", Role::Operator, None, 10, 20).unwrap();
        assert!(secret.starts_with(TOKEN_PREFIX) && !serde_json::to_string(&book).unwrap().contains(&secret));
        assert_eq!(book.token(&secret, 19).map(|token| token.name.as_str()), Some("ci"));
        assert_eq!(book.token(&secret, 20), None);
        assert_eq!(book.token("bulkhead-", 11), None);
        book.remove_token("ci").unwrap();
        assert_eq!(book.token(&secret, 11), None);
        assert_eq!(book.remove_token("ci").unwrap_err().code(), "no-account");
    }
}
