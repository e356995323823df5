//! Who runs this process, by the account and not by a variable.

use std::{fs, path::PathBuf};

/// Name of the account that runs this process, whatever a variable says.
#[must_use]
pub fn user_name() -> String {
    Account::of_this_process().name
}

/// Who runs this process, by the account and not by a variable.
pub(super) struct Account {
    pub(super) name: String,
    pub(super) home: PathBuf,
}

impl Account {
    pub(super) fn of_this_process() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let entry = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.len() == 7 && fields[2].parse() == Ok(uid));
        match entry {
            Some(fields) => Self { name: fields[0].to_owned(), home: PathBuf::from(fields[5]) },
            None => Self { name: format!("uid {uid}"), home: PathBuf::from("/") },
        }
    }
}
