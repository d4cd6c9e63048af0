//! OVA: an OVF package in one ustar file: descriptor, manifest, disk, in this order.
//!
//! DMTF DSP0243 (OVF 1.1), section 5.4 "Distribution as a Single File": the descriptor comes first, the manifest directly after it.
//! Manifest digests are SHA-256, as OVF 2.0 has them and vSphere and VirtualBox read them. Owner, mode and time of the members are
//! fixed by the description.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use formats::Digest;
use sha2::{Digest as _, Sha256};

use super::partial::Partial;
use super::raw::RawImage;
use super::{Description, ovf, vmdk};
use crate::{Error, Result};

/// Writes `image` as an OVA into `out`. The disk is compressed into a scratch file first: the descriptor names its size and the
/// manifest its digest, and both come before it.
pub(super) fn write(image: &RawImage, out: &Partial, description: &Description) -> Result<()> {
    let stem = description.stem();
    let disk_name = format!("{stem}-disk1.vmdk");
    let disk = out.scratch(".disk")?;
    vmdk::write(image, &disk, &disk_name)?;
    let (disk_size, disk_digest) = measure(disk.file()).map_err(Error::io("read", disk.path()))?;
    if disk_size > USTAR_MAX {
        return Err(Error::input(format!(
            "the compressed disk has {disk_size} bytes; a member of an OVA has at most {USTAR_MAX}, use the format vmdk"
        )));
    }
    let facts = ovf::Disk { file_name: &disk_name, file_size: disk_size, capacity: image.size() };
    let descriptor = ovf::descriptor(description, &facts);
    let manifest =
        format!("SHA256({stem}.ovf)= {}\nSHA256({disk_name})= {disk_digest}\n", Digest::of(descriptor.as_bytes()));
    let pack = || -> io::Result<()> {
        let mut archive = Archive { stream: BufWriter::new(out.file()), time: description.timestamp };
        archive.member(&format!("{stem}.ovf"), descriptor.as_bytes(), size_of(&descriptor))?;
        archive.member(&format!("{stem}.mf"), manifest.as_bytes(), size_of(&manifest))?;
        archive.member(&disk_name, disk.file(), disk_size)?;
        archive.finish()
    };
    pack().map_err(out.write_error())
}

/// A tar file being written. Only what an OVA needs: regular files with short names.
struct Archive<W: Write> {
    stream: BufWriter<W>,
    time: i64,
}

impl<W: Write> Archive<W> {
    fn member(&mut self, name: &str, mut content: impl Read, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::try_from(self.time).unwrap_or(0));
        header.set_size(size);
        header.set_cksum();
        self.stream.write_all(header.as_bytes())?;
        io::copy(&mut content, &mut self.stream)?;
        self.pad(size, 512)
    }

    /// Two zero blocks end the archive.
    fn finish(mut self) -> io::Result<()> {
        self.stream.write_all(&[0; 1024])?;
        self.stream.flush()
    }

    fn pad(&mut self, size: u64, block: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(size.next_multiple_of(block) - size), &mut self.stream).map(drop)
    }
}

/// Size and digest of a whole file; leaves it at its start.
fn measure(mut file: &File) -> io::Result<(u64, Digest)> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let length = reader.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hasher.update(&buffer[..length]);
        size += u64::try_from(length).map_err(io::Error::other)?;
    }
    file.rewind()?;
    Ok((size, Digest(hasher.finalize().into())))
}

fn size_of(text: &str) -> u64 {
    // OK to saturate: no text is longer than 64 bits can say
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// Eleven octal digits. Larger members need GNU's extension, which OVF readers need not know.
const USTAR_MAX: u64 = (8 << 30) - 1;
