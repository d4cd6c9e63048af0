//! POSIX ACLs: from the form `getxattr` returns to the form ext4 stores.
//!
//! Both are little-endian arrays behind a version (Linux `include/uapi/linux/posix_acl_xattr.h` and `fs/ext4/acl.h`). The kernel
//! refuses to read the first where it expects the second, so a raw copy would make every access to the file fail.

use crate::{Error, Result};

/// The on-disk form of `value`, a `system.posix_acl_access` or `system.posix_acl_default` attribute as `getxattr` returns it, after
/// the checks the kernel makes when an ACL is set.
pub(super) fn to_disk(name: &'static str, value: &[u8]) -> Result<Vec<u8>> {
    let bad = |problem: &str| Error::invalid(name, problem.to_owned());
    let (version, entries) = value.split_first_chunk::<4>().ok_or_else(|| bad("it is shorter than its header"))?;
    if u32::from_le_bytes(*version) != XATTR_VERSION {
        return Err(bad(&format!("version {} instead of {XATTR_VERSION}", u32::from_le_bytes(*version))));
    }
    let (entries, []) = entries.as_chunks::<8>() else {
        return Err(bad("its length is not a whole number of entries"));
    };
    if entries.len() > MAX_ENTRIES {
        return Err(bad(&format!("{} entries; at most {MAX_ENTRIES} fit", entries.len())));
    }
    let mut disk = DISK_VERSION.to_le_bytes().to_vec();
    let mut order = Order::Nothing;
    for &[tag_low, tag_high, permissions_low, permissions_high, id @ ..] in entries {
        let tag = u16::from_le_bytes([tag_low, tag_high]);
        let permissions = u16::from_le_bytes([permissions_low, permissions_high]);
        if permissions > 0o7 {
            return Err(bad(&format!("permissions {permissions:#o} in entry with tag {tag:#x}")));
        }
        order = order.then(tag).ok_or_else(|| bad(&format!("tag {tag:#x} is unknown or out of order")))?;
        disk.extend_from_slice(&[tag_low, tag_high, permissions_low, permissions_high]);
        if matches!(tag, USER | GROUP) {
            if u32::from_le_bytes(id) == u32::MAX {
                return Err(bad("a named user or group without a number"));
            }
            disk.extend_from_slice(&id);
        }
    }
    if order != Order::Other {
        return Err(bad("the entries for owner, group and others are not complete, or a mask is missing"));
    }
    Ok(disk)
}

/// What was read so far: owner, users, group, groups, mask, others, in this order (`posix_acl_valid` in Linux `fs/posix_acl.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Nothing,
    /// The owner or a named user; whether a mask must follow.
    User {
        masked: bool,
    },
    /// The owning group or a named group.
    Group {
        masked: bool,
    },
    Mask,
    Other,
}

impl Order {
    /// The state after `tag`, or `None` when it must not come here.
    fn then(self, tag: u16) -> Option<Self> {
        match (self, tag) {
            (Self::Nothing, USER_OBJ) => Some(Self::User { masked: false }),
            (Self::User { .. }, USER) => Some(Self::User { masked: true }),
            (Self::User { masked }, GROUP_OBJ) => Some(Self::Group { masked }),
            (Self::Group { .. }, GROUP) => Some(Self::Group { masked: true }),
            (Self::Group { .. }, MASK) => Some(Self::Mask),
            (Self::Group { masked: false } | Self::Mask, OTHER) => Some(Self::Other),
            _ => None,
        }
    }
}

const XATTR_VERSION: u32 = 2;
const DISK_VERSION: u32 = 1;
/// Generous: an attribute block holds about 500.
const MAX_ENTRIES: usize = 1024;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "system.posix_acl_access";

    fn attribute(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = XATTR_VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&permissions.to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        }
        value
    }

    #[test]
    fn named_entries_keep_their_number_and_the_others_lose_it() {
        let none = u32::MAX;
        let value = attribute(&[
            (USER_OBJ, 7, none),
            (USER, 6, 1000),
            (GROUP_OBJ, 5, none),
            (GROUP, 4, 100_000),
            (MASK, 7, none),
            (OTHER, 0, none),
        ]);
        let disk = to_disk(NAME, &value).unwrap();
        let expected: &[&[u8]] = &[
            &[1, 0, 0, 0],
            &[1, 0, 7, 0],
            &[2, 0, 6, 0, 0xe8, 3, 0, 0],
            &[4, 0, 5, 0],
            &[8, 0, 4, 0, 0xa0, 0x86, 1, 0],
            &[16, 0, 7, 0],
            &[32, 0, 0, 0],
        ];
        assert_eq!(disk, expected.concat());
    }

    #[test]
    fn refuses_acls_the_kernel_would_refuse() {
        let none = u32::MAX;
        let (owner, group, other) = ((USER_OBJ, 7, none), (GROUP_OBJ, 5, none), (OTHER, 5, none));
        assert!(to_disk(NAME, &attribute(&[owner, group, other])).is_ok());
        for entries in [
            vec![],
            vec![owner, group],
            vec![group, owner, other],
            vec![owner, (USER, 7, 5), group, other],
            vec![owner, (USER, 7, none), group, (MASK, 7, none), other],
            vec![owner, group, (GROUP, 8, 5), (MASK, 7, none), other],
            vec![owner, group, other, other],
            vec![owner, group, (0x40, 7, none), other],
        ] {
            assert!(to_disk(NAME, &attribute(&entries)).is_err(), "{entries:?}");
        }
        let whole = attribute(&[owner, group, other]);
        for length in 0..whole.len() {
            assert!(to_disk(NAME, &whole[..length]).is_err(), "{length} bytes");
        }
        let mut version_3 = whole;
        version_3[0] = 3;
        assert!(to_disk(NAME, &version_3).is_err());
        let many = vec![owner; MAX_ENTRIES + 1];
        assert!(to_disk(NAME, &attribute(&many)).unwrap_err().to_string().contains("1025 entries"));
    }
}
