//! Authenticode signatures of EFI programs (Microsoft "Windows Authenticode Portable Executable Signature Format", 2008; UEFI 2.10,
//! section 32.2.4): what Secure Boot firmware checks before it starts GRUB or a UKI.
//!
//! Signing is deterministic: RSA PKCS#1 v1.5, no signing time. Checking covers what firmware covers: the digest of the image, the signed
//! attributes, and that the key is that of one given certificate. Images whose sections leave gaps are refused in both directions,
//! because implementations disagree about whether gaps are part of the digest.

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::boot::pe::Pe;
use crate::keys::der::{
    self, BIT_STRING, CONTEXT_0, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, SET, element, sha256,
};
use crate::keys::rsa::{self, RsaKey};
use crate::{Error, Result};

/// The image with a signature by `key`, whose certificate (DER) is embedded. Signatures it had before are dropped.
///
/// # Errors
/// `Format` when the image cannot be signed, `Input` when certificate and key do not belong together.
pub fn sign(image: &[u8], key: &RsaKey, certificate: &[u8]) -> Result<Vec<u8>> {
    let parts = der::certificate_parts(certificate)
        .filter(|parts| der::rsa_public_key(parts.public_key) == Some(key.public_der()))
        .ok_or_else(|| Error::input("the boot certificate does not belong to the boot key"))?;
    let pe = Pe::parse(image).map_err(Error::format("the image to sign"))?;
    let unsigned = without_signature(&pe)?;
    let pe = Pe::parse(&unsigned).map_err(Error::format("the image to sign"))?;
    let indirect = spc_indirect_data(&image_digest(&pe)?);
    let signature = key.sign(&element(SET, &[&signed_attributes(content_of(&indirect))]))?;
    let mut table = signed_data(&indirect, certificate, &parts, &signature);
    table.resize(table.len().next_multiple_of(8), 0);
    let length = u32::try_from(table.len() + 8).map_err(|_| Error::Bug("a certificate table beyond 4 GiB".into()))?;
    let start = u32::try_from(unsigned.len()).map_err(|_| Error::input("the image to sign is beyond 4 GiB"))?;
    let mut out = unsigned.clone();
    put(&mut out, pe.certificate_field(), &[start.to_le_bytes(), length.to_le_bytes()].concat());
    out.extend(length.to_le_bytes());
    out.extend([0x00, 0x02, 0x02, 0x00]); // revision 2.0, PKCS#7 SignedData
    out.extend(table);
    let checksum = checksum(&out, pe.checksum_field());
    put(&mut out, pe.checksum_field(), &checksum.to_le_bytes());
    Ok(out)
}

/// Checks that the image is unchanged since it was signed with the key of this certificate (DER).
///
/// # Errors
/// `Format` when the image is damaged, `Verification` when it is not signed, changed, or signed by other keys.
pub fn verify(image: &[u8], certificate: &[u8]) -> Result<()> {
    let parts =
        der::certificate_parts(certificate).ok_or_else(|| Error::input("the certificate to check with is damaged"))?;
    let public = der::rsa_public_key(parts.public_key)
        .ok_or_else(|| Error::input("the certificate to check with is not about an RSA key"))?;
    let pe = Pe::parse(image).map_err(Error::format("the signed image"))?;
    let digest = image_digest(&pe)?;
    let signatures = signatures(&pe)?;
    let mut reason = "is not signed";
    for content in signatures {
        match check_signature(content, &parts, public, &digest) {
            Ok(()) => return Ok(()),
            Err(problem) => reason = problem,
        }
    }
    Err(Error::Verification(format!("the image {reason}")))
}

/// The Authenticode digest: everything except the checksum, the certificate table and the pointer to it.
pub fn image_digest(pe: &Pe<'_>) -> Result<Vec<u8>> {
    check_gaps(pe)?;
    let end = if pe.certificates.1 == 0 { pe.bytes.len() } else { pe.certificates.0 };
    let (checksum, pointer) = (pe.checksum_field(), pe.certificate_field());
    let mut context = Context::new(&SHA256);
    for range in [0..checksum, checksum + 4..pointer, pointer + 8..end] {
        let piece = pe.bytes.get(range).ok_or_else(|| Error::Bug("a PE header outside its checked file".into()))?;
        context.update(piece);
    }
    Ok(context.finish().as_ref().to_vec())
}

