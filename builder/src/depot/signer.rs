//! Whoever signs: a key file here, a command that reaches a token or a person, or somebody elsewhere who has done it already.
//!
//! One trait for all three. A signature is checked against the key it is to be of before it is used, so a command that signs
//! something else, or with another key, is noticed here and not by an appliance.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

use super::document::RoleKeys;
use crate::ceremony::Collected;
use crate::{Error, Result, keys};

/// Something that can sign with one key.
pub trait Signer {
    /// The key its signatures are checked with.
    fn public(&self) -> VerifyingKey;

    /// The ed25519 signature of `message`, not checked yet.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64]>;
}

/// A private key in a file of a key set.
#[derive(Debug)]
pub struct KeyFile(pub SigningKey);

/// A command of the operator's own. It gets the message on standard input and the wanted key, 64 hexadecimal digits, in
/// `BULKHEAD_PUBLIC_KEY`, its role in `BULKHEAD_ROLE`; it prints 64 raw bytes or 128 hexadecimal digits. One that does not have the key
/// ends with another exit code than 0.
#[derive(Debug)]
pub struct SignCommand {
    /// What a shell is given.
    pub command: String,
    /// The role that is signed for.
    pub role: String,
    /// The wanted key.
    pub public: VerifyingKey,
}

/// A signature that was made elsewhere.
#[derive(Debug)]
struct Given {
    public: VerifyingKey,
    signature: [u8; 64],
}

/// All that a run of the program can sign with.
#[derive(Debug, Default)]
pub struct Signers {
    /// Key sets; those halves that are there are used.
    pub folders: Vec<PathBuf>,
    /// Signatures that were made elsewhere.
    pub collected: Collected,
    /// Commands, asked in order for each key that no folder has.
    pub commands: Vec<String>,
}

impl Signer for KeyFile {
    fn public(&self) -> VerifyingKey {
        self.0.verifying_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        Ok(ed25519_dalek::Signer::sign(&self.0, message).to_bytes())
    }
}

impl Signer for Given {
    fn public(&self) -> VerifyingKey {
        self.public
    }

    fn sign(&self, _: &[u8]) -> Result<[u8; 64]> {
        Ok(self.signature)
    }
}

impl Signer for SignCommand {
    fn public(&self) -> VerifyingKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        // Through a shell: the text is the operator's own, and nothing of ours is put into it.
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .env("BULKHEAD_PUBLIC_KEY", hex::encode(self.public.as_bytes()))
            .env("BULKHEAD_ROLE", &self.role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::io("run", "sh"))?;
        if let Some(mut input) = child.stdin.take() {
            // A command that does not read everything says with its signature whether that was right.
            drop(input.write_all(message));
        }
        let output = child.wait_with_output().map_err(Error::io("run", "sh"))?;
        let failed = |problem: String| Error::Environment(format!("sign command \"{}\" {problem}", self.command));
        if !output.status.success() {
            return Err(failed(format!("did not sign for {} ({})", self.role, output.status)));
        }
        let mut signature = [0; 64];
        let text = output.stdout.trim_ascii();
        if hex::decode_to_slice(text, &mut signature).is_ok() {
            return Ok(signature);
        }
        output.stdout.as_slice().try_into().map_err(|_| {
            failed(format!("printed {} bytes where 64 raw bytes or 128 hexadecimal digits belong", output.stdout.len()))
        })
    }
}

impl Signers {
    /// Signatures of `message` by every key of `role` that can be had, by key id; as many as the threshold, at least.
    pub fn sign(&self, role: &str, wanted: &RoleKeys, message: &[u8]) -> Result<Vec<(String, [u8; 64])>> {
        let (signatures, problems) = self.available(role, wanted, message);
        if signatures.len() >= wanted.threshold {
            return Ok(signatures);
        }
        let (found, threshold) = (signatures.len(), wanted.threshold);
        let ids: Vec<&str> = wanted.keys.keys().map(|id| id.get(..12).unwrap_or(id)).collect();
        let mut text = format!(
            "{found} of {threshold} needed signature(s) for role {role} (keys {}); name the folders with --keys, or a --sign-command, or have them made elsewhere with --request",
            ids.join(", ")
        );
        for problem in problems {
            text.push_str("; ");
            text.push_str(&problem);
        }
        Err(Error::input(text))
    }

