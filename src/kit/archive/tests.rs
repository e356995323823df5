//! Archives of three forms, and what is refused of them: each beside the same archive without the one thing that is wrong.

use miniz_oxide::deflate::compress_to_vec;

use super::*;
use crate::kit::discover::Tree as _;

const BLOCK: usize = 512;

fn file(path: &str, text: &str) -> KitFile {
    KitFile { path: path.to_owned(), bytes: text.into(), executable: path.ends_with(".sh") }
}

fn files() -> Vec<KitFile> {
    vec![
        file("files/home/.config/tool.toml", "a = 1\n"),
        file("files/workspace/run.sh", "#!/bin/sh\n"),
        file("kit.yaml", "x"),
    ]
}

/// One entry of a tar, of any sort.
fn entry(name: &[u8], sort: u8, data: &[u8]) -> Vec<u8> {
    let named = KitFile { path: "x".to_owned(), bytes: data.to_vec(), executable: false };
    let mut entry = kit_archive(&[named]).unwrap();
    entry.truncate(entry.len() - 2 * BLOCK);
    entry[..100].fill(0);
    entry[..name.len()].copy_from_slice(name);
    entry[156] = sort;
    sum(&mut entry);
    entry
}

fn sum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn ended(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 2 * BLOCK]].concat()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    // With a name in the header, as gzip writes it.
    let head = [0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3, b'k', 0];
    let tail = [gzip::crc(plain).to_le_bytes(), u32::try_from(plain.len()).unwrap().to_le_bytes()].concat();
    [&head[..], &compress_to_vec(plain, 6), &tail].concat()
}

