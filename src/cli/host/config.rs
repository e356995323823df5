//! The operator's configuration: one file, bounded, strict.

use std::{io, path::Path};

use super::documents;
use crate::{
    cli::failure::{Failure, Kind},
    kit::{self, ConfigContext},
    model::config::OperatorConfig,
    store::{Places, file::read_own},
};

/// Longest operator configuration, in bytes.
const CONFIG_MAX: u64 = 1 << 20;

/// What `places` names, or defaults where nothing lies there.
pub(super) fn read_config(places: &Places, home: &Path) -> Result<OperatorConfig, Failure> {
    let path = &places.config;
    let unreadable = |error: io::Error| {
        Failure::new(Kind::File, "config", format!("cannot read the configuration: {error}"))
            .at(path, None, None)
    };
    let bytes = match read_own(path, CONFIG_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if places.config_named {
                crate::cli::output::warn(&format!("{} is not there; defaults apply", path.display()));
            }
            return Ok(OperatorConfig::default());
        }
        Err(error) => return Err(unreadable(error)),
    };
    let context = ConfigContext {
        name: path.display().to_string(),
        folder: path.parent().unwrap_or(Path::new("/")).to_owned(),
        home: home.to_owned(),
    };
    kit::config(&bytes, &context).map_err(|error| documents::problems(error.0))
}
