use super::*;
use crate::template::{fixture::*, progress::Silent};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const POLICY: &str = "for name; do case $name in policy) ;; \
    jq) printf 'jq:\\n  Installed: 1.5-9\\n  Candidate: 1.6-2.1\\n  Version table:\\n     1.6-2.1 500\\n\x20       500 http://mirror.test/debian bookworm/main amd64 Packages\\n     1.6-2 400\\n\x20       400 http://mirror.test/debian bookworm-old/main amd64 Packages\\n *** 1.5-9 100\\n\x20       100 /var/lib/dpkg/status\\n' ;; \
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
    let long = "x".repeat(129);
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
    let image = cache.ensure_image(&fake.host, &names(&["jq", "g++", "jq"]), &Pins::new(), &Silent).unwrap();
    assert!(calls(&folder).contains("xz-utils,g++,jq "), "{}", calls(&folder));
    let versions: Vec<&str> = image.packages().iter().map(|package| package.version.as_str()).collect();
    assert_eq!(versions, ["4:12.2.0-3", "1.6-2.1+deb12u1"], "what dpkg says, where it says something");
    let before = calls(&folder);
    let again = cache.ensure_image(&fake.host, &names(&["g++", "jq"]), &Pins::new(), &Silent).unwrap();
    assert_eq!((again.key(), calls(&folder)), (image.key(), before));
    // A newer version is another image, and the old one stays for who stands on it.
    fake.tool("apt-cache", &POLICY.replace("1.6-2.1", "1.7-1"));
    let newer = cache.ensure_image(&fake.host, &names(&["g++", "jq"]), &Pins::new(), &Silent).unwrap();
    assert_ne!(newer.key(), image.key());
    assert!(Image::find(&cache, image.key()).is_some());
    assert_eq!(left_over(&cache), 0);
}

#[test]
fn an_unknown_package_is_told_before_anything_is_begun() {
    let (fake, folder) = debian_with_packages();
    for name in ["nosuch", "awk"] {
        let error =
            open(&folder).ensure_image(&fake.host, &names(&["jq", name]), &Pins::new(), &Silent).unwrap_err();
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
    let error = cache.ensure_image(&fake.host, &names(&["jq"]), &Pins::new(), &Silent).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("Unable to locate package jq"), "{source}");
    assert_eq!((left_over(&cache), fs::read_dir(cache.root().join(KIND)).unwrap().count()), (0, 0));
    // A damaged one is no image.
    let (fake, folder) = debian_with_packages();
    let cache = open(&folder);
    let image = cache.ensure_image(&fake.host, &names(&["jq"]), &Pins::new(), &Silent).unwrap();
    fs::write(image.image(), "cut").unwrap();
    assert!(Image::find(&cache, image.key()).is_none());
    assert!(cache.ensure_image(&fake.host, &names(&["jq"]), &Pins::new(), &Silent).is_ok());
    assert!(Image::find(&cache, image.key()).is_some());
}

fn pins(pins: &[(&str, &str)]) -> Pins {
    pins.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
}

#[test]
fn a_pinned_package_is_built_in_its_version_or_not_at_all() {
    let (fake, folder) = debian_with_packages();
    let cache = open(&folder);
    // What a source still has is asked for by its version.
    let held = pins(&[("jq", "1.6-2")]);
    fake.tool(
        "mmdebstrap",
        &format!(
            "echo \"$*\" >> {}/calls; printf 'Package: jq\\nVersion: 1.6-2\\n' > status; cat image-sources.list",
            folder.path().display()
        ),
    );
    let image = cache.ensure_image(&fake.host, &names(&["jq", "g++"]), &held, &Silent).unwrap();
    assert!(calls(&folder).contains("xz-utils,g++,jq=1.6-2 "), "{}", calls(&folder));
    assert_eq!(image.packages()[1], Package { name: "jq".into(), version: "1.6-2".into() });
    // Where all are pinned an image that is there is found without apt.
    let all = pins(&[("jq", "1.6-2"), ("g++", "4:12.2.0-3")]);
    fake.tool("apt-cache", "exit 9");
    let found = cache.ensure_image(&fake.host, &names(&["jq", "g++"]), &all, &Silent).unwrap();
    assert_eq!(found.key(), image.key());
    // What only this host has installed, and what is gone, is told before anything is begun.
    fake.tool("apt-cache", POLICY);
    let before = calls(&folder);
    for (version, available) in [("1.5-9", "1.6-2.1, 1.6-2"), ("1.4-1", "1.6-2.1, 1.6-2")] {
        let held = pins(&[("jq", version)]);
        let error = cache.ensure_image(&fake.host, &names(&["jq"]), &held, &Silent).unwrap_err().to_string();
        let expected =
            format!("the package `jq` is pinned to {version}, and what is to be had here is {available}");
        assert_eq!(error, expected);
    }
    assert_eq!(calls(&folder), before);
    // Whatever the tool did: an image with another version is not kept. The break: without a pin it is.
    fake.tool("mmdebstrap", "printf 'Package: jq\nVersion: 1.7-1\n' > status; cat image-sources.list");
    let images = || fs::read_dir(cache.root().join(KIND)).unwrap().count();
    let kept = images();
    let held = pins(&[("jq", "1.6-2.1")]);
    let error = cache.ensure_image(&fake.host, &names(&["jq"]), &held, &Silent).unwrap_err();
    assert!(matches!(error, EnsureError::PinnedPackage { .. }), "{error}");
    assert_eq!((images(), left_over(&cache)), (kept, 0));
    assert!(cache.ensure_image(&fake.host, &names(&["jq"]), &Pins::new(), &Silent).is_ok());
}

