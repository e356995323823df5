//! Starting a sandbox: egress first (it must judge before there is anything to judge), then the devices, then the
//! machine. Every socket is made here and handed over connected, because no zone may open one.

use std::{
    collections::BTreeMap,
    error::Error,
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::MetadataExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    rc::Rc,
};

use tokio::sync::mpsc;

use super::{
    book::Book,
    egress_link::EgressLink,
    expand::expand,
    guarded::guarded,
    guest_link::{GuestLink, Said},
    launcher_link::LauncherLink,
    machine_control,
    output::{self, BoundedFile},
    ports::Ports,
    shares::{Share, shares},
};
use crate::{
    engine::{Acceleration, Disk, Engine, Folder, MachineSpec, Qemu},
    model::{
        api::{EgressSecret, EgressSetup, PolicyRevision},
        desired::Sandbox,
        launch::KeeperConfig,
        status::Isolation,
    },
    sys::{
        descriptors::FIRST,
        handoff,
        jail::{Jail, PROGRAM_DESCRIPTOR, Profile, Tree},
        memory_file,
    },
    template::{
        Boot, Cache,
        initramfs::{BaseSegment, initramfs},
    },
    wire::{self, BootConfig, GuestMount},
    zones::config::{EgressConfig, FsConfig, VmmConfig, VsockConfig},
};

/// Unprivileged users of the zones, when started as root: sixteen for each sandbox from here on.
const FIRST_USER: u32 = 1_000_000_000;
const USERS_PER_SANDBOX: u32 = 16;
const SANDBOX_SLOTS: u32 = 1_000_000;

/// A machine whose processes run.
pub(super) struct Machine {
    pub guest: GuestLink,
    pub egress: Rc<EgressLink>,
    pub policy: PolicyRevision,
    pub isolation: Option<Isolation>,
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the sandbox: {doing}")]
pub(super) struct StartError {
    doing: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

fn doing<E: Into<Box<dyn Error + Send + Sync>>>(doing: &'static str) -> impl FnOnce(E) -> StartError {
    move |source| StartError { doing, source: source.into() }
}

/// Starts every process of the sandbox.
pub(super) async fn start(
    config: &KeeperConfig,
    book: &Rc<Book>,
    launcher: &LauncherLink,
    secrets: Vec<OwnedFd>,
    said: mpsc::UnboundedSender<Said>,
) -> Result<Machine, StartError> {
    let sandbox = &book.record().desired;
    let cache = Cache::open(&config.places.cache).map_err(doing("opening the cache"))?;
    let boot = cache
        .find()
        .ok_or_else(|| doing("finding kernel and template")("`cofferdam doctor --fix` builds them"))?;
    let starting = Starting { config, book, launcher, sandbox, boot: &boot };
    let (streams, egress_streams) = handoff::pair().map_err(doing("making the streams' socket"))?;
    let (dials, keeper_dials) = handoff::pair().map_err(doing("making the dialling socket"))?;
    let policy = book.policy(1).map_err(doing("reading the policy"))?;
    let (egress, ca_pem, env) = starting.egress(egress_streams, secrets, policy.clone()).await?;
    let guest = GuestLink::new(keeper_dials, said).map_err(doing("watching the guest's streams"))?;
    let vsock = starting.vsock(dials, streams).await?;
    let (mounts, fs) = starting.folders().await?;
    let modules = boot.kernel.boot_modules(!mounts.is_empty());
    let placeholders = book.placeholders().map_err(doing("reading the placeholders"))?;
    let told = boot_config(modules, disk_serials(config), sandbox, ca_pem, env, &placeholders, mounts);
    let isolation = starting.vmm(vsock, fs, &told).await?;
    Ok(Machine { guest, egress, policy, isolation: Some(isolation) })
}

/// Binds the sandbox's ports on the host; they are served once the guest answers.
pub(super) fn bind_ports(book: &Book) -> Result<Ports, StartError> {
    let wanted = book.ports().map_err(doing("reading its ports"))?;
    Ports::bind(&wanted).map_err(doing("publishing its ports"))
}

struct Starting<'a> {
    config: &'a KeeperConfig,
    book: &'a Rc<Book>,
    launcher: &'a LauncherLink,
    sandbox: &'a Sandbox,
    boot: &'a Boot,
}

impl Starting<'_> {
    /// Egress, the CA's certificate, and the placeholders as environment.
    async fn egress(
        &self,
        streams: OwnedFd,
        values: Vec<OwnedFd>,
        policy: PolicyRevision,
    ) -> Result<(Rc<EgressLink>, String, BTreeMap<String, String>), StartError> {
        let (ours, theirs) = UnixStream::pair().map_err(doing("making egress' stream"))?;
        let authority = memory_file::empty("authority").map_err(doing("making the CA's file"))?;
        let placeholders = self.book.placeholders().map_err(doing("reading the placeholders"))?;
        let mut env = BTreeMap::new();
        let mut secrets = Vec::new();
        for binding in &self.sandbox.secrets {
            let present = self.config.secrets.contains(&binding.name);
            let placeholder = placeholders.get(&binding.name).cloned().unwrap_or_default();
            if let (true, Some(variable)) = (present, &binding.env) {
                env.insert(variable.clone(), placeholder.clone());
            }
            secrets.push(EgressSecret { binding: binding.clone(), placeholder, present });
        }
        let config = EgressConfig {
            jail: self.jail(Profile::Network, 1, FIRST + 3 + i32::try_from(values.len()).unwrap_or(0)),
            secrets: secrets.iter().map(|secret| secret.present).collect(),
        };
        let mut own = vec![theirs.into(), streams, authority];
        own.extend(values);
        self.launcher.start("egress", &config, own).await.map_err(doing("starting egress"))?;
        let setup = EgressSetup {
            version: crate::model::api::VERSION,
            sandbox: self.sandbox.name.to_string(),
            synthetic: self.book.synthetic(),
            names: self.book.names(),
            secrets,
            upstream: self.book.upstream().map_err(doing("reading the host's resolver and trust store"))?,
            policy,
        };
        let (link, ca_pem) =
            EgressLink::set_up(ours, setup, Rc::clone(self.book)).await.map_err(|error| {
                let why = self.book.log().last_line("egress").unwrap_or_else(|| error.to_string());
                doing("setting egress up")(why)
            })?;
        Ok((link, ca_pem, env))
    }

