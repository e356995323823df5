//! The size of the machine.

use super::Around;
use crate::{
    kit::{
        findings::Findings,
        problem::Code,
        spanned::Spanned,
        wire::{sandbox as wire, text::Size},
    },
    model::{desired::Resources, unit::Bytes},
};

/// CPUs of a sandbox that says nothing about them.
const CPUS: u8 = 2;
/// Disk of a sandbox that says nothing about it.
const DISK: Bytes = Bytes::gib(20);
/// Least and most memory: below, a distribution's kernel and a language runtime do not start; above, a typing
/// error is likelier than such a host.
const MEMORY: (Bytes, Bytes) = (Bytes::mib(256), Bytes::gib(1024));
/// Smallest and largest disk.
const DISK_RANGE: (Bytes, Bytes) = (Bytes::gib(1), Bytes::gib(4096));

/// Resolves the machine's size.
pub(super) fn resources(
    written: &wire::Resources,
    around: &Around<'_>,
    findings: &mut Findings,
) -> Resources {
    Resources {
        cpus: written.cpus.unwrap_or(CPUS),
        memory: size(written.memory.as_ref(), "memory", MEMORY, findings).unwrap_or(around.default_memory()),
        disk: size(written.disk.as_ref(), "disk", DISK_RANGE, findings).unwrap_or(DISK),
    }
}

fn size(
    written: Option<&Spanned<Size>>,
    what: &str,
    (least, most): (Bytes, Bytes),
    findings: &mut Findings,
) -> Option<Bytes> {
    let written = written?;
    // A text that is no size at all has been reported by the schema's validator.
    let size = written.value.0.parse::<Bytes>().ok()?;
    if (least..=most).contains(&size) {
        return Some(size);
    }
    let message = format!("{what} is {size}, outside of {least} to {most}");
    findings
        .push(findings.at(Code::WrongValue, written.span, message).help("write a size within that range"));
    None
}
