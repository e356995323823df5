//! A Debian whose tools are scripts, and a cache that they fill.

use std::fs;

use super::{cache::Cache, fake::FakeHost, modinfo::fake_module};

pub const RELEASE: &str = "6.1.0-1-cloud-amd64";
const MODULES: [(&str, &str); 11] = [
    ("virtio_ring", ""),
    ("virtio", "virtio_ring"),
    ("virtio_pci", "virtio,virtio_ring"),
    ("virtio_blk", "virtio"),
    ("virtio-rng", "virtio"),
    ("squashfs", ""),
    ("overlay", ""),
    ("vsock", ""),
    ("vmw_vsock_virtio_transport", "vsock,virtio"),
    ("fuse", ""),
    ("virtiofs", "fuse,virtio"),
];

/// A Debian whose tools are scripts: each notes its call in `calls`.
pub fn debian() -> (FakeHost, tempfile::TempDir) {
    let fake = FakeHost::new();
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("package");
    let kernel = package.join("lib/modules").join(RELEASE).join("kernel");
    fs::create_dir_all(&kernel).unwrap();
    fs::create_dir(package.join("boot")).unwrap();
    fs::write(package.join("boot").join(format!("vmlinuz-{RELEASE}")), "image").unwrap();
    fs::write(kernel.with_file_name("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").unwrap();
    for (name, depends) in MODULES {
        fs::write(kernel.join(format!("{name}.ko")), fake_module(&format!("depends={depends}"))).unwrap();
    }
    fake.file("/etc/os-release", "ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n");
    fake.file("/etc/apt/sources.list", "deb http://ada:pw@mirror.test/debian bookworm main\n");
    let note = format!("echo \"${{0##*/}} $*\" >> {}/calls\n", folder.path().display());
    for (name, script) in [
        (
            "apt-cache",
            "test \"$2\" = linux-image-cloud-amd64 && echo '  Depends: linux-image-6.1.0-1-cloud-amd64' || echo '  Depends: kmod'",
        ),
        ("apt-get", "echo dlstatus:1:50.0:half; touch kernel.deb"),
        ("dpkg-deb", &format!("cp -r {}/package \"$3\"", folder.path().display())),
        ("depmod", "touch \"$2/lib/modules/$3/modules.dep\""),
        ("gensquashfs", "for last; do :; done; echo modules > \"$last\""),
        (
            "apt-config",
            "echo 'Acquire::http::Proxy \"http://proxy.test:3128\";'; echo 'Acquire::https \"\";'; echo 'APT::Other \"x\";'",
        ),
        ("mmdebstrap", "cat image-sources.list; echo 'I: creating tarball' >&2"),
        ("tar2sqfs", "for last; do :; done; cat > \"$last\""),
    ] {
        fake.tool(name, &format!("{note}{script}"));
    }
    for name in ["qemu-system-x86_64", "mke2fs", "newuidmap"] {
        fake.tool(name, "");
    }
    (fake, folder)
}

pub fn open(folder: &tempfile::TempDir) -> Cache {
    Cache::open(&folder.path().join("cache")).unwrap()
}

pub fn calls(folder: &tempfile::TempDir) -> String {
    fs::read_to_string(folder.path().join("calls")).unwrap_or_default()
}

/// The beginning of an ext4 file system, left in order or not.
pub fn ext4(in_order: bool) -> Vec<u8> {
    let mut disk = vec![0; 4096];
    disk[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    disk[0x460] = if in_order { 0x42 } else { 0x46 };
    disk
}

pub fn left_over(cache: &Cache) -> usize {
    fs::read_dir(cache.root().join("building")).unwrap().count()
}
