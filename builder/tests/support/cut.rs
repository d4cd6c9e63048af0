//! A file system that ends, and every change played on it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use builder::Error;
use builder::depot::{Depot, RealStorage, State, Storage};

use super::depot::{NOW, Shop, content, delivered, seen};

const DAY: i64 = 86_400;

/// A file system that ends after so many operations. The last write may be a half one; renames whose folder was not flushed are undone or not.
pub struct Cut {
    left: usize,
    operations: usize,
    half: bool,
    /// What had each name that is not durable yet.
    pending: Vec<(PathBuf, PathBuf, Option<Vec<u8>>)>,
}

impl Cut {
    pub fn after(left: usize, half: bool) -> Self {
        Self { left, operations: 0, half, pending: vec![] }
    }

    fn step(&mut self) -> builder::Result<()> {
        if self.left == 0 {
            return Err(Error::Environment("the power went".into()));
        }
        (self.left, self.operations) = (self.left - 1, self.operations + 1);
        Ok(())
    }

    /// What the disk holds when none of the names that were not flushed got there, but for those that `stays` picks.
    fn power_off(&mut self, stays: impl Fn(usize) -> bool) {
        for (number, (from, to, before)) in self.pending.drain(..).enumerate().rev() {
            if stays(number) {
                continue;
            }
            let removed = from == to;
            if let (true, Some(bytes)) = (removed || fs::rename(&to, &from).is_ok(), before) {
                fs::write(&to, bytes).unwrap();
            }
        }
    }
}

impl Storage for Cut {
    fn make_folder(&mut self, path: &Path) -> builder::Result<()> {
        self.step()?;
        RealStorage.make_folder(path)
    }

    fn write(&mut self, path: &Path, content: &mut dyn Read) -> builder::Result<()> {
        let cut = self.step();
        if cut.is_err() && self.half {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }
        cut?;
        RealStorage.write(path, content)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> builder::Result<()> {
        self.step()?;
        self.pending.push((from.to_owned(), to.to_owned(), fs::read(to).ok()));
        RealStorage.rename(from, to)
    }

    fn remove(&mut self, path: &Path) -> builder::Result<()> {
        self.step()?;
        // Undone by putting it back under its own name.
        self.pending.push((path.to_owned(), path.to_owned(), fs::read(path).ok()));
        RealStorage.remove(path)
    }

    fn sync_folder(&mut self, path: &Path) -> builder::Result<()> {
        self.step()?;
        self.pending.retain(|(_, to, _)| to.parent() != Some(path) && to.parent() != path.join("x").parent());
        RealStorage.sync_folder(path)
    }
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in content(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Plays a change on copies of a depot, cut after every operation in several ways; appliances see the old depot or the new one, whole, and
/// the same change can be made afterwards. How many cuts were played.
pub fn cut_everywhere(shop: &Shop, run: &dyn Fn(&Depot, &mut Cut) -> builder::Result<State>) -> usize {
    let mut played = 0;
    let old = seen(&shop.depot, &delivered(&shop.depot), NOW).unwrap();
    for operations in 0.. {
        let mut whole = false;
        for variant in 0..4 {
            let scratch = tempfile::tempdir().unwrap();
            let depot = Depot::new(scratch.path());
            copy(shop.depot.folder(), scratch.path());
            let mut storage = Cut::after(operations, variant % 2 == 1);
            whole = run(&depot, &mut storage).is_ok();
            storage.power_off(|number| match variant {
                0 => true,
                1 => false,
                2 => number % 2 == 0,
                _ => number % 2 == 1,
            });
            played += 1;
            let place = format!("cut after {operations} operations, variant {variant}");
            for kept in [&delivered(&shop.depot), old.kept()] {
                let seen = seen(&depot, kept, NOW + DAY).unwrap_or_else(|problem| panic!("{place}: {problem}"));
                for role in ["base", "site", "licence", "depot"].iter().filter_map(|role| seen.role(role)) {
                    for (name, target) in role.files() {
                        let path = depot.target(&target.path(name));
                        let bytes = fs::read(&path).unwrap_or_else(|cause| panic!("{place}: {name}: {cause}"));
                        assert_eq!(formats::Digest::of(&bytes), target.digest, "{place}: {name}");
                    }
                }
            }
            if !whole {
                match run(&depot, &mut Cut::after(usize::MAX, false)) {
                    // It had been made: only the flush of its last name was missing.
                    Ok(_) | Err(Error::Refused(_)) => {}
                    Err(problem) => panic!("{place}: again: {problem}"),
                }
            }
        }
        if whole {
            return played;
        }
    }
    played
}
