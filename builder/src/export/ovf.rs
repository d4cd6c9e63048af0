//! The OVF descriptor: the virtual machine an appliance wants, as XML.
//!
//! DMTF DSP0243 (OVF 1.1) with VMware's extensions marked `ovf:required="false"`, so that others skip them. The disk hangs on an IDE
//! controller and the network card is a VMXNET3: the one pair for which Debian's cloud kernel and its ordinary kernel both have
//! drivers (the cloud kernel has neither AHCI nor e1000). Firmware is EFI where the key is understood and BIOS elsewhere; the image
//! boots on both.

use std::fmt;

use super::Description;

/// The disk beside the descriptor.
pub(super) struct Disk<'a> {
    /// File name in the package.
    pub(super) file_name: &'a str,
    /// Size of the file in bytes.
    pub(super) file_size: u64,
    /// Size of the disk the guest sees, in bytes.
    pub(super) capacity: u64,
}

/// The whole descriptor.
pub(super) fn descriptor(description: &Description, disk: &Disk<'_>) -> String {
    let Disk { file_name, file_size, capacity } = disk;
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
    xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
    xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References>
    <File ovf:href="{file_name}" ovf:id="file1" ovf:size="{file_size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="disk1" ovf:fileRef="file1" ovf:format="{VMDK}"/>
  </DiskSection>
  <NetworkSection>
    <Info>Logical networks</Info>
    <Network ovf:name="{NETWORK}">
      <Description>The network the appliance is managed and used on</Description>
    </Network>
  </NetworkSection>
{system}</Envelope>
"#,
        system = virtual_system(description),
    )
}

fn virtual_system(description: &Description) -> String {
    let Description { title, name, version, .. } = description;
    let title = Escaped(title);
    format!(
        r#"  <VirtualSystem ovf:id="{name}">
    <Info>{title} {version}</Info>
    <Name>{name}-{version}</Name>
    <OperatingSystemSection ovf:id="101" vmw:osType="otherLinux64Guest">
      <Info>The operating system: Linux, 64 bits</Info>
    </OperatingSystemSection>
{hardware}    <ProductSection>
      <Info>The appliance</Info>
      <Product>{title}</Product>
      <Version>{version}</Version>
      <FullVersion>{version}</FullVersion>
    </ProductSection>
  </VirtualSystem>
"#,
        hardware = hardware(description),
    )
}

/// Items in schema order: the elements of an `Item` are alphabetical.
fn hardware(description: &Description) -> String {
    let Description { name, cpus, memory_mib, .. } = description;
    format!(
        r#"    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>
        <rasd:Description>Number of virtual processors</rasd:Description>
        <rasd:ElementName>{cpus} virtual processors</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>{cpus}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:Description>Memory size</rasd:Description>
        <rasd:ElementName>{memory_mib} MiB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>{memory_mib}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:Description>IDE controller</rasd:Description>
        <rasd:ElementName>ideController0</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>PIIX4</rasd:ResourceSubType>
        <rasd:ResourceType>5</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:ElementName>disk1</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/disk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>7</rasd:AddressOnParent>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Connection>{NETWORK}</rasd:Connection>
        <rasd:Description>Network card</rasd:Description>
        <rasd:ElementName>ethernet0</rasd:ElementName>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
    </VirtualHardwareSection>
"#
    )
}

/// Text that is safe between tags and inside quotes. Control characters were refused before.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                other => fmt::Write::write_char(f, other)?,
            }
        }
        Ok(())
    }
}

const VMDK: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";
const NETWORK: &str = "VM Network";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_texts_is_escaped() {
        assert_eq!(Escaped("a<b>&\"c'd ü").to_string(), "a&lt;b&gt;&amp;&quot;c&apos;d ü");
    }
}
