//! Uploads over a folder: every bad input, and every cut.

use std::fs;

use super::*;

fn order(length: u64) -> BeginUpload {
    let (name, mark) = ("base-2.1.0.pkg".into(), Some("1700000000000".into()));
    BeginUpload { kind: UploadKind::Package, name, length, sha256: None, mark }
}

/// So many bytes that begin as a package does.
fn package(length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
    bytes[257..262].copy_from_slice(b"ustar");
    bytes
}

fn uploads() -> (tempfile::TempDir, Uploads) {
    let data = tempfile::tempdir().unwrap();
    let uploads = Uploads::new(data.path());
    (data, uploads)
}

fn whole(id: &str) -> FinishUpload {
    FinishUpload { id: id.into(), length: None, accept_expired: None }
}

fn names(uploads: &Uploads) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(&uploads.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_arrives_in_pieces_and_goes_on_where_it_stopped() {
    let (_data, uploads) = uploads();
    let bytes = package(3000);
    let begun = uploads.begin(order(3000), "anna").unwrap();
    assert_eq!((begun.offset, begun.of), (0, 3000));
    assert_eq!(uploads.piece(&begun.id, 0, &bytes[..1000], "anna").unwrap().offset, 1000);
    // After a restart of agent or page: the same file is found again.
    let again = Uploads(uploads.0.clone()).begin(order(3000), "anna").unwrap();
    assert_eq!((&again.id, again.offset), (&begun.id, 1000));
    assert_eq!(uploads.ready(&whole(&begun.id), "anna").unwrap_err().code(), "wrong-offset", "it is not whole");
    assert_eq!(uploads.piece(&begun.id, 1000, &bytes[1000..], "anna").unwrap().offset, 3000);
    uploads.ready(&whole(&begun.id), "anna").unwrap();
    let (_, path) = uploads.open(&begun.id).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes);
}

#[test]
fn a_piece_that_is_not_the_next_one_changes_nothing_and_is_told_where_to_go_on() {
    let (_data, uploads) = uploads();
    let bytes = package(3000);
    let id = uploads.begin(order(3000), "anna").unwrap().id;
    uploads.piece(&id, 0, &bytes[..1000], "anna").unwrap();
    assert_eq!(uploads.piece(&id, 0, &bytes[..1000], "anna").unwrap().offset, 1000, "the last piece once more");
    for (offset, piece) in [
        (0, &bytes[1..1001]),
        (999, &bytes[..100]),
        (500, &bytes[500..600]),
        (1001, &bytes[..100]),
        (1000, &package(2001)[..]),
        (u64::MAX, &bytes[..1]),
    ] {
        let problem = uploads.piece(&id, offset, piece, "anna").unwrap_err();
        assert_eq!(problem.code(), "wrong-offset", "{offset}");
        assert!(problem.to_string().contains("go on at byte 1000"), "{problem}");
        assert_eq!(uploads.state(&id).unwrap().offset, 1000);
    }
    for piece in [&[][..], &vec![0; PIECE + 1]] {
        assert_eq!(uploads.piece(&id, 1000, piece, "anna").unwrap_err().code(), "usage");
    }
}

#[test]
fn only_who_began_an_upload_goes_on_with_it_and_no_name_leads_out_of_the_folder() {
    let (data, uploads) = uploads();
    fs::write(data.path().join("bulkhead.part"), "").unwrap();
    let id = uploads.begin(order(3000), "anna").unwrap().id;
    assert_eq!(uploads.piece(&id, 0, b"x", "otto").unwrap_err().code(), "not-allowed");
    assert_eq!(uploads.ready(&whole(&id), "otto").unwrap_err().code(), "not-allowed");
    assert_eq!(uploads.discard(&id, Some("otto")).unwrap_err().code(), "not-allowed");
    assert_ne!(uploads.begin(order(3000), "otto").unwrap().id, id, "another one's file is another file");
    for name in ["../../bulkhead", "", "0000000000000000", "ABCDEFABCDEFABCD", "..", "a/b"] {
        assert_eq!(uploads.state(name).unwrap_err().code(), "not-found", "{name}");
        assert_eq!(uploads.piece(name, 0, b"x", "anna").unwrap_err().code(), "not-found", "{name}");
        assert_eq!(uploads.discard(name, None).unwrap_err().code(), "not-found", "{name}");
    }
    let hostile = BeginUpload { name: "../../\"etc\"/\npasswd".into(), ..order(3000) };
    assert_eq!(uploads.begin(hostile, "anna").unwrap().name, "../../etc/passwd", "it is a name for people");
    assert_eq!(names(&uploads).len(), 6);
}

