//! Kernel modules that lie in the initramfs, in the order that the host computed.

use std::{fs::File, io, path::Path};

/// `MODULE_INIT_COMPRESSED_FILE` of finit_module(2): the kernel decompresses.
const COMPRESSED: i32 = 4;

/// Loads `modules` and frees the memory of their files. A module that does not load is a note and not the end:
/// what truly needs it fails later with an error of its own, and a built-in one is no loss.
pub fn load(modules: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    for module in modules {
        match load_one(Path::new(module)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => notes.push(format!("kernel module {module}: {error}")),
        }
        let _ = std::fs::remove_file(module);
    }
    notes
}

fn load_one(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let flags = if is_compressed(path) { COMPRESSED } else { 0 };
    Ok(rustix::system::finit_module(file, c"", flags)?)
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension != "ko")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_told_by_the_name() {
        assert!(!is_compressed(Path::new("/modules/overlay.ko")));
        assert!(is_compressed(Path::new("/modules/overlay.ko.xz")));
        assert!(is_compressed(Path::new("/modules/overlay.ko.zst")));
    }

    #[test]
    fn a_module_that_is_missing_is_a_note() {
        assert_eq!(load(&["/nonexistent/x.ko".into()]).len(), 1);
    }
}
