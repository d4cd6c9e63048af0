//! A recipe becomes a disk image: runs the stages in order and owns the result until it is whole.
//!
//! Every result is written beside its final name and renamed when complete and synced, so a build that stops anywhere leaves nothing
//! that looks finished. The bytes depend on the recipe, its sources, the keys and this program's version only.

mod boot_files;
mod depot;
mod disk;
mod inputs;
mod packages;
mod result;
mod scratch;
mod slots;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use disk::digest;
pub use result::{Built, BuiltSlot};
use scratch::Scratch;

use formats::manifest::Date;
use formats::trust::Role;

use crate::export::{self, Description, Existing, Format};
use crate::keys::{CoSigner, Keys};
use crate::plan::Plan;
use crate::recipe::Recipe;
use crate::{Error, Result};

/// Where results go and in which forms.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder for the results; made if it does not exist.
    pub output: PathBuf,
    /// Image formats. An empty list builds and checks, and keeps nothing.
    pub formats: Vec<Format>,
    /// Keep the packages of base and site beside the images. They are made in any case: the slots' footers list their members.
    pub packages: bool,
    /// Replace results that exist.
    pub force: bool,
}

/// Told what happens, for people who wait.
pub trait Progress {
    /// A new stage begins.
    fn stage(&mut self, text: &str);
}

/// Builds `recipe` into `options.output`.
///
/// # Errors
/// [`Error::Input`] for anything wrong in recipe, sources or keys; [`Error::Refused`] for results that exist and for development
/// keys that are not allowed; [`Error::Io`] and [`Error::Environment`] for the build host.
pub fn build(recipe: &Recipe, options: &Options, progress: &mut dyn Progress) -> Result<Built> {
    let plan = Plan::new(recipe)?;
    // A format named twice is one file.
    let targets: BTreeSet<(Format, PathBuf)> = targets(&plan, options)?.into_iter().collect();
    if targets.iter().any(|(format, _)| *format != Format::Raw) {
        description(recipe, &plan).check()?;
    }
    let keys = load_keys(recipe)?;
    if keys.missing_signatures() > 0 && !options.formats.is_empty() {
        return Err(unfinished(&keys));
    }
    let texts = packages::Texts::load(recipe)?;
    fs::create_dir_all(&options.output).map_err(Error::io("create", &options.output))?;
    let scratch = Scratch::new(&options.output)?;

    let (trees, debian) = inputs::load(recipe, &plan, scratch.path(), progress)?;
    progress.stage("linking GRUB");
    let grub = boot_files::grub_images(recipe, &keys, scratch.path())?;
    progress.stage("making and signing kernel image and initramfs");
    let contents = boot_files::complete(recipe, &plan, &keys, trees)?;

    let raw = scratch.path().join("disk.img");
    let mut image = disk::Image::create(&raw, &plan)?;
    let inputs =
        slots::Inputs { recipe, plan: &plan, keys: &keys, texts: &texts, debian: &debian, scratch: scratch.path() };
    let slots = slots::write_all(&inputs, &contents, &mut image, progress)?;
    progress.stage("writing boot code, partition table and boot state");
    disk::write_fixed_regions(&mut image, &plan, &grub, &keys)?;
    image.sync()?;

    let mut built = Built { missing_signatures: keys.missing_signatures(), ..Built::default() };
    for (format, path) in &targets {
        progress.stage(&format!("writing {}", path.display()));
        match format {
            // Made by rename below: it is the file the others are made from.
            Format::Raw => continue,
            _ => export::write(*format, &raw, path, &description(recipe, &plan), existing(options))?,
        }
        built.add_image(path)?;
    }
    if let Some((_, path)) = targets.iter().find(|(format, _)| *format == Format::Raw) {
        publish(&raw, path, options)?;
        built.add_image(path)?;
    }
    for written in slots {
        built.slots.push(written.slot);
        if options.packages {
            let path = options.output.join(written.package_name);
            publish(&written.package, &path, options)?;
            built.add_package(&path)?;
        }
    }
    sync_folder(&options.output)?;
    built.images.sort();
    Ok(built)
}

