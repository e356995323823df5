//! What this user has: secrets by name, keys in the environment, and answers given at first runs.

use serde::Serialize;

use crate::{cli::failure::Failure, store::answers::Answers};

/// What this user has, and answered once.
pub trait Account {
    /// The operator's secrets by name.
    ///
    /// # Errors
    /// When the operator's configuration is wrong.
    fn secrets(&self) -> Result<Vec<SecretListing>, Failure>;

    /// Whether this variable, which holds the key of a built-in service, is set in this process's environment. Its
    /// value is not looked at.
    fn has_key(&self, _variable: &str) -> bool {
        false
    }

    /// What was answered at first runs in this repository.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn answers(&self) -> Result<Answers, Failure> {
        Ok(Answers::default())
    }

    /// Remembers answers for this repository.
    ///
    /// # Errors
    /// When the state cannot be written.
    fn remember(&self, _answers: Answers) -> Result<(), Failure> {
        Ok(())
    }
}

/// One line of `secret ls`. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretListing {
    /// Its name.
    pub name: String,
    /// Where its value comes from, in words.
    pub source: String,
    /// Whether there is a value now; none where only running a command would tell.
    pub present: Option<bool>,
}
