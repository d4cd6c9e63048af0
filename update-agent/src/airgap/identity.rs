//! The appliance's own key: what it says of itself is signed with it, so that a depot can tell the same appliance from another one that
//! calls itself so.
//!
//! Guarantees: it is drawn when it is first needed, once, and is on the medium before anything is signed with it; only root reads the file;
//! a file that went bad is never replaced silently, because depots remember the first key of an appliance and refuse another one. The
//! data partition has it, so a factory reset makes the appliance a new one, and two copies of one disk are one appliance.
//! Whom the appliance believes has nothing to do with it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use formats::Digest;
use serde::{Deserialize, Serialize};

use crate::chance;
use crate::error::{Doing, Error, Result};
use crate::plain_file;

/// The file, below the data partition.
pub const FILE: &str = "bulkhead/identity";

/// What is in it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Stored {
    format: u32,
    /// The private half.
    secret: Digest,
    /// The public half, by which damage is noticed.
    public: Digest,
}

/// The key of the appliance with this data partition. Drawn when there is none.
pub fn own(data: &Path) -> Result<SigningKey> {
    // Two that ask at the same time must not draw one each: what the first one signed would be a stranger's.
    let _one = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = data.join(FILE);
    match plain_file::read(&path, LIMIT) {
        Ok(bytes) => parse(&bytes).map_err(|why| Error::IdentityDamaged { path, why }),
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => draw(&path),
        Err(problem) => Err(problem).doing(|| format!("read \"{}\"", path.display())),
    }
}

fn parse(bytes: &[u8]) -> std::result::Result<SigningKey, String> {
    let stored: Stored = serde_json::from_slice(bytes).map_err(|problem| problem.to_string())?;
    if stored.format != FORMAT {
        return Err(format!("it has format {}, and this agent knows {FORMAT}", stored.format));
    }
    let key = SigningKey::from_bytes(&stored.secret.0);
    if key.verifying_key().to_bytes() == stored.public.0 { Ok(key) } else { Err("its halves do not fit".into()) }
}

fn draw(path: &Path) -> Result<SigningKey> {
    let doing = || format!("write \"{}\"", path.display());
    let mut secret = [0; 32];
    chance::fill(&mut secret).doing(|| "draw a key".into())?;
    let key = SigningKey::from_bytes(&secret);
    let public = Digest(key.verifying_key().to_bytes());
    let bytes = serde_json::to_vec(&Stored { format: FORMAT, secret: Digest(secret), public }).doing(doing)?;
    fs::create_dir_all(path.parent().ok_or(io::ErrorKind::InvalidInput).doing(doing)?).doing(doing)?;
    // Durable on return: nothing is signed with a key that a power cut could still take.
    plain_file::replace(path, &path.with_extension("new"), &bytes, 0o600).doing(doing)?;
    Ok(key)
}

static DRAWING: Mutex<()> = Mutex::new(());
const FORMAT: u32 = 1;
const LIMIT: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_drawn_once_and_only_its_owner_reads_it() {
        let data = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| own(data.path()).unwrap())).collect();
            asked.into_iter().map(|one| one.join().unwrap().to_bytes()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        let mode = fs::metadata(data.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // What a power cut left beside it before it had its name.
        fs::write(data.path().join(FILE).with_extension("new"), "half").unwrap();
        assert_eq!(own(data.path()).unwrap().to_bytes(), keys[0]);
        let other = tempfile::tempdir().unwrap();
        fs::create_dir_all(other.path().join("bulkhead")).unwrap();
        fs::write(other.path().join(FILE).with_extension("new"), "half").unwrap();
        assert_ne!(own(other.path()).unwrap().to_bytes(), keys[0], "another appliance is another one");
    }

    #[test]
    fn one_that_went_bad_is_never_replaced_silently() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join(FILE);
        own(data.path()).unwrap();
        let good = fs::read_to_string(&file).unwrap();
        let digit = if good.contains("secret\":\"a") { "b" } else { "a" };
        let at = good.find("secret\":\"").unwrap() + 9;
        let flipped = format!("{}{digit}{}", &good[..at], &good[at + 1..]);
        for bad in [String::new(), good[..good.len() / 2].into(), flipped, good.replacen('1', "2", 1)] {
            fs::write(&file, &bad).unwrap();
            let problem = own(data.path()).unwrap_err();
            assert_eq!(problem.code(), "identity-damaged", "{bad}");
            assert!(problem.to_string().contains("remove the file"), "{problem}");
            assert_eq!(fs::read_to_string(&file).unwrap(), bad);
        }
        fs::write(&file, good).unwrap();
        own(data.path()).unwrap();
    }
}
