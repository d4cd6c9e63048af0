//! Who asks.

use std::fmt;
use std::net::IpAddr;

use super::Peer;
use crate::account::Role;

/// Who asks: somebody on this machine, or somebody who signed in from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// On this machine, as the kernel says.
    Here(Peer),
    /// Signed in.
    Account {
        /// Its name.
        name: String,
        /// What it may do.
        role: Role,
        /// Where from.
        source: IpAddr,
    },
}

impl Actor {
    /// The user of this machine in whose name something is done: the agent's own for whoever is elsewhere.
    pub fn user(&self) -> u32 {
        match self {
            Self::Here(peer) => peer.user,
            Self::Account { .. } => 0,
        }
    }

    /// What they may do: who is at the machine, everything.
    pub fn role(&self) -> Role {
        match self {
            Self::Here(_) => Role::Administrator,
            Self::Account { role, .. } => *role,
        }
    }

    /// Who, for the audit log.
    pub fn name(&self) -> String {
        match self {
            Self::Here(peer) => peer.to_string(),
            Self::Account { name, .. } => name.clone(),
        }
    }

    /// Where from, for the audit log.
    pub fn source(&self) -> String {
        match self {
            Self::Here(_) => "here".into(),
            Self::Account { source, .. } => source.to_canonical().to_string(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(peer) => peer.fmt(f),
            Self::Account { name, source, .. } => write!(f, "{name} from {}", source.to_canonical()),
        }
    }
}
