use std::{
    fs::File,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
};

use super::*;

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn machine() -> MachineSpec {
    let disk = |serial: &str, read_only| Disk { image: null(), serial: serial.to_owned(), read_only };
    MachineSpec {
        name: "web-dev".to_owned(),
        cpus: 2,
        memory_mib: 1024,
        acceleration: Acceleration::Tcg,
        kernel: null(),
        initramfs: null(),
        kernel_arguments: vec!["mitigations=auto".to_owned()],
        disks: vec![disk("template", true), disk("data", false)],
        vsock: null(),
        folders: vec![Folder { socket: null(), tag: "workspace".to_owned() }],
        console: null(),
        control: null(),
    }
}

fn words(launch: &Launch) -> Vec<&str> {
    launch.arguments.iter().map(|word| word.to_str().unwrap()).collect()
}

fn after<'w>(words: &[&'w str], option: &str) -> Vec<&'w str> {
    words.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1]).collect()
}

/// Whether the machine would have a way to a network: the check that the tests below put to the test.
fn network_of(words: &[&str]) -> Option<String> {
    let cards = ["net", "e1000", "rtl8139", "usb-", "ne2k", "vmxnet"];
    let device = after(words, "-device").into_iter().find(|device| {
        let model = device.split(',').next().unwrap_or_default();
        cards.iter().any(|card| model.contains(card))
    });
    let option = words.iter().find(|word| ["-netdev", "-net", "-nicdev"].contains(word));
    let default = (after(words, "-nic") != ["none"]).then_some("the board's own card");
    device.or(option.copied()).or(default).map(str::to_owned)
}

#[test]
fn a01_the_machine_has_no_network_card() {
    let launch = Qemu.launch(machine()).unwrap();
    let words = words(&launch);
    assert_eq!(network_of(&words), None);
    assert!(words.contains(&"-nodefaults") && words.contains(&"-no-user-config"));
    // Each break is noticed.
    for broken in [["-device", "virtio-net-pci"], ["-netdev", "user,id=n"], ["-nic", "user"]] {
        let mut words = words.clone();
        words.extend(broken);
        assert!(network_of(&words).is_some(), "{broken:?}");
    }
    let without: Vec<_> = words.iter().copied().filter(|word| *word != "-nic").collect();
    assert!(network_of(&without).is_some());
}

