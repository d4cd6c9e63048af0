//! A slot image becomes a package: texts, bill of materials, chunk index and frames, under the slot's own signed manifest.
//!
//! The members are made first, because the manifest in the slot's footer lists them too: footer and package carry the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use formats::manifest::{Kind, Member};
use formats::package::{
    self, CHUNKS, Compressor, EULA, Frame, IMAGE, ImageEncoder, MAX_CHUNK, MAX_TEXT, NOTES, SBOM, check_text,
};
use formats::{Bytes, Digest};

use super::disk::Image;
use crate::plan::{Plan, SlotPlan};
use crate::recipe::Recipe;
use crate::{Error, Result};

/// Notes and licence terms of both packages.
#[derive(Debug)]
pub struct Texts {
    base: SlotTexts,
    site: SlotTexts,
}

/// Notes and licence terms of one package.
#[derive(Debug, Clone, Default)]
pub struct SlotTexts {
    notes: Option<String>,
    eula: Option<String>,
}

impl Texts {
    /// Reads the files the recipe names and checks that an appliance will show them.
    pub fn load(recipe: &Recipe) -> Result<Self> {
        let product = &recipe.product;
        let text =
            |key: &str, name: &str, path: Option<&PathBuf>| path.map(|path| read(recipe, key, name, path)).transpose();
        let base = SlotTexts {
            notes: text("product.notes", NOTES, product.notes.as_ref())?,
            eula: text("product.eula", EULA, product.eula.as_ref())?,
        };
        let site = match &recipe.site {
            Some(site) => SlotTexts {
                notes: text("site.notes", NOTES, site.notes.as_ref())?,
                eula: text("site.eula", EULA, site.eula.as_ref())?,
            },
            None => SlotTexts::default(),
        };
        Ok(Self { base, site })
    }

    /// Those of the package for `kind`.
    pub fn of(&self, kind: Kind) -> &SlotTexts {
        if kind == Kind::Site { &self.site } else { &self.base }
    }
}

/// Compresses a range of the disk chunk by chunk, as many at once as the build host has processors. Frames do not depend on one another,
/// so their number changes the time and not a byte.
fn compress<W: Write>(
    image: &Image,
    (start, size): (Bytes, Bytes),
    output: W,
    frames: &Path,
) -> Result<ImageEncoder<W>> {
    let workers = std::thread::available_parallelism().map_or(1, |number| number.get().min(MAX_WORKERS));
    let offsets: Vec<u64> = (0..size.0).step_by(MAX_CHUNK).collect();
    let one = |offset: u64, compressor: &mut Compressor| -> Result<Frame> {
        let length = (size.0 - offset).min(MAX_CHUNK as u64);
        let mut chunk = vec![0; usize::try_from(length).unwrap_or(MAX_CHUNK)]; // OK: at most MAX_CHUNK
        image.file().read_exact_at(&mut chunk, start.0 + offset).map_err(Error::io("read", image.path()))?;
        compressor.compress(&chunk).map_err(Error::io("compress into", frames))
    };
    let mut compressors = Vec::new();
    for _ in 0..workers {
        compressors.push(Compressor::new(LEVEL).map_err(Error::io("compress into", frames))?);
    }
    let mut encoder = ImageEncoder::new(output);
    for batch in offsets.chunks(workers) {
        let made: Vec<Result<Frame>> = std::thread::scope(|scope| {
            let running: Vec<_> = batch
                .iter()
                .zip(&mut compressors)
                .map(|(offset, compressor)| scope.spawn(|| one(*offset, compressor)))
                .collect();
            let lost = |_| Err(Error::Bug("a thread that compresses a package ended early".into()));
            running.into_iter().map(|thread| thread.join().unwrap_or_else(lost)).collect()
        });
        for frame in made {
            encoder.push(&frame?).map_err(Error::io("write", frames))?;
        }
    }
    Ok(encoder)
}

