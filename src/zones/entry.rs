//! What every zone does first, and how it says why it ended.

use std::{
    error::Error,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
};

use rustix::event::{PollFd, PollFlags, poll};
use serde::de::DeserializeOwned;

use crate::sys::{
    descriptors::{self, CONFIG, LIFELINE},
    jail::{self, Jail, JailError},
    memory_file,
};

/// Longest configuration of a zone, in bytes.
const CONFIG_MAX: usize = 8 * 1024 * 1024;

/// First bytes of the line on standard error that names the jail's missing layers.
pub(super) const MISSING_PREFIX: &str = "@missing ";

/// Why a zone ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ZoneError {
    #[error("no such zone; zones are started by the launcher")]
    Unknown,
    #[error("cannot take over {what}")]
    Descriptor {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("the configuration is not of this version")]
    Config(#[source] serde_json::Error),
    #[error(transparent)]
    Jail(#[from] JailError),
    #[error("{what}")]
    Failed {
        what: &'static str,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ZoneError {
    /// Wraps a failure with what was being done.
    pub(super) fn failed<E: Into<Box<dyn Error + Send + Sync>>>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Failed { what, source: source.into() }
    }
}

/// The error and its causes on one line of standard error, which the keeper keeps.
pub(super) fn complain(role: &str, error: &dyn Error) {
    // Nobody is left to be told when this fails.
    let _ = writeln!(io::stderr(), "{role}: {error}{}", causes(error));
}

/// A line for whoever started the zone.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The causes of an error, each after a colon.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The zone's configuration.
pub(super) fn config<T: DeserializeOwned>() -> Result<T, ZoneError> {
    let descriptor = take(CONFIG, "the configuration")?;
    let bytes = memory_file::read(&descriptor, CONFIG_MAX)
        .map_err(|source| ZoneError::Descriptor { what: "the configuration", source })?;
    serde_json::from_slice(&bytes).map_err(ZoneError::Config)
}

/// Takes over an inherited descriptor.
pub(super) fn take(number: i32, what: &'static str) -> Result<OwnedFd, ZoneError> {
    descriptors::inherit(number).map_err(|source| ZoneError::Descriptor { what, source })
}

/// Enters the jail, names the layers that are missing, and then ends with the launcher.
pub(super) fn enter(jail: &Jail) -> Result<(), ZoneError> {
    let lifeline = take(LIFELINE, "the lifeline")?;
    let entered = jail::enter(jail)?;
    report_missing(&entered.missing);
    watch(lifeline)
}

/// Tells the keeper, over standard error, which layers this host lacks.
pub(super) fn report_missing(missing: &[String]) {
    if let (false, Ok(json)) = (missing.is_empty(), serde_json::to_string(missing)) {
        let _ = writeln!(io::stderr(), "{MISSING_PREFIX}{json}");
    }
}

/// Ends this process when the launcher's end of the lifeline closes.
pub(super) fn watch(lifeline: OwnedFd) -> Result<(), ZoneError> {
    let wait = move || {
        let mut descriptors = [PollFd::from_borrowed_fd(lifeline.as_fd(), PollFlags::empty())];
        while let Err(rustix::io::Errno::INTR) = poll(&mut descriptors, None) {}
        std::process::exit(0);
    };
    std::thread::Builder::new()
        .name("lifeline".to_owned())
        .spawn(wait)
        .map(drop)
        .map_err(ZoneError::failed("cannot watch the lifeline"))
}
