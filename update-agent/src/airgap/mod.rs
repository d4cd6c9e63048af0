//! The appliance without a network: it says what it is and what it has in a [`download key`](key), signed with a key of its own
//! ([`identity`]); a depot elsewhere answers with a path bundle.

pub mod bundle;
pub mod identity;
pub mod key;
