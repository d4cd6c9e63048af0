//! Which disks a power cut can leave between two flushes. Pure: numbers of writes and sectors in, choices out.
//!
//! What was flushed is there. Of what was not, anything may be there: any subset of the writes, and of each write its first or its
//! last sectors only (a disk writes a sector whole or not at all; the agent's simulated disk also plays sectors of rubbish). Of few
//! writes all subsets are chosen; of many a sample drawn with a seed: cut in the middle of a write, one write lost, half of them lost,
//! the late ones there and the early ones lost. The same seed chooses the same disks, so that each has a name that stays.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// A write that was not flushed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unflushed {
    /// How many sectors, at least 1.
    pub sectors: u64,
    /// It is on the disk for good as soon as it is complete (FUA).
    pub durable: bool,
}

/// The part of one write that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Piece {
    /// Index of the write among the unflushed ones.
    pub write: usize,
    /// Sectors missing at its beginning.
    pub skip: u64,
    /// Sectors that are there.
    pub sectors: u64,
}

/// What of the unflushed writes is on the disk, in their order; empty: nothing.
pub type Cut = Vec<Piece>;

/// The name of a disk: which stretch between two flushes that wrote something, and which of its cuts. Cut 0 has nothing unflushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Counts the stretches from 0.
    pub stretch: u64,
    /// Counts the cuts of the stretch from 0.
    pub cut: usize,
}

/// The cuts of a stretch: first the one where nothing of it reached the disk, then up to `most` others, all different, none with
/// everything (that is the beginning of the next stretch).
pub fn cuts(writes: &[Unflushed], most: usize, seed: u64, stretch: u64) -> Vec<Cut> {
    let mut random = Random::new(seed, stretch);
    let mut cuts = vec![Cut::new()];
    let all = with_durable(writes, whole(writes, |_| true));
    let mut push = |cut: Cut| {
        let cut = with_durable(writes, cut);
        if cut != all && !cuts.contains(&cut) && cuts.len() <= most {
            cuts.push(cut);
        }
    };
    let subsets = u32::try_from(writes.len()).ok().and_then(|count| 1_usize.checked_shl(count));
    if let Some(subsets) = subsets.filter(|subsets| *subsets <= most.saturating_add(1)) {
        (1..subsets).for_each(|subset| push(whole(writes, |write| subset >> write & 1 == 1)));
    }
    // Draws may repeat each other; a few more than wanted, then it is enough.
    for _ in 0..most.saturating_mul(4) {
        push(drawn(writes, &mut random));
    }
    cuts
}

/// `wanted` numbers below `total`, one from each of as many equal parts, chosen by the seed.
pub fn spread(total: usize, wanted: usize, seed: u64) -> Vec<usize> {
    let mut random = Random::new(seed, u64::MAX);
    let wanted = wanted.min(total);
    let start = |part: usize| part.saturating_mul(total).checked_div(wanted).unwrap_or(0);
    (0..wanted)
        .map(|part| start(part).saturating_add(random.below(start(part.saturating_add(1)).saturating_sub(start(part)))))
        .collect()
}

/// What of a cut's writes is there, in words.
pub fn describe(writes: &[Unflushed], cut: &[Piece]) -> String {
    let mut text = format!("{} of {} unflushed writes there", cut.len(), writes.len());
    for piece in cut {
        let sectors = writes.get(piece.write).map_or(0, |write| write.sectors);
        if piece.sectors < sectors {
            let which = if piece.skip == 0 { "first" } else { "last" };
            // OK: writing to a String cannot fail.
            let _ = write!(text, ", of write {} the {which} {} of {sectors} sectors", piece.write, piece.sectors);
        }
    }
    text
}

fn whole(writes: &[Unflushed], is_there: impl Fn(usize) -> bool) -> Cut {
    let piece = |(write, unflushed): (usize, &Unflushed)| Piece { write, skip: 0, sectors: unflushed.sectors };
    writes.iter().enumerate().filter(|(write, _)| is_there(*write)).map(piece).collect()
}

/// A write that is durable is whole as soon as a later one is there at all: the machine went on, so it was complete.
fn with_durable(writes: &[Unflushed], cut: Cut) -> Cut {
    let Some(last) = cut.iter().map(|piece| piece.write).max() else { return cut };
    let forced = |write: &usize| *write < last && writes.get(*write).is_some_and(|unflushed| unflushed.durable);
    let mut cut: Cut = cut.into_iter().filter(|piece| !forced(&piece.write)).collect();
    cut.extend(whole(writes, |write| forced(&write)));
    cut.sort_unstable();
    cut
}

fn drawn(writes: &[Unflushed], random: &mut Random) -> Cut {
    let count = writes.len();
    let chosen = random.below(count);
    let cut = match random.below(4) {
        0 => return torn(whole(writes, |write| write <= chosen), usize::MAX, random),
        1 => whole(writes, |write| write != chosen),
        2 => {
            let there: Vec<bool> = (0..count).map(|_| random.below(2) == 1).collect();
            whole(writes, |write| there.get(write) == Some(&true))
        }
        _ => whole(writes, |write| write >= chosen),
    };
    if random.below(2) == 0 {
        return cut;
    }
    let which = random.below(cut.len());
    torn(cut, which, random)
}

