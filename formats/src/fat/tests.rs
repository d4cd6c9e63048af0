use super::*;

fn state_like() -> FatVolume {
    FatVolume::new(FatKind::Fat12, Bytes::mib(1), "STATE", 0x1234_abcd)
        .and_then(|volume| volume.file("state1", vec![1; 512]))
        .and_then(|volume| volume.file("state2", vec![2; 512]))
        .unwrap()
}

fn esp_like(loader: Vec<u8>) -> FatVolume {
    let volume = FatVolume::new(FatKind::Fat32, Bytes::mib(33), "ESP", 7).unwrap();
    volume.file("EFI/BOOT/BOOTX64.EFI", loader).unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn contents(image: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut volume = open_slice(image).unwrap();
    let files = volume.files().unwrap();
    files.iter().map(|file| (file.path.clone(), volume.read_file(file).unwrap())).collect()
}

#[test]
fn the_reader_finds_what_the_writer_wrote() {
    assert_eq!(
        contents(&state_like().image().unwrap()),
        [("state1".to_owned(), vec![1; 512]), ("state2".to_owned(), vec![2; 512])]
    );
    for length in [0, 1, 511, 512, 513, 700_001] {
        let image = esp_like(pattern(length)).image().unwrap();
        assert_eq!(contents(&image), [("EFI/BOOT/BOOTX64.EFI".to_owned(), pattern(length))]);
    }
}

#[test]
fn describes_the_volume() {
    let image = state_like().image().unwrap();
    assert_eq!(open_slice(&image).unwrap().to_string(), "FAT12 \"STATE\", 1 MiB, clusters of 4 KiB, serial 1234-ABCD");
    let image = esp_like(vec![]).image().unwrap();
    assert_eq!(open_slice(&image).unwrap().to_string(), "FAT32 \"ESP\", 33 MiB, clusters of 512 B, serial 0000-0007");
}

#[test]
fn reported_offsets_are_where_the_bytes_are() {
    let volume = esp_like(pattern(5000)).file("EFI/BOOT/other.bin", pattern(77)).unwrap();
    let image = volume.image().unwrap();
    for (path, length) in [("EFI/BOOT/BOOTX64.EFI", 5000), ("EFI/BOOT/other.bin", 77)] {
        let (offset, size) = volume.extent(path).unwrap().unwrap();
        assert_eq!(size, Bytes(length as u64));
        assert_eq!(image[offset.0 as usize..][..length], pattern(length));
        let found = open_slice(&image).unwrap().files().unwrap();
        assert_eq!(found.iter().find(|file| file.path == path).unwrap().offset, Some(offset));
    }
    assert_eq!(volume.extent("EFI").unwrap(), None);
    assert_eq!(volume.extent("EFI/nothing").unwrap(), None);
}

#[test]
fn extents_ascend_and_do_not_overlap() {
    let volume = esp_like(pattern(3000));
    let mut end = 0;
    for (offset, bytes) in volume.extents().unwrap() {
        assert!(offset.0 >= end, "{offset}");
        end = offset.0 + bytes.len() as u64;
    }
    assert!(end <= volume.size().0);
}

#[test]
fn many_files_fill_several_directory_clusters() {
    let mut volume = FatVolume::new(FatKind::Fat32, Bytes::mib(34), "ESP", 7).unwrap();
    for number in 0..100 {
        volume = volume.file(&format!("DIR/F{number}"), vec![number; 3]).unwrap();
    }
    let found = contents(&volume.image().unwrap());
    assert_eq!(found.len(), 100);
    assert!(found.iter().enumerate().all(|(index, (_, bytes))| *bytes == vec![index as u8; 3]));
}

#[test]
fn refuses_sizes_that_do_not_make_the_kind() {
    let error = |kind, size| FatVolume::new(kind, size, "X", 0).unwrap_err().to_string();
    assert!(error(FatKind::Fat32, Bytes::mib(32)).contains("needs at least 65525, which is 33 MiB"));
    assert!(error(FatKind::Fat12, Bytes::mib(17)).contains("FAT12 has 1 to 4084"));
    assert!(error(FatKind::Fat12, Bytes(4096)).contains("0 clusters"));
    assert!(error(FatKind::Fat12, Bytes(1000)).contains("not a multiple of 512 B"));
    assert!(FatVolume::new(FatKind::Fat32, Bytes::mib(33), "X", 0).is_ok());
    assert!(FatVolume::new(FatKind::Fat32, Bytes::mib(261), "X", 0).is_ok());
}

#[test]
fn refuses_files_that_do_not_fit_or_collide() {
    let add = |path: &str, length: usize| state_like().file(path, vec![0; length]);
    assert!(add("STATE1", 1).unwrap_err().to_string().contains("added twice"));
    assert!(add("state1/x", 1).unwrap_err().to_string().contains("is a file already"));
    assert!(add("long-name.text", 1).unwrap_err().to_string().contains("8.3"));
    assert!(add("a//b", 1).is_err());
    assert!(add("/a", 1).is_err());
    let full = add("big", 253 * 4096).unwrap();
    assert!(full.image().is_ok());
    let error = add("big", 253 * 4096 + 1).unwrap().image().unwrap_err().to_string();
    assert!(error.contains("do not fit a volume of 1 MiB"), "{error}");
    let mut crowded = state_like();
    for number in 0..62 {
        crowded = crowded.file(&format!("f{number}"), vec![]).unwrap();
    }
    assert!(crowded.extents().unwrap_err().to_string().contains("root directory needs 2080 bytes of 2048"));
}

#[test]
fn refuses_boot_sectors_that_make_no_sense() {
    let good = state_like().image().unwrap();
    for (at, bytes, expected) in [
        (510, [0, 0], "55 aa"),
        (11, [0, 1], "sectors of 256 bytes"),
        (13, [3, 2], "3 sectors per cluster"),
        (13, [0, 2], "0 sectors per cluster"),
        (16, [0, 64], "0 tables"),
        (19, [0xff, 0xff], "8190 clusters"),
        (19, [8, 0], "0 clusters"),
        (22, [0, 0], "FAT32"),
    ] {
        let mut image = good.clone();
        image[at..at + 2].copy_from_slice(&bytes);
        let error = open_slice(&image).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected) || expected == "FAT32", "{error}");
    }
    assert!(open_slice(&good[..100]).is_err());
}

