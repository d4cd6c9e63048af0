//! Little-endian fields at fixed offsets, as specifications list them. Reading outside the bytes gives `None`, never a panic.

/// The `N` bytes at `at`.
pub(crate) fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// The 16-bit field at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

/// The 32-bit field at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

/// The 64-bit field at `at`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

/// Writes `field` at `at`. A field that does not fit is not written: callers own a buffer of known size.
pub(crate) fn put(buffer: &mut [u8], at: usize, field: &[u8]) {
    let place = at.checked_add(field.len()).and_then(|end| buffer.get_mut(at..end));
    debug_assert!(place.is_some(), "a field of {} bytes at {at} leaves the buffer", field.len());
    if let Some(place) = place {
        place.copy_from_slice(field);
    }
}
