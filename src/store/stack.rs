//! On which template a sandbox's system disk stands. Noted when the disk is made and read at each start, so that a
//! template that was built anew meanwhile never slips below a disk that was begun on another.

use serde::{Deserialize, Serialize};

use super::{
    file::{self, StoreError, Versioned},
    state::SandboxDir,
};
use crate::model::template::Stack;

pub(super) const NAME: &str = "template.json";

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    stack: Stack,
}

impl Versioned for Note {
    const VERSION: u16 = 1;
    const MAX: u64 = 64 << 10;
}

/// The note's bytes.
pub(super) fn encode(stack: &Stack) -> Vec<u8> {
    file::encode(&Note { stack: stack.clone() })
}

impl SandboxDir {
    /// The template below the system disk; `None` for a disk that has not been begun.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn stack(&self) -> Result<Option<Stack>, StoreError> {
        let note: Option<Note> = file::read(&self.path().join(NAME))?;
        Ok(note.map(|note| note.stack))
    }

    /// Notes it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_stack(&self, stack: &Stack) -> Result<(), StoreError> {
        file::write(&self.path().join(NAME), &Note { stack: stack.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        model::{name::SandboxId, template::ImageId},
        store::Store,
    };

    #[test]
    fn a_template_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Store::open(folder.path()).unwrap().sandbox(&SandboxId::from_bytes([3; 6]));
        fs::create_dir(sandbox.path()).unwrap();
        assert_eq!(sandbox.stack().unwrap(), None);
        let stack = Stack { image: ImageId::Packages("a".repeat(64)), layers: vec!["b".repeat(64)] };
        sandbox.write_stack(&stack).unwrap();
        assert_eq!(sandbox.stack().unwrap(), Some(stack));
    }
}
