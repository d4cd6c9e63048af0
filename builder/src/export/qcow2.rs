//! qcow2 through `qemu-img`, the format's own reference implementation: compressed (zlib, which every reader knows), in order, and
//! so the same bytes in every run of one qemu-img version.

use std::ffi::OsString;

use super::partial::Partial;
use super::raw::RawImage;
use crate::Result;
use crate::tool::Tool;

/// Converts `image` into the unfinished file `out`.
pub(super) fn write(image: &RawImage, out: &Partial) -> Result<()> {
    // `-W` (out-of-order writes) would be faster and give other bytes in every run.
    let mut arguments: Vec<OsString> = [
        "convert",
        "-c",
        "-f",
        "raw",
        "-O",
        "qcow2",
        "-o",
        "compat=1.1,cluster_size=65536,compression_type=zlib",
        "--",
    ]
    .map(OsString::from)
    .to_vec();
    arguments.push(protocol(image.path()));
    arguments.push(protocol(out.path()));
    Tool::QemuImg.run(&arguments, &[]).map(drop)
}

/// qemu-img takes a relative `nbd:x` for a URL; the explicit protocol takes any path literally.
fn protocol(path: &std::path::Path) -> OsString {
    let mut text = OsString::from("file:");
    text.push(path);
    text
}
