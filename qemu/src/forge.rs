//! Makes packages that are validly signed and nevertheless wrong, out of a package that is right: for scenarios that ask what an
//! appliance does with the mistakes of those who have the keys, and a few that are not validly signed.
//!
//! Needs the signing key, so it can do nothing a builder cannot. Leaves everything of the package as it is but the image, and the manifest's
//! description of it; or, where the fault is in a claim or a signature, everything but those.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use formats::ext4::Sink;
use formats::manifest::{ImageInfo, Kind, Manifest, Member};
use formats::package::{
    self, CHUNKS, Compressor, EULA, IMAGE, ImageEncoder, MANIFEST, MAX_CHUNK, NOTES, Package, SBOM, SIGNATURES,
};
use formats::trust::{Role, TrustStore, TrustedKey};
use formats::verity::{BLOCK_SIZE, BlockHasher, Parameters, TreeBuilder};
use formats::{Bytes, Digest, Guid, ext4, signature};

use crate::{Error, Result};

/// What is wrong with the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Its file system is whole, and empty.
    Empty,
    /// The boot loader finds no kernel in it: the files have another name.
    NoKernel,
    /// The signed root hash is not that of its image.
    WrongRoot,
    /// Signed by a key that nobody knows.
    WrongKey,
    /// Signed by the key for the other kind of package.
    WrongRole,
    /// For another product.
    OtherProduct,
    /// For other hardware.
    OtherHardware,
    /// An older release: its number is 0.
    Older,
    /// Another build under the same number.
    OtherBuild,
}

impl Fault {
    /// Whether it is in what the manifest claims, or in who signed it, and the rest of the package stays as it is.
    const fn is_claim(self) -> bool {
        !matches!(self, Self::Empty | Self::NoKernel | Self::WrongRoot)
    }
}

/// Writes to the new file `to` what `from` would be with that fault, signed with the keys in `keys` (`base.key`, `site.key`).
///
/// # Errors
/// [`Error::Input`] for a package that these keys have not signed or that has nothing to spoil.
pub fn forge(from: &Path, to: &Path, keys: &Path, fault: Fault) -> Result<()> {
    let file = File::open(from).map_err(Error::io("open", from))?;
    let claimed = package::peek_manifest(BufReader::new(&file)).map_err(refused(from))?;
    let key = signing_key(keys, claimed.kind)?;
    let file = File::open(from).map_err(Error::io("open", from))?;
    let roles = [Role::from(claimed.kind)];
    let opened = Package::open(BufReader::new(file), &trust(&claimed, &key)?, &roles).map_err(refused(from))?;
    if fault.is_claim() {
        return claim(from, to, opened.manifest().clone(), keys, fault);
    }
    let details = opened.details().map_err(refused(from))?;
    let mut manifest = details.package().manifest().clone();
    let documents = details.documents().clone();
    let described = manifest.image().map_err(wrong(from))?.clone();
    let mut chunks = details.image().map_err(refused(from))?;
    let mut image = Vec::new();
    while let Some(data) = chunks.next_chunk().map_err(refused(from))? {
        image.extend_from_slice(data.bytes);
    }
    let (image, described) =
        spoil(image, described, fault).map_err(|text| Error::Input(format!("{}: {text}", from.display())))?;
    manifest.image = Some(described);

    let (frames, index, frames_listed) = compress(&image)?;
    let mut small: BTreeMap<&str, Vec<u8>> = BTreeMap::from([(NOTES, documents.notes.into_bytes()), (CHUNKS, index)]);
    small.extend(documents.eula.map(|eula| (EULA, eula.into_bytes())));
    small.extend(documents.sbom.map(|sbom| (SBOM, sbom)));
    let listed = |bytes: &Vec<u8>| Member { size: Bytes(length(bytes)), digest: Digest::of(bytes) };
    manifest.members = small.iter().map(|(name, bytes)| ((*name).to_owned(), listed(bytes))).collect();
    manifest.members.insert(IMAGE.to_owned(), frames_listed);
    small.insert(IMAGE, frames);
    write(to, &manifest, &key, &small)
}

/// The package with another claim or signature, and all its other members as they are.
fn claim(from: &Path, to: &Path, mut manifest: Manifest, keys: &Path, fault: Fault) -> Result<()> {
    let other = if manifest.kind == Kind::Site { Kind::Base } else { Kind::Site };
    let key = match fault {
        Fault::WrongKey => SigningKey::from_bytes(&[9; 32]),
        Fault::WrongRole => signing_key(keys, other)?,
        _ => signing_key(keys, manifest.kind)?,
    };
    match fault {
        Fault::OtherProduct => "another-product".clone_into(&mut manifest.product),
        Fault::OtherHardware => manifest.hardware = vec!["another-model".to_owned()],
        Fault::Older => manifest.sequence = 0,
        Fault::OtherBuild => manifest.build_id.0[0] ^= 1,
        _ => {}
    }
    let archive = std::fs::read(from).map_err(Error::io("read", from))?;
    let members = members(&archive).ok_or_else(|| Error::Input(format!("{}: it is no tar archive", from.display())))?;
    let small = members.into_iter().filter(|(name, _)| ![MANIFEST, SIGNATURES].contains(name));
    write(to, &manifest, &key, &small.map(|(name, bytes)| (name, bytes.to_vec())).collect())
}