    /// Those signatures of `message` by keys of `role` that can be had, by key id, and why others cannot.
    pub fn available(&self, role: &str, wanted: &RoleKeys, message: &[u8]) -> (Vec<(String, [u8; 64])>, Vec<String>) {
        let mut signatures = Vec::new();
        let mut problems = Vec::new();
        for (id, public) in &wanted.keys {
            match self.sign_one(role, *public, message) {
                Ok(Some(signature)) => signatures.push((id.clone(), signature)),
                Ok(None) => {}
                Err(error) => problems.push(crate::error::chain(&error)),
            }
        }
        (signatures, problems)
    }

    fn sign_one(&self, role: &str, public: VerifyingKey, message: &[u8]) -> Result<Option<[u8; 64]>> {
        for folder in &self.folders {
            if let Some(key) = keys::depot::private(folder, role)?.filter(|key| key.verifying_key() == public) {
                return checked(&KeyFile(key), message).map(Some);
            }
        }
        if let Some(signature) = self.collected.find(message, &public) {
            return checked(&Given { public, signature }, message).map(Some);
        }
        let mut last = Ok(None);
        for command in &self.commands {
            let signer = SignCommand { command: command.clone(), role: role.to_owned(), public };
            last = checked(&signer, message).map(Some);
            if last.is_ok() {
                break;
            }
        }
        last
    }
}

/// A signature that holds.
fn checked(signer: &dyn Signer, message: &[u8]) -> Result<[u8; 64]> {
    let signature = signer.sign(message)?;
    let key = signer.public();
    key.verify_strict(message, &Signature::from_bytes(&signature)).map_err(|_| {
        let id = hex::encode(key.as_bytes());
        Error::Verification(format!("a signature that was to be by key {id} is not; nothing was published"))
    })?;
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    fn sign_by(command: &str, threshold: usize) -> Result<Vec<(String, [u8; 64])>> {
        let keys = BTreeMap::from([("one".to_owned(), key(1).verifying_key()), ("two".into(), key(2).verifying_key())]);
        let signers = Signers { commands: vec![command.to_owned()], ..Signers::default() };
        signers.sign("root", &RoleKeys { threshold, keys }, b"message")
    }

    #[test]
    fn a_command_signs_in_raw_bytes_or_digits_and_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let signature = KeyFile(key(1)).sign(b"message").unwrap();
        std::fs::write(folder.path().join("raw"), signature).unwrap();
        std::fs::write(folder.path().join("hex"), hex::encode(signature) + "\n").unwrap();
        let wanted = hex::encode(key(1).verifying_key().as_bytes());
        let path = folder.path().display();
        for kind in ["raw", "hex"] {
            let command = format!(
                "test $BULKHEAD_PUBLIC_KEY = {wanted} && test $(cat) = message && test $BULKHEAD_ROLE = root && cat {path}/{kind}"
            );
            assert_eq!(sign_by(&command, 1).unwrap(), [("one".to_owned(), signature)]);
            let problem = sign_by(&command, 2).unwrap_err().to_string();
            assert!(problem.contains("1 of 2") && problem.contains("did not sign"), "{problem}");
        }
        let wrong = format!("cat > /dev/null; cat {path}/raw");
        let problem = sign_by(&wrong, 2).unwrap_err().to_string();
        assert!(problem.contains("is not; nothing was published"), "{problem}");
        let problem = sign_by("echo short", 1).unwrap_err().to_string();
        assert!(problem.contains("printed 6 bytes"), "{problem}");
    }
}
