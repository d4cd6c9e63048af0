//! The variable store of OVMF, filled offline so that a machine starts with Secure Boot enforcing its own keys.
//!
//! Layout: a firmware volume (UEFI Platform Initialization 1.8, volume 3, section 3.2.1, `EFI_FIRMWARE_VOLUME_HEADER`) that holds
//! an EDK II variable store (`MdeModulePkg/Include/Guid/VariableFormat.h`: `VARIABLE_STORE_HEADER`,
//! `AUTHENTICATED_VARIABLE_HEADER`). The variables are those of UEFI 2.10: sections 3.3 (`PK`, `KEK`), 32.4.1
//! (`EFI_SIGNATURE_LIST` of `EFI_CERT_X509_GUID`), 32.6.1 (`db`), 8.2 (attributes).
//!
//! Refuses a template that is not an empty store: what is already enrolled there would be trusted too. Keys and certificates are
//! not judged: the firmware does that.

use std::path::Path;

use base64::Engine as _;
use formats::{Error as FormatError, Guid};

use crate::{Error, Result};

/// The certificates (DER) of a machine that trusts only them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecureBootKeys {
    /// The platform key: whose holder may change `KEK`. Having one takes the firmware out of setup mode.
    pub platform: Vec<u8>,
    /// The key exchange key: whose holder may change `db`.
    pub exchange: Vec<u8>,
    /// The signature database: who may sign what is started.
    pub signer: Vec<u8>,
}

impl SecureBootKeys {
    /// Reads `PK.crt`, `KEK.crt` and `boot.crt` (PEM) of a keys directory.
    pub fn read(directory: &Path) -> Result<Self> {
        let certificate = |name: &str| {
            let path = directory.join(name);
            let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            certificate_from_pem(&text).map_err(Error::format(format!("certificate \"{}\"", path.display())))
        };
        Ok(Self {
            platform: certificate("PK.crt")?,
            exchange: certificate("KEK.crt")?,
            signer: certificate("boot.crt")?,
        })
    }

    /// `template` (an empty variable store) with these keys enrolled and Secure Boot switched on.
    pub fn enrol(&self, template: &[u8]) -> formats::Result<Vec<u8>> {
        let area = empty_area(template)?;
        let variables = [
            Variable::signatures("PK", GLOBAL_VARIABLE, &self.platform),
            Variable::signatures("KEK", GLOBAL_VARIABLE, &self.exchange),
            Variable::signatures("db", IMAGE_SECURITY_DATABASE, &self.signer),
            Variable::switch("SecureBootEnable", SECURE_BOOT_ENABLE, 1),
            Variable::switch("CustomMode", CUSTOM_MODE_ENABLE, 0),
        ];
        let mut bytes = Vec::new();
        for variable in variables {
            bytes.extend(variable.encode());
            bytes.resize(bytes.len().next_multiple_of(4), ERASED);
        }
        if bytes.len() > area.len() {
            return Err(FormatError::invalid(
                "variable store",
                format!("the keys need {} bytes, the store has {}; use smaller certificates", bytes.len(), area.len()),
            ));
        }
        let mut store = template.to_vec();
        store[area.start..area.start + bytes.len()].copy_from_slice(&bytes);
        Ok(store)
    }
}

/// The one certificate in a PEM text (RFC 7468, section 5), as DER.
fn certificate_from_pem(text: &str) -> formats::Result<Vec<u8>> {
    let bad = |problem: &str| FormatError::corrupt("certificate", problem);
    let (_, rest) =
        text.split_once("-----BEGIN CERTIFICATE-----").ok_or_else(|| bad("no \"BEGIN CERTIFICATE\" line"))?;
    let (body, after) =
        rest.split_once("-----END CERTIFICATE-----").ok_or_else(|| bad("no \"END CERTIFICATE\" line"))?;
    if after.contains("-----BEGIN") {
        return Err(bad("more than one object; give one certificate a file"));
    }
    let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    let der =
        base64::engine::general_purpose::STANDARD.decode(body).map_err(|error| bad(&format!("base64: {error}")))?;
    match der.first() {
        Some(0x30) => Ok(der), // ASN.1 SEQUENCE
        _ => Err(bad("not a DER sequence")),
    }
}

