//! The size of the machine.

use super::Here;
use crate::{
    kit::{
        findings::Findings,
        merge::Placed,
        problem::Code,
        spanned::Spanned,
        wire::{sandbox as wire, text::Size},
    },
    model::unit::Bytes,
};

/// CPUs of a sandbox that says nothing about them.
pub(super) const CPUS: u8 = 2;
/// Disk of a sandbox that says nothing about it.
pub(super) const DISK: Bytes = Bytes::gib(20);
/// Least and most memory: below, a distribution's kernel and a language runtime do not start; above, a typing
/// error is likelier than such a host.
const MEMORY: (Bytes, Bytes) = (Bytes::mib(256), Bytes::gib(1024));
/// Smallest and largest disk.
const DISK_RANGE: (Bytes, Bytes) = (Bytes::gib(1), Bytes::gib(4096));

/// Memory, if a document says it.
pub(super) fn memory(
    written: &wire::Resources,
    here: &Here<'_>,
    findings: &mut Findings,
) -> Option<Placed<Bytes>> {
    placed(written.memory.as_ref()?, "memory", MEMORY, here, findings)
}

/// The size of the disk, if a document says it.
pub(super) fn disk(
    written: &wire::Resources,
    here: &Here<'_>,
    findings: &mut Findings,
) -> Option<Placed<Bytes>> {
    placed(written.disk.as_ref()?, "disk", DISK_RANGE, here, findings)
}

fn placed(
    written: &Spanned<Size>,
    what: &str,
    range: (Bytes, Bytes),
    here: &Here<'_>,
    findings: &mut Findings,
) -> Option<Placed<Bytes>> {
    let size = size(written, what, range, findings)?;
    Some(here.placed(size, written.span, findings))
}

fn size(
    written: &Spanned<Size>,
    what: &str,
    (least, most): (Bytes, Bytes),
    findings: &mut Findings,
) -> Option<Bytes> {
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
