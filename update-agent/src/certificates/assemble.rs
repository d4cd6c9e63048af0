//! From what a file holds, in whatever order, to one certificate with its chain and key.

use super::certificate::Certificate;
use super::entry::{Entry, MAX_CHAIN};
use super::finding::key_mismatch;
use super::read::Found;
use super::trouble::Trouble;

/// A certificate as a file has it, and how many others in the file have nothing to do with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Assembled {
    /// The certificate.
    pub entry: Entry,
    /// How many are left out.
    pub others: usize,
}

/// Puts it together: the certificate of the key, or, without one, the one that signed no other; then each that signed the one before.
///
/// # Errors
/// `KeyMismatch` in [`Trouble::Refused`], [`Trouble::Several`], [`Trouble::NoCertificate`], [`Trouble::LongChain`].
pub fn assemble(found: Found) -> Result<Assembled, Trouble> {
    let Found { certificates, mut keys } = found;
    if keys.len() > 1 {
        return Err(Trouble::Unreadable(format!("it has {} private keys; import one server's at a time", keys.len())));
    }
    let key = keys.pop();
    let signed_another = |one: &Certificate| certificates.iter().any(|other| other != one && other.is_issued_by(one));
    let leaf = match &key {
        Some(key) => certificates.iter().find(|one| one.public() == key.public()),
        None => None,
    };
    let leaf = if let Some(leaf) = leaf {
        leaf
    } else {
        let mut servers = certificates.iter().filter(|one| !signed_another(one));
        let one = servers.next().or(certificates.first()).ok_or(Trouble::NoCertificate)?;
        if key.is_some() {
            return Err(Trouble::Refused(Box::new(key_mismatch(one))));
        }
        let more = servers.count();
        if more > 0 {
            return Err(Trouble::Several(more.saturating_add(1)));
        }
        one
    };
    let mut chain: Vec<Certificate> = Vec::new();
    let mut last = leaf;
    while let Some(next) =
        certificates.iter().find(|one| *one != leaf && !chain.contains(one) && last.is_issued_by(one))
    {
        if chain.len() >= MAX_CHAIN {
            return Err(Trouble::LongChain);
        }
        chain.push(next.clone());
        last = next;
    }
    let others = certificates.len().saturating_sub(chain.len()).saturating_sub(1);
    Ok(Assembled { entry: Entry { certificate: leaf.clone(), chain, key }, others })
}
