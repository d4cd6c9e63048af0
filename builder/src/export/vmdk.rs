//! Stream-optimised VMDK: compressed grains in disk order, each found by markers as well as by tables, so that a hypervisor can
//! import it while it arrives.
//!
//! VMware "Virtual Disk Format 5.0" technical note, sections "Hosted Sparse Extents" and "Stream-Optimized Compressed"; every number
//! is little-endian. The content ID is a checksum of the disk's content instead of chance. Grains are compressed by all processors,
//! in batches, and written in order: the bytes do not depend on how many there are.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::thread;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::geometry::Geometry;
use super::partial::Partial;
use super::raw::RawImage;
use crate::Result;

/// Writes `image` as a VMDK into `out`. `name` is what the descriptor calls the file; readers of embedded descriptors ignore it.
pub(super) fn write(image: &RawImage, out: &Partial, name: &str) -> Result<()> {
    let mut writer = Writer::new(out.file(), image.size() / SECTOR).map_err(out.write_error())?;
    let mut batch: Vec<Grain> = Vec::with_capacity(BATCH);
    image.for_each_block(GRAIN, &mut |offset, content| {
        batch.push(Grain { sector: offset / SECTOR, content: content.to_vec() });
        if batch.len() == BATCH {
            writer.put_batch(&batch).map_err(out.write_error())?;
            batch.clear();
        }
        Ok(())
    })?;
    writer.put_batch(&batch).and_then(|()| writer.finish(name)).map_err(out.write_error())
}

/// One unit of allocation and compression, as read from the disk.
struct Grain {
    sector: u64,
    content: Vec<u8>,
}

/// The output so far. Tables follow the grains they point to; the directory of tables comes last.
struct Writer<'a> {
    file: &'a File,
    stream: BufWriter<&'a File>,
    /// Where the stream is, in sectors.
    position: u64,
    /// The disk's size in sectors.
    capacity: u64,
    /// Which grain table is being filled, if any, and its entries.
    table: Option<(usize, [u32; TABLE_ENTRIES])>,
    directory: Vec<u32>,
    content: crc32fast::Hasher,
}

impl<'a> Writer<'a> {
    /// Leaves room for the header and the descriptor, which need the content's checksum.
    fn new(file: &'a File, capacity: u64) -> io::Result<Self> {
        let tables = usize::try_from(capacity.div_ceil(TABLE_SECTORS)).map_err(|_| too_large())?;
        let mut writer = Self {
            file,
            stream: BufWriter::with_capacity(1 << 20, file),
            position: 0,
            capacity,
            table: None,
            directory: vec![0; tables],
            content: crc32fast::Hasher::new(),
        };
        writer.put(&vec![0; OVERHEAD_SECTORS * 512])?;
        Ok(writer)
    }

    fn put_batch(&mut self, batch: &[Grain]) -> io::Result<()> {
        for (grain, compressed) in batch.iter().zip(compress_all(batch)?) {
            self.content.update(&grain.sector.to_le_bytes());
            self.content.update(&grain.content);
            self.put_grain(grain.sector, &compressed)?;
        }
        Ok(())
    }

    /// Marker "grain": first sector on the disk, compressed length, data, padded to a sector.
    fn put_grain(&mut self, sector: u64, compressed: &[u8]) -> io::Result<()> {
        let number = usize::try_from(sector / TABLE_SECTORS).map_err(|_| too_large())?;
        let entry = usize::try_from(sector % TABLE_SECTORS / GRAIN_SECTORS).map_err(|_| too_large())?;
        if self.table.as_ref().is_some_and(|(current, _)| *current != number) {
            self.put_table()?;
        }
        let position = u32::try_from(self.position).map_err(|_| too_large())?;
        self.table.get_or_insert((number, [0; TABLE_ENTRIES])).1[entry] = position;
        let length = u32::try_from(compressed.len()).map_err(|_| too_large())?;
        let mut record = Vec::with_capacity(12 + compressed.len() + 511);
        record.extend_from_slice(&sector.to_le_bytes());
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(compressed);
        self.put(&record)
    }

    /// Writes the grain table being filled, if there is one.
    fn put_table(&mut self) -> io::Result<()> {
        let Some((number, entries)) = self.table.take() else { return Ok(()) };
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        self.put_marker(&bytes, MARKER_TABLE)?;
        self.directory[number] = self.last_start(&bytes)?;
        Ok(())
    }

    /// Directory, footer and end of stream, then the header and descriptor in front.
    fn finish(mut self, name: &str) -> io::Result<()> {
        self.put_table()?;
        let bytes: Vec<u8> = self.directory.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        self.put_marker(&bytes, MARKER_DIRECTORY)?;
        let directory_at = u64::from(self.last_start(&bytes)?);
        self.put_marker(&header(self.capacity, directory_at), MARKER_FOOTER)?;
        self.put(&[0; 512])?; // the end-of-stream marker is all zero
        self.stream.flush()?;
        let descriptor = descriptor(self.capacity, content_id(self.content.clone().finalize()), name);
        self.file.write_all_at(&header(self.capacity, DIRECTORY_AT_END), 0)?;
        self.file.write_all_at(descriptor.as_bytes(), 512)
    }