#[test]
fn a_pinned_base_is_the_one_at_hand_or_is_built_or_told() {
    let (fake, folder) = debian_with_packages();
    let cache = open(&folder);
    let installs = |bash: &str| {
        let note = format!("echo \"${{0##*/}} $*\" >> {}/calls\n", folder.path().display());
        let status = format!(
            "printf 'Package: bash\\nVersion: {bash}\\n\\nPackage: curl\\nVersion: 7.88\\n' > status"
        );
        fake.tool("mmdebstrap", &format!("{note}{status}; cat image-sources.list"));
    };
    installs("5.2-2");
    base::build(&cache, &fake.host, &Silent).unwrap();
    let base = base::BaseTemplate::find(&cache).unwrap();
    for (held, expected) in [
        (pins(&[]), true),
        (pins(&[("bash", "5.2-2"), ("curl", "7.88")]), true),
        (pins(&[("bash", "5.2-1")]), false),
        // Of what its record does not name nobody knows.
        (pins(&[("git", "1")]), false),
    ] {
        assert_eq!(base.holds(&held), expected, "{held:?}");
    }
    // Another one is built in the pinned version, as long as that is to be had.
    let policy = |versions: &[&str]| {
        let entry = |version: &&str| {
            format!(
                "     {version} 500\\n        500 http://mirror.test/debian bookworm/main amd64 Packages\\n"
            )
        };
        let table: String = versions.iter().map(entry).collect();
        fake.tool(
            "apt-cache",
            &format!("printf 'bash:\\n  Candidate: {}\\n  Version table:\\n{table}'", versions[0]),
        );
    };
    policy(&["5.2-2", "5.2-1"]);
    installs("5.2-1");
    let image = cache.ensure_image(&fake.host, &[], &pins(&[("bash", "5.2-1")]), &Silent).unwrap();
    let last = calls(&folder).lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("xz-utils,bash=5.2-1 ") && !last.contains("bash,"), "{last}");
    assert_eq!(image.packages(), [Package { name: "bash".into(), version: "5.2-1".into() }]);
    // And told where it is not, before anything is begun.
    policy(&["5.2-3"]);
    let before = calls(&folder);
    let error = cache.ensure_image(&fake.host, &[], &pins(&[("bash", "5.2-2")]), &Silent).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), calls(&folder)),
        ("the package `bash` is pinned to 5.2-2, and what is to be had here is 5.2-3", before)
    );
    // What other packages need exactly may be gone with it: the tool says so, and nothing is kept.
    policy(&["5.2-3", "5.2-2"]);
    fake.tool(
        "mmdebstrap",
        "echo 'E: Unable to correct problems, you have held broken packages.' >&2; exit 25",
    );
    let error = cache.ensure_image(&fake.host, &[], &pins(&[("bash", "5.2-2")]), &Silent).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("held broken packages") && left_over(&cache) == 0, "{source}");
}

/// What stands for the base is what every base is made with, and the release's own mark.
#[test]
fn the_base_is_known_by_its_own_packages() {
    let known = crate::model::template::BASE_PACKAGES;
    assert!(PACKAGES.iter().all(|name| known.contains(name)));
    assert_eq!(known.iter().filter(|name| !PACKAGES.contains(name)).collect::<Vec<_>>(), [&"base-files"]);
    assert!(known.is_sorted() && known.iter().all(|name| is_package_name(name)));
}
