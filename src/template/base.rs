//! The base template `debian-12`: the host distribution's own packages, unpacked by mmdebstrap, as a squashfs.
//!
//! On another release of the family the base is of that release; its record says so. The user `agent` is made
//! by PID 1, so one image serves whatever uid a later version chooses.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    cache::{Cache, EnsureError, StoredFile, digest_of},
    host::{Distribution, Host, read_bounded},
    image::{self, Package, Pins},
    progress::{Meter, Progress, Step},
    sources::{self, Sources},
    tool::{News, Tool, ToolError},
};
use crate::model::template::BASE_PACKAGES;

pub(super) const KIND: &str = "base";
pub(super) const IMAGE: &str = "root.sqfs";
/// Unpacked size of a base, for the progress bar only.
const EXPECTED_BYTES: u64 = 180 << 20;

/// What an agent's shell needs from the first minute, beyond the essential packages.
pub(super) const PACKAGES: [&str; 9] = [
    "bash",
    "ca-certificates", // the interception CA is added to this store
    "curl",
    "git",
    "kmod", // modules that load on demand (nftables, br_netfilter, …)
    "less",
    "procps",
    "sudo", // `agent` is root when it wants to be
    "xz-utils",
];

/// Times in the image are at most this (2024-01-01), so that the same packages give the same image everywhere.
const LATEST_TIME: &str = "1704067200";

/// Left out of the image: nobody reads manuals or translations in a sandbox, and they are a third of it.
pub(super) const DPKG_OPTIONS: [&str; 6] = [
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "force-unsafe-io",
];

/// apt's settings inside.
const IMAGE_APT: &str = "Acquire::Languages \"none\";\nAPT::Install-Recommends \"false\";\n";

/// apt settings of the host that decide how a mirror is reached; they are used while building and stay out of
/// the image, since a proxy's address may hold a password.
const HOST_APT_KEYS: [&str; 5] =
    ["Acquire::http", "Acquire::https", "Acquire::Retries", "Acquire::Check-", "Acquire::ForceIPv"];

/// A base root file system in the cache.
#[derive(Debug, Clone)]
pub struct BaseTemplate {
    folder: PathBuf,
    record: Record,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    digest: String,
    system: String,
    /// Those of [`BASE_PACKAGES`]; none where an older release has built it.
    #[serde(default)]
    packages: Vec<Package>,
    files: Vec<StoredFile>,
}

impl BaseTemplate {
    /// The current base, when it is whole.
    #[must_use]
    pub fn find(cache: &Cache) -> Option<Self> {
        let record: Record = cache.read_record(KIND)?;
        let folder = cache.folder(KIND, &record.digest)?;
        let whole = matches!(&record.files[..], [image] if image.name == IMAGE && image.is_whole(&folder));
        whole.then_some(Self { folder, record })
    }

    /// Identity of its content: SHA-256 of the image in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.record.digest
    }

    /// What it holds, for people: `debian 12`.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.record.system
    }

    /// Whether these packages are in it, in these versions.
    #[must_use]
    pub fn holds(&self, pins: &Pins) -> bool {
        let held = |(name, version): (&String, &String)| {
            self.record.packages.iter().any(|own| own.name == *name && own.version == *version)
        };
        pins.iter().all(held)
    }

    /// squashfs of the root file system.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.folder.join(IMAGE)
    }
}

pub(super) fn build(
    cache: &Cache,
    host: &Host,
    progress: &dyn Progress,
) -> Result<BaseTemplate, EnsureError> {
    let mut meter = Meter::start(progress, Step::Base);
    let distribution = host.distribution();
    let sources = release_sources(host, &distribution)?;
    let (work, stage) = (cache.building()?, cache.building()?);
    let stored = |source| EnsureError::Cache { path: work.path().to_owned(), source };
    let recipe = Recipe { distribution: &distribution, sources: &sources, further: &[] };
    let stage = Stage { tools: stage.path(), work: work.path(), step: Step::Base };
    make_image(host, &recipe, &stage, &mut meter)?;
    meter.advance(970, "storing");
    let digest = digest_of(work.path(), &[IMAGE]).map_err(stored)?;
    let files = vec![StoredFile::measure(work.path(), IMAGE).map_err(stored)?];
    // Where the tool left no list, nobody can say that this is what is pinned.
    let status = read_bounded(&stage.tools.join(STATUS), image::STATUS_LIMIT).unwrap_or_default();
    let packages = image::found(&String::from_utf8_lossy(&status), &BASE_PACKAGES);
    let record = Record { digest, system: distribution.title(), packages, files };
    cache.publish(work, KIND, &record.digest)?;
    cache.write_record(KIND, &record)?;
    meter.finish();
    let gone =
        || EnsureError::Cache { path: cache.root().join(KIND), source: io::ErrorKind::NotFound.into() };
    BaseTemplate::find(cache).ok_or_else(gone)
}

/// What an image is made from.
pub(super) struct Recipe<'a> {
    pub(super) distribution: &'a Distribution,
    pub(super) sources: &'a Sources,
    /// Packages beside [`PACKAGES`], checked.
    pub(super) further: &'a [String],
}