    /// The vsock device; gives QEMU's end of its socket.
    async fn vsock(&self, dials: OwnedFd, streams: OwnedFd) -> Result<OwnedFd, StartError> {
        let (listener, connected) = self.device_socket()?;
        let config = VsockConfig { jail: self.jail(Profile::Sealed, 2, FIRST + 3) };
        let own = vec![listener.into(), dials, streams];
        self.launcher.start("vsock", &config, own).await.map_err(doing("starting the vsock device"))?;
        Ok(connected.into())
    }

    /// One file server for the workspace and each mount.
    async fn folders(&self) -> Result<(Vec<GuestMount>, Vec<Folder>), StartError> {
        let (mut mounts, mut devices) = (Vec::new(), Vec::new());
        for (index, share) in shares(self.sandbox).into_iter().enumerate() {
            let tag = format!("folder{index}");
            let device = self.folder(&share, &tag).await?;
            devices.push(Folder { tag: tag.clone(), socket: device });
            mounts.push(GuestMount { tag, target: share.target, read_only: share.read_only });
        }
        Ok((mounts, devices))
    }

    async fn folder(&self, share: &Share<'_>, tag: &str) -> Result<OwnedFd, StartError> {
        let Share { path, read_only, .. } = *share;
        self.book.judge_folder(path).map_err(doing("asking the policy for a folder"))?;
        let root = open_folder(path)
            .map_err(|error| doing("opening a folder")(format!("{}: {error}", path.display())))?;
        let owner = root.metadata().map_err(doing("looking at a folder"))?;
        let mut jail = self.jail(Profile::Sealed, 3, FIRST + 2);
        jail.trees = vec![Tree { descriptor: FIRST + 1, write: !read_only }];
        // The folder's owner, so that what the agent makes belongs to the user; never more than that.
        jail.become_user = jail.become_user.map(|_| (owner.uid(), owner.gid()));
        jail.max_descriptors = 4096;
        let hidden = self.book.hidden();
        let guard = share.guard().map(|path| guarded(path, &self.config.homes));
        let config = FsConfig { jail, tag: tag.to_owned(), read_only, guard, hidden };
        let (listener, connected) = self.device_socket()?;
        let own = vec![listener.into(), root.into()];
        self.launcher.start("fs", &config, own).await.map_err(doing("starting a file server"))?;
        Ok(connected.into())
    }

