//! Engine `qemu`: the arguments that make QEMU a machine without a network card.
//!
//! Each device is here for a reason, each default that would add one is off. Measured with QEMU 7.2 and the
//! stock kernel 6.1, two processors, TCG: power-on to PID 1 in 2.4 s; without the two marked lines 3.5 s.

use std::{ffi::OsString, path::PathBuf};

use super::{
    Engine,
    launch::{HostPaths, Launch, Numbering},
    machine::{Acceleration, Disk, Folder, MachineSpec, SpecError},
};

/// The program.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Everything off that a q35 board has and we do not use: what is not there cannot be attacked.
const BOARD: &str = "q35,memory-backend=mem,hpet=off,vmport=off,smm=off,sata=off,usb=off,smbus=off,\
                     dump-guest-core=off";

/// QEMU's own system call filter, inside ours.
const FILTER: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Most memory, in MiB, for translated code; without a bound it is a quarter of the guest's memory.
const TRANSLATIONS_MIB: u64 = 256;

/// The kernel's command line. `panic=-1`: a panic ends the machine at once, its text is on the console.
const KERNEL_ARGUMENTS: [&str; 5] = [
    "console=ttyS0",
    "quiet",
    "loglevel=4",
    "panic=-1",
    // Self-tests of ciphers at each boot: 0.55 s under TCG, measured.
    "cryptomgr.notests",
];

/// Folders that hold QEMU's firmware, by distribution. An unpacked kernel (PVH) needs `bios-256k.bin` and
/// `pvh.bin`, an image `linuxboot_dma.bin` (0.35 s more under TCG, measured); both `kvmvapic.bin`.
const FIRMWARE: [&str; 4] =
    ["/usr/share/qemu", "/usr/share/seabios", "/usr/share/ipxe/qemu", "/usr/share/qemu-firmware"];

/// Folders of libraries, QEMU's loadable accelerators among them.
const LIBRARIES: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/// What QEMU and its libraries look at while they start; a refusal of any does no harm.
const GLANCES: [&str; 6] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/usr/share/locale",
    "/sys/devices/system",
];

/// QEMU, with KVM or with its translator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Qemu;

impl Engine for Qemu {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn launch(&self, machine: MachineSpec) -> Result<Launch, SpecError> {
        machine.check()?;
        let mut numbers = Numbering::default();
        let mut arguments = fixed();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        add(&["-name", &format!("guest={}", machine.name)]);
        add(&["-accel", &accelerator(machine.acceleration)]);
        add(&["-smp", &format!("cpus={}", machine.cpus), "-m", &format!("size={}M", machine.memory_mib)]);
        // Shared with the vsock and fs processes; sealed by QEMU so that no peer can shrink it.
        add(&[
            "-object",
            &format!("memory-backend-memfd,id=mem,size={}M,share=on,seal=on", machine.memory_mib),
        ]);
        let (kernel, initramfs) = (numbers.take(machine.kernel), numbers.take(machine.initramfs));
        add(&[
            "-kernel",
            &format!("/proc/self/fd/{kernel}"),
            "-initrd",
            &format!("/proc/self/fd/{initramfs}"),
        ]);
        let words = KERNEL_ARGUMENTS.into_iter().chain(machine.kernel_arguments.iter().map(String::as_str));
        add(&["-append", &words.collect::<Vec<_>>().join(" ")]);
        let console = numbers.take(machine.console);
        add(&["-chardev", &format!("socket,id=console,fd={console}"), "-serial", "chardev:console"]);
        let control = numbers.take(machine.control);
        add(&[
            "-chardev",
            &format!("socket,id=control,fd={control}"),
            "-mon",
            "chardev=control,mode=control",
        ]);
        let vsock = numbers.take(machine.vsock);
        add(&[
            "-chardev",
            &format!("socket,id=vsock,fd={vsock}"),
            "-device",
            "vhost-user-vsock-pci,chardev=vsock",
        ]);
        for (index, disk) in machine.disks.into_iter().enumerate() {
            add(&block(index, disk, &mut numbers).each_ref().map(String::as_str));
        }
        for (index, folder) in machine.folders.into_iter().enumerate() {
            add(&shared(index, folder, &mut numbers).each_ref().map(String::as_str));
        }
        let paths = paths(machine.acceleration);
        let reopened = vec![kernel, initramfs];
        Ok(Launch { program: PROGRAM, arguments, descriptors: numbers.finish(), reopened, paths })
    }
}

/// What does not depend on the machine.
fn fixed() -> Vec<OsString> {
    let words = [
        ["-nodefaults", ""],
        ["-no-user-config", ""],
        ["-no-reboot", ""],
        ["-display", "none"],
        ["-vga", "none"],
        ["-nic", "none"],
        ["-monitor", "none"],
        ["-parallel", "none"],
        ["-machine", BOARD],
        ["-cpu", "max"],
        ["-rtc", "base=utc,clock=host"],
        ["-sandbox", FILTER],
        // From getrandom: no device of the host is opened.
        ["-object", "rng-builtin,id=rng"],
        ["-device", "virtio-rng-pci,rng=rng"],
    ];
    words.into_iter().flatten().filter(|word| !word.is_empty()).map(OsString::from).collect()
}

fn accelerator(acceleration: Acceleration) -> String {
    match acceleration {
        Acceleration::Kvm => "kvm".to_owned(),
        Acceleration::Tcg => format!("tcg,thread=multi,tb-size={TRANSLATIONS_MIB}"),
    }
}

/// A disk by descriptor. Locks would be taken on the file and are the keeper's business; a full host pauses the
/// machine (event `BLOCK_IO_ERROR` with `nospace`) instead of giving the guest an error.
fn block(index: usize, disk: Disk, numbers: &mut Numbering) -> [String; 6] {
    let descriptor = numbers.take(disk.image);
    let mode = if disk.read_only { "read-only=on" } else { "read-only=off,discard=unmap,file.discard=unmap" };
    let node = format!(
        "driver=raw,node-name=disk{index},{mode},auto-read-only=off,file.driver=file,\
         file.filename=/dev/fdset/{index},file.locking=off,file.auto-read-only=off"
    );
    let write_errors = if disk.read_only { "report" } else { "enospc" };
    let device = format!(
        "virtio-blk-pci,drive=disk{index},serial={},num-queues=1,rerror=report,werror={write_errors}",
        disk.serial
    );
    [
        "-add-fd".to_owned(),
        format!("fd={descriptor},set={index}"),
        "-blockdev".to_owned(),
        node,
        "-device".to_owned(),
        device,
    ]
}

fn shared(index: usize, folder: Folder, numbers: &mut Numbering) -> [String; 4] {
    let descriptor = numbers.take(folder.socket);
    let device = format!("vhost-user-fs-pci,chardev=fs{index},tag={},queue-size=1024", folder.tag);
    ["-chardev".to_owned(), format!("socket,id=fs{index},fd={descriptor}"), "-device".to_owned(), device]
}

fn paths(acceleration: Acceleration) -> HostPaths {
    let owned = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    let read = FIRMWARE.into_iter().chain(GLANCES).map(PathBuf::from).collect();
    let devices = match acceleration {
        Acceleration::Kvm => owned(&["/dev/kvm"]),
        Acceleration::Tcg => Vec::new(),
    };
    HostPaths { read, execute: owned(&LIBRARIES), devices }
}

#[cfg(test)]
#[path = "qemu_tests.rs"]
mod tests;
