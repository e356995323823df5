//! What stands for each secret in the guest. Kept, because programs in the guest write it into files of their own.
//! No secret: whoever has one has nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    file::{self, StoreError, Versioned},
    lock::Lock,
    state::SandboxDir,
};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placeholders {
    by_name: BTreeMap<String, String>,
}

impl Versioned for Placeholders {
    const VERSION: u16 = 1;
    const MAX: u64 = 1 << 20;
}

impl SandboxDir {
    /// The placeholders by the names of their secrets.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn placeholders(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let known: Option<Placeholders> = file::read(&self.path().join("placeholders.json"))?;
        Ok(known.unwrap_or_default().by_name)
    }

    /// Writes them. Only the holder of the life lock does.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_placeholders(
        &self,
        by_name: BTreeMap<String, String>,
        _life: &Lock,
    ) -> Result<(), StoreError> {
        file::write(&self.path().join("placeholders.json"), &Placeholders { by_name })
    }
}
