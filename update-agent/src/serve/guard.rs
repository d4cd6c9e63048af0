//! What the keeper does about a question that came over the network: who is it, may they, and then what the desk does for anybody.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::desk::{Answer, Desk};
use super::keeper::{Front, Work};
use crate::account::Refusal;
use crate::account::book::TOKEN_PREFIX;
use crate::api::people::Change;
use crate::api::role::rule;
use crate::api::{Actor, BackupSource, CreateBackup, Intent, Package, Request, Restore, Stage, TestBackup};
use crate::error::Result;
use crate::secret::Secret;
use crate::serve::log;
use crate::web::{Ask, Envelope, MAX_QUESTION};

/// Deals with what a process that serves browsers asks.
#[derive(Clone)]
pub struct Guard {
    desk: Desk,
}

impl Front for Guard {
    fn command(&self) -> &'static str {
        "serve-web"
    }

    fn longest(&self) -> usize {
        MAX_QUESTION
    }

    fn take(&self, message: Value) -> serde_json::Result<(u64, Work)> {
        let envelope: Envelope = serde_json::from_value(message)?;
        let guard = self.clone();
        Ok((envelope.id, Box::new(move || guard.answer(envelope))))
    }

    fn has_news(&self) -> bool {
        true
    }

    /// The certificates that browsers are shown.
    fn news(&self) -> Option<Value> {
        match self.desk.serving().and_then(|serving| super::desk::value(&serving)) {
            Ok(serving) => Some(serving),
            Err(problem) => {
                log(&format!("there is no certificate to show to browsers: {problem}"));
                None
            }
        }
    }
}

impl Guard {
    /// One that sends those who may to this desk.
    pub fn new(desk: Desk) -> Self {
        desk.people.open();
        Self { desk }
    }

    /// Answers a question.
    pub fn answer(&self, envelope: Envelope) -> Result<Answer> {
        let Envelope { source, secret, idle, ask, .. } = envelope;
        let secret = secret.as_ref().map(Secret::reveal);
        let people = &self.desk.people;
        match ask {
            Ask::Claim { code, name, password } => Ok(session(&people.claim(&code, &name, &password, source)?)),
            Ask::SignIn { name, password } => Ok(session(&people.sign_in(&name, &password, source)?)),
            Ask::SignOut => {
                if let Some(secret) = secret {
                    people.sign_out(secret);
                }
                Ok(Answer::Facts(Value::Null))
            }
            Ask::Who => {
                let who = match secret {
                    Some(secret) => people.who(secret, source, idle)?,
                    None => None,
                };
                let claimed = who.is_some() || people.claimed()?;
                let (name, role) = who.unzip();
                // Which appliance this is, is nobody's business before they signed in.
                let appliance = name.as_ref().and_then(|_| self.desk.called());
                Ok(Answer::Facts(json!({ "name": name, "role": role, "claimed": claimed, "appliance": appliance })))
            }
            Ask::For(request) => {
                let actor = self.actor(secret, source, idle)?;
                self.asked(&actor, secret, request)
            }
        }
    }

    fn actor(&self, secret: Option<&str>, source: IpAddr, idle: bool) -> Result<Actor> {
        let people = &self.desk.people;
        let who = match secret {
            Some(secret) => people.who(secret, source, idle)?,
            None => None,
        };
        match who {
            Some((name, role)) => Ok(Actor::Account { name, role, source }),
            None if people.claimed()? => Err(Refusal::NotSignedIn.into()),
            None => Err(Refusal::NotClaimed.into()),
        }
    }

    /// What somebody who is signed in asks for.
    fn asked(&self, actor: &Actor, secret: Option<&str>, request: Request) -> Result<Answer> {
        let Actor::Account { name, role, .. } = actor else { return Err(Refusal::NotSignedIn.into()) };
        let needed = rule(&request);
        let people = &self.desk.people;
        let allowed = match &request {
            _ if *role < needed.role => {
                Err(Refusal::NotAllowed { needed: needed.role, account: name.clone(), role: *role }.into())
            }
            // Who is far away has no files here, and must not find out which there are.
            Request::Install(order) if matches!(order.package, Package::File(_)) => {
                Err(Refusal::FileOfAppliance.into())
            }
            Request::Stage(Stage::File(_) | Stage::Expired(_))
            | Request::Eula(Package::File(_))
            | Request::Preflight(Intent::Package(Package::File(_)))
            | Request::TestBackup(TestBackup { backup: BackupSource::File(_), .. })
            | Request::Restore(Restore { backup: BackupSource::File(_), .. })
            | Request::CreateBackup(CreateBackup { to: Some(_), .. }) => Err(Refusal::FileOfAppliance.into()),
            Request::ForgetAccounts | Request::ClaimCode => Err(Refusal::Claimed.into()),
            Request::ChangeAccounts(change) => {
                let token = secret.is_some_and(|secret| secret.starts_with(TOKEN_PREFIX));
                self.may_change(actor, token, change)
            }
            _ => Ok(()),
        };
        if let Err(problem) = allowed {
            people.note_asked(actor, needed.action.unwrap_or("look"), &needed.about, problem.code());
            return Err(problem);
        }
        self.desk.answer(actor, request, secret)
    }

    /// A password is changed by people only, not with a token: by whom it is of, with the present one, or by an administrator with their own.
    fn may_change(&self, actor: &Actor, token: bool, change: &Change) -> Result<()> {
        let Actor::Account { name: own, role, source } = actor else { return Ok(()) };
        let Change::SetPassword { name, present, .. } = change else { return Ok(()) };
        if token {
            return Err(Refusal::WrongPassword.into());
        }
        let needed = crate::account::Role::Administrator;
        if name != own && *role < needed {
            return Err(Refusal::NotAllowed { needed, account: own.clone(), role: *role }.into());
        }
        match present {
            Some(present) => self.desk.people.confirm(own, present, *source),
            None => Err(Refusal::WrongPassword.into()),
        }
    }
}

fn session(secret: &str) -> Answer {
    Answer::Facts(json!({ "session": secret }))
}
