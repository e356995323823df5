//! Which grant of an inbox somebody means by the beginning of its id.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    cli::{
        failure::{Failure, Kind},
        ops::Inbox,
        render,
    },
    store::approvals,
};

/// Most candidates that a refusal lists.
const LISTED_MAX: usize = 8;
/// Most characters of a candidate's text: it ends where texts of one beginning mostly differ.
const TEXT_MAX: usize = 200;

/// The texts of the grants that these words name, each once.
///
/// # Errors
/// Words that name none, several, or are too short to name one.
pub(super) fn grants(words: &[String], inbox: &Inbox) -> Result<Vec<String>, Failure> {
    let all = by_id(inbox);
    let mut grants = super::for_each(words, |word| one(word, &all, inbox))?;
    let mut seen = std::collections::BTreeSet::new();
    grants.retain(|grant| seen.insert(grant.clone()));
    Ok(grants)
}

/// Everything that the inbox shows: what waits and what was answered.
fn by_id(inbox: &Inbox) -> BTreeMap<String, &str> {
    let asked = inbox.asked.iter().map(|asked| asked.grant.as_str());
    let approved = inbox.approved.iter().map(|approval| approval.grant.as_str());
    let committed = inbox.committed.iter().map(|from| from.grant.as_str());
    let rejected = inbox.rejected.iter().map(|rejection| rejection.grant.as_str());
    let grants = asked.chain(approved).chain(committed).chain(rejected);
    grants.map(|grant| (approvals::id(grant), grant)).collect()
}

fn one(word: &str, all: &BTreeMap<String, &str>, inbox: &Inbox) -> Result<String, Failure> {
    let hint = "`cofferdam pending --all` shows what waits and what was answered";
    let shown = word.escape_debug();
    if word.len() < approvals::ID_SHORT && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let message =
            format!("`{shown}` is too short for an id: write {} digits or more", approvals::ID_SHORT);
        return Err(Failure::usage("short_id", message).hint(hint));
    }
    let found: Vec<(&String, &&str)> =
        all.range(word.to_owned()..).take_while(|(id, _)| id.starts_with(word)).collect();
    match found.as_slice() {
        [(_, grant)] => Ok((**grant).to_owned()),
        [] => {
            let message = format!("nothing of {} has the id `{shown}`", inbox.sandbox);
            Err(Failure::new(Kind::NotFound, "no_such_grant", message).hint(hint))
        }
        // Somebody has looked for texts of one beginning.
        several => {
            let mut message = format!("several grants have an id that begins with `{shown}`:");
            for (id, grant) in several.iter().take(LISTED_MAX) {
                let text: String = grant.chars().take(TEXT_MAX).collect();
                let id = approvals::short(id, all.keys());
                let _ = write!(message, "\n  {id}  {}", render::line(&text));
            }
            Err(Failure::usage("several_grants", message).hint("write more of its digits"))
        }
    }
}
