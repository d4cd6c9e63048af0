use std::collections::BTreeSet;
use std::io::Read as _;

use super::*;
use crate::error::Damage;
use crate::package::ustar;
use crate::{Bytes, Digest};

/// Path and content of each file.
const FILES: [(&str, &[u8]); 4] = [
    ("bulkhead/network.json", b"{\"format\":1}"),
    ("site/empty", b""),
    ("site/files/Gr\u{f6}\u{df}e.txt", b"umlauts"),
    (
        "site/a-folder-with-a-very-long-name/another-folder-with-a-very-long-name/a-file-whose-path-does-not-fit-a-header",
        &[7; 1000],
    ),
];

fn file(path: &str, content: &[u8]) -> File {
    let part = if path.starts_with("site") { "site" } else { "network" };
    let bytes = u64::try_from(content.len()).unwrap();
    File {
        part: part.into(),
        path: path.into(),
        bytes,
        sha256: Digest::of(content),
        mode: 0o600,
        user: 0,
        group: 0,
        modified: 1_700_000_000,
    }
}

fn contents() -> Contents {
    let part = |name: &str, scope| Part { name: name.into(), scope, schema: 1 };
    Contents {
        format: FORMAT,
        product: "demo".into(),
        made: Made { agent: "0.1.0".into(), appliance: "one".into(), ..Made::default() },
        created: 1_795_392_000,
        scopes: BTreeSet::from(Scope::ALL),
        history: true,
        limits: Limits::default(),
        parts: vec![part("network", Scope::Appliance), part("site", Scope::Site)],
        settings: Some(Digest([3; 32])),
        folders: vec![Folder { part: "site".into(), path: "site".into(), mode: 0o755, user: 0, group: 0 }],
        files: FILES.iter().map(|(path, content)| file(path, content)).collect(),
        excluded: vec![Excluded {
            path: "bulkhead/journal".into(),
            bytes: 7,
            files: 1,
            reason: Reason::Declared,
            sentence: "x".into(),
        }],
    }
}

fn written(contents: &Contents) -> Vec<u8> {
    let content = |file: &File| FILES.iter().find(|(path, _)| *path == file.path).unwrap().1;
    write(Vec::new(), contents, |file| Ok(content(file)), |_| {}).unwrap()
}

#[derive(Default)]
struct Taken(Vec<(String, Vec<u8>)>);

impl Sink for Taken {
    fn begin(&mut self, file: &File) -> io::Result<()> {
        self.0.push((file.path.clone(), Vec::new()));
        Ok(())
    }
    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.last_mut().unwrap().1.extend(bytes);
        Ok(())
    }
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read(archive: &[u8]) -> Result<(Contents, Taken)> {
    let mut taken = Taken::default();
    let contents = Reader::open(archive)?.files(&mut taken)?;
    Ok((contents, taken))
}

/// The kind of damage.
fn damage(archive: &[u8]) -> Damage {
    match read(archive).map(drop) {
        Err(Error::Format(FormatError::Corrupt { why, .. })) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_written_is_read_again() {
    let (back, taken) = read(&written(&contents())).unwrap();
    assert_eq!(back, contents());
    let files: Vec<(&str, &[u8])> = taken.0.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
    assert_eq!(files, FILES);
}

#[test]
fn tar_lists_and_unpacks_it() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive.tar");
    std::fs::write(&archive, written(&contents())).unwrap();
    let done =
        std::process::Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder.path()).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    for (path, content) in FILES {
        assert_eq!(std::fs::read(folder.path().join(path)).unwrap(), content, "{path}");
    }
    assert_eq!(Contents::parse(&std::fs::read(folder.path().join(CONTENTS)).unwrap()).unwrap(), contents());
}

#[test]
fn every_single_changed_byte_is_found_and_every_cut() {
    let archive = written(&contents());
    let table = contents().encode().unwrap().len().next_multiple_of(512) + 512;
    for at in (0..512).chain(table..archive.len()) {
        let mut other = archive.clone();
        other[at] ^= 1;
        assert!(read(&other).is_err(), "byte {at}");
    }
    for length in (0..archive.len()).step_by(61) {
        assert_eq!(damage(&archive[..length]), Damage::Truncated, "cut at {length}");
    }
    assert_eq!(damage(&[archive.as_slice(), b"\0"].concat()), Damage::TrailingData);
}

