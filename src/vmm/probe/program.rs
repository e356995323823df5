//! The program that the probe runs, and the memory that it needs: 64-bit supervisor mode, identity-mapped.
//!
//! Before each instruction under test it notes a step, so that a failure can be named. Sources: AMD64
//! Architecture Programmer's Manual, volumes 2 and 3.

/// Memory of the probe's machine; one large page maps it all.
pub const MEMORY: usize = 2 << 20;
/// Entry point.
pub const CODE: u64 = 0x6000;
/// Initial stack pointer.
pub const STACK: u64 = 0x1_0000;
/// Page map level 4.
pub const PAGE_MAP: u64 = 0x1000;
/// Global descriptor table: null, code, data.
pub const GDT: u64 = 0x4000;
pub const GDT_LIMIT: u16 = 3 * 8 - 1;
/// Interrupt descriptor table.
pub const IDT: u64 = 0x5000;
pub const IDT_LIMIT: u16 = 256 * 16 - 1;
/// The port that the program writes its result to.
pub const RESULT_PORT: u16 = 0xf4;
/// The result when everything went well.
pub const PASSED: u8 = b'K';

const PAGE_DIRECTORY_POINTERS: u64 = 0x2000;
const PAGE_DIRECTORY: u64 = 0x3000;
const HANDLER: u64 = 0x7000;
const PAIR: u32 = 0x8000;
const STEP: u32 = 0x8030;
const SAVE_AREA: u32 = 0x8040;
const BREAKPOINT: u64 = 3;

/// What the processor can do beyond the minimum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Abilities {
    /// The components that XSAVE handles here: the value of XCR0; 0 without XSAVE.
    pub xcr0: u64,
    /// XSAVES and XRSTORS.
    pub supervisor_save: bool,
}

/// The steps, as [`step`] reads them from memory.
const STEPS: [&str; 6] =
    ["its first instruction", "int3", "cmpxchg16b", "xsave/xrstor", "xsaves/xrstors", "its end"];

/// Puts page tables, descriptor tables and program into `memory`.
pub fn load(memory: &mut [u8], abilities: Abilities) {
    let mut put = |at: u64, bytes: &[u8]| {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        memory[at..at + bytes.len()].copy_from_slice(bytes);
    };
    // Present, writable; the last one a page of 2 MiB.
    put(PAGE_MAP, &(PAGE_DIRECTORY_POINTERS | 3).to_le_bytes());
    put(PAGE_DIRECTORY_POINTERS, &(PAGE_DIRECTORY | 3).to_le_bytes());
    put(PAGE_DIRECTORY, &0x83u64.to_le_bytes());
    put(GDT + 8, &0x00af_9b00_0000_ffff_u64.to_le_bytes());
    put(GDT + 16, &0x00cf_9300_0000_ffff_u64.to_le_bytes());
    // A present 64-bit interrupt gate, privilege 0, selector 8; all others are absent, so that an unexpected
    // exception shuts the machine down.
    let gate = (HANDLER & 0xffff) | 8 << 16 | 0x8e00 << 32 | (HANDLER >> 16) << 48;
    put(IDT + BREAKPOINT * 16, &gate.to_le_bytes());
    put(HANDLER, &[0x48, 0xff, 0xc3, 0x48, 0xcf]); // inc rbx; iretq
    put(CODE, &code(abilities));
}

/// How far the program came.
pub fn step(memory: &[u8]) -> &'static str {
    let step = memory.get(STEP as usize).copied().unwrap_or_default();
    STEPS.get(usize::from(step)).copied().unwrap_or("an unknown step")
}

