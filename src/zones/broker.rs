//! A `broker`: fetches one secret from where the operator keeps it, hands it over as a sealed memory file, and ends.
//! It sees no byte of a guest, and no other process sees the value but egress.

use super::entry::{self, ZoneError};
use crate::{
    model::launch::BrokerConfig,
    secret::{self, Surroundings},
    sys::{
        descriptors::{self, FIRST},
        memory_file,
    },
};

pub(super) fn main() -> Result<(), ZoneError> {
    let config: BrokerConfig = entry::config()?;
    let file = entry::take(FIRST, "the memory file")?;
    descriptors::close_from(FIRST + 1);
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(ZoneError::failed("cannot forbid core dumps"))?;
    let env = |name: &str| std::env::var_os(name);
    let around = Surroundings { env: &env, home: &config.home, time_limit: secret::fetch::TIME_LIMIT };
    let fetched =
        secret::fetch(&config.source, &around).map_err(ZoneError::failed("cannot fetch the secret"))?;
    if let Some(warning) = &fetched.warning {
        entry::say(warning);
    }
    memory_file::fill(&file, fetched.value.expose()).map_err(ZoneError::failed("cannot seal the secret"))
}