/// A ZIP of these entries: name, mode, method, data.
fn zip(entries: &[(&str, u32, u16, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, mode, method, data) in entries {
        let packed = if *method == 8 { compress_to_vec(data, 6) } else { data.to_vec() };
        let small = |size: usize| u32::try_from(size).unwrap().to_le_bytes();
        let mut common =
            [&[20, 0, 0, 0][..], &method.to_le_bytes(), &[0; 4], &gzip::crc(data).to_le_bytes()].concat();
        common.extend([small(packed.len()), small(data.len())].concat());
        common.extend([&small(name.len())[..2], &[0, 0]].concat());
        let at = small(bytes.len());
        bytes.extend([b"PK\x03\x04", &common[..], name.as_bytes(), &packed].concat());
        directory.extend([b"PK\x01\x02\x1e\x03", &common[..], &[0; 6], &(mode << 16).to_le_bytes()].concat());
        directory.extend([&at[..], name.as_bytes()].concat());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let (size, at) = (u32::try_from(directory.len()).unwrap(), u32::try_from(bytes.len()).unwrap());
    bytes.extend(directory);
    bytes.extend(
        [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size.to_le_bytes(), &at.to_le_bytes(), &[0, 0]].concat(),
    );
    bytes
}

fn why(bytes: &[u8]) -> String {
    kit_files_in(bytes).unwrap_err().to_string()
}

#[test]
fn the_archive_depends_on_the_files_alone() {
    let archive = kit_archive(&files()).unwrap();
    assert_eq!(archive.len(), 3 * 2 * BLOCK + 2 * BLOCK);
    assert_eq!(&archive[257..265], b"ustar\x0000");
    assert!(archive[136..147].iter().all(|byte| *byte == b'0'), "no time");
    // As tar has it: the sum of the header with the field itself as spaces.
    let mut head = archive[..BLOCK].to_vec();
    sum(&mut head);
    assert_eq!(head, archive[..BLOCK]);
}

#[test]
fn long_paths_take_both_fields_or_are_refused() {
    let long = file(&format!("{}/{}", "a".repeat(120), "b".repeat(90)), "");
    let archive = kit_archive(std::slice::from_ref(&long)).unwrap();
    assert_eq!((archive[0], archive[345]), (b'b', b'a'));
    assert_eq!(kit_files_in(&archive).unwrap(), [long]);
    assert!(kit_archive(&[file(&"c".repeat(101), "")]).is_err());
}

#[test]
fn what_is_packed_is_read_in_every_form() {
    let tar = kit_archive(&files()).unwrap();
    assert_eq!(kit_files_in(&tar).unwrap(), files());
    assert_eq!(kit_files_in(&gzip(&tar)).unwrap(), files());
    let entries: Vec<_> = files();
    let modes = entries.iter().map(|file| if file.executable { 0o100_755 } else { 0o100_644 });
    let entries: Vec<_> = entries
        .iter()
        .zip(modes)
        .map(|(file, mode)| (file.path.as_str(), mode, 8, &file.bytes[..]))
        .collect();
    assert_eq!(kit_files_in(&zip(&entries)).unwrap(), files());
    // As other programs write them: folders, `./`, headers for the whole archive, long names.
    let long = format!("files/home/{}", "n".repeat(200));
    let record = format!("30 mtime=1700000000.123456789\n{} path={long}\n", long.len() + 10);
    let tar = ended(&[
        entry(b"pax_global_header", b'g', b"52 comment=0123456789abcdef0123456789abcdef01234567\n"),
        entry(b"./", b'5', b""),
        entry(b"./kit.yaml", b'0', b"x"),
        entry(b"PaxHeaders/n", b'x', record.as_bytes()),
        entry(b"files/home/nnn", b'0', b"1"),
        entry(b"././@LongLink", b'L', format!("{long}/2\0").replace("nn/2", "2").as_bytes()),
        entry(b"files/home/nn2", b'0', b"2"),
    ]);
    let paths: Vec<_> = kit_files_in(&tar).unwrap().into_iter().map(|file| file.path).collect();
    assert_eq!(paths, [format!("files/home/{}2", "n".repeat(198)), long, "kit.yaml".to_owned()]);
}

#[test]
fn an_entry_that_is_no_plain_file_refuses_the_archive() {
    let good = entry(b"kit.yaml", b'0', b"x");
    assert!(kit_files_in(&ended(&[good.clone(), entry(b"b", b'0', b"")])).is_ok());
    for (name, sort, words) in [
        (&b"../b"[..], b'0', "has a path that is not plain"),
        (b"a/../b", b'0', "has a path that is not plain"),
        (b"a//b", b'0', "has a path that is not plain"),
        (b".", b'0', "has a path that is not plain"),
        (b"", b'0', "has a path that is not plain"),
        (b"../", b'5', "has a path that is not plain"),
        (b"/etc/passwd", b'0', "has an absolute path"),
        (b".//etc/passwd", b'0', "has an absolute path"),
        (b"a\nb", b'0', "has a sign in its name"),
        (b"a\x1b[2J", b'0', "has a sign in its name"),
        ("a\u{202e}b".as_bytes(), b'0', "has a sign in its name"),
        (b"a\\b", b'0', "has a sign in its name"),
        (b"a\xff", b'0', "is not UTF-8"),
        (b"kit.yaml", b'0', "stands twice"),
        (b"./kit.yaml", b'0', "stands twice"),
        (b"kit.yaml/b", b'0', "is a file and a folder"),
        (b"a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s", b'0', "lies too deep"),
        (b"b", b'1', "is a link"),
        (b"b", b'2', "is a link"),
        (b"b", b'3', "is a device"),
        (b"b", b'4', "is a device"),
        (b"b", b'6', "is a device"),
        (b"b", b'S', "is of a sort"),
    ] {
        let found = why(&ended(&[good.clone(), entry(name, sort, b"")]));
        assert!(found.contains(words), "{:?}: {found}", String::from_utf8_lossy(name));
        assert!(!found.contains('\x1b') && !found.contains('\u{202e}'), "{found:?}");
    }
    // The same by a ZIP's mode, and by a name that only one of the two headers has.
    assert!(kit_files_in(&zip(&[("kit.yaml", 0o100_644, 0, b"x")])).is_ok());
    assert!(why(&zip(&[("kit.yaml", 0o120_777, 0, b"/etc/passwd")])).contains("is a link"));
    assert!(why(&zip(&[("../kit.yaml", 0o100_644, 8, b"x")])).contains("not plain"));
    assert!(why(&zip(&[("kit.yaml", 0o100_644, 12, b"x")])).contains("use deflate"));
    let mut two = zip(&[("kit.yaml", 0o100_644, 0, b"x")]);
    two[30] = b'g';
    assert!(why(&two).contains("another name"));
}

#[test]
fn damage_is_seen() {
    let tar = kit_archive(&files()).unwrap();
    for cut in [1, BLOCK - 1, BLOCK, BLOCK + 1, tar.len() - 2 * BLOCK] {
        kit_files_in(&tar[..cut]).unwrap_err();
    }
    let mut wrong = tar.clone();
    wrong[0] ^= 1;
    assert!(why(&wrong).contains("no archive"));
    let packed = gzip(&tar);
    for at in [3, packed.len() / 2, packed.len() - 6, packed.len() - 1] {
        let mut wrong = packed.clone();
        wrong[at] ^= 0x20;
        kit_files_in(&wrong).unwrap_err();
    }
    assert!(why(&[packed, gzip(b"more")].concat()).contains("damaged"), "a second member");
    let mut wrong = zip(&[("kit.yaml", 0o100_644, 0, b"xyz")]);
    wrong[38] ^= 1;
    assert!(why(&wrong).contains("is damaged"));
    kit_files_in(b"").unwrap_err();
    kit_files_in(b"PK\x03\x04").unwrap_err();
}

#[test]
fn bombs_end_at_the_bound() {
    // 73 MiB of zeros as one file: 73 KiB when packed.
    let zeros = vec![0; ARCHIVE_MAX + (1 << 20)];
    assert!(why(&gzip(&zeros)).contains("at most 72 MiB"));
    let bomb = zip(&[("kit.yaml", 0o100_644, 8, &zeros[..(8 << 20) + 1])]);
    assert!(bomb.len() < 100 << 10);
    assert!(why(&bomb).contains("is larger than a kit's file"));
    // A size that lies: what does not fit into it is not inflated.
    let mut lies = zip(&[("kit.yaml", 0o100_644, 8, &zeros[..1 << 20])]);
    let directory = lies.len() - 22 - 46 - 8;
    lies[directory + 24..directory + 28].copy_from_slice(&10_u32.to_le_bytes());
    kit_files_in(&lies).unwrap_err();
    let many: Vec<_> = (0..2_001).map(|n| file(&format!("f{n}"), "")).collect();
    assert!(why(&kit_archive(&many).unwrap()).contains("at most 2000 files"));
    assert_eq!(kit_files_in(&kit_archive(&many[..2_000]).unwrap()).unwrap().len(), 2_000);
    let folders: Vec<_> = (0..4_001).map(|n| entry(format!("d{n}/").as_bytes(), b'5', b"")).collect();
    assert!(why(&ended(&folders)).contains("at most 2000 files"));
    let mut large: Vec<_> =
        (0..8).map(|n| entry(format!("f{n}").as_bytes(), b'0', &zeros[..8 << 20])).collect();
    assert!(kit_files_in(&ended(&large)).is_ok());
    large.push(entry(b"last", b'0', b"x"));
    assert!(why(&ended(&large)).contains("at most 2000 files and 64 MiB"));
}

#[test]
fn a_tree_lists_what_is_wanted() {
    let tree = ArchiveTree::open("x.tar", Path::new("/r/x.tar"), &kit_archive(&files()).unwrap()).unwrap();
    assert_eq!(
        tree.list(&|path, folder| folder || path.ends_with(".sh")).unwrap(),
        ["files/workspace/run.sh"]
    );
    assert_eq!(tree.list(&|path, folder| !folder || path == "files").unwrap(), ["kit.yaml"]);
    assert_eq!(tree.read("kit.yaml", 1).unwrap().as_deref(), Some(&b"x"[..]));
    assert_eq!(tree.read("none", 1).unwrap(), None);
    tree.read("files/workspace/run.sh", 1).unwrap_err();
    assert!(tree.is_executable("files/workspace/run.sh") && !tree.is_executable("kit.yaml"));
    assert_eq!(tree.shown("kit.yaml"), "x.tar!kit.yaml");
    let inner = kit_files_of(&tree, "files/workspace").unwrap();
    assert_eq!(inner, [file("run.sh", "#!/bin/sh\n")]);
    let packed = kit_archive(&[file("review/kit.yaml", ""), file("review/a", "")]).unwrap();
    let error = ArchiveTree::open("x", Path::new("/"), &packed).unwrap_err();
    assert_eq!(error, ArchiveError::Folder("`review`".to_owned()));
}