#[test]
fn only_what_the_table_names_may_come_and_in_its_order() {
    let mut turned = contents();
    turned.files.reverse();
    let archive = written(&contents());
    let table = |contents: &Contents| {
        let bytes = contents.encode().unwrap();
        let mut block = ustar::encode(CONTENTS, Bytes(u64::try_from(bytes.len()).unwrap())).unwrap().to_vec();
        block.extend(&bytes);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    };
    let rest = &archive[table(&contents()).len()..];
    assert!(read(&[table(&contents()).as_slice(), rest].concat()).is_ok());
    assert_eq!(damage(&[table(&turned).as_slice(), rest].concat()), Damage::WrongMember);
    let mut fewer = contents();
    fewer.files.pop();
    assert_eq!(damage(&[table(&fewer).as_slice(), rest].concat()), Damage::WrongMember);
    assert_eq!(damage(rest), Damage::WrongMember);
    let mut other = contents();
    other.files[0].sha256 = Digest([1; 32]);
    assert_eq!(damage(&[table(&other).as_slice(), rest].concat()), Damage::DigestMismatch);
    let endless = ustar::encode(CONTENTS, Bytes(17 << 20)).unwrap();
    assert_eq!(damage(&endless), Damage::TooLong);
}

#[test]
fn tables_that_would_write_elsewhere_or_twice_are_refused() {
    let with = |change: &dyn Fn(&mut Contents)| {
        let mut contents = contents();
        change(&mut contents);
        let json = serde_json::to_vec(&contents).unwrap();
        assert!(contents.encode().is_err());
        Contents::parse(&json).unwrap_err().to_string()
    };
    for path in ["/etc/passwd", "../x", "site/../x", "site//x", "site/", "", ".", "backup.json", "a\nb", "a\0b"] {
        let problem = with(&|contents| contents.files[0].path = path.into());
        assert!(problem.contains("is not the path"), "{path}: {problem}");
    }
    assert!(with(&|contents| contents.files[0].path = "x".repeat(401)).contains("is not the path"));
    assert!(with(&|contents| contents.files[1].path = contents.files[0].path.clone()).contains("twice"));
    assert!(with(&|contents| contents.files[1].path = "site".into()).contains("twice"));
    assert!(with(&|contents| contents.files[1].path = "bulkhead/network.json/x".into()).contains("lies in a file"));
    assert!(with(&|contents| contents.files[1].part = "other".into()).contains("none of its parts"));
    assert!(with(&|contents| contents.files[1].mode = 0o4_755).contains("permissions"));
    assert!(with(&|contents| contents.files[1].bytes = MAX_TOTAL + 1).contains("at most"));
    assert!(with(&|contents| contents.parts[0].name = "site".into()).contains("twice"));
    assert!(with(&|contents| contents.scopes.retain(|scope| *scope != Scope::Site)).contains("does not belong"));
    assert!(with(&|contents| contents.scopes.clear()).contains("of nothing"));
    assert!(with(&|contents| contents.created = -1).contains("between 1970"));
    assert!(with(&|contents| contents.files = vec![contents.files[0].clone(); MAX_FILES + 1]).contains("more than"));
}

#[test]
fn a_newer_format_is_refused_in_words_and_newer_fields_are_passed_over() {
    let json = String::from_utf8(contents().encode().unwrap()).unwrap();
    let newer = json.replacen("\"format\": 1", "\"format\": 2", 1);
    assert!(matches!(Contents::parse(newer.as_bytes()), Err(FormatError::Unsupported { .. })));
    let later = json.replacen("\"format\": 1", "\"format\": 1, \"later\": [1]", 1);
    assert_eq!(Contents::parse(later.as_bytes()).unwrap(), contents());
}

#[test]
fn a_file_that_changes_while_it_is_read_spoils_the_backup() {
    for other in [b"{\"format\":2}".as_slice(), b"{\"format\":1", b"{\"format\":1}\n"] {
        let mut contents = contents();
        contents.files.truncate(1);
        let result = write(Vec::new(), &contents, |_| Ok(other), |_| {});
        assert!(matches!(result, Err(Error::Format(FormatError::Corrupt { why: Damage::DigestMismatch, .. }))));
    }
}

#[test]
fn what_is_wrong_with_the_encryption_comes_through_as_what_it_is() {
    let key = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let key = crate::age::Identity::parse(key).unwrap();
    let recipients = [key.recipient().unwrap()];
    let mut chance = |buffer: &mut [u8]| {
        buffer.fill(9);
        Ok(())
    };
    let mut to = crate::age::seal(Vec::new(), crate::age::Lock::Recipients(&recipients), &mut chance).unwrap();
    io::Write::write_all(&mut to, &written(&contents())).unwrap();
    let file = to.finish().unwrap();
    let opened = |file: &[u8]| {
        let plain = crate::age::open(file, crate::age::Key::Identity(&key)).unwrap();
        Reader::open(plain.take(u64::MAX)).and_then(|reader| reader.files(&mut Taken::default()))
    };
    assert_eq!(opened(&file).unwrap(), contents());
    assert!(matches!(
        opened(&file[..file.len() - 1]),
        Err(Error::Format(FormatError::Corrupt { why: Damage::Truncated, .. }))
    ));
}
