//! What lies in a repository, and what that says about a sandbox. Lock files are seen and never read; of two small
//! files the names in them are.

use serde::Serialize;

use crate::{
    cli::failure::Failure,
    kit::{
        Checkout,
        draft::{Draft, Ecosystem, Place, scalar},
        explain::explain,
        import,
    },
};

/// A file that said something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Seen {
    /// Which.
    pub(super) file: &'static str,
    /// What follows.
    pub(super) meaning: String,
}

/// Most names that a remark lists.
const NAMES_MAX: usize = 12;

/// Adds to the draft what the repository's files say.
///
/// # Errors
/// When one of the files that are read is a link or too long.
pub(super) fn add(checkout: &Checkout, draft: &mut Draft) -> Result<Vec<Seen>, Failure> {
    let mut seen = Vec::new();
    let written = |draft: &Draft, place: Place| draft.entries.iter().any(|entry| entry.place == place);
    if !draft.entries.iter().any(|entry| entry.text.starts_with("workspace:")) && !branches() {
        draft.add(Place::Spec, "workspace: {mode: direct}").note =
            Some("the agent writes these files".to_owned());
    }
    let found = Ecosystem::found(|name| checkout.has(name));
    let own_steps = written(draft, Place::Create);
    let packages: Vec<&str> = found.iter().flat_map(|one| one.packages.iter().copied()).collect();
    if !packages.is_empty() {
        draft.add(Place::Template, format!("packages: [{}]", packages.join(", ")));
    }
    for one in &found {
        if !own_steps {
            let entry = draft.add(Place::Create, scalar(one.create));
            if one.packages.is_empty() {
                let client = one.create.split(' ').next().unwrap_or_default();
                entry.refused = Some(format!("the base has no `{client}`: install it with `template.run`"));
            }
        }
        let rule = format!("{{allow: \"registry:{}\", why: dependencies}}", one.registry);
        draft.add(Place::Rules, rule).note = Some(one.lock.to_owned());
        let step = if own_steps { String::new() } else { format!(", {}", one.create) };
        seen.push(Seen { file: one.lock, meaning: format!("registry:{}{step}", one.registry) });
    }
    seen.extend(servers(checkout, draft)?);
    seen.extend(included(checkout, draft)?);
    Ok(seen)
}

/// Whether branch mode, which is the default then, is carried out.
fn branches() -> bool {
    explain("sandbox.spec.workspace.mode")
        .is_ok_and(|mode| mode.field.values.iter().any(|word| word.value == "branch" && word.available))
}

fn servers(checkout: &Checkout, draft: &mut Draft) -> Result<Option<Seen>, Failure> {
    const FILE: &str = ".mcp.json";
    let Some(bytes) = checkout.read(FILE).map_err(|error| super::unreadable(&error))? else {
        return Ok(None);
    };
    let meaning = match import::mcp_servers(FILE, &bytes) {
        Ok(names) if names.is_empty() => "no MCP servers".to_owned(),
        Ok(names) => format!("MCP servers {}; not available yet", listed(&names)),
        Err(problem) => format!("cannot be read: {}", problem.to_line()),
    };
    draft.remarks.push(format!("{FILE}: {meaning}"));
    Ok(Some(Seen { file: FILE, meaning }))
}

fn included(checkout: &Checkout, draft: &mut Draft) -> Result<Option<Seen>, Failure> {
    const FILE: &str = ".worktreeinclude";
    let Some(bytes) = checkout.read(FILE).map_err(|error| super::unreadable(&error))? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let names: Vec<String> = lines.map(|line| line.chars().take(100).collect()).collect();
    let meaning =
        format!("ignored files that enter in branch mode, which is not available yet: {}", listed(&names));
    draft.remarks.push(format!("{FILE}: {meaning}"));
    Ok(Some(Seen { file: FILE, meaning }))
}

fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX {
        text.push_str(&format!(" and {} more", names.len() - NAMES_MAX));
    }
    text
}
