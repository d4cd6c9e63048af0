//! Putting a package together from finished members.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::{Error, MANIFEST, Result, SIGNATURES, WHAT, check_members, length, ustar};
use crate::manifest::{Manifest, Member};
use crate::{Bytes, Digest};

/// Writes the archive: the manifest as signed, its signatures, then the members the manifest lists, out of `members` by name.
///
/// # Errors
/// `Format` when a member the manifest lists is missing, is not listed, or differs from the list: what is written then is not a
/// package. Signatures are not judged here.
pub fn write(
    output: &mut dyn Write,
    manifest: &[u8],
    signatures: &[u8],
    members: &mut BTreeMap<&str, &mut dyn Read>,
) -> Result<()> {
    let parsed = Manifest::parse(manifest)?;
    let names = check_members(&parsed)?;
    if let Some(name) = members.keys().find(|name| !names.contains(name)) {
        return Err(invalid(format!("its manifest does not list \"{name}\"")));
    }
    for (name, mut bytes) in [(MANIFEST, manifest), (SIGNATURES, signatures)] {
        write_member(output, name, length(bytes), &mut bytes)?;
    }
    for name in names {
        let content = members.get_mut(name).ok_or_else(|| invalid(format!("member \"{name}\" is missing")))?;
        let expected = parsed.members.get(name).copied().ok_or_else(|| invalid(format!("\"{name}\" is not listed")))?;
        let written = write_member(output, name, expected.size, *content)?;
        if written != expected {
            return Err(invalid(format!("member \"{name}\" is not the one its manifest lists")));
        }
    }
    output.write_all(&ustar::TRAILER).map_err(Error::Io)
}

/// Header, content and padding; what was really written.
fn write_member(output: &mut dyn Write, name: &str, size: Bytes, content: &mut dyn Read) -> Result<Member> {
    output.write_all(&ustar::encode(name, size)?).map_err(Error::Io)?;
    let mut hasher = Sha256::new();
    let mut written = 0_u64;
    let mut buffer = vec![0; COPY];
    let mut content = content.take(size.0.saturating_add(1));
    loop {
        let count = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Io(error)),
        };
        let part = buffer.get(..count).unwrap_or_default();
        hasher.update(part);
        output.write_all(part).map_err(Error::Io)?;
        written = written.saturating_add(length(part).0);
    }
    let padding = usize::try_from(ustar::padding(size).0).unwrap_or(0);
    output.write_all([0; 512].get(..padding).unwrap_or_default()).map_err(Error::Io)?;
    Ok(Member { size: Bytes(written), digest: Digest(hasher.finalize().into()) })
}

fn invalid(problem: String) -> Error {
    Error::Format(crate::Error::invalid(WHAT, problem))
}

const COPY: usize = 64 << 10;
