//! Partition type GUIDs: UEFI 2.10 chapter 5.3.3 and the Discoverable Partitions Specification.

use crate::Guid;

/// GRUB's core image on a disk that boots from BIOS.
pub const BIOS_BOOT: Guid = Guid::new(0x2168_6148_6449_6e6f_744e_6565_6445_4649);
/// EFI system partition.
pub const ESP: Guid = Guid::new(0xc12a_7328_f81f_11d2_ba4b_00a0_c93e_c93b);
/// Generic Linux file system data.
pub const LINUX_DATA: Guid = Guid::new(0x0fc6_3daf_8483_4772_8e79_3d69_d847_7de4);
/// Linux root file system, x86-64.
pub const LINUX_ROOT_X86_64: Guid = Guid::new(0x4f68_bce3_e8cd_4db1_96e7_fbca_f984_b709);
/// Microsoft basic data: a FAT volume that is no EFI system partition.
pub const BASIC_DATA: Guid = Guid::new(0xebd0_a0a2_b9e5_4433_87c0_68b6_b726_99c7);

/// What people call a type, or its GUID.
pub fn name(type_guid: Guid) -> String {
    let known = [
        (BIOS_BOOT, "BIOS boot"),
        (ESP, "EFI system"),
        (LINUX_DATA, "Linux data"),
        (LINUX_ROOT_X86_64, "Linux root x86-64"),
        (BASIC_DATA, "basic data"),
    ];
    known
        .into_iter()
        .find(|(guid, _)| *guid == type_guid)
        .map_or_else(|| type_guid.to_string(), |(_, name)| name.to_owned())
}
