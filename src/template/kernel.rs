//! The guest's kernel: fetched as the host distribution's own package, which its keys sign.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    cache::{Cache, EnsureError, StoredFile, digest_of},
    cpio::Archive,
    host::{Distribution, Host},
    lz4,
    modinfo::{ModuleSet, module_name},
    progress::{Meter, Progress, Step},
    requirement,
    tool::{STATUS_LINE, Tool, ToolError},
};

pub(super) const KIND: &str = "kernel";
const IMAGE: &str = "vmlinuz";
const UNPACKED: &str = "vmlinux";
const MODULES: &str = "modules.sqfs";
const BOOT_MODULES: &str = "boot-modules.cpio";
/// A kernel and a package are smaller; what is larger is not read into memory.
const IMAGE_LIMIT: u64 = 64 << 20;

/// Modules that every machine needs before its root is mounted, and why.
const ALWAYS: [&str; 7] = [
    "virtio_pci",                 // the bus of all others
    "virtio_blk",                 // template, modules, system and data disk
    "squashfs",                   // template and modules
    "ext4",                       // system and data disk
    "overlay",                    // the root
    "vmw_vsock_virtio_transport", // control, exec, egress
    "virtio_rng",                 // the host's entropy
];
/// What only machines with mounts need; loading it costs time.
const FOR_MOUNTS: [&str; 1] = ["virtiofs"];

/// A kernel in the cache.
#[derive(Debug, Clone)]
pub struct Kernel {
    folder: PathBuf,
    record: Record,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    digest: String,
    release: String,
    files: Vec<StoredFile>,
    modules: Vec<String>,
    modules_for_mounts: Vec<String>,
}

impl Kernel {
    /// The current kernel, when it is whole.
    #[must_use]
    pub fn find(cache: &Cache) -> Option<Self> {
        let record: Record = cache.read_record(KIND)?;
        let folder = cache.folder(KIND, &record.digest)?;
        let known = [IMAGE, UNPACKED, MODULES, BOOT_MODULES];
        let whole =
            record.files.iter().all(|file| known.contains(&file.name.as_str()) && file.is_whole(&folder));
        (whole && !record.files.is_empty()).then_some(Self { folder, record })
    }

    /// What `uname -r` says inside.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.record.release
    }

    /// Identity of kernel and modules: SHA-256 in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.record.digest
    }

    /// What the engine boots: the unpacked kernel where there is one, else the package's image.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        let unpacked = self.record.files.iter().any(|file| file.name == UNPACKED);
        self.folder.join(if unpacked { UNPACKED } else { IMAGE })
    }

    /// squashfs whose root is the content of `/lib/modules`.
    #[must_use]
    pub fn modules_image(&self) -> PathBuf {
        self.folder.join(MODULES)
    }

    /// cpio archive with the modules that [`Kernel::boot_modules`] names.
    #[must_use]
    pub fn boot_modules_archive(&self) -> PathBuf {
        self.folder.join(BOOT_MODULES)
    }

    /// Paths in the initramfs of the modules to load, in order.
    #[must_use]
    pub fn boot_modules(&self, with_mounts: bool) -> Vec<String> {
        let extra = self.record.modules_for_mounts.iter().filter(|_| with_mounts);
        self.record.modules.iter().chain(extra).map(|name| format!("/modules/{name}.ko")).collect()
    }
}

pub(super) fn build(cache: &Cache, host: &Host, progress: &dyn Progress) -> Result<Kernel, EnsureError> {
    let mut meter = Meter::start(progress, Step::Kernel);
    let work = cache.building()?;
    let stage = cache.building()?;
    fetch(host, stage.path(), &mut meter)?;
    let release = unpack(host, stage.path(), &mut meter)?;
    let record = pack(host, stage.path(), work.path(), &release, &mut meter)?;
    meter.advance(980, "storing");
    cache.publish(work, KIND, &record.digest)?;
    cache.write_record(KIND, &record)?;
    meter.finish();
    Kernel::find(cache).ok_or_else(|| unknown("what was just stored cannot be read back"))
}