/// Sections must follow the headers and each other without a byte between; then hashing section by section equals hashing the file.
fn check_gaps(pe: &Pe<'_>) -> Result<()> {
    let mut sections: Vec<_> = pe.sections.iter().filter(|section| section.raw_size > 0).collect();
    sections.sort_by_key(|section| section.raw_offset);
    let mut end = u64::try_from(pe.headers_size).unwrap_or(u64::MAX);
    for section in sections {
        if u64::from(section.raw_offset) != end {
            let (name, start) = (&section.name, section.raw_offset);
            let problem =
                format!("section \"{name}\" starts at {start}, what is before it ends at {end}; gaps are not signed");
            return Err(Error::format("the image to sign or check")(formats::Error::unsupported("PE image", problem)));
        }
        end += u64::from(section.raw_size);
    }
    Ok(())
}

/// The image cut before its certificate table, padded to 8 bytes, all fields about signatures zero.
fn without_signature(pe: &Pe<'_>) -> Result<Vec<u8>> {
    let end = if pe.certificates.1 == 0 { pe.bytes.len() } else { pe.certificates.0 };
    let mut out =
        pe.bytes.get(..end).ok_or_else(|| Error::Bug("a certificate table outside its file".into()))?.to_vec();
    out.resize(out.len().next_multiple_of(8), 0);
    put(&mut out, pe.checksum_field(), &[0; 4]);
    put(&mut out, pe.certificate_field(), &[0; 8]);
    Ok(out)
}

/// The PE checksum: the sum of all 16-bit words with end-around carry, plus the length. Firmware ignores it, other tools warn.
fn checksum(bytes: &[u8], field: usize) -> u32 {
    let mut sum: u32 = 0;
    for (index, pair) in bytes.chunks(2).enumerate() {
        if (field..field + 4).contains(&(2 * index)) {
            continue;
        }
        let word = pair.iter().rev().fold(0, |word: u32, byte| (word << 8) | u32::from(*byte));
        sum += word;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum.wrapping_add(u32::try_from(bytes.len()).unwrap_or(0))
}

/// `SpcIndirectDataContent`: "this is a PE image with this digest".
fn spc_indirect_data(digest: &[u8]) -> Vec<u8> {
    let obsolete: Vec<u8> = "<<<Obsolete>>>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let link = element(CONTEXT_0, &[&element(0xa2, &[&element(0x80, &[&obsolete])])]);
    let flags = element(BIT_STRING, &[&[0]]);
    let data = element(SEQUENCE, &[SPC_PE_IMAGE_DATA, &element(SEQUENCE, &[&flags, &link])]);
    let info = element(SEQUENCE, &[&sha256_algorithm(), &element(OCTET_STRING, &[digest])]);
    element(SEQUENCE, &[&data, &info])
}

/// The content octets of one whole element.
fn content_of(whole: &[u8]) -> &[u8] {
    Reader::new(whole).next().map_or(&[], |element| element.value)
}

/// The two signed attributes in DER order: content type, then the digest of the content without its outer tag.
fn signed_attributes(content: &[u8]) -> Vec<u8> {
    let kind = element(SEQUENCE, &[CONTENT_TYPE, &element(SET, &[SPC_INDIRECT_DATA])]);
    let digest = element(OCTET_STRING, &[&sha256(content)]);
    [kind, element(SEQUENCE, &[MESSAGE_DIGEST, &element(SET, &[&digest])])].concat()
}

/// The PKCS#7 `ContentInfo` (RFC 2315) that goes into the certificate table.
fn signed_data(indirect: &[u8], certificate: &[u8], parts: &der::CertificateParts<'_>, signature: &[u8]) -> Vec<u8> {
    let one = element(INTEGER, &[&[1]]);
    let signer = element(
        SEQUENCE,
        &[
            &one,
            &element(SEQUENCE, &[parts.issuer, parts.serial]),
            &sha256_algorithm(),
            &element(CONTEXT_0, &[&signed_attributes(content_of(indirect))]),
            &element(SEQUENCE, &[der::RSA_ENCRYPTION, NULL]),
            &element(OCTET_STRING, &[signature]),
        ],
    );
    let content = element(
        SEQUENCE,
        &[
            &one,
            &element(SET, &[&sha256_algorithm()]),
            &element(SEQUENCE, &[SPC_INDIRECT_DATA, &element(CONTEXT_0, &[indirect])]),
            &element(CONTEXT_0, &[certificate]),
            &element(SET, &[&signer]),
        ],
    );
    element(SEQUENCE, &[SIGNED_DATA, &element(CONTEXT_0, &[&content])])
}

fn sha256_algorithm() -> Vec<u8> {
    element(SEQUENCE, &[SHA256_IDENTIFIER, NULL])
}

/// The PKCS#7 contents of the certificate table.
fn signatures<'a>(pe: &Pe<'a>) -> Result<Vec<&'a [u8]>> {
    let damaged = || Error::Verification("the image has a damaged certificate table".into());
    let (start, length) = pe.certificates;
    let mut rest = pe.bytes.get(start..start + length).ok_or_else(damaged)?;
    let mut found = Vec::new();
    while let Some((&[a, b, c, d, r0, r1, k0, k1], _)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| damaged())?;
        let content = rest.get(8..length).ok_or_else(damaged)?;
        if [r0, r1, k0, k1] == [0x00, 0x02, 0x02, 0x00] {
            found.push(content);
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    if rest.is_empty() { Ok(found) } else { Err(damaged()) }
}

