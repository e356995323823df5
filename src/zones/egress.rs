//! The `egress` zone: judges and carries every stream; the only holder of secret values and of the CA's key. It
//! parses hostile bytes, so it holds nothing else: no host file, no guest memory, no history of its own decisions.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use super::{
    config::EgressConfig,
    entry::{self, ZoneError},
    keeper::egress_link::ORDER_MAX,
};
use crate::{
    egress::{self, Authority, Handles},
    model::{api::EgressOrder, redacted::Redacted},
    sys::{descriptors::FIRST, memory_file},
    wire::frame,
};

/// Longest secret value, in bytes.
const SECRET_MAX: usize = 64 * 1024;
/// Longest CA file, in bytes.
const AUTHORITY_MAX: usize = 16 * 1024;

pub(super) fn main() -> Result<(), ZoneError> {
    let config: EgressConfig = entry::config()?;
    let control = UnixStream::from(entry::take(FIRST, "the keeper's stream")?);
    let streams = entry::take(FIRST + 1, "the streams' socket")?;
    let authority = entry::take(FIRST + 2, "the CA's file")?;
    let mut values = Vec::with_capacity(config.secrets.len());
    let mut number = FIRST + 3;
    for present in &config.secrets {
        values.push(if *present { Some(entry::take(number, "a secret's file")?) } else { None });
        number += i32::from(*present);
    }
    entry::enter(&config.jail)?;
    let secrets = values.into_iter().map(read_secret).collect::<Result<_, _>>()?;
    let mut setup_stream = &control;
    let EgressOrder::Setup(setup) =
        frame::read(&mut setup_stream, ORDER_MAX).map_err(ZoneError::failed("cannot read the setup"))?
    else {
        return Err(ZoneError::Failed { what: "the first order is no setup", source: "protocol".into() });
    };
    let authority = load_authority(&authority, &setup.sandbox)?;
    let handles = Handles { control, streams, authority, secrets };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ZoneError::failed("cannot start the runtime"))?
        .block_on(egress::run(*setup, handles))
        .map_err(ZoneError::failed("egress ended"))
}

fn read_secret(file: Option<OwnedFd>) -> Result<Option<Redacted>, ZoneError> {
    let Some(file) = file else { return Ok(None) };
    let value = memory_file::read(file, SECRET_MAX).map_err(ZoneError::failed("cannot read a secret"))?;
    Ok(Some(Redacted::new(value)))
}

/// The sandbox's CA: made here at the first start and left in the keeper's memory file, so that an egress that is
/// started again has the same.
fn load_authority(file: &OwnedFd, sandbox: &str) -> Result<Authority, ZoneError> {
    let what = "cannot load the CA";
    if memory_file::is_sealed(file.as_fd()).map_err(ZoneError::failed(what))? {
        let bytes = memory_file::read(file, AUTHORITY_MAX).map_err(ZoneError::failed(what))?;
        return Authority::from_bytes(&Redacted::new(bytes))
            .ok_or("it is no CA")
            .map_err(ZoneError::failed(what));
    }
    let authority = Authority::generate(sandbox).map_err(ZoneError::failed("cannot make the CA"))?;
    let bytes = authority.to_bytes();
    memory_file::fill(file, bytes.expose()).map_err(|error: io::Error| ZoneError::failed(what)(error))?;
    Ok(authority)
}