#[test]
fn chains_that_loop_or_leave_the_volume_end() {
    let volume = FatVolume::new(FatKind::Fat32, Bytes::mib(33), "ESP", 7).unwrap();
    let volume = volume.file("A/B", pattern(2000)).unwrap();
    let image = volume.image().unwrap();
    let table = 32 * 512;
    // the directory A is cluster 3, the file clusters 4 to 7
    let damaged = |cluster: usize, value: u32| {
        let mut image = image.clone();
        image[table + 4 * cluster..][..4].copy_from_slice(&value.to_le_bytes());
        image
    };
    let list_error = |image: &[u8]| open_slice(image).unwrap().files().unwrap_err().to_string();
    assert!(list_error(&damaged(3, 3)).contains("loops"));
    assert!(list_error(&damaged(3, 0)).contains("leads to cluster 0"));
    assert!(list_error(&damaged(2, 0x0fff_0000)).contains("leads to cluster 268369920"));
    let broken = damaged(5, 0x0fff_ffff);
    let mut volume = open_slice(&broken).unwrap();
    let files = volume.files().unwrap();
    assert!(volume.read_file(&files[0]).is_err());
    let looping = damaged(5, 5);
    let mut volume = open_slice(&looping).unwrap();
    let files = volume.files().unwrap();
    assert_eq!(volume.read_file(&files[0]).unwrap().len(), 2000);
}

#[test]
fn a_directory_that_contains_itself_ends() {
    let volume = FatVolume::new(FatKind::Fat32, Bytes::mib(33), "ESP", 7).unwrap();
    let volume = volume.file("A/B", vec![]).unwrap();
    let mut image = volume.image().unwrap();
    let at = open_slice(&image).unwrap().geometry_for_tests().cluster_offset(3).0 as usize;
    image[at + 64 + 11] = ATTRIBUTE_DIRECTORY;
    image[at + 64 + 26] = 3;
    let error = open_slice(&image).unwrap().files().unwrap_err().to_string();
    assert!(error.contains("8 levels"), "{error}");
}

#[test]
fn read_errors_are_the_callers() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Disk,
        Format,
    }
    impl From<Error> for Mine {
        fn from(_: Error) -> Self {
            Self::Format
        }
    }
    assert_eq!(Volume::<Mine>::open(|_, _| Err(Mine::Disk)).err(), Some(Mine::Disk));
    assert_eq!(Volume::<Mine>::open(|_, _| Ok(())).err(), Some(Mine::Format));
}