/// Where variables may be written in `template`, after checking that it is an empty authenticated variable store.
fn empty_area(template: &[u8]) -> formats::Result<std::ops::Range<usize>> {
    let bad = |problem: String| FormatError::corrupt("variable store", problem);
    let too_short = || bad(format!("{} bytes are too few", template.len()));
    // EFI_FIRMWARE_VOLUME_HEADER: 0x10 FileSystemGuid, 0x20 FvLength, 0x28 Signature, 0x30 HeaderLength, 0x32 Checksum
    let header: &[u8] = template.get(..usize::from(FV_HEADER_LENGTH)).ok_or_else(too_short)?;
    if header[0x28..0x2c] != *b"_FVH" {
        return Err(bad("no firmware volume signature \"_FVH\" at byte 40".into()));
    }
    if header[0x10..0x20] != NV_DATA_VOLUME.to_efi_bytes() {
        return Err(bad("the firmware volume is not one for variables".into()));
    }
    let length = u64_at(header, 0x20);
    if usize::try_from(length).ok() != Some(template.len()) {
        return Err(bad(format!("the firmware volume says {length} bytes, the file has {}", template.len())));
    }
    let header_length = u16::from_le_bytes([header[0x30], header[0x31]]);
    if header_length != FV_HEADER_LENGTH {
        return Err(bad(format!("volume header of {header_length} bytes, expected {FV_HEADER_LENGTH}")));
    }
    let sum = header.as_chunks::<2>().0.iter().fold(0_u16, |sum, pair| sum.wrapping_add(u16::from_le_bytes(*pair)));
    if sum != 0 {
        return Err(bad(format!("the volume header's checksum is off by {sum:#06x}")));
    }
    // VARIABLE_STORE_HEADER: Signature GUID, 0x10 Size, 0x14 Format, 0x15 State, reserved up to 0x1c
    let store = &template[usize::from(FV_HEADER_LENGTH)..];
    let store_header = store.get(..STORE_HEADER_LENGTH).ok_or_else(too_short)?;
    if store_header[..0x10] != AUTHENTICATED_STORE.to_efi_bytes() {
        return Err(bad("not a store of authenticated variables".into()));
    }
    if store_header[0x14..0x16] != [FORMATTED, HEALTHY] {
        return Err(bad("the store is not formatted and healthy".into()));
    }
    let size = u32::from_le_bytes(*store_header[0x10..].first_chunk().unwrap_or(&[0; 4]));
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let area =
        store.get(STORE_HEADER_LENGTH..size).ok_or_else(|| bad(format!("the store's size {size} is impossible")))?;
    if area.iter().any(|byte| *byte != ERASED) {
        return Err(bad("it holds variables already; use an empty one, such as OVMF_VARS_4M.fd".into()));
    }
    let start = usize::from(FV_HEADER_LENGTH) + STORE_HEADER_LENGTH;
    Ok(start..start + area.len())
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

struct Variable {
    name: &'static str,
    vendor: Guid,
    attributes: u32,
    data: Vec<u8>,
}

impl Variable {
    /// A key variable: one `EFI_SIGNATURE_LIST` with one X.509 certificate.
    fn signatures(name: &'static str, vendor: Guid, certificate: &[u8]) -> Self {
        let signature_size = 16 + length(certificate);
        let mut data = CERT_X509.to_efi_bytes().to_vec(); // SignatureType
        data.extend((28 + signature_size).to_le_bytes()); // SignatureListSize
        data.extend(0_u32.to_le_bytes()); // SignatureHeaderSize
        data.extend(signature_size.to_le_bytes()); // SignatureSize
        data.extend(OWNER.to_efi_bytes()); // SignatureOwner
        data.extend(certificate); // SignatureData
        Self { name, vendor, attributes: NON_VOLATILE | BOOT_SERVICE | RUNTIME | TIME_BASED_AUTHENTICATED, data }
    }

    /// One of EDK II's one-byte switches, not visible to an operating system.
    fn switch(name: &'static str, vendor: Guid, value: u8) -> Self {
        Self { name, vendor, attributes: NON_VOLATILE | BOOT_SERVICE, data: vec![value] }
    }

    /// `AUTHENTICATED_VARIABLE_HEADER`, name and data.
    fn encode(&self) -> Vec<u8> {
        let name: Vec<u8> = self.name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        let mut bytes = 0x55aa_u16.to_le_bytes().to_vec(); // StartId
        bytes.extend([VARIABLE_ADDED, 0]); // State, Reserved
        bytes.extend(self.attributes.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes()); // MonotonicCount
        bytes.extend(if self.attributes & TIME_BASED_AUTHENTICATED == 0 { [0; 16] } else { TIMESTAMP });
        bytes.extend(0_u32.to_le_bytes()); // PubKeyIndex
        bytes.extend(length(&name).to_le_bytes());
        bytes.extend(length(&self.data).to_le_bytes());
        bytes.extend(self.vendor.to_efi_bytes());
        bytes.extend(name);
        bytes.extend(&self.data);
        bytes
    }
}

/// Saturates: the store's size check then refuses.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

const FV_HEADER_LENGTH: u16 = 0x48;
const STORE_HEADER_LENGTH: usize = 0x1c;
const ERASED: u8 = 0xff;
const FORMATTED: u8 = 0x5a;
const HEALTHY: u8 = 0xfe;
const VARIABLE_ADDED: u8 = 0x3f;
const NON_VOLATILE: u32 = 0x01;
const BOOT_SERVICE: u32 = 0x02;
const RUNTIME: u32 = 0x04;
const TIME_BASED_AUTHENTICATED: u32 = 0x20;
/// `EFI_TIME` 2020-01-01 00:00:00 UTC: any real change is newer.
const TIMESTAMP: [u8; 16] = [0xe4, 0x07, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

const NV_DATA_VOLUME: Guid = Guid::new(0xFFF1_2B8D_7696_4C8B_A985_2747_075B_4F50);
const AUTHENTICATED_STORE: Guid = Guid::new(0xAAF3_2C78_947B_439A_A180_2E14_4EC3_7792);
const GLOBAL_VARIABLE: Guid = Guid::new(0x8BE4_DF61_93CA_11D2_AA0D_00E0_9803_2B8C);
const IMAGE_SECURITY_DATABASE: Guid = Guid::new(0xD719_B2CB_3D3A_4596_A3BC_DAD0_0E67_656F);
const SECURE_BOOT_ENABLE: Guid = Guid::new(0xF0A3_0BC7_AF08_4556_99C4_0010_09C9_3A44);
const CUSTOM_MODE_ENABLE: Guid = Guid::new(0xC076_EC0C_7028_4399_A072_71EE_5C44_8B9F);
const CERT_X509: Guid = Guid::new(0xA5C0_59A1_94E4_4AA7_87B5_AB15_5C2B_F072);
/// Who enrolled the certificates: this program (a constant of our own).
const OWNER: Guid = Guid::new(0x6275_6C6B_6865_4164_8D76_6D2D_6E76_7261);

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Vec<u8> {
        let mut store = vec![ERASED; 0x2000];
        store[..0x48].fill(0);
        store[0x10..0x20].copy_from_slice(&NV_DATA_VOLUME.to_efi_bytes());
        store[0x20..0x28].copy_from_slice(&0x2000_u64.to_le_bytes());
        store[0x28..0x2c].copy_from_slice(b"_FVH");
        store[0x30..0x32].copy_from_slice(&FV_HEADER_LENGTH.to_le_bytes());
        let sum = store[..0x48].chunks(2).fold(0_u16, |sum, p| sum.wrapping_add(u16::from_le_bytes([p[0], p[1]])));
        store[0x32..0x34].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
        store[0x48..0x58].copy_from_slice(&AUTHENTICATED_STORE.to_efi_bytes());
        store[0x58..0x5c].copy_from_slice(&0xfb8_u32.to_le_bytes());
        store[0x5c..0x64].copy_from_slice(&[FORMATTED, HEALTHY, 0, 0, 0, 0, 0, 0]);
        store
    }

    fn keys() -> SecureBootKeys {
        SecureBootKeys { platform: vec![0x30, 1], exchange: vec![0x30, 2, 3], signer: vec![0x30; 100] }
    }

    #[test]
    fn enrolled_variables_follow_the_specified_layout() {
        let store = keys().enrol(&template()).unwrap();
        assert_eq!(store.len(), 0x2000);
        let first = &store[0x64..];
        assert_eq!(first[..8], [0xaa, 0x55, 0x3f, 0, 0x27, 0, 0, 0]);
        assert_eq!(first[36..40], 6_u32.to_le_bytes()); // "PK" and a zero
        assert_eq!(first[40..44], 46_u32.to_le_bytes()); // list header 28, owner 16, certificate 2
        assert_eq!(&first[60..66], b"P\0K\0\0\0");
        assert_eq!(&first[66 + 16..66 + 28], &[46, 0, 0, 0, 0, 0, 0, 0, 18, 0, 0, 0]);
        assert_eq!(first[66 + 44..112], [0x30, 1]);
        assert_eq!(first[112..114], [0xaa, 0x55]); // the next one, 4-byte aligned
        assert!(store[0x1000..].iter().all(|byte| *byte == ERASED));
    }

    #[test]
    fn refuses_a_template_that_is_not_an_empty_variable_store() {
        let cases: [(&str, usize, u8); 7] = [
            ("_FVH", 0x28, b'x'),
            ("not one for variables", 0x10, 0),
            ("says", 0x21, 0x21),
            ("volume header of", 0x30, 0x50),
            ("checksum", 0x2c, 1),
            ("authenticated variables", 0x48, 0),
            ("holds variables already", 0x64, 0xaa),
        ];
        for (text, offset, value) in cases {
            let mut store = template();
            store[offset] = value;
            let error = keys().enrol(&store).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        for length in [0, 0x47, 0x60] {
            assert!(keys().enrol(&template()[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn refuses_a_store_size_beyond_the_volume_and_keys_that_do_not_fit() {
        let mut store = template();
        store[0x58..0x5c].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(keys().enrol(&store).unwrap_err().to_string().contains("impossible"));
        let large = SecureBootKeys { signer: vec![0x30; 0x1000], ..keys() };
        assert!(large.enrol(&template()).unwrap_err().to_string().contains("the store has"));
    }

    #[test]
    fn certificates_are_read_from_pem_and_nothing_else() {
        let pem = |body: &str| format!("comment\n-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        assert_eq!(certificate_from_pem(&pem("MAMC\nAQU=")).unwrap(), [0x30, 3, 2, 1, 5]);
        for (text, reason) in [
            (String::new(), "BEGIN"),
            ("-----BEGIN CERTIFICATE-----\nMAMCAQU=".to_owned(), "END"),
            (pem("!"), "base64"),
            (pem("AAAA"), "DER"),
            (pem("MAMCAQU=") + &pem("MAMCAQU="), "more than one"),
        ] {
            let error = certificate_from_pem(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
