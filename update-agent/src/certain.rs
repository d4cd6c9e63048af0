//! Reads that decisions depend on: either the bytes, or the certainty that they are gone, or no decision.
//!
//! A read that fails says nothing by itself. A sector may be lost for good; or a cable, a controller or a path to the storage may have
//! failed for a moment, and what could not be read is whole. Taken for the first, the second does harm: with the newest boot state
//! block "lost" the older one would count, and the next change, made from it, would overwrite the newer one: a commit would be
//! undone. A journal taken for empty has no floors, and a reset record taken for none is none. Refusing everything instead whenever
//! a read fails would be as wrong: one bad sector would keep a machine from ever coming to rest, and writing is how a disk replaces one.
//!
//! So the disk is asked for a witness. Only a place that fails again and again while another place of the same disk is read in between
//! is lost, for everyone: GRUB and the initramfs program do not get it either, so to go on without it is to tell the truth. When
//! the witness fails too, the disk does not answer, nothing is known and nothing may be changed.

use std::io;

use formats::state_volume::COPY_OFFSETS;

use crate::state::Sectors;

/// How a read ended.
#[derive(Debug)]
pub enum Reading<T> {
    /// With what was read.
    Done(T),
    /// What was to be read cannot be, though the disk answers.
    Lost(io::Error),
}

/// Reads, several times if need be, asking `witness` after each failure. An error when the disk does not answer.
pub fn certain<T>(
    mut read: impl FnMut() -> io::Result<T>,
    mut witness: impl FnMut() -> io::Result<()>,
) -> io::Result<Reading<T>> {
    let mut last = io::ErrorKind::Other.into();
    for _ in 0..ATTEMPTS {
        match read() {
            Ok(answer) => return Ok(Reading::Done(answer)),
            // A disk without such a place has answered.
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(Reading::Lost(problem)),
            Err(problem) => last = problem,
        }
        // That it failed as well is less to the point than what was wanted.
        if witness().is_err() {
            return Err(last);
        }
    }
    Ok(Reading::Lost(last))
}

/// The witness of a disk: a sector of its state partition, and others should that one be bad.
pub fn answers(sectors: &impl Sectors) -> io::Result<()> {
    let mut sector = [0; SECTOR];
    let [first, second] = COPY_OFFSETS;
    let elsewhere = |_| sectors.read(first, &mut sector).or_else(|_| sectors.read(second, &mut sector));
    sectors.read(0, &mut [0; SECTOR]).or_else(elsewhere)
}

impl<T> Reading<T> {
    /// What was read, if it was.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(answer) => Some(answer),
            Self::Lost(_) => None,
        }
    }
}

/// How often a place has to fail while the disk answers.
const ATTEMPTS: usize = 3;
const SECTOR: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Operations fail while `bad` says so of their number and of whether they are the witness.
    fn outcome(bad: impl Fn(usize, bool) -> bool) -> Option<bool> {
        let count = Cell::new(0);
        let operation = |witness| {
            let number = count.replace(count.get() + 1);
            if bad(number, witness) { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
        };
        certain(|| operation(false), || operation(true)).ok().map(|reading| reading.done().is_some())
    }

    #[test]
    fn a_place_is_lost_only_while_the_disk_answers() {
        assert_eq!(outcome(|_, _| false), Some(true));
        assert_eq!(outcome(|_, witness| !witness), Some(false), "a bad sector");
        assert_eq!(outcome(|_, _| true), None, "a disk that is gone");
    }

    #[test]
    fn a_place_that_does_not_exist_needs_no_witness() {
        let nowhere = || Err::<(), _>(io::ErrorKind::NotFound.into());
        assert!(certain(nowhere, nowhere).unwrap().done().is_none());
    }

    #[test]
    fn no_outage_of_any_length_makes_a_good_place_lost() {
        for from in 0..8 {
            for length in 0..8 {
                let answer = outcome(|number, _| (from..from + length).contains(&number));
                assert_ne!(answer, Some(false), "{length} operations from {from}");
            }
        }
    }
}
