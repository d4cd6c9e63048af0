//! Exported images judged by programs we did not write: qemu-img, tar, sha256sum, Python's XML parser.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use builder::Error;
use builder::export::{Description, Existing, Format, write};

#[test]
fn every_format_shows_the_guest_exactly_the_raw_disk() {
    if !has("qemu-img") {
        return;
    }
    let bench = Bench::new(sample_disk);
    for (format, driver) in DISKS {
        let file = bench.export(format).unwrap();
        same_disk(&bench.raw, &file, driver);
        if matches!(format, Format::Qcow2 | Format::Vmdk) {
            run("qemu-img", &["check", "-f", driver, text(&file)]);
        }
    }
}

#[test]
fn the_ova_opens_with_tar_and_its_manifest_verifies() {
    if !has("tar") || !has("sha256sum") || !has("qemu-img") {
        return;
    }
    let bench = Bench::new(sample_disk);
    let ova = bench.export(Format::Ova).unwrap();
    let members = ["demo-1.2.3.ovf", "demo-1.2.3.mf", "demo-1.2.3-disk1.vmdk"];
    assert_eq!(run("tar", &["tf", text(&ova)]).lines().collect::<Vec<_>>(), members);
    assert_eq!(&fs::read(&ova).unwrap()[257..265], b"ustar\x0000", "the archive must be ustar, not GNU or pax");

    let folder = bench.unpack(&ova);
    let manifest = fs::read_to_string(folder.join(members[1])).unwrap();
    let mut sums = String::new();
    for line in manifest.lines() {
        let (name, sum) = line.strip_prefix("SHA256(").and_then(|rest| rest.split_once(")= ")).unwrap();
        writeln!(sums, "{sum}  {}", folder.join(name).display()).unwrap();
    }
    assert_eq!(sums.lines().count(), 2, "the manifest must name the descriptor and the disk");
    fs::write(folder.join("sums"), sums).unwrap();
    run("sha256sum", &["-c", text(&folder.join("sums"))]);

    let disk = folder.join(members[2]);
    run("qemu-img", &["check", "-f", "vmdk", text(&disk)]);
    same_disk(&bench.raw, &disk, "vmdk");
}

#[test]
fn the_ovf_is_well_formed_and_its_references_resolve() {
    if !has("tar") || !has("python3") {
        return;
    }
    let mut bench = Bench::new(sample_disk);
    bench.description.title = "Müller & Söhne <\"Gate\"> 'x' ]]>".into();
    let ova = bench.export(Format::Ova).unwrap();
    let folder = bench.unpack(&ova);
    let facts = run("python3", &["-c", READ_OVF, text(&folder.join("demo-1.2.3.ovf"))]);
    let facts: BTreeMap<&str, &str> = facts.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(facts["product"], bench.description.title);
    assert_eq!(facts["version"], "1.2.3");
    assert_eq!(facts["file"], "demo-1.2.3-disk1.vmdk");
    assert_eq!(facts["size"], fs::metadata(folder.join(facts["file"])).unwrap().len().to_string());
    assert_eq!(facts["capacity"], DISK_SIZE.to_string());
    assert_eq!((facts["cpus"], facts["memory"], facts["firmware"]), ("2", "1024", "efi"));
    assert_eq!(facts["dangling"], "", "every Parent, fileRef, HostResource and Connection must name something");
}

#[test]
fn two_exports_anywhere_are_byte_identical() {
    let qemu = has("qemu-img");
    let (one, two) = (Bench::new(sample_disk), Bench::new(sample_disk));
    // The second raw disk has no holes: how the source is stored must not show in the result.
    let whole = fs::read(&two.raw).unwrap();
    fs::remove_file(&two.raw).unwrap();
    fs::write(&two.raw, whole).unwrap();
    for format in Format::ALL.into_iter().filter(|format| qemu || *format != Format::Qcow2) {
        let (one, two) = (one.export(format).unwrap(), two.export_as(format, "other: name", Existing::Refuse).unwrap());
        assert!(fs::read(one).unwrap() == fs::read(two).unwrap(), "{format} differs between two runs");
    }
}

#[test]
fn the_vhd_footer_sums_up() {
    let bench = Bench::new(sample_disk);
    let file = bench.export(Format::Vhd).unwrap();
    let vhd = fs::read(&file).unwrap();
    let footer = &vhd[vhd.len() - 512..];
    assert_eq!(u64::try_from(vhd.len()).unwrap(), DISK_SIZE + 512);
    let stored = u32::from_be_bytes(footer[64..68].try_into().unwrap());
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    assert_eq!(stored, !(sum(footer) - sum(&footer[64..68])));
}

