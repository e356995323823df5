//! What is built once and used by many sandboxes.

use std::path::Path;

use serde::Serialize;

use super::{Progress, Source};
use crate::cli::failure::Failure;

/// Kernels and templates in the cache.
pub trait Templates {
    /// Where kernels and templates are cached.
    fn cache(&self) -> &Path;

    /// Builds what the cache lacks; takes milliseconds when it lacks nothing.
    ///
    /// # Errors
    /// The end of the failing tool's log.
    fn prepare_cache(&self, on: &dyn Progress) -> Result<(), Failure>;

    /// Builds what the templates of the files need; with a name, of the sandbox that is defined there or exists. `yes`
    /// agrees to what their steps may reach.
    ///
    /// # Errors
    /// Findings; steps that may reach what is not approved; an unknown package; a step that fails, with the end of its log and its line.
    fn build_templates(
        &self,
        source: &Source,
        name: Option<&str>,
        yes: bool,
        on: &dyn Progress,
    ) -> Result<Vec<BuiltTemplate>, Failure>;

    /// What is kept of templates.
    ///
    /// # Errors
    /// When cache or state cannot be read.
    fn kept(&self) -> Result<Vec<KeptTemplate>, Failure>;

    /// Removes what these keys name, and with `unused` what no sandbox stands on; gives what went.
    ///
    /// # Errors
    /// A key that names none or several; a template that is in use. Nothing is removed then.
    fn remove_templates(
        &self,
        keys: &[String],
        unused: bool,
        on: &dyn Progress,
    ) -> Result<Vec<KeptTemplate>, Failure>;
}

/// A template that is there now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltTemplate {
    /// The sandbox that asks for it.
    pub sandbox: String,
    /// Key of its image.
    pub image: String,
    /// Keys of what its steps changed, lowest first.
    pub layers: Vec<String>,
}

/// One line of `template ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptTemplate {
    /// Its key.
    pub key: String,
    /// `base`, `packages`, `steps`, or `damaged`.
    pub kind: &'static str,
    /// Packages with their versions, or the steps' commands; `current` for the base that is.
    pub holds: Vec<String>,
    /// Bytes on the disk.
    pub bytes: u64,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Sandboxes of this user whose system disks stand on it.
    pub used_by: Vec<String>,
}
