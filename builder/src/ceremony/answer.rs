//! Signing what a request asks for, and using what came back.

use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer as _, VerifyingKey};
use formats::Digest;
use serde::{Deserialize, Serialize};

use super::{FORMAT, Request, Signature, check_format, read_file, write_file};
use crate::{Error, Result, keys};

/// What a signer sends back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// Always [`FORMAT`].
    pub format: u32,
    /// In any order.
    pub signatures: Vec<Signature>,
}

/// Signatures that were made elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Collected(Vec<Signature>);

impl Answer {
    /// Reads an answer.
    pub fn read(path: &Path) -> Result<Self> {
        let answer: Self = read_file(path, "answer")?;
        check_format(path, "answer", answer.format)?;
        Ok(answer)
    }

    /// Writes it to a new file.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_file(path, self)
    }
}

/// Signs every part of a request with the keys in these folders that it wants.
///
/// # Errors
/// [`Error::Input`]: no folder has such a key.
pub fn answer(request: &Request, folders: &[PathBuf]) -> Result<Answer> {
    let mut signatures = Vec::new();
    for part in &request.parts {
        let message = part.message()?;
        for folder in folders {
            let key = keys::depot::private(folder, &part.role)?;
            let Some(key) = key.filter(|key| part.wants(&key.verifying_key())) else { continue };
            signatures.push(Signature {
                message: Digest::of(&message),
                key: hex::encode(key.verifying_key().as_bytes()),
                signature: hex::encode(key.sign(&message).to_bytes()),
            });
        }
    }
    if signatures.is_empty() {
        let roles: Vec<&str> = request.parts.iter().map(|part| part.role.as_str()).collect();
        return Err(Error::input(format!(
            "no folder has a key that is to sign this; it asks for {}, see what it shows",
            roles.join(", ")
        )));
    }
    Ok(Answer { format: FORMAT, signatures })
}

impl Collected {
    /// The signatures in the request itself and in these answers to it.
    ///
    /// # Errors
    /// [`Error::Verification`] when an answer has nothing for this request: it is for another one, or one of the two was altered.
    pub fn of(request: &Request, answers: &[PathBuf]) -> Result<Self> {
        let messages = request.parts.iter().map(|part| Ok(Digest::of(&part.message()?))).collect::<Result<Vec<_>>>()?;
        let mut all: Vec<Signature> = request.signatures().cloned().collect();
        for path in answers {
            let answer = Answer::read(path)?;
            let of_this = answer.signatures.into_iter().filter(|one| messages.contains(&one.message));
            let before = all.len();
            all.extend(of_this);
            if all.len() == before {
                return Err(Error::Verification(format!(
                    "\"{}\" is no answer to this request: it is for another one, or the request was altered since",
                    path.display()
                )));
            }
        }
        Ok(Self(all))
    }

    /// The signature of this message that is said to be by this key; not checked.
    pub fn find(&self, message: &[u8], public: &VerifyingKey) -> Option<[u8; 64]> {
        let (digest, key) = (Digest::of(message), hex::encode(public.as_bytes()));
        let found = self.0.iter().find(|one| one.message == digest && one.key == key)?;
        let mut raw = [0; 64];
        hex::decode_to_slice(&found.signature, &mut raw).ok().map(|()| raw)
    }

    /// Everything there is for this message: keys and signatures, not checked. What is not a key and a signature is left out.
    pub fn all(&self, message: &[u8]) -> Vec<(VerifyingKey, [u8; 64])> {
        let digest = Digest::of(message);
        let parsed = |one: &Signature| {
            let (mut key, mut raw) = ([0; 32], [0; 64]);
            hex::decode_to_slice(&one.key, &mut key).ok()?;
            hex::decode_to_slice(&one.signature, &mut raw).ok()?;
            Some((VerifyingKey::from_bytes(&key).ok()?, raw))
        };
        self.0.iter().filter(|one| one.message == digest).filter_map(parsed).collect()
    }
}