#[test]
fn an_empty_disk_exports_to_every_format() {
    if !has("qemu-img") {
        return;
    }
    let bench = Bench::new(|file| file.set_len(DISK_SIZE).unwrap());
    for (format, driver) in DISKS {
        let file = bench.export(format).unwrap();
        same_disk(&bench.raw, &file, driver);
    }
    let vmdk = fs::metadata(bench.folder().join("disk.vmdk")).unwrap().len();
    assert!(vmdk < 70_000, "an empty disk became a VMDK of {vmdk} bytes");
}

#[test]
fn disks_that_do_not_fit_the_format_are_refused_and_leave_nothing() {
    let cases: [(u64, &[Format], &str); 3] = [
        (0, &Format::ALL, "is empty"),
        (DISK_SIZE + 511, &Format::ALL, "is not a multiple of"),
        (DISK_SIZE + 512, &[Format::Ova, Format::Vhd, Format::Vmdk], "is not a multiple of 1 MiB"),
    ];
    for (size, formats, wanted) in cases {
        let bench = Bench::new(|file| file.set_len(size).unwrap());
        for format in formats {
            let error = bench.export(*format).unwrap_err();
            assert_eq!(error.exit_code(), 3, "{error}");
            assert!(error.to_string().contains(wanted), "{error}");
        }
        assert_eq!(bench.files(), ["source.img"]);
    }
}

#[test]
fn an_existing_target_is_refused_and_kept_unless_forced() {
    let bench = Bench::new(sample_disk);
    let target = bench.folder().join("disk.vhd");
    fs::write(&target, "precious").unwrap();
    let error = bench.export(Format::Vhd).unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert!(error.to_string().contains("--force"), "{error}");
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    bench.export_as(Format::Vhd, "disk", Existing::Replace).unwrap();
    assert_eq!(fs::metadata(&target).unwrap().len(), DISK_SIZE + 512);
    assert_eq!(bench.files(), ["disk.vhd", "source.img"]);
}

#[test]
fn folders_that_cannot_be_written_are_named_in_the_error() {
    let bench = Bench::new(sample_disk);
    let missing = bench.folder().join("no such folder/disk.ova");
    let error = write(Format::Ova, &bench.raw, &missing, &bench.description, Existing::Refuse).unwrap_err();
    assert_eq!(error.exit_code(), 6);
    assert!(error.to_string().contains("no such folder/disk.ova"), "{error}");

    let sealed = bench.folder().join("sealed");
    fs::create_dir(&sealed).unwrap();
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o555)).unwrap();
    if File::create(sealed.join("probe")).is_ok() {
        println!("SKIPPED: needs an ordinary user, because root writes into read-only folders");
        return;
    }
    let error = write(Format::Raw, &bench.raw, &sealed.join("disk"), &bench.description, Existing::Refuse).unwrap_err();
    assert_eq!(error.exit_code(), 6, "{error}");
}

/// A file size limit stands for the full disk: it fails the same way and needs no root.
#[test]
fn a_write_that_fails_half_way_leaves_nothing() {
    if !has("bash") || !has("qemu-img") {
        return;
    }
    let bench = Bench::new(sample_disk);
    let script = "ulimit -f 1024; trap '' XFSZ; exec \"$0\" --exact worker_under_a_file_size_limit --nocapture";
    let output = Command::new("bash")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("EXPORT_LIMITED", bench.folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    assert_eq!(bench.files(), ["source.img"]);
}

/// Started by [`a_write_that_fails_half_way_leaves_nothing`] under its limit; does nothing otherwise.
#[test]
fn worker_under_a_file_size_limit() {
    let Some(folder) = std::env::var_os("EXPORT_LIMITED").map(PathBuf::from) else { return };
    for format in Format::ALL {
        let target = folder.join(format.file_name("disk"));
        let error = write(format, &folder.join("source.img"), &target, &description(), Existing::Refuse).unwrap_err();
        assert_eq!(error.exit_code(), 6, "{error}");
        assert!(error.to_string().contains(text(&target)), "the error must name the file: {error}");
    }
}

/// A folder with a raw disk in it.
struct Bench {
    directory: tempfile::TempDir,
    raw: PathBuf,
    description: Description,
}

impl Bench {
    fn new(fill: impl FnOnce(&File)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let raw = directory.path().join("source.img");
        fill(&File::create(&raw).unwrap());
        Self { directory, raw, description: description() }
    }

    fn folder(&self) -> &Path {
        self.directory.path()
    }

    fn export(&self, format: Format) -> builder::Result<PathBuf> {
        self.export_as(format, "disk", Existing::Refuse)
    }

    fn export_as(&self, format: Format, stem: &str, existing: Existing) -> builder::Result<PathBuf> {
        let target = self.folder().join(format.file_name(stem));
        write(format, &self.raw, &target, &self.description, existing).map(|()| target)
    }

    fn unpack(&self, ova: &Path) -> PathBuf {
        let folder = self.folder().join("unpacked");
        fs::create_dir(&folder).unwrap();
        run("tar", &["xf", text(ova), "-C", text(&folder)]);
        folder
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn description() -> Description {
    Description {
        name: "demo".into(),
        title: "Demo appliance".into(),
        version: semver::Version::new(1, 2, 3),
        seed: "test".into(),
        memory_mib: 1024,
        cpus: 2,
        timestamp: 1_700_000_000,
    }
}

/// 130 MiB with noise that does not compress, text, holes, written zeros, and data in the first and the last sector: several
/// grain tables, one of them empty.
fn sample_disk(file: &File) {
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..(5 << 20) / 4)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()
        })
        .collect();
    file.set_len(DISK_SIZE).unwrap();
    file.write_all_at(b"first", 0).unwrap();
    file.write_all_at(&noise, (1 << 20) + 4096).unwrap();
    file.write_all_at(&b"a line of text\n".repeat(100_000), 40 << 20).unwrap();
    file.write_all_at(&vec![0; 1 << 20], 70 << 20).unwrap();
    file.write_all_at(b"last", DISK_SIZE - 4).unwrap();
}