/// One PKCS#7 signature against certificate, key and image digest; the error completes "the image ...".
fn check_signature(
    content: &[u8],
    parts: &der::CertificateParts<'_>,
    public: &[u8],
    digest: &[u8],
) -> std::result::Result<(), &'static str> {
    let found = parse_signed_data(content).ok_or("has a signature that is damaged or not Authenticode with SHA-256")?;
    if found.image_digest != digest {
        return Err("was changed after it was signed");
    }
    let signer = found.signers.iter().find(|signer| signer.issuer == parts.issuer && signer.serial == parts.serial);
    let signer = signer.ok_or("is signed, but not with this certificate")?;
    if signer.message_digest != sha256(found.content) {
        return Err("has a signature over something else");
    }
    let attributes = element(SET, &[signer.attributes]);
    if rsa::verify_digest(public, &self::digest(&SHA256, &attributes), signer.signature) {
        return Ok(());
    }
    Err("has a signature that does not match this certificate's key")
}

struct SignedData<'a> {
    /// The content octets of `SpcIndirectDataContent`.
    content: &'a [u8],
    image_digest: &'a [u8],
    signers: Vec<Signer<'a>>,
}

struct Signer<'a> {
    issuer: &'a [u8],
    serial: &'a [u8],
    /// The content octets of the signed attributes.
    attributes: &'a [u8],
    message_digest: &'a [u8],
    signature: &'a [u8],
}

fn parse_signed_data(bytes: &[u8]) -> Option<SignedData<'_>> {
    let mut outer = Reader::new(bytes).enter(SEQUENCE)?;
    expect(&mut outer, SIGNED_DATA)?;
    let mut signed = outer.enter(CONTEXT_0)?.enter(SEQUENCE)?;
    signed.take(INTEGER)?;
    signed.take(SET)?;
    let mut encapsulated = signed.enter(SEQUENCE)?;
    expect(&mut encapsulated, SPC_INDIRECT_DATA)?;
    let content = encapsulated.enter(CONTEXT_0)?.take(SEQUENCE)?.value;
    let mut fields = Reader::new(content);
    expect(&mut fields.enter(SEQUENCE)?, SPC_PE_IMAGE_DATA)?;
    let mut info = fields.enter(SEQUENCE)?;
    expect(&mut info.enter(SEQUENCE)?, SHA256_IDENTIFIER)?;
    let image_digest = info.take(OCTET_STRING)?.value;
    let _certificates = signed.take(CONTEXT_0);
    let _revocations = signed.take(0xa1);
    let mut infos = signed.enter(SET)?;
    let mut signers = Vec::new();
    while !infos.is_empty() {
        signers.push(parse_signer(infos.enter(SEQUENCE)?)?);
    }
    Some(SignedData { content, image_digest, signers })
}

fn parse_signer(mut fields: Reader<'_>) -> Option<Signer<'_>> {
    fields.take(INTEGER)?;
    let mut identity = fields.enter(SEQUENCE)?;
    let issuer = identity.take(SEQUENCE)?.whole;
    let serial = identity.take(INTEGER)?.whole;
    expect(&mut fields.enter(SEQUENCE)?, SHA256_IDENTIFIER)?;
    let attributes = fields.take(CONTEXT_0)?.value;
    fields.take(SEQUENCE)?;
    let signature = fields.take(OCTET_STRING)?.value;
    let content_type = attribute(attributes, CONTENT_TYPE)?;
    if content_type != SPC_INDIRECT_DATA {
        return None;
    }
    let message_digest = Reader::new(attribute(attributes, MESSAGE_DIGEST)?).take(OCTET_STRING)?.value;
    Some(Signer { issuer, serial, attributes, message_digest, signature })
}

/// The value of the only signed attribute of this type.
fn attribute<'a>(attributes: &'a [u8], kind: &[u8]) -> Option<&'a [u8]> {
    let mut reader = Reader::new(attributes);
    let mut found = None;
    while !reader.is_empty() {
        let mut fields = reader.enter(SEQUENCE)?;
        let identifier = fields.take(OBJECT_IDENTIFIER)?.whole;
        let values = fields.take(SET)?.value;
        if identifier == kind && found.replace(values).is_some() {
            return None;
        }
    }
    found
}

