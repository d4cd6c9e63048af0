//! OpenPGP as GRUB understands it (RFC 4880): version 4 RSA public keys and detached binary signatures with SHA-256.
//!
//! GRUB demands `FILE.sig` for everything it loads, and its image carries the public key. GRUB 2.06 looks for the issuer's key id among
//! the *unhashed* subpackets only; GnuPG wants the creation time among the hashed ones. Both read what is written here.
//! Nothing is random: the same key, time and data give the same bytes.

use aws_lc_rs::digest::{Context, SHA256};
use sha1::{Digest as _, Sha1};

use crate::keys::{der, rsa, rsa::RsaKey};
use crate::{Error, Result};

/// The public half of a boot key as OpenPGP sees it: the creation time is part of its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    created: u32,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// A detached signature that is being computed: feed it the data in pieces of any size.
pub struct Signer<'a> {
    key: &'a RsaKey,
    public: &'a PublicKey,
    created: u32,
    context: Context,
}

impl PublicKey {
    /// The public half of `key`, created at this time (Unix seconds).
    pub fn new(key: &RsaKey, created: i64) -> Result<Self> {
        Ok(Self { created: timestamp(created)?, modulus: key.modulus().to_vec(), exponent: key.exponent().to_vec() })
    }

    /// From the first packet of an exported key (binary, not armoured).
    pub fn parse(bytes: &[u8]) -> formats::Result<Self> {
        let bad = |problem: &str| formats::Error::corrupt("OpenPGP public key", problem);
        if bytes.starts_with(b"-----BEGIN PGP") {
            return Err(bad("it is armoured text; export it in binary form"));
        }
        let (tag, body, _) = packet(bytes).ok_or_else(|| bad("it does not start with a whole packet"))?;
        if tag != TAG_PUBLIC_KEY {
            return Err(bad(&format!("its first packet has tag {tag}, not {TAG_PUBLIC_KEY}")));
        }
        let (&[version, c0, c1, c2, c3, algorithm], rest) =
            body.split_first_chunk::<6>().ok_or_else(|| bad("its key packet is too short"))?;
        if (version, algorithm) != (4, RSA) {
            let problem = format!("version {version} with algorithm {algorithm}; GRUB needs version 4 with RSA (1)");
            return Err(formats::Error::unsupported("OpenPGP public key", problem));
        }
        let (modulus, rest) = read_mpi(rest).ok_or_else(|| bad("its modulus is cut off"))?;
        let (exponent, rest) = read_mpi(rest).ok_or_else(|| bad("its exponent is cut off"))?;
        if !rest.is_empty() {
            return Err(bad("its key packet has bytes after the exponent"));
        }
        let created = u32::from_be_bytes([c0, c1, c2, c3]);
        Ok(Self { created, modulus: modulus.to_vec(), exponent: exponent.to_vec() })
    }

    /// True when this is the public half of `key`.
    pub fn is_for(&self, key: &RsaKey) -> bool {
        self.modulus == key.modulus() && self.exponent == key.exponent()
    }

    /// The version 4 fingerprint (RFC 4880, section 12.2).
    pub fn fingerprint(&self) -> [u8; 20] {
        Sha1::digest(hashed_key(&self.body())).into()
    }

    /// The key id: the last 8 bytes of the fingerprint.
    pub fn key_id(&self) -> [u8; 8] {
        // OK to fall back: a fingerprint has 20 bytes
        self.fingerprint().last_chunk().copied().unwrap_or_default()
    }

    /// The body of the public-key packet (RFC 4880, section 5.5.2).
    fn body(&self) -> Vec<u8> {
        let mut body = vec![4];
        body.extend(self.created.to_be_bytes());
        body.push(RSA);
        body.extend(mpi(&self.modulus));
        body.extend(mpi(&self.exponent));
        body
    }

    /// As the `RSAPublicKey` structure that aws-lc reads.
    fn to_der(&self) -> Vec<u8> {
        let integer = |bytes: &[u8]| {
            let sign: &[u8] = if bytes.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
            der::element(der::INTEGER, &[sign, bytes])
        };
        der::element(der::SEQUENCE, &[&integer(&self.modulus), &integer(&self.exponent)])
    }
}

