//! A short deterministic run of the fuzz targets on the stable compiler: mutations of each committed corpus file.

use std::fs;
use std::path::PathBuf;

#[path = "../fuzz/parsers.rs"]
mod parsers;

/// Mutations per corpus file.
const ROUNDS: usize = 3000;

/// Numbers that are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    fn mutated(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(16)).min(bytes.len());
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.byte()),
                2 => drop(bytes.remove(at)),
                3 => bytes[at] ^= 1 << self.below(8),
                4 => bytes[at..end].fill(0xff),
                5 => {
                    let from = self.below(bytes.len() - (end - at) + 1);
                    bytes.copy_within(from..from + (end - at), at);
                }
                _ => bytes[at] = self.byte(),
            }
        }
        bytes
    }
}

/// One of the parsers: whether it accepts these bytes.
type Parser = fn(&[u8]) -> bool;

/// Each with the folder of its corpus.
const PARSERS: [(&str, Parser); 4] = [
    ("certificates", parsers::certificates),
    ("multipart", parsers::multipart),
    ("redact", parsers::redact),
    ("request", parsers::request),
];

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

#[test]
fn every_file_of_the_corpus_is_accepted() {
    for (name, parser) in PARSERS {
        let corpus = corpus(name);
        assert!(corpus.len() >= 2, "{name}: {}", corpus.len());
        for (file, bytes) in corpus {
            assert!(parser(&bytes), "{}", file.display());
        }
    }
}

#[test]
fn no_mutation_makes_a_parser_panic_or_keep_something_else_than_it_read() {
    for (name, parser) in PARSERS {
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        let (mut accepted, mut refused) = (0, 0);
        for (_, seed) in corpus(name) {
            for _ in 0..ROUNDS {
                let ok = parser(&chance.mutated(&seed));
                *if ok { &mut accepted } else { &mut refused } += 1;
            }
        }
        assert!(
            accepted > ROUNDS / 10 && refused > ROUNDS / 2,
            "{name}: {accepted} accepted, {refused} refused: nothing is tried by that"
        );
    }
}
