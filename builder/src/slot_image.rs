//! A slot image: `[ext4][dm-verity superblock][hash tree]` at the start of a partition, made in one pass over the content.
//!
//! Every block is hashed when it is written, holes are neither written nor hashed, so the content is read once and memory grows by
//! 33 bytes per 4 KiB block at most. The last 64 KiB of the partition are left alone: the footer (`formats::footer`) goes there, last,
//! by whoever has the key. Base and site slots are made the same way (design section 4).

use std::fs::File;
use std::io;
use std::path::Path;

use formats::footer::FOOTER_SIZE;
use formats::verity::{self, BlockHasher, Layout, Parameters, TreeBuilder};
use formats::{Bytes, Digest, Guid, ext4};

use crate::filesystem::{self, Output, SparseFile, is_zero, sizing};
use crate::tree::Tree;
use crate::{Error, Result};

/// What a slot image is made of besides its tree, and where it goes.
#[derive(Debug)]
pub struct SlotOptions<'a> {
    /// Names the image in messages, is the volume label (at most 16 bytes) and takes part in every identifier: `base`, `site`.
    pub label: &'a str,
    /// The recipe's seed, from which the UUIDs follow.
    pub seed: &'a str,
    /// The salt of the hash tree, see [`salt`].
    pub salt: [u8; 32],
    /// Creation time of the file system in seconds since 1970.
    pub timestamp: i64,
    /// Size of the partition the image has to fit into, together with the footer.
    pub partition_size: Bytes,
    /// The disk, open for writing; it must reach to the end of the partition and read as zeros there.
    pub file: &'a File,
    /// The disk's path, for messages.
    pub path: &'a Path,
    /// First byte of the partition.
    pub offset: u64,
}

/// A written slot image: what the manifest says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotImage {
    /// File system, superblock and tree together.
    pub size: Bytes,
    /// Blocks of 4 KiB of the file system.
    pub data_blocks: u64,
    /// First block of the tree, behind the superblock.
    pub hash_start: u64,
    /// The root hash.
    pub root_hash: Digest,
    /// The salt.
    pub salt: [u8; 32],
    /// UUID in the verity superblock.
    pub hash_uuid: Guid,
    /// UUID of the file system.
    pub filesystem_uuid: Guid,
    /// Content of all regular files together.
    pub content: Bytes,
}

/// The salt of the image `label` in a build with this `seed`: 32 bytes nobody chose, the same in every build.
pub fn salt(seed: &str, label: &str) -> [u8; 32] {
    Digest::of_parts([b"bulkhead-salt-v1\0".as_slice(), seed.as_bytes(), b"\0", label.as_bytes()]).0
}

/// The size of the image for `tree`, without reading content: file system, superblock and tree.
pub fn size_of(tree: &Tree, label: &str, seed: &str, timestamp: i64) -> Result<Bytes> {
    Ok(layout(sizing::minimum(tree, &filesystem::Options::derived(seed, label, timestamp))?, label)?.size())
}

/// Writes the slot image of `tree`; the footer is left to the caller.
///
/// # Errors
/// [`Error::Input`] when the image and its footer do not fit into the partition, by how much, and where the content is; otherwise as
/// [`filesystem::write`]. After an error the partition has no footer and is no slot.
pub fn write_slot(tree: &Tree, options: &SlotOptions<'_>) -> Result<SlotImage> {
    let SlotOptions { label, seed, salt, timestamp, .. } = *options;
    let mut filesystem_options = filesystem::Options::derived(seed, label, timestamp);
    let size = sizing::minimum(tree, &filesystem_options)?;
    filesystem_options.size = Some(size);
    let layout = layout(size, label)?;
    let room = Bytes(options.partition_size.0.saturating_sub(FOOTER_SIZE as u64));
    if layout.size() > room {
        return Err(sizing::too_large(tree, &format!("slot image \"{label}\""), layout.size(), room));
    }
    let parameters =
        Parameters { data_blocks: layout.data_blocks(), salt, uuid: Guid::derive(seed, &format!("verity:{label}")) };
    let mut output = Hashing {
        file: SparseFile::new(options.file, options.path, options.offset),
        hasher: BlockHasher::new(&salt),
        zero: verity::zero_leaf(&salt),
        tree: TreeBuilder::new(parameters).map_err(context(label))?,
    };
    let written = filesystem::write(tree, &filesystem_options, &mut output)?;
    let Hashing { file, tree, .. } = output;
    let hashes = tree.finish().map_err(|error| Error::Bug(format!("slot image \"{label}\": {error}")))?;
    file.write_at(size.0, &hashes.bytes).map_err(Error::io("write", options.path))?;
    Ok(SlotImage {
        size: layout.size(),
        data_blocks: layout.data_blocks(),
        hash_start: layout.hash_start(),
        root_hash: hashes.root,
        salt,
        hash_uuid: parameters.uuid,
        filesystem_uuid: filesystem_options.uuid,
        content: written.content,
    })
}