/// The public key with a user id and its self-certification: what `gpg --import` and `grub-mkimage --pubkey` take.
pub fn certificate(key: &RsaKey, public: &PublicKey, user_id: &str) -> Result<Vec<u8>> {
    let body = public.body();
    let mut context = Context::new(&SHA256);
    context.update(&hashed_key(&body));
    context.update(&[0xb4]);
    context.update(&u32_length(user_id.len())?);
    context.update(user_id.as_bytes());
    let may_certify_and_sign = subpacket(27, &[0x03]);
    let signature = finish(key, public, context, CERTIFICATION, public.created, &may_certify_and_sign)?;
    Ok([write_packet(TAG_PUBLIC_KEY, &body), write_packet(TAG_USER_ID, user_id.as_bytes()), signature].concat())
}

/// The detached signature of `data`, dated `created` (Unix seconds) or, for a key younger than that, with the key's own time: GnuPG
/// refuses signatures older than their key, and sources are often older than the key set.
pub fn sign(key: &RsaKey, public: &PublicKey, data: &[u8], created: i64) -> Result<Vec<u8>> {
    let mut signer = Signer::new(key, public, created)?;
    signer.update(data);
    signer.finish()
}

/// Checks a detached signature of `data` as GRUB does. The error says what is wrong, without naming the file.
pub fn verify(public: &PublicKey, data: &[u8], signature: &[u8]) -> Result<()> {
    let bad = |problem: &str| Error::Verification(format!("the OpenPGP signature {problem}"));
    let parsed = parse_signature(signature).ok_or_else(|| bad("is damaged or of a kind that GRUB does not read"))?;
    if parsed.issuer != public.key_id() {
        let (found, wanted) = (hex::encode(parsed.issuer), hex::encode(public.key_id()));
        return Err(bad(&format!("is by key {found}, not by the boot key {wanted}")));
    }
    let mut context = Context::new(&SHA256);
    context.update(data);
    context.update(&trailer(parsed.hashed)?);
    let digest = context.finish();
    // Numbers may be shorter than the modulus: leading zero bytes are not stored.
    let mut value = vec![0; public.modulus.len().saturating_sub(parsed.value.len())];
    value.extend_from_slice(parsed.value);
    if digest.as_ref().first_chunk() == Some(&parsed.check) && rsa::verify_digest(&public.to_der(), &digest, &value) {
        return Ok(());
    }
    Err(bad("does not match the content; one of them was changed"))
}

impl<'a> Signer<'a> {
    /// Starts a detached signature; see [`sign`] for the meaning of `created`.
    pub fn new(key: &'a RsaKey, public: &'a PublicKey, created: i64) -> Result<Self> {
        let created = timestamp(created)?.max(public.created);
        Ok(Self { key, public, created, context: Context::new(&SHA256) })
    }

    /// Takes the next piece of the data.
    pub fn update(&mut self, data: &[u8]) {
        self.context.update(data);
    }

    /// The signature packet: the content of `FILE.sig`.
    pub fn finish(self) -> Result<Vec<u8>> {
        finish(self.key, self.public, self.context, BINARY_DOCUMENT, self.created, &[])
    }
}

/// A version 4 signature packet (RFC 4880, section 5.2.3) over what `context` has seen so far.
fn finish(
    key: &RsaKey,
    public: &PublicKey,
    mut context: Context,
    kind: u8,
    created: u32,
    more: &[u8],
) -> Result<Vec<u8>> {
    let issuer_fingerprint = [&[4], public.fingerprint().as_slice()].concat();
    let hashed = [&subpacket(2, &created.to_be_bytes()), &subpacket(33, &issuer_fingerprint), more].concat();
    let head = [&[4, kind, RSA, HASH_SHA256], u16_length(hashed.len())?.as_slice(), &hashed].concat();
    context.update(&trailer(&head)?);
    let digest = context.finish();
    let check = digest.as_ref().first_chunk::<2>().copied().unwrap_or_default();
    let unhashed = subpacket(16, &public.key_id());
    let value = key.sign_digest(&digest)?;
    let body = [&head, u16_length(unhashed.len())?.as_slice(), &unhashed, &check, &mpi(&value)].concat();
    Ok(write_packet(TAG_SIGNATURE, &body))
}

