//! Extended attributes of one inode: which are allowed, in which form they are stored, and whether they fit.
//!
//! Attributes live in the 92 free bytes of the inode and, behind the first which does not fit there, in one block (kernel
//! documentation, "ext4: extended attributes"). The engine uses the same order, so a set accepted here is accepted there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{BLOCK_SIZE, acl};
use crate::{Error, Result};

/// A full name and the value to store.
pub(super) type Prepared<'a> = (&'a str, Cow<'a, [u8]>);

/// `attributes` as the engine wants them: names complete, ACLs in their on-disk form.
pub(super) fn prepare(attributes: &BTreeMap<String, Vec<u8>>, directory: bool) -> Result<Vec<Prepared<'_>>> {
    let mut prepared = Vec::with_capacity(attributes.len());
    let mut sizes = Vec::with_capacity(attributes.len());
    for (name, value) in attributes {
        let (index, suffix) = split_name(name)?;
        let value = match index {
            ACL_ACCESS => Cow::Owned(acl::to_disk("attribute \"system.posix_acl_access\"", value)?),
            ACL_DEFAULT if !directory => {
                return Err(Error::invalid("attribute \"system.posix_acl_default\"", "only a directory can have it"));
            }
            ACL_DEFAULT => Cow::Owned(acl::to_disk("attribute \"system.posix_acl_default\"", value)?),
            _ => Cow::Borrowed(value.as_slice()),
        };
        sizes.push((index, suffix.len(), suffix, value.len()));
        prepared.push((name.as_str(), value));
    }
    sizes.sort_unstable();
    check_room(&sizes)?;
    Ok(prepared)
}

/// The number of the name space and the rest of the name.
fn split_name(name: &str) -> Result<(u8, &str)> {
    let refuse = |problem| Error::invalid("extended attribute", format!("\"{}\" {problem}", name.escape_debug()));
    match name {
        "system.posix_acl_access" => return Ok((ACL_ACCESS, "")),
        "system.posix_acl_default" => return Ok((ACL_DEFAULT, "")),
        _ => {}
    }
    let spaces = [("user.", 1), ("trusted.", 4), ("security.", 6)];
    let (index, suffix) = spaces
        .iter()
        .find_map(|(prefix, index)| name.strip_prefix(prefix).map(|suffix| (*index, suffix)))
        .ok_or_else(|| refuse("is not in user., trusted. or security., nor a POSIX ACL"))?;
    if suffix.is_empty() || suffix.len() > MAX_SUFFIX || suffix.contains('\0') {
        return Err(refuse("is not 1 to 255 bytes behind its prefix"));
    }
    Ok((index, suffix))
}

/// Refuses a set that does not fit into the inode and one block; `sizes` in the order of storage.
fn check_room(sizes: &[(u8, usize, &str, usize)]) -> Result<()> {
    let mut inode_left = INODE_ROOM;
    let mut block_left = BLOCK_ROOM;
    let mut in_inode = true;
    for &(_, name, suffix, value) in sizes {
        let needed = ENTRY_SIZE.saturating_add(name.next_multiple_of(4)).saturating_add(value.next_multiple_of(4));
        if in_inode && needed <= inode_left {
            inode_left = inode_left.saturating_sub(needed);
            continue;
        }
        in_inode = false;
        block_left = block_left.checked_sub(needed).ok_or_else(|| {
            let all: usize = sizes.iter().fold(0, |sum, size| sum.saturating_add(size.3));
            Error::invalid(
                "set of extended attributes",
                format!(
                    "{} with values of {all} bytes together do not fit into the inode and one block of {BLOCK_SIZE} bytes (\"{}\" has {value})",
                    sizes.len(),
                    suffix.escape_debug(),
                ),
            )
        })?;
    }
    Ok(())
}

const ACL_ACCESS: u8 = 2;
const ACL_DEFAULT: u8 = 3;
const MAX_SUFFIX: usize = 255;
const ENTRY_SIZE: usize = 16;
/// 256 - 128 - 32 bytes, less the magic number and the end mark.
const INODE_ROOM: usize = 88;
/// Less the header and the end mark. Applies to a single value, too.
const BLOCK_ROOM: usize = BLOCK_SIZE - 32 - 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, usize)]) -> BTreeMap<String, Vec<u8>> {
        pairs.iter().map(|(name, length)| ((*name).to_owned(), vec![7; *length])).collect()
    }

    #[test]
    fn accepts_sets_up_to_the_last_byte_and_not_one_more() {
        // 16 bytes of entry, 4 of name: 4040 bytes of value fill the block.
        assert!(prepare(&set(&[("user.a", 4040)]), false).is_ok());
        assert!(prepare(&set(&[("user.a", 4041)]), false).is_err());
        // The first fills the inode, the second the block.
        assert!(prepare(&set(&[("user.a", 68), ("user.b", 4040)]), false).is_ok());
        assert!(prepare(&set(&[("user.a", 69), ("user.b", 4040)]), false).is_err());
        assert!(prepare(&set(&[("user.a", 100_000)]), false).is_err());
    }

    #[test]
    fn refuses_names_no_kernel_would_give() {
        for name in ["", "user", "user.", "system.data", "system.richacl", "com.apple.x", "user.a\0b", "security."] {
            assert!(prepare(&set(&[(name, 1)]), false).is_err(), "{name:?}");
        }
        assert!(prepare(&set(&[(&format!("user.{}", "x".repeat(255)), 1)]), false).is_ok());
        assert!(prepare(&set(&[(&format!("user.{}", "x".repeat(256)), 1)]), false).is_err());
    }

    #[test]
    fn a_default_acl_belongs_to_a_directory() {
        let mut value = vec![2, 0, 0, 0];
        for tag in [1_u8, 4, 0x20] {
            value.extend_from_slice(&[tag, 0, 5, 0, 0xff, 0xff, 0xff, 0xff]);
        }
        let set = BTreeMap::from([("system.posix_acl_default".to_owned(), value)]);
        assert_eq!(prepare(&set, true).unwrap()[0].1.len(), 16);
        assert!(prepare(&set, false).is_err());
    }
}