/// The members of a plain tar archive that was read before, so nothing is checked twice.
fn members(mut archive: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let mut members = Vec::new();
    while let Some((header, rest)) = archive.split_at_checked(512).filter(|(header, _)| header.first() != Some(&0)) {
        let text = |range: std::ops::Range<usize>| {
            std::str::from_utf8(header.get(range)?.split(|byte| *byte == 0).next()?).ok()
        };
        let size = usize::from_str_radix(text(124..136)?.trim(), 8).ok()?;
        members.push((text(0..100)?, rest.get(..size)?));
        archive = rest.get(size.next_multiple_of(512)..)?;
    }
    Some(members)
}

/// The image with its fault, and what the manifest says about it.
fn spoil(mut image: Vec<u8>, described: ImageInfo, fault: Fault) -> std::result::Result<(Vec<u8>, ImageInfo), String> {
    let parameters = described.parameters();
    match fault {
        Fault::WrongRoot => {
            let mut described = described;
            described.root_hash.0[0] ^= 1;
            Ok((image, described))
        }
        Fault::NoKernel => {
            if rename(&mut image, "uki.efi") == 0 {
                return Err("there is no kernel in its image".to_owned());
            }
            hashed(image, parameters)
        }
        Fault::Empty => {
            let empty = EmptyFileSystem::make(parameters.uuid).map_err(|error| error.to_string())?;
            let data_blocks = length(&empty.0) / BLOCK;
            hashed(empty.0, Parameters { data_blocks, ..parameters })
        }
        // It is about something else.
        _ => Ok((image, described)),
    }
}

/// The image with a new hash tree behind its data blocks.
fn hashed(mut image: Vec<u8>, parameters: Parameters) -> std::result::Result<(Vec<u8>, ImageInfo), String> {
    let text = |error: formats::Error| error.to_string();
    let mut tree = TreeBuilder::new(parameters).map_err(text)?;
    image.truncate(usize::try_from(parameters.data_blocks * BLOCK).map_err(|error| error.to_string())?);
    let hasher = BlockHasher::new(&parameters.salt);
    for (index, block) in (0..).zip(image.chunks(BLOCK_SIZE)) {
        tree.set_leaf(index, hasher.hash(block)).map_err(text)?;
    }
    let tree = tree.finish().map_err(text)?;
    image.extend_from_slice(&tree.bytes);
    let described = ImageInfo::new(&parameters, tree.root).map_err(text)?;
    Ok((image, described))
}

/// Gives every directory entry of an ext4 image for a regular file of this name another first letter (`struct ext4_dir_entry_2`: after
/// inode and record length come the length of the name, the type 1 and the name). How many there were.
fn rename(image: &mut [u8], name: &str) -> usize {
    let entry: Vec<u8> = [u8::try_from(name.len()).unwrap_or(0), 1].into_iter().chain(name.bytes()).collect();
    let mut count = 0;
    let mut at = 0;
    while let Some(found) = image.get(at..).and_then(|rest| rest.windows(entry.len()).position(|part| part == entry)) {
        at += found + 2;
        image[at] = b'_';
        count += 1;
    }
    count
}

/// Collects the blocks of a file system in memory.
struct EmptyFileSystem(Vec<u8>);

impl EmptyFileSystem {
    fn make(uuid: Guid) -> std::io::Result<Self> {
        let sealed = ext4::empty(Bytes::mib(EMPTY_MIB), uuid, "empty", 0).map_err(std::io::Error::other)?;
        let mut collected = Self(vec![0; usize::try_from(sealed.size().0).unwrap_or(0)]);
        sealed.write(&mut collected)?.finish()?;
        Ok(collected)
    }
}

impl Sink for EmptyFileSystem {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let start = usize::try_from(offset).map_err(std::io::Error::other)?;
        let target = self.0.get_mut(start..start + bytes.len());
        target.ok_or(std::io::ErrorKind::InvalidInput)?.copy_from_slice(bytes);
        Ok(())
    }

    fn zeros(&mut self, _offset: u64, _length: u64) -> std::io::Result<()> {
        Ok(()) // that is what it is made of
    }
}

fn compress(image: &[u8]) -> Result<(Vec<u8>, Vec<u8>, Member)> {
    let failed = |error: std::io::Error| Error::Environment(format!("cannot compress: {error}"));
    let mut compressor = Compressor::new(LEVEL).map_err(failed)?;
    let mut encoder = ImageEncoder::new(Vec::new());
    for chunk in image.chunks(MAX_CHUNK) {
        encoder.push(&compressor.compress(chunk).map_err(failed)?).map_err(failed)?;
    }
    let (frames, index, listed) = encoder.finish().map_err(Error::format("the chunks of a package"))?;
    Ok((frames, index.encode(), listed))
}

