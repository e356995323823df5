//! By hand, where QEMU and a built cache are at hand: the real program with the real arguments, under Landlock
//! with exactly the paths that the launch names.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Instant,
};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _,
};

use super::{
    Acceleration, Disk, Engine as _, Launch, MachineSpec, Qemu,
    qmp::{Command, Connection, Event, Message},
};

fn given(name: &str) -> PathBuf {
    std::env::var_os(name).map(PathBuf::from).unwrap_or_else(|| panic!("{name} is not set"))
}

fn open(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// Restricts this thread, and so its children.
fn jail(launch: &Launch) {
    let (abi, read) = (ABI::V2, AccessFs::ReadFile | AccessFs::ReadDir);
    let code = read | AccessFs::Execute;
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(abi)).unwrap().create().unwrap();
    let allow = |rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>| match PathFd::new(path) {
        Ok(fd) if path.is_dir() => rules.add_rule(PathBeneath::new(fd, access)).unwrap(),
        Ok(fd) => rules.add_rule(PathBeneath::new(fd, access & AccessFs::from_file(abi))).unwrap(),
        Err(_) => rules,
    };
    for path in &launch.paths.read {
        rules = allow(rules, path, read);
    }
    for path in
        launch.paths.execute.iter().chain([&"/usr/bin/bash".into(), &"/usr/bin/qemu-system-x86_64".into()])
    {
        rules = allow(rules, path, code);
    }
    for (number, descriptor) in &launch.descriptors {
        let file = launch.reopened.contains(number).then(|| File::from(descriptor.try_clone().unwrap()));
        if let Some(file) = file.filter(|_| *number == launch.reopened[0]) {
            rules = rules.add_rule(PathBeneath::new(file, AccessFs::ReadFile)).unwrap();
        }
    }
    rules.restrict_self().unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the zone that starts engines is not here")]
fn start(launch: Launch, options: &str) -> std::process::Child {
    let mut script = String::from("exec");
    let mut high = Vec::new();
    for (number, descriptor) in &launch.descriptors {
        let descriptor = rustix::io::fcntl_dupfd_cloexec(descriptor, 100).unwrap();
        rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::empty()).unwrap();
        script += &format!(" {number}<&{}", descriptor.as_raw_fd());
        high.push(descriptor);
    }
    let script = format!("{script}; exec qemu-system-x86_64 {options} \"$@\"");
    let mut shell = std::process::Command::new("/usr/bin/bash");
    shell.env_clear().env("PATH", "/usr/bin").args(["-c", &script, "qemu"]).args(&launch.arguments);
    shell.spawn().unwrap()
}

#[test]
#[ignore = "boots a machine"]
fn the_real_machine() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("data.img");
    File::create(&image).unwrap().set_len(1 << 26).unwrap();
    let data = File::options().read(true).write(true).open(&image).unwrap();
    let initramfs = rustix::fs::memfd_create("initramfs", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut memory = File::from(initramfs);
    memory.write_all(&std::fs::read(given("COFFERDAM_TEST_INITRAMFS")).unwrap()).unwrap();
    let (console, console_end) = UnixStream::pair().unwrap();
    let (control, control_end) = UnixStream::pair().unwrap();
    let mut launch = Qemu
        .launch(MachineSpec {
            name: "by-hand".to_owned(),
            cpus: 2,
            memory_mib: 1024,
            acceleration: Acceleration::Tcg,
            kernel: open(&given("COFFERDAM_TEST_KERNEL")),
            initramfs: memory.into(),
            kernel_arguments: Vec::new(),
            disks: vec![
                Disk {
                    image: open(&given("COFFERDAM_TEST_BASE")),
                    serial: "template".into(),
                    read_only: true,
                },
                Disk { image: data.into(), serial: "data".into(), read_only: false },
            ],
            vsock: open(Path::new("/dev/null")),
            folders: Vec::new(),
            console: console_end.into(),
            control: control_end.into(),
        })
        .unwrap();
    // No vsock process here: QEMU would wait for it.
    let at = launch.arguments.iter().position(|word| word.to_str().unwrap().contains("id=vsock")).unwrap();
    launch.arguments.drain(at - 1..at + 3);
    let begun = Instant::now();
    let mut child = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                jail(&launch);
                start(launch, "")
            })
            .join()
            .unwrap()
    });
    let talk = std::thread::spawn(move || converse(control));
    read_console(console, begun);
    println!("{:?} {:?}", begun.elapsed(), child.wait().unwrap());
    let events = talk.join().unwrap();
    println!("{events:?}");
    let ended = Event::Shutdown { by_guest: true, reason: "guest-shutdown".to_owned() };
    assert!(events.contains(&Message::Event(ended)));
}

fn read_console(mut console: UnixStream, begun: Instant) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = console.read(&mut buffer) {
        print!("[{:.3}] {}", begun.elapsed().as_secs_f32(), String::from_utf8_lossy(&buffer[..count]));
    }
    println!();
}

fn converse(mut control: UnixStream) -> Vec<Message> {
    let mut connection = Connection::new();
    control.write_all(&connection.ask(Command::Negotiate)).unwrap();
    control.write_all(&connection.ask(Command::QueryStatus)).unwrap();
    let (mut buffer, mut messages) = ([0; 4096], Vec::new());
    while let Ok(count @ 1..) = control.read(&mut buffer) {
        connection.feed(&buffer[..count]).unwrap();
        messages.extend(std::iter::from_fn(|| connection.next_message()));
    }
    messages
}
