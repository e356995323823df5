//! Builds the guest binary and hands its path to the host crate, which embeds it.
//!
//! An inner cargo builds it with static linking into a target directory of its own, so that it cannot wait for
//! the lock that the outer cargo holds.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    for path in ["src/guest", "src/wire", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // …/target/<profile>/build/<package>/out
    let target_dir = out.ancestors().nth(4).expect("OUT_DIR lies four levels below the target directory");
    let target_dir = target_dir.join("guest");
    // A build script cannot see whether the outer cargo was told to stay offline: try that first.
    if !build(&target_dir, true) && !build(&target_dir, false) {
        panic!("the guest binary does not build; the messages above say why");
    }
    let built = target_dir.join(TARGET).join("release/cofferdam-guest");
    let embedded = out.join("cofferdam-guest");
    fs::copy(&built, &embedded).unwrap_or_else(|error| panic!("cannot copy {}: {error}", built.display()));
    println!("cargo::rustc-env=COFFERDAM_GUEST={}", embedded.display());
}

fn build(target_dir: &Path, offline: bool) -> bool {
    #[expect(clippy::disallowed_methods, reason = "a build script is outside of what the ban protects")]
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo
        .args(["build", "--release", "--locked", "--package", "cofferdam-guest", "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .args(offline.then_some("--offline"))
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env_remove("CARGO_BUILD_TARGET");
    for name in
        ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_ENCODED_RUSTFLAGS", "CLIPPY_ARGS", "RUSTFLAGS"]
    {
        cargo.env_remove(name);
    }
    cargo.status().is_ok_and(|status| status.success())
}