    async fn vmm(
        &self,
        vsock: OwnedFd,
        folders: Vec<Folder>,
        boot: &BootConfig,
    ) -> Result<Isolation, StartError> {
        let acceleration = if self.config.hardware { Acceleration::Kvm } else { Acceleration::Tcg };
        let segment = BaseSegment::of(&self.boot.kernel).map_err(doing("reading the boot modules"))?;
        let initramfs = initramfs(&segment, boot).map_err(doing("making the initramfs"))?;
        let (console, theirs) = UnixStream::pair().map_err(doing("making the console"))?;
        let (control, their_control) =
            UnixStream::pair().map_err(doing("making the machine's control socket"))?;
        let kernel = self.config.kernel.clone().unwrap_or_else(|| self.boot.kernel.image());
        let spec = MachineSpec {
            name: self.sandbox.name.to_string(),
            cpus: u16::from(self.sandbox.resources.cpus),
            memory_mib: self.sandbox.resources.memory.as_mib(),
            acceleration,
            kernel: File::open(&kernel).map_err(doing("opening the kernel"))?.into(),
            initramfs: memory_file::sealed("initramfs", &initramfs).map_err(doing("making the initramfs"))?,
            kernel_arguments: Vec::new(),
            disks: self.disks()?,
            vsock,
            folders,
            console: theirs.into(),
            control: their_control.into(),
        };
        let launch = Qemu.launch(spec).map_err(doing("describing the machine"))?;
        let program = self.config.emulator.clone();
        let mut jail = self.jail(Profile::Emulator, 4, PROGRAM_DESCRIPTOR + 1);
        jail.readable = launch.paths.read;
        jail.readable.push(kernel);
        jail.executable = launch.paths.execute;
        jail.executable.push(program.clone());
        jail.devices = launch.paths.devices;
        if let (Some(user), Some(device)) = (&mut jail.become_user, jail.devices.first()) {
            // `/dev/kvm` is open to its group.
            user.1 = std::fs::metadata(device).map_err(doing("looking at the device"))?.gid();
        }
        jail.max_descriptors = 1024;
        let config = VmmConfig { jail, program, arguments: launch.arguments };
        let descriptors = launch.descriptors.into_iter().map(|(_, descriptor)| descriptor).collect();
        self.launcher.start("vmm", &config, descriptors).await.map_err(doing("starting the machine"))?;
        self.keep_console(console)?;
        machine_control::watch(control, Rc::clone(self.book)).map_err(doing("listening to the machine"))?;
        Ok(match acceleration {
            Acceleration::Kvm => Isolation::Hardware,
            Acceleration::Tcg => Isolation::Emulated,
        })
    }

    fn keep_console(&self, console: UnixStream) -> Result<(), StartError> {
        let file = BoundedFile::create(&self.book.console_path()).map_err(doing("keeping the console"))?;
        console.set_nonblocking(true).map_err(doing("reading the console"))?;
        let console = tokio::net::UnixStream::from_std(console).map_err(doing("reading the console"))?;
        tokio::task::spawn_local(output::keep_console(console, file));
        Ok(())
    }

