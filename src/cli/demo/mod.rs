//! The acceptance story.
pub mod upstream;

use super::{failure::Failure, ops::Progress};
use crate::model::name::Name;
use std::path::Path;

pub fn play(_cache: &Path, _name: Option<&Name>, _on: &dyn Progress) -> Result<serde_json::Value, Failure> {
    Err(Failure::not_available("demo"))
}