/// The package that stands for the newest kernel made for virtual machines.
fn meta_package(distribution: &Distribution) -> &'static str {
    let ubuntu = distribution.id == "ubuntu" || distribution.like.iter().any(|like| like == "ubuntu");
    if ubuntu { "linux-image-virtual" } else { "linux-image-cloud-amd64" }
}

/// Downloads the packages that hold image and modules; apt checks their signatures.
fn fetch(host: &Host, stage: &Path, meter: &mut Meter<'_>) -> Result<(), EnsureError> {
    let meta = meta_package(&host.distribution());
    let failed = |source| EnsureError::Fetch {
        package: meta.to_owned(),
        command: requirement::shell_line(&[requirement::refresh_command(host.superuser)]),
        source,
    };
    let mut packages = depends(host, meta).map_err(failed)?;
    // Ubuntu keeps the modules in a package of their own.
    for package in packages.clone() {
        packages.extend(depends(host, &package).map_err(failed)?);
    }
    if packages.is_empty() {
        return Err(unknown(&format!("{meta} depends on no kernel")));
    }
    meter.advance(20, "downloading");
    let download =
        Tool::new(host, "apt-get").directory(stage).args(["--quiet", "--option", "APT::Status-Fd=1"]);
    // apt would drop to a user of its own, who cannot write here, and then say at length that it did not.
    let download =
        if host.superuser { download.args(["--option", "APT::Sandbox::User=root"]) } else { download };
    let on_line = |line: &str| {
        if let Some(percent) = line.strip_prefix(STATUS_LINE).and_then(|rest| rest.split(':').nth(1)) {
            let percent = percent.parse::<f32>().unwrap_or_default().clamp(0.0, 100.0);
            meter.advance(20 + (percent * 5.0) as u16, "downloading");
        }
    };
    download.arg("download").args(packages).run(on_line).map_err(failed)
}

