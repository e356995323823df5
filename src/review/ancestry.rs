//! Whether one commit descends from another, by the commits alone. The library would believe a `commit-graph`, a file
//! that nothing in it ties to the commits and that whoever can write the folder of objects can write.

use std::collections::{HashSet, VecDeque};

use git2::Oid;

use super::{History, HistoryError, signed::COMMIT_MAX};

/// Most commits that are looked at: more than any history that is known.
const COMMITS_MAX: usize = 4_000_000;

impl History {
    /// Whether `ancestor` is `commit` or one of those that it was made from. The newest are looked at first, so that
    /// what was there yesterday is found at once.
    ///
    /// # Errors
    /// When history cannot be read that far.
    pub fn descends(&self, commit: &str, ancestor: &str) -> Result<bool, HistoryError> {
        let oid = |id: &str| Oid::from_str(id).map_err(|_| HistoryError::NoCommit(id.to_owned()));
        let (first, wanted) = (oid(commit)?, oid(ancestor)?);
        let (mut seen, mut open) = (HashSet::from([first]), VecDeque::from([first]));
        while let Some(next) = open.pop_front() {
            if next == wanted {
                return Ok(true);
            }
            for parent in self.parents(next)? {
                if seen.insert(parent) {
                    open.push_back(parent);
                }
            }
            if seen.len() > COMMITS_MAX {
                return Err(HistoryError::Broken(git2::Error::from_str(
                    "history is longer than any is known to be",
                )));
            }
        }
        Ok(false)
    }

    /// From the object itself.
    fn parents(&self, commit: Oid) -> Result<Vec<Oid>, HistoryError> {
        let content = self.content(&commit.to_string())?;
        if content.len() > COMMIT_MAX {
            return Err(HistoryError::Broken(git2::Error::from_str("a commit is larger than 1 MiB")));
        }
        let head = content.split(|byte| *byte == b'\n').skip(1);
        let lines = head.map_while(|line| line.strip_prefix(b"parent "));
        let id = |line: &[u8]| {
            let text = std::str::from_utf8(line).ok();
            text.and_then(|text| Oid::from_str(text).ok())
                .ok_or_else(|| HistoryError::Broken(git2::Error::from_str("a commit names no parent")))
        };
        lines.map(id).collect()
    }
}
