//! Any bytes as an archive of a kit: files with plain paths, each once, within the bounds, or an error; never a panic, and
//! nothing that a terminal obeys. What is read can be packed, if its paths are short enough, and reads back alike.
#![no_main]

use std::{collections::BTreeSet, path::{Component, Path}};

use cofferdam::kit::{ARCHIVE_MAX, FILE_MAX, kit_archive, kit_files_in};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match kit_files_in(bytes) {
        Ok(files) => {
            assert!(files.len() <= 2_000);
            assert!(files.iter().map(|file| file.bytes.len()).sum::<usize>() <= ARCHIVE_MAX);
            let paths: BTreeSet<&Path> = files.iter().map(|file| Path::new(file.path.as_str())).collect();
            assert_eq!(paths.len(), files.len(), "each once");
            for file in &files {
                let path = Path::new(&file.path);
                assert!(file.bytes.len() <= FILE_MAX);
                assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
                assert!(!file.path.chars().any(char::is_control), "{path:?}");
                assert!(path.ancestors().skip(1).all(|above| !paths.contains(above)), "{path:?}");
            }
            if let Ok(packed) = kit_archive(&files) {
                assert_eq!(kit_files_in(&packed).ok(), Some(files));
            }
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control), "{error}"),
    }
});
