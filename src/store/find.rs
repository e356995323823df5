//! Which sandbox a name means: the one here, else the only one of that name anywhere, else a question.

use crate::model::name::{Name, NameError};

use super::{owner::Owner, sandbox::Record};

/// Why a name means no sandbox, or several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Not a name.
    #[error("`{text}` is no sandbox's name")]
    NotAName {
        /// What was written.
        text: String,
        /// Why.
        source: NameError,
    },
    /// None has it.
    #[error("there is no sandbox `{0}`; `cofferdam ls` shows those that are there")]
    None(String),
    /// Several have it, none of them here.
    #[error("`{text}` is the name of {} sandboxes; write one of {}", candidates.len(), candidates.join(", "))]
    Several {
        /// What was written.
        text: String,
        /// Exact forms, sorted.
        candidates: Vec<String>,
    },
}

/// The record that `text` means, for somebody whose folder belongs to `here`.
///
/// # Errors
/// When there is none, or no telling which.
pub fn find<'a>(records: &'a [Record], here: Option<&Owner>, text: &str) -> Result<&'a Record, FindError> {
    let (owner, name) = match text.rsplit_once('/') {
        Some((owner, name)) => (Some(owner), name),
        None => (None, text),
    };
    let name: Name = name.parse().map_err(|source| FindError::NotAName { text: text.to_owned(), source })?;
    let mut found: Vec<&Record> = records.iter().filter(|record| record.name == name).collect();
    match owner {
        Some(owner) => found.retain(|record| record.owner.is_called(owner)),
        None => {
            if let Some(record) = found.iter().find(|record| Some(&record.owner) == here) {
                return Ok(record);
            }
        }
    }
    match found[..] {
        [] => Err(FindError::None(text.to_owned())),
        [record] => Ok(record),
        _ => {
            let mut candidates: Vec<_> =
                found.iter().map(|record| format!("{}/{}", record.owner, record.name)).collect();
            candidates.sort();
            Err(FindError::Several { text: text.to_owned(), candidates })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sandbox::tests::{owner, record};

    #[test]
    fn a_bare_name_is_here_else_the_only_one_else_a_question() {
        let records = [
            record("dev", "/src/web"),
            record("dev", "/src/api"),
            record("ci", "/src/api"),
            record("ci2", "/old/web"),
        ];
        let place = |here: Option<&str>, text: &str| {
            find(&records, here.map(owner).as_ref(), text).map(|record| record.owner.to_string())
        };
        let several = Err(FindError::Several {
            text: "dev".into(),
            candidates: vec!["/src/api/dev".into(), "/src/web/dev".into()],
        });
        assert_eq!(place(Some("/src/web"), "dev"), Ok("/src/web".into()));
        assert_eq!(place(Some("/src/api"), "dev"), Ok("/src/api".into()));
        assert_eq!(place(Some("/elsewhere"), "dev"), several);
        assert_eq!(place(None, "dev"), several);
        assert_eq!(place(Some("/src/web"), "ci"), Ok("/src/api".into()));
        assert_eq!(place(None, "nope"), Err(FindError::None("nope".into())));
    }

    #[test]
    fn the_exact_form_ignores_where_one_is() {
        let records = [record("dev", "/src/web"), record("dev", "/src/api"), record("dev", "/old/web")];
        let here = owner("/src/api");
        let place = |text: &str| find(&records, Some(&here), text).map(|record| record.owner.to_string());
        assert_eq!(place("api/dev"), Ok("/src/api".into()));
        assert_eq!(place("old/web/dev"), Ok("/old/web".into()));
        assert_eq!(place("/src/web/dev"), Ok("/src/web".into()));
        assert!(matches!(place("web/dev"), Err(FindError::Several { .. })));
        assert!(matches!(place("web/"), Err(FindError::NotAName { .. })));
        assert!(matches!(place("/dev"), Err(FindError::None(_))));
    }
}
