//! A base package that is too large to be made in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path;

use formats::manifest::{ImageInfo, Kind, Manifest, Member};
use formats::package::{CHUNKS, Compressor, IMAGE, ImageEncoder, MAX_CHUNK, NOTES, SBOM};
use formats::verity::{BLOCK_SIZE, BlockHasher, Parameters, TreeBuilder};
use formats::{Bytes, Digest, Guid, signature};

use crate::fixtures::{base_key, release};

/// Base 2 with `mib` MiB of data, half of which compresses, in chunks as long as they may be.
pub fn write(path: &Path, mib: u64) {
    let data_blocks = mib * 256;
    let params = Parameters { data_blocks, salt: [3; 32], uuid: Guid::derive("seed", "large") };
    let hasher = BlockHasher::new(&params.salt);
    let mut tree = TreeBuilder::new(params).unwrap();
    let mut compressor = Compressor::new(1).unwrap();
    let mut frames = ImageEncoder::new(BufWriter::new(tempfile::tempfile().unwrap()));
    let mut chunk = vec![0; MAX_CHUNK];
    for number in 0..mib {
        fill(&mut chunk, number);
        for (block, index) in chunk.as_chunks::<BLOCK_SIZE>().0.iter().zip(number * 256..) {
            tree.set_leaf(index, hasher.hash(block)).unwrap();
        }
        frames.push(&compressor.compress(&chunk).unwrap()).unwrap();
    }
    let tree = tree.finish().unwrap();
    for chunk in tree.bytes.chunks(MAX_CHUNK) {
        frames.push(&compressor.compress(chunk).unwrap()).unwrap();
    }
    let (frames, index, listed) = frames.finish().unwrap();
    let mut frames = frames.into_inner().unwrap();
    frames.rewind().unwrap();

    let (notes, sbom, index) = (b"What is new.\n".as_slice(), b"{}".as_slice(), index.encode());
    let member = |bytes: &[u8]| Member { size: Bytes(bytes.len() as u64), digest: Digest::of(bytes) };
    let members = [(NOTES, member(notes)), (SBOM, member(sbom)), (CHUNKS, member(&index)), (IMAGE, listed)];
    let manifest = Manifest {
        image: Some(ImageInfo::new(&params, tree.root).unwrap()),
        members: members.map(|(name, member)| (name.into(), member)).into(),
        ..release(Kind::Base, 2).verified.manifest().clone()
    };
    let manifest = manifest.encode().unwrap();
    let signatures = signature::sign(&manifest, &[base_key()]).unwrap();
    let (mut notes, mut sbom, mut index) = (notes, sbom, index.as_slice());
    let mut members: BTreeMap<&str, &mut dyn Read> = BTreeMap::new();
    members.insert(NOTES, &mut notes);
    members.insert(SBOM, &mut sbom);
    members.insert(CHUNKS, &mut index);
    members.insert(IMAGE, &mut frames);
    let mut output = BufWriter::new(File::create_new(path).unwrap());
    formats::package::write(&mut output, &manifest, &signatures, &mut members).unwrap();
    output.flush().unwrap();
}

/// Noise in the first half of each block, and a number in the second.
fn fill(chunk: &mut [u8], number: u64) {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for block in chunk.as_chunks_mut::<BLOCK_SIZE>().0 {
        for word in block.as_chunks_mut::<8>().0.iter_mut().take(BLOCK_SIZE / 16) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        block[BLOCK_SIZE / 2..].fill(u8::try_from(number % 251).unwrap());
    }
}