/// The parts of a detached signature.
struct Parsed<'a> {
    /// Version to the end of the hashed subpackets: what the trailer covers.
    hashed: &'a [u8],
    issuer: [u8; 8],
    check: [u8; 2],
    value: &'a [u8],
}

fn parse_signature(bytes: &[u8]) -> Option<Parsed<'_>> {
    let (tag, body, after) = packet(bytes)?;
    let (&[version, kind, algorithm, hash, high, low], rest) = body.split_first_chunk::<6>()?;
    if (tag, version, kind, algorithm, hash) != (TAG_SIGNATURE, 4, BINARY_DOCUMENT, RSA, HASH_SHA256) {
        return None;
    }
    let (subpackets, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    let hashed = body.get(..6 + subpackets.len())?;
    let (&[high, low], rest) = rest.split_first_chunk::<2>()?;
    let (unhashed, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    let (&check, rest) = rest.split_first_chunk::<2>()?;
    let (value, rest) = read_mpi(rest)?;
    (rest.is_empty() && after.is_empty()).then_some(Parsed { hashed, issuer: issuer(unhashed)?, check, value })
}

/// The issuer key id among the unhashed subpackets, where GRUB 2.06 looks for it. Only one-byte lengths: others never occur there.
fn issuer(mut subpackets: &[u8]) -> Option<[u8; 8]> {
    while let Some((&[length, kind], rest)) = subpackets.split_first_chunk::<2>() {
        let (value, after) = rest.split_at_checked(usize::from(length).checked_sub(1)?)?;
        if length >= 192 {
            return None;
        }
        if kind == 16 {
            return value.try_into().ok();
        }
        subpackets = after;
    }
    None
}

/// The final part of every hashed signature (RFC 4880, section 5.2.4): the hashed head and its length.
fn trailer(head: &[u8]) -> Result<Vec<u8>> {
    Ok([head, &[4, 0xff], u32_length(head.len())?.as_slice()].concat())
}

/// A key packet's body as fingerprints and certifications hash it.
fn hashed_key(body: &[u8]) -> Vec<u8> {
    // OK to fall back: a body holds two numbers of at most 1 KiB each
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [&[0x99], length.to_be_bytes().as_slice(), body].concat()
}

/// An old-format packet with a two-byte length: what GnuPG itself writes and GRUB reads since its first version.
fn write_packet(tag: u8, body: &[u8]) -> Vec<u8> {
    // OK to fall back: as in hashed_key; user ids and signatures are shorter still
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [&[0x80 | (tag << 2) | 1], length.to_be_bytes().as_slice(), body].concat()
}

/// Tag and body of the first packet and what follows it (RFC 4880, section 4.2), in either format with a definite length.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (tag, length, rest) = match first {
        0x80..=0xbf => {
            let width = match first & 3 {
                0 => 1,
                1 => 2,
                2 => 4,
                _ => return None,
            };
            let (digits, rest) = rest.split_at_checked(width)?;
            ((first >> 2) & 0xf, digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
        }
        0xc0..=0xff => {
            let (&width, rest) = rest.split_first()?;
            match width {
                0..=191 => (first & 0x3f, usize::from(width), rest),
                192..=223 => {
                    let (&low, rest) = rest.split_first()?;
                    (first & 0x3f, (usize::from(width - 192) << 8) + usize::from(low) + 192, rest)
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((tag, body, rest))
}

/// A multi-precision integer: bit count, then bytes without leading zeros (RFC 4880, section 3.2).
fn mpi(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = bytes.get(skip..).unwrap_or_default();
    let unused = bytes.first().map_or(0, |first| first.leading_zeros());
    let bits = (bytes.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or(0));
    // OK to fall back: aws-lc has no RSA numbers beyond 8192 bits
    [u16::try_from(bits).unwrap_or(u16::MAX).to_be_bytes().as_slice(), bytes].concat()
}

fn read_mpi(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&bits, rest) = bytes.split_first_chunk::<2>()?;
    let (number, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(bits)).div_ceil(8))?;
    mpi(number).starts_with(&bits).then_some((number, rest))
}

fn subpacket(kind: u8, value: &[u8]) -> Vec<u8> {
    // OK to fall back: the longest value here is a fingerprint
    [&[u8::try_from(value.len() + 1).unwrap_or(u8::MAX), kind], value].concat()
}

fn u16_length(length: usize) -> Result<[u8; 2]> {
    u16::try_from(length).map(u16::to_be_bytes).map_err(|_| Error::Bug("OpenPGP subpackets over 64 KiB".into()))
}

fn u32_length(length: usize) -> Result<[u8; 4]> {
    u32::try_from(length).map(u32::to_be_bytes).map_err(|_| Error::Bug("OpenPGP field over 4 GiB".into()))
}

fn timestamp(seconds: i64) -> Result<u32> {
    u32::try_from(seconds).map_err(|_| Error::input(format!("the time {seconds} s is not between 1970 and 2106")))
}

const TAG_SIGNATURE: u8 = 2;
const TAG_PUBLIC_KEY: u8 = 6;
const TAG_USER_ID: u8 = 13;
const RSA: u8 = 1;
const HASH_SHA256: u8 = 8;
const BINARY_DOCUMENT: u8 = 0x00;
const CERTIFICATION: u8 = 0x13;

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (RsaKey, PublicKey) {
        let key = RsaKey::generate().unwrap();
        let public = PublicKey::new(&key, 1_700_000_000).unwrap();
        (key, public)
    }

    #[test]
    fn exported_keys_read_back() {
        let (key, public) = key();
        let exported = certificate(&key, &public, "Boot key of demo").unwrap();
        assert_eq!(PublicKey::parse(&exported), Ok(public.clone()));
        assert!(public.is_for(&key));
        assert!(!public.is_for(&RsaKey::generate().unwrap()));
    }

    #[test]
    fn signatures_are_the_same_in_pieces_and_at_once() {
        let (key, public) = key();
        let whole = sign(&key, &public, b"kernel and initrd", 1_700_000_001).unwrap();
        let mut signer = Signer::new(&key, &public, 1_700_000_001).unwrap();
        signer.update(b"kernel and ");
        signer.update(b"initrd");
        assert_eq!(signer.finish().unwrap(), whole);
        verify(&public, b"kernel and initrd", &whole).unwrap();
    }

    #[test]
    fn signatures_are_never_older_than_their_key() {
        let (key, public) = key();
        assert_eq!(sign(&key, &public, b"x", 0).unwrap(), sign(&key, &public, b"x", 1_700_000_000).unwrap());
        assert_ne!(sign(&key, &public, b"x", 0).unwrap(), sign(&key, &public, b"x", 1_700_000_001).unwrap());
    }

    #[test]
    fn refuses_changed_content_foreign_keys_and_cut_signatures() {
        let (key, public) = key();
        let good = sign(&key, &public, b"kernel", 1_700_000_000).unwrap();
        let text = |result: Result<()>| result.unwrap_err().to_string();
        assert!(text(verify(&public, b"kernem", &good)).contains("does not match the content"));
        let (other, other_public) = self::key();
        let foreign = sign(&other, &other_public, b"kernel", 1_700_000_000).unwrap();
        assert!(text(verify(&public, b"kernel", &foreign)).contains("not by the boot key"));
        for length in 0..good.len() {
            assert!(text(verify(&public, b"kernel", &good[..length])).contains("is damaged"), "{length}");
        }
        for position in 0..good.len() {
            let mut changed = good.clone();
            changed[position] ^= 1;
            assert!(verify(&public, b"kernel", &changed).is_err(), "byte {position} changed unnoticed");
        }
    }

    #[test]
    fn refuses_public_keys_that_grub_cannot_use() {
        let (key, public) = key();
        let good = certificate(&key, &public, "x").unwrap();
        for length in 0..good.len().min(270) {
            assert!(PublicKey::parse(&good[..length]).is_err(), "{length}");
        }
        let mut ecc = good.clone();
        ecc[8] = 22;
        assert!(PublicKey::parse(&ecc).unwrap_err().to_string().contains("algorithm 22"));
        assert!(
            PublicKey::parse(b"-----BEGIN PGP PUBLIC KEY BLOCK-----").unwrap_err().to_string().contains("armoured")
        );
    }
}
