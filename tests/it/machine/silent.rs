//! A guest that never answers: the program gives up in time, says why, and leaves nothing running.

use super::rig::{Home, Processes};

/// Guest-physical address where the kernel below is loaded and entered.
const ENTRY: u32 = 0x10_0000;
/// Type of the ELF note that tells the address of the 32-bit entry point (Xen's `XEN_ELFNOTE_PHYS32_ENTRY`).
const PHYS32_ENTRY: u32 = 18;

#[test]
fn a_guest_that_never_answers_is_given_up() {
    let home = Home::new("silent");
    let kernel = home.path("kernel");
    std::fs::write(&kernel, halting_kernel()).expect("ours");
    home.configure(&format!("kernel: {}\nbootTimeout: 2s\n", kernel.display()));
    home.define("ws", "dev", "  workspace: {mode: read}\n  resources: {memory: 256MiB, disk: 1GiB}\n");
    let error = home.run(&["apply", "--yes", "--wait", "-o", "json"]).refused(7);
    assert!(
        error["message"].as_str().is_some_and(|text| text.contains("did not answer within 2 s")),
        "{error:#}"
    );
    let status = home.status();
    assert_eq!(status["phase"], "failed", "{status:#}");
    assert_eq!(Processes::of(&home.sandbox_folder()).all().count(), 0);
    // The same sandbox with a kernel that does answer.
    home.configure("{}\n");
    home.run(&["start", "dev"]).ok();
    assert_eq!(home.guest("dev", "echo here").ok(), "here\n");
    home.run(&["rm", "--force", "dev"]).ok();
}

/// An ELF file with a PVH entry point, whose only instructions are `cli`, `hlt`, and a jump back.
fn halting_kernel() -> Vec<u8> {
    const CODE_AT: usize = 0x1000;
    const NOTE_AT: usize = 0x1100;
    let code = [0xfa, 0xf4, 0xeb, 0xfd];
    let note = [&words(&[4, 4, PHYS32_ENTRY])[..], b"Xen\0", &words(&[ENTRY])[..]].concat();
    let mut file =
        [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &2_u16.to_le_bytes(), &62_u16.to_le_bytes(), &words(&[1])]
            .concat();
    file.extend([longs(&[u64::from(ENTRY), 64, 0]), words(&[0])].concat());
    for half in [64_u16, 56, 2, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let segment = |kind: u32, flags: u32, at: usize, address: u32, length: usize, align: u64| {
        let length = length as u64;
        let fields = [at as u64, address.into(), address.into(), length, length, align];
        [words(&[kind, flags]), longs(&fields)].concat()
    };
    file.extend(segment(1, 5, CODE_AT, ENTRY, code.len(), 0x1000));
    file.extend(segment(4, 4, NOTE_AT, 0, note.len(), 4));
    file.resize(CODE_AT, 0);
    file.extend(code);
    file.resize(NOTE_AT, 0);
    file.extend(note);
    file
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn longs(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
