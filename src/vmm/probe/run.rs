//! Runs the probe's program on the real device.
#![expect(
    unsafe_code,
    reason = "giving memory to a machine is unsafe by nature; `vmm` is an island for this"
)]

use kvm_bindings::{
    KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_segment, kvm_sregs, kvm_userspace_memory_region, kvm_xcr, kvm_xcrs,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd};
use vm_memory::{Bytes as _, GuestAddress, GuestMemory as _, GuestMemoryMmap};

use super::{
    ProbeResult,
    program::{self, Abilities},
};

/// Interrupted and no-op exits that are let pass before the probe counts as failed.
const PATIENCE: u32 = 1000;

/// Runs the program to its end. May hang where KVM does: see [`super::probe_within`].
#[must_use]
pub fn run_probe() -> ProbeResult {
    attempt().map_or_else(|reason| ProbeResult::Failed { reason }, |()| ProbeResult::Passed)
}

fn attempt() -> Result<(), String> {
    let failed =
        |what: &'static str| move |error: kvm_ioctls::Error| format!("KVM refuses to {what}: {error}");
    let kvm = Kvm::new().map_err(failed("open"))?;
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), program::MEMORY)])
        .map_err(|error| format!("no memory: {error}"))?;
    let address = memory.get_host_address(GuestAddress(0)).map_err(|error| format!("no memory: {error}"))?;
    let machine = kvm.create_vm().map_err(failed("make a machine"))?;
    let slot = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: program::MEMORY as u64,
        userspace_addr: address as u64,
    };
    // SAFETY: the region is exactly `memory`'s one mapping, and `memory` outlives `machine`: it is declared
    // before it, so it is dropped after it. Nothing here holds a reference into it while the machine runs.
    unsafe { machine.set_user_memory_region(slot) }.map_err(failed("take memory"))?;
    let mut cpu = machine.create_vcpu(0).map_err(failed("make a processor"))?;
    let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(failed("describe the processor"))?;
    let abilities = abilities(cpuid.as_slice());
    cpu.set_cpuid2(&cpuid).map_err(failed("describe the processor"))?;
    let mut image = vec![0; program::MEMORY];
    program::load(&mut image, abilities);
    memory.write_slice(&image, GuestAddress(0)).map_err(|error| format!("no memory: {error}"))?;
    enter_long_mode(&cpu, abilities).map_err(failed("set registers"))?;
    let ended = execute(&mut cpu);
    memory.read_slice(&mut image, GuestAddress(0)).map_err(|error| format!("no memory: {error}"))?;
    ended.map_err(|how| format!("a kernel cannot run on this KVM: {how} at {}", program::step(&image)))
}

fn execute(cpu: &mut VcpuFd) -> Result<(), String> {
    for _ in 0..PATIENCE {
        let exit = match cpu.run() {
            Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => continue,
            other => other.map_err(|error| format!("KVM_RUN failed ({error})"))?,
        };
        return match exit {
            VcpuExit::IoOut(program::RESULT_PORT, [program::PASSED]) => Ok(()),
            VcpuExit::IoOut(..) => Err("a wrong result".to_owned()),
            VcpuExit::Intr => continue,
            VcpuExit::InternalError => Err("KVM_INTERNAL_ERROR".to_owned()),
            VcpuExit::Shutdown => Err("a shutdown of the processor".to_owned()),
            other => Err(format!("the unexpected exit {other:?}")),
        };
    }
    Err("no progress".to_owned())
}

/// From CPUID leaves 1 and 0xd.
fn abilities(cpuid: &[kvm_bindings::kvm_cpuid_entry2]) -> Abilities {
    let leaf =
        |function, index| cpuid.iter().find(|entry| entry.function == function && entry.index == index);
    let has_xsave = leaf(1, 0).is_some_and(|entry| entry.ecx & 1 << 26 != 0);
    // x87, SSE and AVX state: what a kernel saves for every program.
    let xcr0 = leaf(0xd, 0).map_or(0, |entry| u64::from(entry.eax & 7));
    let supervisor_save = leaf(0xd, 1).is_some_and(|entry| entry.eax & 1 << 3 != 0);
    if has_xsave { Abilities { xcr0, supervisor_save } } else { Abilities::default() }
}

fn enter_long_mode(cpu: &VcpuFd, abilities: Abilities) -> Result<(), kvm_ioctls::Error> {
    let mut sregs = cpu.get_sregs()?;
    fill(&mut sregs, abilities.xcr0 != 0);
    cpu.set_sregs(&sregs)?;
    if abilities.xcr0 != 0 {
        let mut xcrs = kvm_xcrs { nr_xcrs: 1, ..kvm_xcrs::default() };
        xcrs.xcrs[0] = kvm_xcr { xcr: 0, value: abilities.xcr0, ..kvm_xcr::default() };
        cpu.set_xcrs(&xcrs)?;
    }
    // Bit 1 of the flags is always set; interrupts stay off.
    cpu.set_regs(&kvm_regs { rip: program::CODE, rsp: program::STACK, rflags: 2, ..kvm_regs::default() })
}

/// Control registers and segments of 64-bit supervisor mode.
fn fill(sregs: &mut kvm_sregs, xsave: bool) {
    const CR0: u64 = 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1 << 1 | 1; // PG WP NE ET MP PE
    const CR4: u64 = 1 << 5 | 1 << 9 | 1 << 10; // PAE OSFXSR OSXMMEXCPT
    const CR4_OSXSAVE: u64 = 1 << 18;
    const EFER: u64 = 1 << 8 | 1 << 10; // LME LMA
    sregs.cr0 = CR0;
    sregs.cr3 = program::PAGE_MAP;
    sregs.cr4 = if xsave { CR4 | CR4_OSXSAVE } else { CR4 };
    sregs.efer = EFER;
    sregs.gdt.base = program::GDT;
    sregs.gdt.limit = program::GDT_LIMIT;
    sregs.idt.base = program::IDT;
    sregs.idt.limit = program::IDT_LIMIT;
    let flat = kvm_segment { base: 0, limit: 0xffff_ffff, present: 1, s: 1, g: 1, ..kvm_segment::default() };
    sregs.cs = kvm_segment { selector: 8, type_: 11, l: 1, ..flat };
    let data = kvm_segment { selector: 16, type_: 3, db: 1, ..flat };
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
}
