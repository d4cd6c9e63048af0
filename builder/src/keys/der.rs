//! The little of DER (ITU-T X.690, section 10) that signing and checking boot files needs: build by concatenation, read strictly.
//!
//! The reader takes only definite lengths in their shortest form and never recurses, so hostile input costs no more than its length.

use aws_lc_rs::digest::{SHA256, digest};

/// An encoded element found by [`Reader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// The identifier octet (class, constructed bit, number).
    pub tag: u8,
    /// The content octets.
    pub value: &'a [u8],
    /// Identifier, length and content as they stood in the input.
    pub whole: &'a [u8],
}

/// Reads one element after the other from a byte string.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

/// The parts of an X.509 certificate (RFC 5280, section 4.1) that tie a signature to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateParts<'a> {
    /// The serial number, as a whole INTEGER element.
    pub serial: &'a [u8],
    /// The issuer, as a whole Name element.
    pub issuer: &'a [u8],
    /// The `SubjectPublicKeyInfo`, as a whole element.
    pub public_key: &'a [u8],
}

/// One element: tag, shortest length, then the parts one after the other.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length.saturating_add(6));
    out.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            // OK to truncate: usize has at most 8 bytes
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(8));
            out.extend(bytes);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// True when nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element of whatever tag; `None` when the bytes are not DER or end early.
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide that None can mean damage")]
    pub fn next(&mut self) -> Option<Element<'a>> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk::<2>()?;
        if tag & 0x1f == 0x1f {
            return None; // multi-byte tags do not occur in anything read here
        }
        let mut length = usize::from(first);
        if first >= 0x80 {
            let count = usize::from(first & 0x7f);
            let (digits, after) = rest.split_at_checked(count)?;
            if !(1..=4).contains(&count) || digits.first() == Some(&0) {
                return None;
            }
            length = digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit));
            if length < 0x80 {
                return None;
            }
            rest = after;
        }
        let (value, after) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - after.len())?;
        self.0 = after;
        Some(Element { tag, value, whole })
    }

    /// The next element when it has this tag.
    pub fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut probe = *self;
        let found = probe.next().filter(|element| element.tag == tag)?;
        *self = probe;
        Some(found)
    }

    /// A reader for the content of the next element when it has this tag.
    pub fn enter(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.take(tag).map(|element| Reader(element.value))
    }
}

/// Finds serial, issuer and public key in a certificate.
pub fn certificate_parts(certificate: &[u8]) -> Option<CertificateParts<'_>> {
    let mut outer = Reader::new(certificate);
    let mut fields = outer.enter(SEQUENCE)?.enter(SEQUENCE)?;
    if !outer.is_empty() {
        return None;
    }
    let _version = fields.take(CONTEXT_0);
    let serial = fields.take(INTEGER)?.whole;
    let _signature_algorithm = fields.take(SEQUENCE)?;
    let issuer = fields.take(SEQUENCE)?.whole;
    let _validity = fields.take(SEQUENCE)?;
    let _subject = fields.take(SEQUENCE)?;
    let public_key = fields.take(SEQUENCE)?.whole;
    Some(CertificateParts { serial, issuer, public_key })
}

/// The `RSAPublicKey` inside an RSA `SubjectPublicKeyInfo`; `None` for other algorithms.
pub fn rsa_public_key(public_key_info: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader::new(public_key_info).enter(SEQUENCE)?;
    let algorithm = fields.enter(SEQUENCE)?.take(OBJECT_IDENTIFIER)?;
    let bits = fields.take(BIT_STRING)?.value;
    if algorithm.whole != RSA_ENCRYPTION {
        return None;
    }
    bits.strip_prefix(&[0])
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// Universal and context tags used here.
pub const INTEGER: u8 = 0x02;
/// BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// SEQUENCE, constructed.
pub const SEQUENCE: u8 = 0x30;
/// SET, constructed.
pub const SET: u8 = 0x31;
/// `[0]`, constructed.
pub const CONTEXT_0: u8 = 0xa0;
/// rsaEncryption, 1.2.840.113549.1.1.1 (RFC 8017), as a whole element.
pub const RSA_ENCRYPTION: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_their_shortest_form_and_read_back() {
        for length in [0, 1, 127, 128, 255, 256, 65535, 65536] {
            let content = vec![7; length];
            let encoded = element(OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&encoded);
            assert_eq!(reader.take(OCTET_STRING).unwrap().value, content, "{length}");
            assert!(reader.is_empty());
        }
        assert_eq!(element(SEQUENCE, &[&[0; 200]])[..3], [0x30, 0x81, 200]);
    }

    #[test]
    fn refuses_what_is_not_der() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],                      // indefinite
            &[0x30, 0x81, 5, 0, 0, 0, 0, 0],          // not the shortest form
            &[0x30, 0x82, 0, 200],                    // leading zero
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0], // longer than the input
            &[0x30, 0x85, 1, 0, 0, 0, 0, 0],          // length of a length beyond 4
            &[0x1f, 0x81, 0],                         // multi-byte tag
        ] {
            assert_eq!(Reader::new(bytes).next(), None, "{bytes:02x?}");
        }
    }
}