/// Gives the finished, synced disk its final name. The scratch folder is on the same file system, so nothing is copied and the name
/// never shows half a disk.
fn publish(raw: &Path, path: &Path, options: &Options) -> Result<()> {
    if options.force {
        return fs::rename(raw, path).map_err(Error::io("create", path));
    }
    // Unlike a rename, a link never replaces what somebody else put there meanwhile.
    match fs::hard_link(raw, path) {
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => Err(exists(path)),
        // Some file systems have no links.
        Err(cause) if matches!(cause.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            fs::rename(raw, path).map_err(Error::io("create", path))
        }
        linked => linked.map_err(Error::io("create", path)),
    }
}

/// Makes a new name survive a power cut of the build host.
fn sync_folder(folder: &Path) -> Result<()> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", folder))
}

fn existing(options: &Options) -> Existing {
    if options.force { Existing::Replace } else { Existing::Refuse }
}

/// The path of each image; refuses to replace an image or package unless told to, before any work is done.
fn targets(plan: &Plan, options: &Options) -> Result<Vec<(Format, PathBuf)>> {
    let image = |format: &Format| (*format, options.output.join(format.file_name(&plan.stem)));
    let targets: Vec<_> = options.formats.iter().map(image).collect();
    let packages =
        plan.slots().filter(|_| options.packages).map(|slot| options.output.join(packages::file_name(plan, slot)));
    let mut all = targets.iter().map(|(_, path)| path.clone()).chain(packages);
    match all.find(|path| !options.force && fs::symlink_metadata(path).is_ok()) {
        Some(path) => Err(exists(&path)),
        None => Ok(targets),
    }
}

fn exists(path: &Path) -> Error {
    Error::Refused(format!("\"{}\" exists; remove it or add --force", path.display()))
}

/// An image starts only when its slots carry all signatures.
fn unfinished(keys: &Keys) -> Error {
    let (threshold, missing) = (keys.threshold, keys.missing_signatures());
    let elsewhere = keys.co_signers.iter().find(|signer| signer.private(Role::Base).is_none());
    let directory = elsewhere.map(|signer| signer.directory.display().to_string()).unwrap_or_default();
    Error::Refused(format!(
        "keys.threshold = {threshold}, and {missing} of these signatures cannot be made here (\"{directory}\" has no base.key): the image \
         would not start; put the private keys there, or build with --packages-only and have each package signed by the others with: \
         bulkhead sign"
    ))
}

fn load_keys(recipe: &Recipe) -> Result<Keys> {
    let directory = recipe.resolve(&recipe.keys.directory);
    let keys = Keys::load(&directory)?;
    check_keys(recipe, &directory, keys.development, keys.expires)?;
    let folders = recipe.keys.co_signers.iter().map(|folder| recipe.resolve(folder));
    let co_signers = folders.map(|folder| CoSigner::load(&folder)).collect::<Result<Vec<_>>>()?;
    for signer in &co_signers {
        check_keys(recipe, &signer.directory, signer.development, signer.expires)?;
    }
    Ok(keys.with(recipe.keys.threshold, co_signers))
}

/// Refuses keys that the appliance would not count.
fn check_keys(recipe: &Recipe, directory: &Path, development: bool, expires: Option<Date>) -> Result<()> {
    if development && !recipe.keys.allow_development {
        return Err(Error::Refused(format!(
            "\"{}\" holds development keys; set keys.allow-development = true for a development image, or make release keys with: \
             bulkhead keys generate DIR",
            directory.display()
        )));
    }
    let built = Date::of_unix(recipe.product.source_date_epoch);
    if let Some(last) = expires.filter(|last| built.is_none_or(|built| *last < built)) {
        return Err(Error::Refused(format!(
            "the keys in \"{}\" expired on {last}, before this build (product.source-date-epoch): no appliance would install it; make \
             new keys with: bulkhead keys generate DIR",
            directory.display()
        )));
    }
    Ok(())
}

fn description(recipe: &Recipe, plan: &Plan) -> Description {
    Description {
        name: plan.product.clone(),
        title: plan.title.clone(),
        version: plan.base.version.clone(),
        seed: recipe.seed().to_owned(),
        memory_mib: 1024,
        cpus: 1,
        timestamp: plan.created,
    }
}