    fn disks(&self) -> Result<Vec<Disk>, StartError> {
        let disk = |serial: &str, path: &Path, read_only: bool| {
            let file = OpenOptions::new()
                .read(true)
                .write(!read_only)
                .open(path)
                .map_err(|error| doing("opening a disk")(format!("{}: {error}", path.display())))?;
            Ok(Disk { image: file.into(), serial: serial.to_owned(), read_only })
        };
        let serials = disk_serials(self.config);
        let mut disks = vec![
            disk(&serials.template, &self.config.root.image, true)?,
            disk(&serials.modules, &self.boot.kernel.modules_image(), true)?,
            disk(&serials.system, &self.book.system_disk(), false)?,
        ];
        if let Some(serial) = &serials.data {
            disks.push(disk(serial, &self.book.data_disk(), false)?);
        }
        for (serial, path) in serials.layers.iter().zip(&self.config.root.layers) {
            disks.push(disk(serial, path, true)?);
        }
        Ok(disks)
    }

    fn jail(&self, profile: Profile, role: u32, close_from: i32) -> Jail {
        let user = rustix::process::geteuid().is_root().then(|| {
            let id = u64::from_str_radix(self.config.id.as_str(), 16).unwrap_or_default();
            let slot = u32::try_from(id % u64::from(SANDBOX_SLOTS)).unwrap_or_default();
            FIRST_USER + slot * USERS_PER_SANDBOX + role
        });
        Jail {
            profile,
            become_user: user.map(|user| (user, user)),
            readable: Vec::new(),
            executable: Vec::new(),
            devices: Vec::new(),
            trees: Vec::new(),
            max_descriptors: 16 * 1024,
            close_from,
        }
    }

    /// A connected pair whose listening end can be handed to a device server, which only accepts.
    fn device_socket(&self) -> Result<(UnixListener, UnixStream), StartError> {
        let path = self.book.device_socket();
        let made = (|| {
            let listener = UnixListener::bind(&path)?;
            let connected = UnixStream::connect(&path);
            std::fs::remove_file(&path)?;
            Ok::<_, io::Error>((listener, connected?))
        })();
        made.map_err(doing("making a device's socket"))
    }
}

/// How the guest tells the disks apart.
fn disk_serials(config: &KeeperConfig) -> wire::boot::Disks {
    wire::boot::Disks {
        template: "template".to_owned(),
        layers: (0..config.root.layers.len()).map(|number| format!("layer{number}")).collect(),
        modules: "modules".to_owned(),
        system: "system".to_owned(),
        data: (!config.throwaway).then(|| "data".to_owned()),
    }
}

fn boot_config(
    modules: Vec<String>,
    disks: wire::boot::Disks,
    sandbox: &Sandbox,
    ca_pem: String,
    variables: BTreeMap<String, String>,
    placeholders: &BTreeMap<String, String>,
    mounts: Vec<GuestMount>,
) -> BootConfig {
    let mut env: BTreeMap<String, String> =
        GUEST_ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    env.extend(variables);
    env.extend(sandbox.env.iter().map(|(name, value)| (name.clone(), expand(value, placeholders))));
    let working_dir = sandbox.working_dir.clone();
    let workspace = sandbox.workspace.as_ref().map(|workspace| workspace.path.display().to_string());
    BootConfig {
        version: wire::VERSION,
        hostname: sandbox.name.to_string(),
        disks,
        modules,
        mounts,
        ca_pem,
        env,
        working_dir: working_dir.or(workspace),
    }
}

/// Where clients look for trusted roots: the system's bundle, which PID 1 adds the sandbox's CA to.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const GUEST_ENVIRONMENT: [(&str, &str); 10] = [
    ("COFFERDAM", "1"),
    ("SSL_CERT_FILE", BUNDLE),
    ("CURL_CA_BUNDLE", BUNDLE),
    ("REQUESTS_CA_BUNDLE", BUNDLE),
    ("NODE_EXTRA_CA_CERTS", "/usr/local/share/ca-certificates/cofferdam.crt"),
    ("DENO_CERT", "/usr/local/share/ca-certificates/cofferdam.crt"),
    ("GIT_SSL_CAINFO", BUNDLE),
    ("CARGO_HTTP_CAINFO", BUNDLE),
    ("PIP_CERT", BUNDLE),
    ("AWS_CA_BUNDLE", BUNDLE),
];

/// Opens the folder itself, whatever a link in its place would say: the path was resolved when the sandbox was made.
fn open_folder(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    let folder = openat2(
        rustix::fs::CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    Ok(File::from(folder.as_fd().try_clone_to_owned()?))
}
