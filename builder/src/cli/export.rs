//! `bulkhead export`.

use std::path::PathBuf;

use builder::export::{self, Description, Existing, Format};
use builder::opened::OpenedImage;
use builder::{Error, Result};
use formats::manifest::Manifest;

use super::output;

/// Wrap a raw disk image for a hypervisor
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A raw disk image made by bulkhead build
    image: PathBuf,
    /// Formats, separated by commas: qcow2, vmdk, ova, vhd
    #[arg(long, value_delimiter = ',', required = true)]
    format: Vec<Format>,
    /// Folder for the results; default: beside the image
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Replace results that exist
    #[arg(long)]
    force: bool,
}

impl Arguments {
    pub fn run(self) -> Result<()> {
        let description = describe(&OpenedImage::open(&self.image)?)?;
        let stem = self.image.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = match (&self.output, self.image.parent()) {
            (Some(folder), _) => folder.clone(),
            (None, Some(parent)) => parent.to_owned(),
            (None, None) => PathBuf::new(),
        };
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let existing = if self.force { Existing::Replace } else { Existing::Refuse };
        for format in self.format {
            let target = folder.join(format.file_name(&stem));
            export::write(format, &self.image, &target, &description, existing)?;
            output::line(target.display())?;
        }
        Ok(())
    }
}

/// What the envelope says about the appliance: the manifest of its base. Signatures are not judged here.
fn describe(image: &OpenedImage) -> Result<Description> {
    let region = image.region("base-a")?;
    let manifest = image
        .footer(&region)?
        .and_then(|footer| Manifest::parse(&footer.manifest))
        .map_err(Error::format(format!("slot base-a of \"{}\"", image.path.display())))?;
    Ok(Description {
        title: manifest.product.clone(),
        seed: manifest.product.clone(),
        name: manifest.product,
        version: manifest.version,
        memory_mib: 1024,
        cpus: 1,
        timestamp: manifest.created,
    })
}
