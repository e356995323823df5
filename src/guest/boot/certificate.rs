//! The sandbox's interception CA, where programs look for certificates.
//!
//! `update-ca-certificates` would take seconds under emulation; this does by hand what matters of it: the source
//! file that survives the next run of that program, and the bundle that nearly everything reads. What looks in
//! the hashed directory only is served by the variables of the boot environment.

use std::{fs, io, path::Path};

use super::{BootError, Stage};

const SOURCE: &str = "usr/local/share/ca-certificates/cofferdam.crt";
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// Makes the guest trust `pem`, and no longer the one that an earlier boot installed.
///
/// # Errors
/// Which file cannot be written.
pub fn install(pem: &str) -> Result<(), BootError> {
    install_below(Path::new("/"), pem).stage("certificate", BUNDLE)
}

fn install_below(root: &Path, pem: &str) -> io::Result<()> {
    let (source, bundle) = (root.join(SOURCE), root.join(BUNDLE));
    let pem = pem.trim();
    if pem.is_empty() {
        return Ok(());
    }
    let earlier = fs::read_to_string(&source).unwrap_or_default();
    let before = fs::read_to_string(&bundle).unwrap_or_default();
    let after = renewed(&before, earlier.trim(), pem);
    for path in [&source, &bundle] {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
    }
    if after != before {
        // Beside and renamed: a power cut must not leave the guest without certificates.
        let fresh = bundle.with_extension("crt.new");
        fs::write(&fresh, after)?;
        fs::rename(&fresh, &bundle)?;
    }
    if earlier.trim() != pem { fs::write(&source, format!("{pem}\n")) } else { Ok(()) }
}

/// The bundle with `pem` once, and without `earlier`.
fn renewed(bundle: &str, earlier: &str, pem: &str) -> String {
    let mut text = bundle.to_owned();
    if !earlier.is_empty() && earlier != pem {
        text = text.replace(&format!("{earlier}\n"), "");
    }
    if text.contains(pem) {
        return text;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + pem + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_holds_our_certificate_once_and_only_the_present_one() {
        let public = "-----BEGIN CERTIFICATE-----\npublic\n-----END CERTIFICATE-----";
        let one = "-----BEGIN CERTIFICATE-----\none\n-----END CERTIFICATE-----";
        let two = "-----BEGIN CERTIFICATE-----\ntwo\n-----END CERTIFICATE-----";
        let first = renewed(public, "", one);
        assert_eq!(first, format!("{public}\n{one}\n"));
        assert_eq!(renewed(&first, one, one), first);
        let second = renewed(&first, one, two);
        assert_eq!(second, format!("{public}\n{two}\n"));
    }

    #[test]
    fn c17_another_boot_replaces_the_certificate_on_disk() {
        let root = std::env::temp_dir().join(format!("cofferdam-ca-{}", std::process::id()));
        for pem in ["A", "A", "B"] {
            install_below(&root, pem).unwrap();
        }
        assert_eq!(fs::read_to_string(root.join(BUNDLE)).unwrap(), "B\n");
        assert_eq!(fs::read_to_string(root.join(SOURCE)).unwrap(), "B\n");
        fs::remove_dir_all(&root).unwrap();
    }
}
