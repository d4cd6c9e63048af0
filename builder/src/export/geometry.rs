//! Cylinders, heads and sectors: numbers no guest of ours reads, but envelopes have fields for them.

/// A disk geometry of the BIOS age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) cylinders: u16,
    pub(super) heads: u8,
    pub(super) sectors: u8,
}

impl Geometry {
    /// The geometry a VHD must name: the algorithm of "Virtual Hard Disk Image Format Specification" 1.0, appendix "CHS Calculation".
    pub(super) fn of_vhd(total_sectors: u64) -> Self {
        let total = total_sectors.min(65535 * 16 * 255);
        let (heads, sectors, tracks) =
            if total >= 65535 * 16 * 63 { (16, 255, total / 255) } else { Self::vhd_below_32_gb(total) };
        Self { cylinders: u16::try_from(tracks / u64::from(heads)).unwrap_or(u16::MAX), heads, sectors }
    }

    /// Heads, sectors per track and number of tracks: the first of 17, 31 and 63 sectors per track that keeps the cylinders few.
    fn vhd_below_32_gb(total: u64) -> (u8, u8, u64) {
        let tracks = total / 17;
        let heads = tracks.div_ceil(1024).max(4);
        match u8::try_from(heads) {
            Ok(heads) if heads <= 16 && tracks < u64::from(heads) * 1024 => (heads, 17, tracks),
            _ if total / 31 < 16 * 1024 => (16, 31, total / 31),
            _ => (16, 63, total / 63),
        }
    }

    /// The geometry of a SCSI disk as VMware writes it: 255 heads and 63 sectors, cylinders rounded down.
    pub(super) fn of_scsi(total_sectors: u64) -> Self {
        let cylinders = u16::try_from(total_sectors / (255 * 63)).unwrap_or(u16::MAX).max(1);
        Self { cylinders, heads: 255, sectors: 63 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Geometries in footers by `qemu-img create -f vpc`, which rounds the cylinders up where the specification rounds down.
    #[test]
    fn vhd_geometry_agrees_with_another_writer() {
        for (mib, cylinders, heads, sectors) in VHD_CASES {
            let geometry = Geometry::of_vhd(mib * 2048);
            assert_eq!((geometry.heads, geometry.sectors), (heads, sectors), "{mib} MiB");
            assert!(geometry.cylinders == cylinders || geometry.cylinders + 1 == cylinders, "{mib} MiB: {geometry:?}");
        }
    }

    const VHD_CASES: [(u64, u16, u8, u8); 13] = [
        (1, 31, 4, 17),
        (3, 91, 4, 17),
        (31, 934, 4, 17),
        (100, 1004, 12, 17),
        (127, 1020, 15, 17),
        (128, 964, 16, 17),
        (256, 521, 16, 63),
        (500, 1016, 16, 63),
        (1024, 2081, 16, 63),
        (8191, 16643, 16, 63),
        (30_000, 60_953, 16, 63),
        (64_001, 32_126, 16, 255),
        (140_000, 65_535, 16, 255),
    ];
}