/// Kernel packages that a package depends on.
fn depends(host: &Host, package: &str) -> Result<BTreeSet<String>, ToolError> {
    let output = Tool::new(host, "apt-cache").args(["depends", package]).output()?;
    let text = String::from_utf8_lossy(&output);
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let kernel = |name: &&str| {
        let rest = name.strip_prefix("linux-image-").or_else(|| name.strip_prefix("linux-modules-"));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    Ok(names.filter(kernel).map(str::to_owned).collect())
}

/// Unpacks every package and indexes the modules; returns the kernel's release.
fn unpack(host: &Host, stage: &Path, meter: &mut Meter<'_>) -> Result<String, EnsureError> {
    meter.advance(540, "unpacking");
    let failed = |source| EnsureError::Tool { step: Step::Kernel, source };
    let root = stage.join("root");
    for package in list(stage)?.into_iter().filter(|path| path.extension().is_some_and(|end| end == "deb")) {
        let unpack = Tool::new(host, "dpkg-deb").arg("--extract").arg(&package).arg(&root);
        unpack.run(|_| {}).map_err(failed)?;
    }
    let mut images = list(&root.join("boot"))?
        .into_iter()
        .filter_map(|path| path.file_name()?.to_str()?.strip_prefix("vmlinuz-").map(str::to_owned));
    let release = images.next().ok_or_else(|| unknown("it holds no boot/vmlinuz-*"))?;
    unify_module_folders(&root).map_err(|source| EnsureError::Cache { path: root.clone(), source })?;
    meter.advance(640, "indexing the modules");
    Tool::new(host, "depmod").arg("--basedir").arg(&root).arg(&release).run(|_| {}).map_err(failed)?;
    Ok(release)
}

/// Newer packages ship `usr/lib/modules`, and newer depmods look there: make both names one folder.
fn unify_module_folders(root: &Path) -> io::Result<()> {
    let (old, new) = (root.join("lib/modules"), root.join("usr/lib/modules"));
    fs::create_dir_all(root.join("lib"))?;
    fs::create_dir_all(root.join("usr/lib"))?;
    if new.is_dir() && !old.exists() {
        fs::rename(&new, &old)?;
    }
    if !new.exists() {
        std::os::unix::fs::symlink("../../lib/modules", &new)?;
    }
    Ok(())
}

fn pack(
    host: &Host,
    stage: &Path,
    work: &Path,
    release: &str,
    meter: &mut Meter<'_>,
) -> Result<Record, EnsureError> {
    let root = stage.join("root");
    let stored = |source| EnsureError::Cache { path: work.to_owned(), source };
    let failed = |source| EnsureError::Tool { step: Step::Kernel, source };
    meter.advance(700, "packing the modules");
    let pack =
        Tool::new(host, "gensquashfs").args(["--quiet", "--compressor", "lz4", "--all-root", "--pack-dir"]);
    pack.arg(root.join("lib/modules")).arg(work.join(MODULES)).run(|_| {}).map_err(failed)?;
    meter.advance(900, "choosing the modules for boot");
    let (modules, modules_for_mounts) = boot_modules(host, &root.join("lib/modules").join(release), work)?;
    let image = super::host::read_bounded(&root.join("boot").join(format!("vmlinuz-{release}")), IMAGE_LIMIT);
    let image = image.map_err(stored)?;
    fs::write(work.join(IMAGE), &image).map_err(stored)?;
    let mut names = vec![IMAGE, MODULES, BOOT_MODULES];
    if let Some(unpacked) = lz4::unpack_kernel(&image) {
        fs::write(work.join(UNPACKED), unpacked).map_err(stored)?;
        names.push(UNPACKED);
    }
    let digest = digest_of(work, &names).map_err(stored)?;
    let files = names
        .iter()
        .map(|name| StoredFile::measure(work, name))
        .collect::<io::Result<_>>()
        .map_err(stored)?;
    Ok(Record { digest, release: release.to_owned(), files, modules, modules_for_mounts })
}

/// Writes the archive of the modules that are needed at boot; returns their names, those for mounts apart.
fn boot_modules(host: &Host, folder: &Path, work: &Path) -> Result<(Vec<String>, Vec<String>), EnsureError> {
    let stored = |source| EnsureError::Cache { path: folder.to_owned(), source };
    let set = module_set(folder).map_err(stored)?;
    let mut contents = std::collections::BTreeMap::new();
    let mut load = |path: &Path| {
        let content = plain_module(host, path)?;
        contents.insert(module_name(path)?, content.clone());
        Some(content)
    };
    let always = set.order(&ALWAYS, &mut load)?;
    let roots: Vec<&str> = ALWAYS.into_iter().chain(FOR_MOUNTS).collect();
    let all = set.order(&roots, &mut load)?;
    let mut archive = Archive::new();
    archive.folder("modules", 0o755);
    for name in &all {
        archive.file(&format!("modules/{name}.ko"), 0o644, contents.get(name).map_or(&[], Vec::as_slice));
    }
    fs::write(work.join(BOOT_MODULES), archive.finish()).map_err(stored)?;
    let for_mounts = all.into_iter().filter(|name| !always.contains(name)).collect();
    Ok((always, for_mounts))
}

fn module_set(folder: &Path) -> io::Result<ModuleSet> {
    let builtin = fs::read_to_string(folder.join("modules.builtin"))?;
    let builtin = builtin.lines().filter_map(|line| module_name(Path::new(line))).collect();
    let mut set = ModuleSet { builtin, ..ModuleSet::default() };
    let mut folders = vec![folder.join("kernel")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Some(name) = module_name(&entry.path()) {
                set.files.insert(name, entry.path());
            }
        }
    }
    Ok(set)
}

/// A module's bytes, unpacked: PID 1 hands them to the kernel as they are. Where the tool for its compression is
/// missing the module counts as damaged, and the error names it.
fn plain_module(host: &Host, path: &Path) -> Option<Vec<u8>> {
    let unpack =
        |program| Tool::new(host, program).args(["--decompress", "--stdout"]).arg(path).output().ok();
    match path.extension()?.to_str()? {
        "xz" => unpack("xz"),
        "zst" => unpack("zstd"),
        "gz" => unpack("gzip"),
        _ => super::host::read_bounded(path, IMAGE_LIMIT).ok(),
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, EnsureError> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = list().map_err(|source| EnsureError::Cache { path: folder.to_owned(), source })?;
    paths.sort();
    Ok(paths)
}

fn unknown(problem: &str) -> EnsureError {
    EnsureError::UnknownKernel { problem: problem.to_owned() }
}