#[test]
fn the_wrong_file_is_refused_after_its_first_piece_and_leaves_nothing() {
    let (_data, uploads) = uploads();
    for kind in [UploadKind::Package, UploadKind::Backup] {
        let id = uploads.begin(BeginUpload { kind, ..order(9000) }, "anna").unwrap().id;
        let problem = uploads.piece(&id, 0, &[b'%'; 4096], "anna").unwrap_err();
        assert_eq!(problem.code(), "malformed", "{problem}");
        assert_eq!(uploads.state(&id).unwrap_err().code(), "not-found");
    }
    assert!(names(&uploads).is_empty());
}

#[test]
fn there_is_an_end_to_how_many_and_how_long_and_to_the_room_they_take() {
    let (_data, uploads) = uploads();
    for (length, code) in [(0, "usage"), (LONGEST.0 + 1, "upload-too-long"), (u64::MAX, "upload-too-long")] {
        assert_eq!(uploads.begin(order(length), "anna").unwrap_err().code(), code, "{length}");
    }
    let free = plain_file::free(&uploads.0).unwrap().0;
    if free < LONGEST.0 {
        let problem = uploads.begin(order(free), "anna").unwrap_err();
        assert!(problem.code() == "no-space" && problem.to_string().contains("needs"), "{problem}");
    }
    for length in 1000..1004 {
        uploads.begin(order(length), "anna").unwrap();
    }
    assert_eq!(uploads.begin(order(1004), "anna").unwrap_err().code(), "too-many-uploads");
    assert_eq!(uploads.begin(order(1003), "anna").unwrap().of, 1003, "one that is known is no further one");
    uploads.discard(&uploads.list().unwrap()[0].id, None).unwrap();
    uploads.begin(order(1004), "anna").unwrap();
}

#[test]
fn a_length_that_was_not_known_is_said_at_the_end_and_a_digest_that_differs_is_refused() {
    let (_data, uploads) = uploads();
    let bytes = package(1000);
    let id = uploads.begin(order(5000), "anna").unwrap().id;
    uploads.piece(&id, 0, &bytes, "anna").unwrap();
    for length in [None, Some(999), Some(1001), Some(6000)] {
        assert!(uploads.ready(&FinishUpload { length, ..whole(&id) }, "anna").is_err(), "{length:?}");
    }
    uploads.ready(&FinishUpload { length: Some(1000), ..whole(&id) }, "anna").unwrap();
    assert_eq!(uploads.piece(&id, 1000, b"more", "anna").unwrap_err().code(), "wrong-offset");
    let sha256 = Some(Digest::of(b"something else"));
    let id = uploads.begin(BeginUpload { sha256, ..order(1000) }, "anna").unwrap().id;
    uploads.piece(&id, 0, &bytes, "anna").unwrap();
    uploads.ready(&whole(&id), "anna").unwrap();
    assert_eq!(uploads.open(&id).unwrap_err().code(), "digest-mismatch");
}

#[test]
fn whatever_a_power_cut_leaves_is_gone_on_with_or_removed() {
    let (_data, uploads) = uploads();
    let bytes = package(3000);
    let id = uploads.begin(order(3000), "anna").unwrap().id;
    uploads.piece(&id, 0, &bytes[..2000], "anna").unwrap();
    // It took the end of what was not flushed: the sender is asked for it again.
    for left in [1999, 1000, 0] {
        fs::OpenOptions::new().write(true).open(uploads.part(&id)).unwrap().set_len(left).unwrap();
        uploads.tidy().unwrap();
        let found = uploads.begin(order(3000), "anna").unwrap();
        assert_eq!((&found.id, found.offset), (&id, left));
        let rest = usize::try_from(left).unwrap();
        assert_eq!(uploads.piece(&id, left, &bytes[rest..2000], "anna").unwrap().offset, 2000);
    }
    // Between file and record, between the two records, and in the middle of a removal.
    fs::write(uploads.part("00112233445566aa"), "cut").unwrap();
    fs::write(uploads.0.join(format!("{id}.new")), "{").unwrap();
    let kept = fs::read(uploads.noted(&id)).unwrap();
    fs::write(uploads.noted("00112233445566bb"), kept).unwrap();
    fs::write(uploads.noted("00112233445566cc"), "{\"format\":1").unwrap();
    uploads.tidy().unwrap();
    assert_eq!(names(&uploads), [format!("{id}.json"), format!("{id}.part")]);
    assert_eq!(uploads.state(&id).unwrap().offset, 2000);
}

#[test]
fn what_nobody_goes_on_with_leaves_after_a_day() {
    let (_data, uploads) = uploads();
    let id = uploads.begin(order(3000), "anna").unwrap().id;
    let today = SystemTime::UNIX_EPOCH + Duration::from_secs(now());
    let part = File::options().write(true).open(uploads.part(&id)).unwrap();
    part.set_modified(today - DAY + Duration::from_mins(1)).unwrap();
    uploads.tidy().unwrap();
    assert!(uploads.state(&id).is_ok());
    part.set_modified(today - DAY - Duration::from_mins(1)).unwrap();
    uploads.tidy().unwrap();
    assert!(uploads.state(&id).is_err() && names(&uploads).is_empty());
}
