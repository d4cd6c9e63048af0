use std::io::{Read as _, Write as _};

use super::*;

const PASSPHRASE: &str = "correct horse battery staple";
/// Of the age project's own documentation and test vectors: a key everybody knows.
const SECRET: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

/// The same each time, and never the same twice in one file.
fn chance() -> impl FnMut(&mut [u8]) -> io::Result<()> {
    let mut next = 0_u8;
    move |buffer| {
        for byte in buffer {
            next = next.wrapping_mul(5).wrapping_add(1);
            *byte = next;
        }
        Ok(())
    }
}

fn sealed(lock: Lock<'_>, content: &[u8]) -> Vec<u8> {
    let mut sealed = seal(Vec::new(), lock, &mut chance()).unwrap();
    sealed.write_all(content).unwrap();
    sealed.finish().unwrap()
}

fn opened(file: &[u8], key: Key<'_>) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    open(file, key)?.read_to_end(&mut content)?;
    Ok(content)
}

fn identity() -> Identity {
    Identity::parse(SECRET).unwrap()
}

/// What is wrong with it, in words.
fn problem(file: &[u8]) -> String {
    let identity = identity();
    match open(file, Key::Identity(&identity)).map(|mut content| content.read_to_end(&mut Vec::new())) {
        Ok(Ok(_)) => panic!("it was opened"),
        Ok(Err(problem)) => problem.to_string(),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn what_was_encrypted_comes_out_again_whatever_its_length() {
    let identity = identity();
    let recipients = [identity.recipient().unwrap()];
    for length in [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 3 * (64 << 10)] {
        let content: Vec<u8> = (0..length).map(|at: usize| u8::try_from(at % 251).unwrap()).collect();
        let file = sealed(Lock::Recipients(&recipients), &content);
        assert_eq!(opened(&file, Key::Identity(&identity)).unwrap(), content, "{length}");
    }
    let file = sealed(Lock::Passphrase(PASSPHRASE), b"hello");
    assert_eq!(opened(&file, Key::Passphrase(PASSPHRASE)).unwrap(), b"hello");
    assert_eq!(locked(file.as_slice()).unwrap(), Locked::Passphrase);
}

#[test]
fn another_passphrase_or_key_is_told_before_anything_is_read() {
    let file = sealed(Lock::Passphrase(PASSPHRASE), b"hello");
    let long = "x".repeat(MAX_PASSPHRASE + 1);
    for wrong in ["correct horse battery stapl", "", &long] {
        assert!(matches!(open(file.as_slice(), Key::Passphrase(wrong)), Err(Error::WrongKey(_))), "{wrong}");
    }
    let other = sealed(Lock::Recipients(&[STRANGER.parse().unwrap()]), b"hello");
    assert!(matches!(open(other.as_slice(), Key::Identity(&identity())), Err(Error::WrongKey(_))));
    assert!(matches!(open(other.as_slice(), Key::Passphrase(PASSPHRASE)), Err(Error::WrongKey(_))));
    assert!(matches!(open(file.as_slice(), Key::Identity(&identity())), Err(Error::WrongKey(_))));
}

const STRANGER: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

#[test]
fn each_of_several_recipients_opens_it() {
    let ours = identity();
    let file = sealed(Lock::Recipients(&[STRANGER.parse().unwrap(), ours.recipient().unwrap()]), b"hello");
    assert_eq!(opened(&file, Key::Identity(&ours)).unwrap(), b"hello");
    let none = seal(Vec::new(), Lock::Recipients(&[]), &mut chance());
    assert!(matches!(none, Err(Error::Format(FormatError::Invalid { .. }))));
}

#[test]
fn every_single_changed_byte_and_every_cut_is_found() {
    let ours = identity();
    let content = vec![7; (64 << 10) + 100];
    let file = sealed(Lock::Recipients(&[ours.recipient().unwrap()]), &content);
    let header = file.windows(4).position(|four| four == b"\n---").unwrap() + 50;
    let places = (0..header + 40).chain((header + 40..file.len()).step_by(997)).chain([file.len() - 1]);
    for at in places {
        let mut other = file.clone();
        other[at] ^= 0x20;
        assert!(opened(&other, Key::Identity(&ours)).is_err(), "byte {at}");
    }
    for length in (0..header + 40).chain([header + 40 + (64 << 10), file.len() - 117, file.len() - 116, file.len() - 1])
    {
        assert!(opened(&file[..length], Key::Identity(&ours)).is_err(), "cut at {length}");
    }
    let longer = [file.as_slice(), b"x"].concat();
    assert!(opened(&longer, Key::Identity(&ours)).is_err());
}

#[test]
fn chunks_that_are_left_out_or_exchanged_are_found() {
    let ours = identity();
    let file = sealed(Lock::Recipients(&[ours.recipient().unwrap()]), &vec![7; 3 * (64 << 10)]);
    let body = file.len() - 3 * ((64 << 10) + 16);
    let (head, chunks) = file.split_at(body);
    let chunks: Vec<&[u8]> = chunks.chunks((64 << 10) + 16).collect();
    for order in [vec![1, 0, 2], vec![0, 2], vec![0, 1], vec![0, 0, 1, 2], vec![2]] {
        let body: Vec<u8> = order.iter().flat_map(|at| chunks[*at].to_vec()).collect();
        assert!(opened(&[head, &body].concat(), Key::Identity(&ours)).is_err(), "{order:?}");
    }
    assert_eq!(opened(&[head, &chunks.concat()].concat(), Key::Identity(&ours)).unwrap().len(), 3 * (64 << 10));
}

#[test]
fn headers_that_break_a_rule_are_refused_in_words() {
    let ours = identity();
    let file = sealed(Lock::Recipients(&[ours.recipient().unwrap()]), b"hello");
    let end = file.windows(4).position(|four| four == b"\n---").unwrap();
    let (head, rest) = (String::from_utf8(file[..end].to_vec()).unwrap(), &file[end..]);
    let with = |head: &str| problem(&[head.as_bytes(), rest].concat());
    assert!(with(&head.replace("/v1", "/v2")).contains("does not begin as one"));
    assert!(with(&head.replace("-> X25519", "-> scrypt")).contains("not for keys"));
    assert!(with(&head.replace("-> X25519 ", "-> X25519  ")).contains("empty word"));
    assert!(with(&format!("{head}\n-> scrypt a 1\n")).contains("beside other recipients"));
    assert!(with(&head.replace("-> X25519", "-> other")).contains("not encrypted for this key"));
    let others: String = (0..40).map(|_| "\n-> other\n").collect();
    assert!(with(&format!("{head}{others}")).contains("more than 32 recipients"));
    assert!(with("age-encryption.org/v1").contains("for nobody"));
    assert!(with(&format!("{head}\n-> {}\n", "x".repeat(20_000))).contains("too early"));
    // A recipient that was put in is no recipient of ours: the MAC covers all of them.
    assert!(with(&format!("{head}\n-> grease\n")).contains("header was changed"));
    let share = head.split(' ').nth(2).unwrap().split('\n').next().unwrap();
    assert!(with(&head.replace(share, &"A".repeat(43))).contains("protects nothing"));
    assert!(with(&head.replace(share, "AB")).contains("canonical"));
}

#[test]
fn a_passphrase_that_would_cost_too_much_is_refused_before_it_costs_anything() {
    let file = String::from_utf8_lossy(&sealed(Lock::Passphrase(PASSPHRASE), b"")).into_owned();
    let asked = |work: &str| {
        let file = file.replacen(" 16\n", &format!(" {work}\n"), 1);
        open(file.as_bytes(), Key::Passphrase(PASSPHRASE)).map(drop).unwrap_err().to_string()
    };
    assert!(asked("19").contains("at most 2^18"), "{}", asked("19"));
    assert!(asked("63").contains("at most 2^18"));
    for wrong in ["0", "016", "-1", "256", "+16", "x"] {
        assert!(
            asked(wrong).contains("work factor") || asked(wrong).contains("other lengths"),
            "{wrong}: {}",
            asked(wrong)
        );
    }
}

#[test]
fn keys_are_read_as_text_with_their_checksum() {
    let ours = identity();
    let public = ours.recipient().unwrap();
    assert_eq!(public.to_string().parse::<Recipient>().unwrap(), public);
    assert_eq!(STRANGER.parse::<Recipient>().unwrap().to_string(), STRANGER);
    let mistyped = STRANGER.replace("ql3z", "ql3y");
    for wrong in [SECRET, "", "age1", &mistyped, &STRANGER.to_ascii_uppercase(), "ssh-ed25519 AAAA"] {
        assert!(wrong.parse::<Recipient>().is_err(), "{wrong}");
    }
    let file = format!("# created: today\n# public key: {public}\n\n{SECRET}\n");
    assert_eq!(Identity::parse(&file).unwrap().recipient().unwrap(), public);
    let two = format!("{SECRET}\n{SECRET}\n");
    for wrong in [STRANGER, "", "# nothing", &two, &SECRET.to_ascii_lowercase(), &SECRET.replace("GFPYY", "GFPYX")] {
        let problem = Identity::parse(wrong).err().unwrap().to_string();
        assert!(!problem.contains("GFPYY"), "no secret in an error: {problem}");
    }
}

#[test]
fn a_passphrase_that_can_be_guessed_is_not_taken() {
    for wrong in ["short", "elevenchars", "            ", "xxxxxxxxxxxxxxxx", &"x".repeat(2000)] {
        assert!(passphrase_problem(wrong).is_some(), "{wrong}");
    }
    assert_eq!(passphrase_problem("vier deutsche Wörter hier"), None);
}
