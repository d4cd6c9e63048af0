//! The console in the browser: HTTPS, pages made by the appliance, and the same interface as the socket has under `/v1/` for programs
//! with a token (`docs/web-console.md`).
//!
//! As with the socket, who talks to the network is a process without rights ([`child`]): it ends TLS, takes HTTP apart, makes pages from
//! the keeper's answers, and can ask for nothing without the secret of a session or token. Whose secret that is and what they may do is
//! decided by the keeper ([`crate::serve::guard`]). Who breaks into the process gets what passes through it, and no rights of its own.
//!
//! [`route`] is the table of pages, [`action`] turns forms into requests, [`page`] writes HTML, [`words`] has every word in each language.

pub mod action;
pub mod child;
pub mod download;
mod export;
pub mod form;
pub mod multipart;
pub mod page;
pub mod route;
mod serve;
pub mod tls;
pub mod view;
pub mod words;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::account::password::Password;
use crate::api::Request;
use crate::secret::Secret;

/// A question on its way to the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Repeated in the reply.
    pub id: u64,
    /// Where from.
    pub source: IpAddr,
    /// The secret of a session or token.
    pub secret: Option<Secret>,
    /// A page asks by itself, nobody clicked.
    pub idle: bool,
    /// For what.
    pub ask: Ask,
}

/// What is asked over the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Who is signed in, and whether anybody has an account.
    Who,
    /// Make the first account.
    Claim {
        /// Read at the machine.
        code: String,
        /// Of the account.
        name: String,
        /// Of the account.
        password: Password,
    },
    /// Begin a session.
    SignIn {
        /// Of the account.
        name: String,
        /// Of the account.
        password: Password,
    },
    /// End the session.
    SignOut,
    /// What can be asked on the socket, too.
    For(Request),
}

/// Longest question in bytes.
pub const MAX_QUESTION: usize = 4 << 20;