#[test]
fn the_arguments_are_exactly_these() {
    let launch = Qemu.launch(machine()).unwrap();
    let lines = words(&launch).join(" ").replace(" -", "\n-");
    insta::assert_snapshot!(lines, @r"
    -nodefaults
    -no-user-config
    -no-reboot
    -display none
    -vga none
    -nic none
    -monitor none
    -parallel none
    -machine q35,memory-backend=mem,hpet=off,vmport=off,smm=off,sata=off,usb=off,smbus=off,dump-guest-core=off
    -cpu max
    -rtc base=utc,clock=host
    -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
    -object rng-builtin,id=rng
    -device virtio-rng-pci,rng=rng
    -name guest=web-dev
    -accel tcg,thread=multi,tb-size=256
    -smp cpus=2
    -m size=1024M
    -object memory-backend-memfd,id=mem,size=1024M,share=on,seal=on
    -kernel /proc/self/fd/5
    -initrd /proc/self/fd/6
    -append console=ttyS0 quiet loglevel=4 panic=-1 cryptomgr.notests mitigations=auto
    -chardev socket,id=console,fd=7
    -serial chardev:console
    -chardev socket,id=control,fd=8
    -mon chardev=control,mode=control
    -chardev socket,id=vsock,fd=9
    -device vhost-user-vsock-pci,chardev=vsock
    -add-fd fd=10,set=0
    -blockdev driver=raw,node-name=disk0,read-only=on,auto-read-only=off,file.driver=file,file.filename=/dev/fdset/0,file.locking=off,file.auto-read-only=off
    -device virtio-blk-pci,drive=disk0,serial=template,num-queues=1,rerror=report,werror=report
    -add-fd fd=11,set=1
    -blockdev driver=raw,node-name=disk1,read-only=off,discard=unmap,file.discard=unmap,auto-read-only=off,file.driver=file,file.filename=/dev/fdset/1,file.locking=off,file.auto-read-only=off
    -device virtio-blk-pci,drive=disk1,serial=data,num-queues=1,rerror=report,werror=enospc
    -chardev socket,id=fs0,fd=12
    -device vhost-user-fs-pci,chardev=fs0,tag=workspace,queue-size=1024
    ");
}

#[test]
fn no_path_of_the_host_is_a_device_and_every_descriptor_is_used_once() {
    let launch = Qemu.launch(machine()).unwrap();
    let text = words(&launch).join(" ");
    for word in text.split([' ', ',', '=']).filter(|word| word.starts_with('/')) {
        assert!(word.starts_with("/proc/self/fd/") || word.starts_with("/dev/fdset/"), "{word}");
    }
    let numbers: Vec<_> = launch.descriptors.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (5..13).collect::<Vec<_>>());
    for number in numbers {
        let uses = [format!("fd={number},"), format!("fd={number} "), format!("/fd/{number} ")];
        let count: usize = uses.iter().map(|word| format!("{text} ").matches(word.as_str()).count()).sum();
        assert_eq!(count, 1, "descriptor {number}");
    }
    assert_eq!(launch.reopened, [5, 6]);
    let mut raw: Vec<_> = launch.descriptors.iter().map(|(_, owned)| owned.as_raw_fd()).collect();
    raw.dedup();
    assert_eq!(raw.len(), 8);
}

#[test]
fn what_cannot_be_an_argument_is_refused() {
    let check = |change: fn(&mut MachineSpec), message: &str| {
        let mut machine = machine();
        change(&mut machine);
        assert_eq!(Qemu.launch(machine).unwrap_err().to_string(), message);
    };
    check(|m| m.cpus = 0, "a machine has 1 to 64 processors, not 0");
    check(|m| m.memory_mib = 64, "a machine has 192 MiB to 1 TiB of memory, not 64 MiB");
    check(
        |m| m.disks[0].serial = "a,file=/etc/shadow".to_owned(),
        "`a,file=/etc/shadow` cannot be a disk serial: 1 to 20 letters, digits and dashes",
    );
    check(
        |m| m.folders[0].tag = String::new(),
        "`` cannot be a folder tag: 1 to 36 letters, digits and dashes",
    );
    check(|m| m.disks[0].serial = "data".to_owned(), "two devices are named `data`");
    check(
        |m| m.name = "-nic".to_owned(),
        "`-nic` cannot be a machine name: 1 to 64 letters, digits and dashes",
    );
    check(|m| m.kernel_arguments = vec!["a b".to_owned()], "`a b` cannot be a kernel argument");
}

#[test]
fn only_kvm_needs_a_device_and_nothing_needs_a_home() {
    let tcg = Qemu.launch(machine()).unwrap();
    let kvm = Qemu.launch(MachineSpec { acceleration: Acceleration::Kvm, ..machine() }).unwrap();
    assert!(tcg.paths.devices.is_empty());
    assert_eq!(kvm.paths.devices, [Path::new("/dev/kvm")]);
    assert_eq!(after(&words(&kvm), "-accel"), ["kvm"]);
    for secret in ["/root", "/home", "/etc/shadow", "/etc", "/", "/proc", "/var", "/run", "/tmp", "/dev"] {
        assert!(!kvm.paths.covers(Path::new(secret)), "{secret}");
    }
    assert!(kvm.paths.covers(Path::new("/usr/share/qemu/pvh.bin")));
    assert_eq!(Acceleration::Tcg.isolation().to_string(), "emulated");
    assert_eq!(Acceleration::Kvm.isolation().to_string(), "hardware");
}