/// Writes blocks and remembers their hashes.
struct Hashing<'a> {
    file: SparseFile<'a>,
    hasher: BlockHasher,
    zero: Digest,
    tree: TreeBuilder,
}

impl ext4::Sink for Hashing<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let blocks = bytes.chunks(verity::BLOCK_SIZE);
        for (index, block) in (offset / BLOCK_BYTES..).zip(blocks) {
            let leaf = if is_zero(block) { self.zero } else { self.hasher.hash(block) };
            self.tree.set_leaf(index, leaf).map_err(io::Error::other)?;
        }
        self.file.write_at(offset, bytes)
    }

    fn zeros(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let end = offset.saturating_add(length);
        self.tree.set_leaves(offset / BLOCK_BYTES..end / BLOCK_BYTES, self.zero).map_err(io::Error::other)
    }
}

impl Output for Hashing<'_> {
    fn path(&self) -> &Path {
        self.file.path()
    }
}

fn layout(filesystem: Bytes, label: &str) -> Result<Layout> {
    Layout::new(filesystem.0 / BLOCK_BYTES).map_err(context(label))
}

fn context(label: &str) -> impl FnOnce(formats::Error) -> Error {
    Error::format(format!("slot image \"{label}\""))
}

const BLOCK_BYTES: u64 = verity::BLOCK_SIZE as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    fn tree(length: usize) -> Tree {
        let mut tree = Tree::new(1_700_000_000);
        tree.insert("etc/big", Node::file(vec![7; length], 0o644, 1_700_000_000));
        tree
    }

    fn write(tree: &Tree, offset: u64, partition_size: Bytes) -> (File, Result<SlotImage>) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(offset + partition_size.0).unwrap();
        let path = Path::new("disk.raw");
        let (label, seed, timestamp) = ("base", "test", 1_700_000_000);
        let options =
            SlotOptions { label, seed, salt: salt(seed, label), timestamp, partition_size, file: &file, path, offset };
        let result = write_slot(tree, &options);
        (file, result)
    }

    fn bytes(file: &File, offset: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, offset).unwrap();
        bytes
    }

    #[test]
    fn the_tree_matches_the_bytes_and_the_footer_is_left_alone() {
        let (offset, partition) = (1 << 20, Bytes::mib(32));
        let (file, image) = write(&tree(2_000_000), offset, partition);
        let image = image.unwrap();
        assert_eq!(image.size, size_of(&tree(2_000_000), "base", "test", 1_700_000_000).unwrap());
        let whole = bytes(&file, offset, image.size.0);
        let mut builder =
            TreeBuilder::new(Parameters { data_blocks: image.data_blocks, salt: image.salt, uuid: image.hash_uuid })
                .unwrap();
        let (blocks, _) = whole.as_chunks::<4096>();
        for (index, block) in (0..image.data_blocks).zip(blocks) {
            builder.set_leaf(index, verity::hash_block(&image.salt, block)).unwrap();
        }
        let again = builder.finish().unwrap();
        assert_eq!(again.root, image.root_hash);
        assert!(whole.ends_with(&again.bytes));
        assert!(is_zero(&bytes(&file, 0, offset)), "nothing in front of the partition");
        assert!(is_zero(&bytes(&file, offset + image.size.0, partition.0 - image.size.0)));
        let (other, _) = write(&tree(2_000_000), 0, partition);
        assert!(whole == bytes(&other, 0, image.size.0), "the same bytes wherever they are");
    }

    #[test]
    fn a_partition_that_holds_the_image_but_not_its_footer_is_refused_before_anything_is_written() {
        let size = size_of(&tree(20_000_000), "base", "test", 1_700_000_000).unwrap();
        let exact = Bytes(size.0 + FOOTER_SIZE as u64);
        write(&tree(20_000_000), 0, exact).1.unwrap();
        let (file, result) = write(&tree(20_000_000), 0, Bytes(exact.0 - 1));
        let text = result.unwrap_err().to_string();
        assert!(text.contains("slot image \"base\" needs") && text.contains("\"/etc\" 19.1 MiB"), "{text}");
        assert!(is_zero(&bytes(&file, 0, exact.0 - 1)));
        assert!(write(&tree(0), 0, Bytes(100)).1.is_err());
    }
}
