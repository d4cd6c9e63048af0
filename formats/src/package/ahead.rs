//! The first pass over a package file: its image is checked to the last byte before the first one is used.
//!
//! A writer that finds the package damaged in its middle has given a slot away for nothing. So whoever has the whole file reads it
//! twice: once here, where every frame must have its signed digest and the archive must end as it must, and once to use it. Nothing
//! is decompressed here, but a frame that does not state the length it must have is refused. The second pass checks every frame again,
//! because a file may change in between. The member as a whole is compared here only: signed frames in their order are the signed
//! member.

use std::io::{self, Read, Seek, SeekFrom};

use super::read::Image;
use super::{Error, Result};
use crate::Bytes;

impl<R: Read + Seek> Image<R> {
    /// Reads and checks everything that is left, then goes back to where it was. `told` hears after each frame how many bytes of the
    /// image they make; its error ends the pass.
    pub fn check_ahead(&mut self, told: &mut dyn FnMut(Bytes) -> io::Result<()>) -> Result<()> {
        let place = self.input.input.stream_position().map_err(Error::Io)?;
        let next = self.next;
        while let Some(chunk) = self.next_frame()? {
            super::image::check_frame(&chunk, &self.frame)?;
            let done = chunk.offset.0.saturating_add(u64::from(chunk.length));
            told(Bytes(done)).map_err(Error::Io)?;
        }
        self.end()?;
        self.input.input.seek(SeekFrom::Start(place)).map_err(Error::Io)?;
        self.next = next;
        Ok(())
    }
}