fn code(abilities: Abilities) -> Vec<u8> {
    let mut code = Vec::new();
    note(&mut code, 1);
    code.push(0xcc); // int3
    code.extend([0x48, 0x83, 0xfb, 0x01]); // cmp rbx, 1: the handler ran, once
    fail_unless_equal(&mut code);
    note(&mut code, 2);
    code.extend([0x31, 0xc0, 0x31, 0xd2]); // xor eax, eax; xor edx, edx
    code.extend([0xbb, 1, 0, 0, 0, 0xb9, 2, 0, 0, 0]); // mov ebx, 1; mov ecx, 2
    at(&mut code, &[0xf0, 0x48, 0x0f, 0xc7], 1, PAIR); // lock cmpxchg16b
    fail_unless_equal(&mut code);
    if abilities.xcr0 != 0 {
        note(&mut code, 3);
        let [a, b, c, d, ..] = abilities.xcr0.to_le_bytes();
        code.extend([0xb8, a, b, c, d, 0x31, 0xd2]); // mov eax, XCR0; xor edx, edx
        at(&mut code, &[0x48, 0x0f, 0xae], 4, SAVE_AREA); // xsave64
        at(&mut code, &[0x48, 0x0f, 0xae], 5, SAVE_AREA); // xrstor64
    }
    if abilities.xcr0 != 0 && abilities.supervisor_save {
        note(&mut code, 4);
        at(&mut code, &[0x48, 0x0f, 0xc7], 5, SAVE_AREA); // xsaves64
        at(&mut code, &[0x48, 0x0f, 0xc7], 3, SAVE_AREA); // xrstors64
    }
    note(&mut code, 5);
    report(&mut code, PASSED);
    code
}

/// `mov byte [STEP], number`
fn note(code: &mut Vec<u8>, number: u8) {
    at(code, &[0xc6], 0, STEP);
    code.push(number);
}

/// An instruction whose only operand is an absolute address; `extension` is the middle field of its ModRM byte.
fn at(code: &mut Vec<u8>, opcode: &[u8], extension: u8, address: u32) {
    code.extend_from_slice(opcode);
    code.extend([extension << 3 | 4, 0x25]);
    code.extend(address.to_le_bytes());
}

/// `je` over a report of failure.
fn fail_unless_equal(code: &mut Vec<u8>) {
    let mut failure = Vec::new();
    report(&mut failure, b'F');
    code.extend([0x74, u8::try_from(failure.len()).unwrap_or(u8::MAX)]);
    code.extend(failure);
}

/// `mov al, result; out RESULT_PORT, al; hlt`
fn report(code: &mut Vec<u8>, result: u8) {
    code.extend([0xb0, result, 0xe6, RESULT_PORT.to_le_bytes()[0], 0xf4]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_processor_lacks_is_not_executed() {
        let all = code(Abilities { xcr0: 7, supervisor_save: true });
        let some = code(Abilities { xcr0: 3, supervisor_save: false });
        let none = code(Abilities::default());
        let xrstors = [0x48, 0x0f, 0xc7, 0x1c, 0x25];
        let xsave = [0x48, 0x0f, 0xae, 0x24, 0x25];
        let has = |code: &[u8], what: &[u8]| code.windows(what.len()).any(|window| window == what);
        assert!(has(&all, &xrstors) && has(&all, &xsave));
        assert!(!has(&some, &xrstors) && has(&some, &xsave));
        assert!(!has(&none, &xrstors) && !has(&none, &xsave));
        assert!([all, some, none].iter().all(|code| code.ends_with(&[0xb0, PASSED, 0xe6, 0xf4, 0xf4])));
    }

    #[test]
    fn nothing_overlaps_and_steps_are_named() {
        let mut memory = vec![0; MEMORY];
        assert_eq!(step(&memory), "its first instruction");
        load(&mut memory, Abilities { xcr0: 7, supervisor_save: true });
        assert!(code(Abilities { xcr0: 7, supervisor_save: true }).len() < 0x1000);
        memory[STEP as usize] = 1;
        assert_eq!(step(&memory), "int3");
        memory[STEP as usize] = 77;
        assert_eq!(step(&memory), "an unknown step");
        assert_eq!(SAVE_AREA % 64, 0, "XSAVE wants 64-byte alignment");
        assert_eq!(PAIR % 16, 0, "CMPXCHG16B wants 16-byte alignment");
    }
}