fn write(to: &Path, manifest: &Manifest, key: &SigningKey, members: &BTreeMap<&str, Vec<u8>>) -> Result<()> {
    let manifest = manifest.encode().map_err(Error::format("the manifest"))?;
    let signatures = signature::sign(&manifest, std::slice::from_ref(key)).map_err(Error::format("the signature"))?;
    let mut contents: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let mut readers: BTreeMap<&str, &mut dyn Read> =
        contents.iter_mut().map(|(name, bytes)| (*name, bytes as &mut dyn Read)).collect();
    let mut output = BufWriter::new(File::create_new(to).map_err(Error::io("create", to))?);
    package::write(&mut output, &manifest, &signatures, &mut readers).map_err(refused(to))?;
    output.flush().map_err(Error::io("write", to))
}

fn signing_key(keys: &Path, kind: Kind) -> Result<SigningKey> {
    let path = keys.join(if kind == Kind::Site { "site.key" } else { "base.key" });
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let key = SigningKey::from_pkcs8_pem(&text);
    key.map_err(|error| Error::Input(format!("\"{}\" is no ed25519 key: {error}", path.display())))
}

/// Believes this key and no other: what is spoilt must have been right before.
fn trust(manifest: &Manifest, key: &SigningKey) -> Result<TrustStore> {
    let role = Role::from(manifest.kind);
    let public = key.verifying_key();
    let trusted =
        TrustedKey { role, public, development: manifest.development, expires: None, name: "the key given".to_owned() };
    let thresholds = BTreeMap::from([(role, 1)]);
    TrustStore::new(&manifest.product, vec![trusted], thresholds, true).map_err(Error::format("the trust store"))
}

fn refused(path: &Path) -> impl FnOnce(package::Error) -> Error + use<> {
    let path = path.to_owned();
    move |error| match error {
        package::Error::Io(source) => Error::io("read or write", &path)(source),
        package::Error::Format(source) => Error::format(format!("package \"{}\"", path.display()))(source),
    }
}

fn wrong(path: &Path) -> impl FnOnce(formats::Error) -> Error + use<> {
    Error::format(format!("package \"{}\"", path.display()))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

const BLOCK: u64 = 4096;
/// The smallest with a journal.
const EMPTY_MIB: u64 = 20;
/// Speed counts: nobody keeps these.
const LEVEL: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn described(data_blocks: u64) -> ImageInfo {
        let parameters = Parameters { data_blocks, salt: [3; 32], uuid: Guid::derive("test", "verity") };
        ImageInfo::new(&parameters, Digest([9; 32])).unwrap()
    }

    #[test]
    fn a_kernel_that_is_renamed_changes_the_root_and_nothing_else() {
        let mut image = vec![0; 8192 + 8192];
        image[4200..4209].copy_from_slice(b"\x07\x01uki.efi");
        image[100..107].copy_from_slice(b"uki.efi"); // a text, not an entry
        let (spoilt, said) = spoil(image.clone(), described(2), Fault::NoKernel).unwrap();
        assert_eq!(&spoilt[4200..4209], b"\x07\x01_ki.efi");
        assert_eq!(&spoilt[..4200], &image[..4200]);
        assert_eq!(said.size.0, length(&spoilt));
        assert_ne!(said.root_hash, Digest([9; 32]));
        assert!(spoil(vec![0; 16384], described(2), Fault::NoKernel).unwrap_err().contains("no kernel"));
    }

    #[test]
    fn the_members_of_an_archive_come_out_as_they_are_in_it() {
        let mut header = [0_u8; 512];
        header[..7].copy_from_slice(b"chunks\0");
        header[124..136].copy_from_slice(b"00000000003\0");
        let mut body = [0_u8; 512];
        body[..3].copy_from_slice(b"abc");
        let archive = [header, body, header, body, [0; 512], [0; 512]].concat();
        assert_eq!(members(&archive).unwrap(), [("chunks", b"abc".as_slice()); 2]);
        assert_eq!(members(&archive[..600]), None);
    }

    #[test]
    fn an_empty_file_system_is_one_and_a_wrong_root_is_one_bit_off() {
        let (image, said) = spoil(vec![0; 16384], described(2), Fault::Empty).unwrap();
        assert_eq!(said.data_blocks, EMPTY_MIB * 256);
        assert_eq!(said.size.0, length(&image));
        assert_eq!(image[1024 + 0x38..1024 + 0x3a], [0x53, 0xef], "the magic number of ext4");
        let (same, said) = spoil(vec![7; 16384], described(2), Fault::WrongRoot).unwrap();
        assert_eq!((same, said.root_hash.0[0]), (vec![7; 16384], 8));
    }
}