    /// A metadata marker (length in sectors, zero, type) and its content.
    fn put_marker(&mut self, content: &[u8], kind: u32) -> io::Result<()> {
        let mut marker = [0; 512];
        marker[..8].copy_from_slice(&sectors(content).to_le_bytes());
        marker[12..16].copy_from_slice(&kind.to_le_bytes());
        self.put(&marker)?;
        self.put(content)
    }

    /// The sector where content just written starts.
    fn last_start(&self, content: &[u8]) -> io::Result<u32> {
        u32::try_from(self.position - sectors(content)).map_err(|_| too_large())
    }

    /// Appends bytes, padded to a sector.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.write_all(&[0; 512][..bytes.len().next_multiple_of(512) - bytes.len()])?;
        self.position += sectors(bytes);
        Ok(())
    }
}

fn sectors(bytes: &[u8]) -> u64 {
    // OK to saturate: no slice is longer than 64 bits can say
    u64::try_from(bytes.len().div_ceil(512)).unwrap_or(u64::MAX)
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "a VMDK file of 2 TiB or more cannot be addressed; use another format")
}

/// Compresses a batch on all processors; the results are in the batch's order.
fn compress_all(batch: &[Grain]) -> io::Result<Vec<Vec<u8>>> {
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = batch.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = batch
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().map(compress).collect::<io::Result<Vec<_>>>()))
            .collect();
        let mut all = Vec::with_capacity(batch.len());
        for part in parts {
            all.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

/// RFC 1950 stream of one whole grain; a disk's short last grain is filled up with zeros.
fn compress(grain: &Grain) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(GRAIN / 2), Compression::new(6));
    encoder.write_all(&grain.content)?;
    encoder.write_all(&vec![0; GRAIN - grain.content.len()])?;
    encoder.finish()
}

/// `SparseExtentHeader`; the footer is the same with the directory's true place.
fn header(capacity: u64, directory_at: u64) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |offset: usize, bytes: &[u8]| header[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, b"KDMV");
    put(4, &3_u32.to_le_bytes()); // version: compressed, with markers
    put(8, &0x0003_0001_u32.to_le_bytes()); // flags: newline test valid, compressed grains, markers
    put(12, &capacity.to_le_bytes());
    put(20, &GRAIN_SECTORS.to_le_bytes());
    put(28, &1_u64.to_le_bytes()); // descriptor at sector 1
    put(36, &DESCRIPTOR_SECTORS.to_le_bytes());
    put(44, &512_u32.to_le_bytes()); // entries per grain table
    put(56, &directory_at.to_le_bytes()); // no redundant directory (48)
    put(64, &128_u64.to_le_bytes()); // overhead: sectors before the first grain
    put(73, b"\n \r\n"); // tells when a transfer mangled line ends; 72 = shut down cleanly
    put(77, &1_u16.to_le_bytes()); // compression: deflate
    header
}

fn descriptor(capacity: u64, content_id: u32, name: &str) -> String {
    let Geometry { cylinders, heads, sectors } = Geometry::of_scsi(capacity);
    format!(
        "# Disk DescriptorFile\nversion=1\nCID={content_id:08x}\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n\
         # Extent description\nRW {capacity} SPARSE \"{name}\"\n\n\
         # The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\nddb.geometry.cylinders = \"{cylinders}\"\n\
         ddb.geometry.heads = \"{heads}\"\nddb.geometry.sectors = \"{sectors}\"\nddb.virtualHWVersion = \"13\"\n"
    )
}

/// Two values are taken: all ones says "no parent", and VMware reserves the one below.
fn content_id(checksum: u32) -> u32 {
    checksum.min(0xFFFF_FFFD)
}

const SECTOR: u64 = 512;
const GRAIN: usize = 64 << 10;
const GRAIN_SECTORS: u64 = 128;
const TABLE_ENTRIES: usize = 512;
/// Sectors of the disk that one grain table covers: 32 MiB.
const TABLE_SECTORS: u64 = 512 * GRAIN_SECTORS;
const DESCRIPTOR_SECTORS: u64 = 20;
const OVERHEAD_SECTORS: usize = 128;
const DIRECTORY_AT_END: u64 = u64::MAX;
const MARKER_TABLE: u32 = 1;
const MARKER_DIRECTORY: u32 = 2;
const MARKER_FOOTER: u32 = 3;
/// Grains compressed at once: 8 MiB of the disk in memory.
const BATCH: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_are_where_the_specification_puts_them() {
        let header = header(131_072, DIRECTORY_AT_END);
        assert_eq!(&header[..8], b"KDMV\x03\0\0\0");
        assert_eq!(header[12..20], 131_072_u64.to_le_bytes());
        assert_eq!(header[56..64], [0xFF; 8]);
        assert_eq!(header[72..79], [0, b'\n', b' ', b'\r', b'\n', 1, 0]);
    }

    #[test]
    fn the_content_id_is_never_a_reserved_value() {
        for (checksum, wanted) in [(0, 0), (7, 7), (u32::MAX, 0xFFFF_FFFD), (0xFFFF_FFFE, 0xFFFF_FFFD)] {
            assert_eq!(content_id(checksum), wanted);
        }
    }

    #[test]
    fn the_longest_descriptor_fits_its_sectors() {
        let text = descriptor(u64::MAX, u32::MAX, &"x".repeat(100));
        assert!(sectors(text.as_bytes()) <= DESCRIPTOR_SECTORS);
    }
}
