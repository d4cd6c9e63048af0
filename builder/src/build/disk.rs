//! The raw disk as a file, and every region of it that is not a slot.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use formats::boot_state::BootState;
use formats::fat::{FatKind, FatVolume};
use formats::footer::FOOTER_SIZE;
use formats::image_record::{self, ImageRecord, RECORD_SIZE, RecordedRegion};
use formats::{Bytes, Digest, Lba, SectorSize, SlotId, ext4, mbr, state_volume};

use crate::boot::grub::GrubImages;
use crate::filesystem::SparseFile;
use crate::keys::Keys;
use crate::layout::Region;
use crate::plan::Plan;
use crate::{Error, Result};

/// A sparse raw disk image being written.
pub struct Image {
    file: File,
    path: PathBuf,
}

impl Image {
    /// Makes a new sparse file of the planned size.
    pub fn create(path: &Path, plan: &Plan) -> Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(Error::io("create", path))?;
        file.set_len(plan.layout.size.0).map_err(Error::io("size", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Its path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes bytes at a byte offset, leaving holes where a whole block is zero.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.sparse(offset).write_at(0, bytes).map_err(Error::io("write", &self.path))
    }

    /// The disk from `offset` on.
    fn sparse(&self, offset: u64) -> SparseFile<'_> {
        SparseFile::new(&self.file, &self.path, offset)
    }

    /// SHA-256 of a range of the disk as it is now.
    fn digest(&self, region: &Region) -> Result<Digest> {
        digest(&self.file, &self.path, region.start, region.size)
    }

    /// Waits until everything is on the disk of the build host.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(Error::io("sync", &self.path))
    }
}

/// SHA-256 of `size` bytes at `start` of an open file.
pub fn digest(file: &File, path: &Path, start: Bytes, size: Bytes) -> Result<Digest> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut offset = start.0;
    let end = start.0 + size.0;
    while offset < end {
        let want = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        let part = &mut buffer[..want];
        file.read_exact_at(part, offset).map_err(Error::io("read", path))?;
        hasher.update(&*part);
        offset += want as u64;
    }
    Ok(Digest(hasher.finalize().into()))
}

/// Writes boot code, GRUB, EFI system partition, boot state, data file system and both partition tables, and last the signed record
/// of their digests.
pub fn write_fixed_regions(image: &mut Image, plan: &Plan, grub: &GrubImages, keys: &Keys) -> Result<()> {
    let layout = &plan.layout;
    let bios = layout.region("bios")?;
    write_bios_boot(image, plan, grub, bios)?;

    let esp = layout.region("esp")?;
    let serial = plan.esp_serial;
    let extents = FatVolume::new(FatKind::Fat32, esp.size, "ESP", serial)
        .and_then(|volume| volume.file("EFI/BOOT/BOOTX64.EFI", grub.efi.clone()))
        .and_then(|volume| volume.extents())
        .map_err(Error::format("the EFI system partition"))?;
    for (offset, bytes) in extents {
        image.write(esp.start.0 + offset.0, &bytes)?;
    }

    let state = state_volume::image(&BootState::initial(SlotId::A, plan.site.as_ref().map(|_| SlotId::A)))
        .map_err(Error::format("the boot state partition"))?;
    image.write(layout.region("state")?.start.0, &state)?;
    write_data(image, plan, layout.region("data")?)?;

    image.write(SectorSize::S512.bytes(), &layout.gpt.encode_primary())?;
    let (lba, backup) = layout.gpt.encode_backup();
    image.write(lba.offset(SectorSize::S512).0, &backup)?;
    write_record(image, plan, keys, bios)
}

/// An empty file system; the appliance grows it at first boot.
fn write_data(image: &Image, plan: &Plan, data: &Region) -> Result<()> {
    let sealed =
        ext4::empty(data.size, plan.data_uuid, "data", plan.created).map_err(Error::format("the data file system"))?;
    let writer = sealed.write(image.sparse(data.start.0)).map_err(Error::io("write", &image.path))?;
    writer.finish().map_err(Error::io("write", &image.path))
}

/// boot.img in the first sector, core.img at the start of the `bios` partition.
fn write_bios_boot(image: &Image, plan: &Plan, grub: &GrubImages, bios: &Region) -> Result<()> {
    let sector = SectorSize::S512;
    let first = Lba(bios.start.0 / sector.bytes());
    let protective = mbr::protective(plan.layout.size.0 / sector.bytes());
    let boot =
        mbr::bios_boot::patch_boot_img(&grub.boot_img, &protective, first).map_err(Error::format("GRUB's boot.img"))?;
    let core = mbr::bios_boot::patch_core_img(&grub.core, first).map_err(Error::format("GRUB's core.img"))?;
    let room = bios.size.0 - RECORD_SIZE as u64;
    if core.len() as u64 > room {
        return Err(Error::input(format!(
            "GRUB's core.img has {} bytes, its partition has room for {room}",
            core.len()
        )));
    }
    image.write(0, &boot)?;
    image.write(bios.start.0, &core)
}

/// The record is written last: it describes everything before it. Of slots it has the footers, the empty ones too: a footer vouches
/// for its slot, and which slots an image was shipped with is for the record to say.
fn write_record(image: &Image, plan: &Plan, keys: &Keys, bios: &Region) -> Result<()> {
    let mut regions = Vec::new();
    for region in &plan.layout.regions {
        let mut recorded = region.clone();
        if region.name == "bios" {
            recorded.size = Bytes(region.size.0 - RECORD_SIZE as u64);
        }
        let slot = region.name.starts_with("base-") || region.name.starts_with("site-");
        if slot {
            recorded.name = format!("{} footer", region.name);
            recorded.size = Bytes(FOOTER_SIZE as u64);
            recorded.start = Bytes(region.end().0 - FOOTER_SIZE as u64);
        }
        regions.push(RecordedRegion {
            digest: image.digest(&recorded)?,
            name: recorded.name,
            start: recorded.start,
            size: recorded.size,
            mutable: slot || MUTABLE.contains(&region.name.as_str()),
        });
    }
    let record = ImageRecord { format: 1, product: plan.product.clone(), version: plan.base.version.clone(), regions };
    let area = image_record::encode(&record, &keys.base).map_err(Error::format("the image record"))?;
    image.write(bios.end().0 - RECORD_SIZE as u64, &area)
}

/// What a running appliance changes besides its slots: boot state, data, and the tables when data grows.
const MUTABLE: [&str; 5] = ["state", "data", "gpt-primary", "gpt-backup", "protective-mbr"];