const DISK_SIZE: u64 = 130 << 20;

/// The formats that are one disk, and what qemu-img calls them.
const DISKS: [(Format, &str); 4] =
    [(Format::Raw, "raw"), (Format::Qcow2, "qcow2"), (Format::Vhd, "vpc"), (Format::Vmdk, "vmdk")];

/// Reads an OVF with a namespace-aware parser and prints facts, one a line.
const READ_OVF: &str = r#"
import sys, xml.etree.ElementTree as tree
o = "{http://schemas.dmtf.org/ovf/envelope/1}"
r = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"
v = "{http://www.vmware.com/schema/ovf}"
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == o + "Envelope", root.tag
file, disk = root.find(f"{o}References/{o}File"), root.find(f"{o}DiskSection/{o}Disk")
system = root.find(f"{o}VirtualSystem")
items = system.findall(f"{o}VirtualHardwareSection/{o}Item")
def value(item, name):
    found = item.find(r + name)
    return None if found is None else found.text
kinds = {value(i, "ResourceType"): i for i in items}
ids = {value(i, "InstanceID") for i in items}
assert len(ids) == len(items), "instance ids repeat"
for item in items:
    names = [child.tag for child in item]
    assert names == sorted(names), names
networks = {n.get(o + "name") for n in root.findall(f"{o}NetworkSection/{o}Network")}
dangling = [p for i in items for p in [value(i, "Parent")] if p is not None and p not in ids]
dangling += [] if disk.get(o + "fileRef") == file.get(o + "id") else ["fileRef"]
dangling += [] if value(kinds["17"], "HostResource") == "ovf:/disk/" + disk.get(o + "diskId") else ["HostResource"]
dangling += [] if value(kinds["10"], "Connection") in networks else ["Connection"]
sys.stdout.reconfigure(encoding="utf-8")
print("product=" + system.find(f"{o}ProductSection/{o}Product").text)
print("version=" + system.find(f"{o}ProductSection/{o}Version").text)
print("file=" + file.get(o + "href"))
print("size=" + file.get(o + "size"))
print("capacity=" + disk.get(o + "capacity"))
print("cpus=" + value(kinds["3"], "VirtualQuantity"))
print("memory=" + value(kinds["4"], "VirtualQuantity"))
print("firmware=" + {c.get(v + "key"): c.get(v + "value") for c in root.iter(v + "Config")}["firmware"])
print("dangling=" + " ".join(dangling))
"#;

/// Whether an oracle is there. Absent, the test says so; in CI that is a failure.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "CI needs {program}");
    if !found {
        println!("SKIPPED: needs {program}");
    }
    found
}

/// qemu-img must find the same size and the same bytes.
fn same_disk(raw: &Path, file: &Path, driver: &str) {
    run("qemu-img", &["compare", "-f", "raw", "-F", driver, text(raw), text(file)]);
    let info = run("qemu-img", &["info", "-f", driver, text(file)]);
    assert!(info.contains(&format!("({DISK_SIZE} bytes)")), "{info}");
}

/// Runs an oracle that must agree and returns what it said.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
