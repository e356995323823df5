use super::*;
use crate::template::{fixture::*, progress::Silent};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const POLICY: &str = "for name; do case $name in policy) ;; \
    jq) printf 'jq:\\n  Installed: (none)\\n  Candidate: 1.6-2.1\\n  Version table:\\n     1.6-2.1 500\\n' ;; \
    g++) printf 'g++:\\n  Installed: 1\\n  Candidate: 4:12.2.0-3\\n' ;; \
    awk) printf 'awk:\\n  Installed: (none)\\n  Candidate: (none)\\n' ;; esac; done";

fn debian_with_packages() -> (crate::template::fake::FakeHost, tempfile::TempDir) {
    let (fake, folder) = debian();
    fake.tool("apt-cache", POLICY);
    let note = format!("echo \"${{0##*/}} $*\" >> {}/calls\n", folder.path().display());
    let status =
        "printf 'Package: jq\\nVersion: 1.6-2.1+deb12u1\\n\\nPackage: less\\nVersion: 590\\n' > status";
    fake.tool("mmdebstrap", &format!("{note}{status}; cat image-sources.list"));
    (fake, folder)
}

#[test]
fn names_are_those_of_the_debian_policy_and_never_options() {
    for good in ["jq", "g++", "libstdc++6", "0ad", "python3.11", "a.b-c+d"] {
        assert!(is_package_name(good), "{good}");
    }
    let long = "x".repeat(NAME_LIMIT + 1);
    for bad in [
        "",
        "j",
        "-jq",
        "--include",
        "Jq",
        "jq ",
        "jq,vim",
        "jq=1",
        "jq/sid",
        "jq:i386",
        "~n",
        "?x",
        "j\nq",
        "bash-",
        &long,
    ] {
        assert!(!is_package_name(bad), "{bad:?}");
        let fake = crate::template::fake::FakeHost::new();
        let error = resolve(&fake.host, &names(&[bad])).unwrap_err();
        assert!(matches!(error, EnsureError::PackageName { .. }), "{bad:?}: {error}");
    }
}

#[test]
fn an_image_is_built_once_for_one_set_of_packages() {
    let (fake, folder) = debian_with_packages();
    let cache = open(&folder);
    let image = cache.ensure_image(&fake.host, &names(&["jq", "g++", "jq"]), &Silent).unwrap();
    assert!(calls(&folder).contains("xz-utils,g++,jq "), "{}", calls(&folder));
    let versions: Vec<&str> = image.packages().iter().map(|package| package.version.as_str()).collect();
    assert_eq!(versions, ["4:12.2.0-3", "1.6-2.1+deb12u1"], "what dpkg says, where it says something");
    let before = calls(&folder);
    let again = cache.ensure_image(&fake.host, &names(&["g++", "jq"]), &Silent).unwrap();
    assert_eq!((again.key(), calls(&folder)), (image.key(), before));
    // A newer version is another image, and the old one stays for who stands on it.
    fake.tool("apt-cache", &POLICY.replace("1.6-2.1", "1.7-1"));
    let newer = cache.ensure_image(&fake.host, &names(&["g++", "jq"]), &Silent).unwrap();
    assert_ne!(newer.key(), image.key());
    assert!(Image::find(&cache, image.key()).is_some());
    assert_eq!(left_over(&cache), 0);
}

#[test]
fn an_unknown_package_is_told_before_anything_is_begun() {
    let (fake, folder) = debian_with_packages();
    for name in ["nosuch", "awk"] {
        let error = open(&folder).ensure_image(&fake.host, &names(&["jq", name]), &Silent).unwrap_err();
        let text = format!("the package lists of this host (debian 12) know no package `{name}`");
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(calls(&folder), "");
}

#[test]
fn a_failed_or_interrupted_build_leaves_nothing() {
    let (fake, folder) = debian_with_packages();
    let cache = open(&folder);
    fake.tool("mmdebstrap", "echo 'E: Unable to locate package jq' >&2; exit 25");
    let error = cache.ensure_image(&fake.host, &names(&["jq"]), &Silent).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("Unable to locate package jq"), "{source}");
    assert_eq!((left_over(&cache), fs::read_dir(cache.root().join(KIND)).unwrap().count()), (0, 0));
    // A damaged one is no image.
    let (fake, folder) = debian_with_packages();
    let cache = open(&folder);
    let image = cache.ensure_image(&fake.host, &names(&["jq"]), &Silent).unwrap();
    fs::write(image.image(), "cut").unwrap();
    assert!(Image::find(&cache, image.key()).is_none());
    assert!(cache.ensure_image(&fake.host, &names(&["jq"]), &Silent).is_ok());
    assert!(Image::find(&cache, image.key()).is_some());
}
