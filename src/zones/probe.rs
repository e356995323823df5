//! The `probe`: finds out whether `/dev/kvm` can run a guest's kernel. A process of its own, because a run of a
//! virtual processor may never return, and may end the process.

use std::io::Write;

use super::entry::ZoneError;
use crate::vmm::probe::{PROBE_LIMIT, probe_within, run_probe};

pub(super) fn main() -> Result<(), ZoneError> {
    let result = probe_within(PROBE_LIMIT, run_probe);
    let json = serde_json::to_vec(&result).map_err(ZoneError::failed("cannot say what the probe found"))?;
    std::io::stdout().write_all(&json).map_err(ZoneError::failed("cannot say what the probe found"))?;
    // The thread that hangs in the kernel is not waited for.
    std::process::exit(0);
}