fn expect(reader: &mut Reader<'_>, identifier: &[u8]) -> Option<()> {
    (reader.take(OBJECT_IDENTIFIER)?.whole == identifier).then_some(())
}

/// Copies `bytes` to an offset that [`Pe::parse`] has shown to be inside.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(target) = out.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
        target.copy_from_slice(bytes);
    }
}

const NULL: &[u8] = &[0x05, 0x00];
/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.9.3
const CONTENT_TYPE: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
/// 1.2.840.113549.1.9.4
const MESSAGE_DIGEST: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
/// 1.3.6.1.4.1.311.2.1.4
const SPC_INDIRECT_DATA: &[u8] = &[0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x04];
/// 1.3.6.1.4.1.311.2.1.15
const SPC_PE_IMAGE_DATA: &[u8] = &[0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f];
/// 2.16.840.1.101.3.4.2.1
const SHA256_IDENTIFIER: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::pe::sample;
    use crate::keys::certificate::self_signed;

    fn identity() -> (RsaKey, Vec<u8>) {
        let key = RsaKey::generate().unwrap();
        let certificate = self_signed(&key, "test", 0).unwrap();
        (key, certificate)
    }

    #[test]
    fn signed_images_verify_and_signing_again_gives_the_same_bytes() {
        let (key, certificate) = identity();
        let signed = sign(&sample(1), &key, &certificate).unwrap();
        verify(&signed, &certificate).unwrap();
        assert_eq!(sign(&sample(1), &key, &certificate).unwrap(), signed);
        assert_eq!(sign(&signed, &key, &certificate).unwrap(), signed);
    }

    #[test]
    fn no_changed_byte_that_firmware_would_use_goes_unnoticed() {
        let (key, certificate) = identity();
        let signed = sign(&sample(1), &key, &certificate).unwrap();
        let pe = Pe::parse(&signed).unwrap();
        let checksum = pe.checksum_field()..pe.checksum_field() + 4;
        for position in (0..pe.certificates.0).filter(|position| !checksum.contains(position)) {
            let mut changed = signed.clone();
            changed[position] ^= 0x40;
            assert!(verify(&changed, &certificate).is_err(), "byte {position:#x}");
        }
    }

    #[test]
    fn refusals_say_why() {
        let (key, certificate) = identity();
        let (other_key, other) = identity();
        let signed = sign(&sample(1), &key, &certificate).unwrap();
        let text = |image: &[u8], certificate: &[u8]| {
            let error = verify(image, certificate).unwrap_err();
            assert_eq!(error.exit_code(), 4, "{error}");
            error.to_string()
        };
        assert_eq!(text(&sample(1), &certificate), "the image is not signed");
        assert_eq!(text(&signed, &other), "the image is signed, but not with this certificate");
        let mut changed = signed.clone();
        changed[0x210] ^= 1;
        assert_eq!(text(&changed, &certificate), "the image was changed after it was signed");
        let mut changed = signed.clone();
        let last = Pe::parse(&signed).unwrap().certificates.0 + 100;
        changed[last] ^= 0xff;
        assert!(verify(&changed, &certificate).is_err());
        assert_eq!(sign(&sample(1), &other_key, &certificate).unwrap_err().exit_code(), 3);
    }

    #[test]
    fn damaged_signatures_are_refused_without_a_panic() {
        let (key, certificate) = identity();
        let signed = sign(&sample(1), &key, &certificate).unwrap();
        let start = Pe::parse(&signed).unwrap().certificates.0;
        for position in start..signed.len() {
            let mut changed = signed.clone();
            changed[position] = changed[position].wrapping_add(1);
            drop(verify(&changed, &certificate)); // the embedded certificate and the padding are not signed
            drop(verify(&signed[..position], &certificate));
        }
    }

    #[test]
    fn refuses_images_with_gaps_between_sections() {
        let (key, certificate) = identity();
        let mut image = sample(1);
        image.extend([0; 0x200]);
        let offset = 0x40 + 24 + 0xf0 + 40 + 20;
        image[offset..offset + 4].copy_from_slice(&0x600_u32.to_le_bytes());
        assert!(format!("{:?}", sign(&image, &key, &certificate).unwrap_err()).contains("gaps are not signed"));
    }
}