/// The cut with its `which`-th write (or the last) there in part, if it has more than one sector.
fn torn(mut cut: Cut, which: usize, random: &mut Random) -> Cut {
    let which = which.min(cut.len().saturating_sub(1));
    if let Some(piece) = cut.get_mut(which).filter(|piece| piece.sectors > 1) {
        let most = usize::try_from(piece.sectors - 1).unwrap_or(usize::MAX);
        let sectors = 1 + random.below(most) as u64;
        // Disks write forwards; one that was asked to write backwards or in several queues leaves the end.
        if random.below(4) == 0 {
            piece.skip = piece.sectors - sectors;
        }
        piece.sectors = sectors;
    }
    cut
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stretch, self.cut)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('.').and_then(|(stretch, cut)| Some((stretch.parse().ok()?, cut.parse().ok()?)));
        let (stretch, cut) = numbers.ok_or_else(|| format!("\"{text}\" is not two numbers, such as \"137.3\""))?;
        Ok(Self { stretch, cut })
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn new(seed: u64, stretch: u64) -> Self {
        Self(seed ^ stretch.wrapping_mul(0xd129_0d36_5e62_9a9b))
    }

    /// A number below `limit`; 0 when there is none.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // OK: the remainder is below a usize
        usize::try_from((mixed ^ (mixed >> 31)).checked_rem(limit as u64).unwrap_or(0)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(sectors: &[u64]) -> Vec<Unflushed> {
        sectors.iter().map(|sectors| Unflushed { sectors: *sectors, durable: false }).collect()
    }

    #[test]
    fn of_few_writes_every_subset_is_played() {
        let cuts = cuts(&writes(&[1, 1, 1]), 10, 1, 0);
        let masks: Vec<u32> = cuts.iter().map(|cut| cut.iter().map(|piece| 1 << piece.write).sum()).collect();
        assert_eq!(masks, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_single_sector_is_there_or_not_and_all_of_it_is_the_next_stretch() {
        assert_eq!(cuts(&writes(&[1]), 10, 1, 0), [Cut::new()]);
        assert_eq!(cuts(&[], 10, 1, 0), [Cut::new()]);
    }

    #[test]
    fn a_write_of_several_sectors_is_torn_at_its_front_and_at_its_end() {
        let cuts = cuts(&writes(&[8]), 12, 1, 0);
        assert_eq!(cuts[0], Cut::new());
        assert!(cuts[1..].iter().all(|cut| cut[0].sectors < 8), "{cuts:?}");
        assert!(
            cuts[1..].iter().any(|cut| cut[0].skip == 0) && cuts[1..].iter().any(|cut| cut[0].skip > 0),
            "{cuts:?}"
        );
        assert!(cuts[1..].iter().all(|cut| cut[0].skip == 0 || cut[0].skip + cut[0].sectors == 8));
    }

    #[test]
    fn of_many_writes_a_sample_loses_reorders_and_tears() {
        let writes = writes(&[8; 40]);
        let cuts = cuts(&writes, 100, 7, 3);
        assert_eq!(cuts.len(), 101);
        let lost_an_early_one = |cut: &Cut| !cut.is_empty() && cut[0].write > 0;
        assert!(cuts.iter().any(lost_an_early_one));
        assert!(cuts.iter().any(|cut| cut.len() == 39));
        assert!(
            cuts.iter().any(|cut| cut.last().is_some_and(|piece| piece.sectors < 8 && piece.write + 1 == cut.len()))
        );
        let mut different = cuts.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), cuts.len());
    }

    #[test]
    fn the_seed_alone_decides() {
        let writes = writes(&[8; 40]);
        assert_eq!(cuts(&writes, 9, 7, 3), cuts(&writes, 9, 7, 3));
        assert_ne!(cuts(&writes, 9, 7, 3), cuts(&writes, 9, 8, 3));
        assert_ne!(cuts(&writes, 9, 7, 3), cuts(&writes, 9, 7, 4));
        // More of them leaves the names of the first ones as they are.
        assert_eq!(cuts(&writes, 9, 7, 3), cuts(&writes, 20, 7, 3)[..10]);
    }

    #[test]
    fn a_durable_write_is_never_lost_once_something_later_is_there() {
        let mut writes = writes(&[1, 8, 1, 1]);
        writes[1].durable = true;
        for cut in cuts(&writes, 50, 1, 0) {
            let later = cut.iter().any(|piece| piece.write > 1);
            let is_there = cut.contains(&Piece { write: 1, skip: 0, sectors: 8 });
            assert!(!later || is_there, "{cut:?}");
        }
    }

    #[test]
    fn a_sample_is_spread_over_the_whole() {
        let sample = spread(1000, 10, 1);
        assert!(sample.iter().enumerate().all(|(part, number)| (part * 100..(part + 1) * 100).contains(number)));
        assert_eq!(spread(3, 10, 1), [0, 1, 2]);
        assert!(spread(0, 10, 1).is_empty() && spread(10, 0, 1).is_empty());
    }

    #[test]
    fn names_are_printed_and_read() {
        let name = Name { stretch: 137, cut: 3 };
        assert_eq!(name.to_string().parse(), Ok(name));
        assert!("137".parse::<Name>().is_err() && "1.x".parse::<Name>().is_err());
    }

    #[test]
    fn a_cut_is_described_by_what_is_there() {
        let cut = [Piece { write: 0, skip: 0, sectors: 1 }, Piece { write: 1, skip: 5, sectors: 3 }];
        let text = "2 of 2 unflushed writes there, of write 1 the last 3 of 8 sectors";
        assert_eq!(describe(&writes(&[1, 8]), &cut), text);
    }
}