/// Where it is made.
pub(super) struct Stage<'a> {
    /// The tools' inputs; mmdebstrap leaves [`STATUS`] here.
    pub(super) tools: &'a Path,
    /// Gets [`IMAGE`].
    pub(super) work: &'a Path,
    pub(super) step: Step,
}

/// dpkg's own list of what is installed in the image, brought out while it is made.
pub(super) const STATUS: &str = "status";

/// The host's sources of its own release.
pub(super) fn release_sources(host: &Host, distribution: &Distribution) -> Result<Sources, EnsureError> {
    let none = || EnsureError::NoSources { distribution: distribution.title() };
    sources::of_release(host, distribution).ok_or_else(none)
}

/// Unpacks the packages and packs the image.
pub(super) fn make_image(
    host: &Host,
    recipe: &Recipe<'_>,
    stage: &Stage<'_>,
    meter: &mut Meter<'_>,
) -> Result<(), EnsureError> {
    let stored = |source| EnsureError::Cache { path: stage.tools.to_owned(), source };
    write_inputs(stage.tools, recipe.sources).map_err(stored)?;
    let failed = |source| EnsureError::Tool { step: stage.step, source };
    let settings = host_apt_settings(host).map_err(failed)?;
    let unpack = unpack(host, recipe, &settings).directory(stage.tools);
    let pack =
        Tool::new(host, "tar2sqfs").args(["--quiet", "--compressor", "lz4"]).arg(stage.work.join(IMAGE));
    unpack.pipe_into(pack, |news| follow(meter, news)).map_err(failed)
}

/// Files that mmdebstrap reads or that go into the image.
fn write_inputs(stage: &Path, sources: &Sources) -> io::Result<()> {
    fs::write(stage.join("sources.list"), &sources.for_host)?;
    fs::write(stage.join("image-sources.list"), &sources.for_image)?;
    fs::write(stage.join("image-apt.conf"), IMAGE_APT)?;
    fs::write(stage.join("empty"), "")
}

fn unpack<'h>(host: &'h Host, recipe: &Recipe<'_>, settings: &[String]) -> Tool<'h> {
    // Without root mmdebstrap finds out itself what this host permits.
    let mode = if host.superuser { "--mode=root" } else { "--mode=auto" };
    let tool = Tool::new(host, "mmdebstrap").env("SOURCE_DATE_EPOCH", LATEST_TIME);
    let tool = tool.args([mode, "--variant=minbase", "--format=tar"]);
    let further = recipe.further.iter().map(String::as_str);
    // What is pinned is asked for once.
    let pinned =
        |name: &&str| recipe.further.iter().any(|it| it.split_once('=').is_some_and(|it| it.0 == *name));
    let packages: Vec<&str> = PACKAGES.into_iter().filter(|name| !pinned(name)).chain(further).collect();
    let tool = tool.arg(format!("--include={}", packages.join(",")));
    let tool = tool.args(DPKG_OPTIONS.map(|option| format!("--dpkgopt={option}")));
    let tool = tool.args(settings.iter().map(|setting| format!("--aptopt={setting}")));
    // The host's name, resolvers, mirrors with credentials and proxies were needed to build, and end here.
    let tool = tool.args([
        "--customize-hook=upload empty /etc/hostname",
        "--customize-hook=upload empty /etc/resolv.conf",
        "--customize-hook=upload image-sources.list /etc/apt/sources.list",
        "--customize-hook=upload image-apt.conf /etc/apt/apt.conf.d/99mmdebstrap",
        "--customize-hook=rm -f \"$1\"/etc/apt/sources.list.d/*",
        "--customize-hook=download /var/lib/dpkg/status status",
    ]);
    tool.args([recipe.distribution.codename.as_str(), "-", "./sources.list"])
}

/// `apt-config dump`, reduced to what decides how a mirror is reached.
fn host_apt_settings(host: &Host) -> Result<Vec<String>, ToolError> {
    let output = Tool::new(host, "apt-config").arg("dump").output()?;
    let text = String::from_utf8_lossy(&output);
    let wanted =
        |line: &&str| HOST_APT_KEYS.iter().any(|key| line.starts_with(key)) && !line.ends_with(" \"\";");
    Ok(text.lines().map(str::trim).filter(wanted).map(str::to_owned).collect())
}

/// mmdebstrap's stages with the share of its time at which they begin, in thousandths, measured.
const STAGES: [(&str, u16, &str); 6] = [
    ("running apt-get update", 10, "reading package lists"),
    ("downloading packages", 30, "downloading packages"),
    ("extracting archives", 60, "unpacking packages"),
    ("installing essential", 320, "installing essential packages"),
    ("installing remaining", 590, "installing packages"),
    ("creating tarball", 910, "packing"),
];

fn follow(meter: &mut Meter<'_>, news: News<'_>) {
    match news {
        News::Line(line) => {
            if let Some((_, permille, what)) = STAGES.iter().find(|(stage, ..)| line.contains(stage)) {
                meter.advance(*permille, what);
            }
        }
        News::Bytes(bytes) => {
            let share = u16::try_from(bytes.saturating_mul(60) / EXPECTED_BYTES).unwrap_or(60).min(60);
            meter.advance(910 + share, "packing");
        }
    }
}