fn read(recipe: &Recipe, key: &str, name: &str, path: &Path) -> Result<String> {
    let path = recipe.resolve(path);
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => {
            file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::input(format!("{key}: \"{}\" does not exist", path.display())));
        }
        Err(cause) => return Err(Error::io("open", &path)(cause)),
    }
    check_text(name, bytes).map_err(Error::format(format!("{key}: \"{}\"", path.display())))
}

/// Where the package of a slot goes in the folder of results.
pub fn file_name(plan: &Plan, slot: &SlotPlan) -> String {
    let name = if slot.kind == Kind::Site { &slot.name } else { &plan.product };
    format!("{name}-{}-{}.pkg", slot.kind, slot.version)
}

/// Everything of a package but its manifest.
#[derive(Debug)]
pub struct Members {
    small: BTreeMap<&'static str, Vec<u8>>,
    frames: PathBuf,
    frames_listed: Member,
}

impl Members {
    /// Makes the members from the image at `start` of the disk; its frames go to a file in `scratch`.
    pub fn make(
        slot: &SlotPlan,
        texts: &SlotTexts,
        sbom: Vec<u8>,
        image: &Image,
        (start, size): (Bytes, Bytes),
        scratch: &Path,
    ) -> Result<Self> {
        let frames = scratch.join(format!("{}.{IMAGE}", slot.kind));
        let output = BufWriter::new(File::create(&frames).map_err(Error::io("create", &frames))?);
        let encoder = compress(image, (start, size), output, &frames)?;
        let (mut output, index, frames_listed) = encoder.finish().map_err(Error::format("the chunks of a package"))?;
        output.flush().map_err(Error::io("write", &frames))?;
        let notes = texts.notes.clone().unwrap_or_else(|| format!("{} {}\n", slot.name, slot.version));
        let mut small = BTreeMap::from([(NOTES, notes.into_bytes()), (SBOM, sbom), (CHUNKS, index.encode())]);
        small.extend(texts.eula.clone().map(|eula| (EULA, eula.into_bytes())));
        Ok(Self { small, frames, frames_listed })
    }

    /// What the manifest says about them.
    pub fn list(&self) -> BTreeMap<String, Member> {
        let member = |bytes: &[u8]| Member { size: Bytes(bytes.len() as u64), digest: Digest::of(bytes) };
        let small = self.small.iter().map(|(name, bytes)| ((*name).to_owned(), member(bytes)));
        small.chain([(IMAGE.to_owned(), self.frames_listed)]).collect()
    }

    /// Puts the package together at `path`, which must not exist, and waits until it is on the disk of the build host.
    pub fn write(&self, path: &Path, manifest: &[u8], signatures: &[u8]) -> Result<()> {
        let mut frames = File::open(&self.frames).map_err(Error::io("open", &self.frames))?;
        let mut small: Vec<(&str, &[u8])> = self.small.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        let mut members: BTreeMap<&str, &mut dyn Read> =
            small.iter_mut().map(|(name, bytes)| (*name, bytes as &mut dyn Read)).collect();
        members.insert(IMAGE, &mut frames);
        let file = File::create_new(path).map_err(Error::io("create", path))?;
        let mut output = BufWriter::new(&file);
        package::write(&mut output, manifest, signatures, &mut members).map_err(|error| match error {
            package::Error::Io(cause) => Error::io("write", path)(cause),
            package::Error::Format(cause) => Error::format(format!("package \"{}\"", path.display()))(cause),
        })?;
        output.flush().map_err(Error::io("write", path))?;
        drop(output);
        file.sync_all().map_err(Error::io("sync", path))
    }
}

/// zstd's compression level. For the 43 MiB of the demo's base in frames of 1 MiB, level 12 takes 2 s and makes 30.4 MiB; level 19
/// takes 28 s for 27.7 MiB.
const LEVEL: i32 = 12;
/// Bounds memory: each worker holds a chunk, its frame and zstd's tables.
const MAX_WORKERS: usize = 8;
