//! What lies in a repository, and what that says about a sandbox. Of lock files the version is looked at, of two small
//! files the names in them.

use serde::Serialize;

use crate::{
    cli::output::visible,
    kit::{
        Checkout, DiscoverError,
        draft::{Draft, Place, Proposal, scalar},
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

/// Most names that a remark lists, and most characters of one.
const NAMES_MAX: usize = 12;
const NAME_MAX: usize = 100;

/// Adds to the draft what the repository's files say.
pub(super) fn add(checkout: &Checkout, draft: &mut Draft) -> Vec<Seen> {
    let mut seen = Vec::new();
    if !draft.entries.iter().any(|entry| entry.text.starts_with("workspace:")) && !branches() {
        draft.add(Place::Spec, "workspace: {mode: direct}").note =
            Some("the agent writes these files".to_owned());
    }
    let own_steps = draft.entries.iter().any(|entry| entry.place == Place::Create);
    let found = Proposal::all(checkout);
    let mut packages: Vec<&str> = Vec::new();
    for name in found.iter().filter(|one| one.unfit.is_none()).flat_map(|one| one.packages) {
        if !packages.contains(name) {
            packages.push(name);
        }
    }
    if !packages.is_empty() {
        draft.add(Place::Template, format!("packages: [{}]", packages.join(", ")));
    }
    seen.extend(found.into_iter().map(|one| propose(one, own_steps, draft)));
    seen.extend(servers(checkout, draft));
    seen.extend(included(checkout, draft));
    seen
}

/// The step that installs, the rule that it needs and what makes its client: comments together, where one is. The file
/// that was taken over may have steps of its own.
fn propose(one: Proposal, own_steps: bool, draft: &mut Draft) -> Seen {
    let Proposal { lock, registry, run, create, unfit, .. } = one;
    let mut add = |place: Place, text: String, note: Option<&str>| {
        let entry = draft.add(place, text);
        entry.group = Some(lock);
        entry.note = note.map(str::to_owned);
        // A step of the other tool's file brings its client itself.
        entry.refused = unfit.clone().filter(|_| !own_steps);
    };
    if let Some(run) = run {
        add(Place::Run, scalar(&run), None);
    }
    if !own_steps {
        add(Place::Create, scalar(create), None);
    }
    add(Place::Rules, format!("{{allow: \"registry:{registry}\", why: dependencies}}"), Some(lock));
    let step = if own_steps { String::new() } else { format!(", {create}") };
    Seen { file: lock, meaning: format!("registry:{registry}{step}") }
}

/// Whether branch mode, which is the default then, is carried out.
fn branches() -> bool {
    explain("sandbox.spec.workspace.mode")
        .is_ok_and(|mode| mode.field.values.iter().any(|word| word.value == "branch" && word.available))
}

fn servers(checkout: &Checkout, draft: &mut Draft) -> Option<Seen> {
    const FILE: &str = ".mcp.json";
    let meaning = match checkout.read(FILE) {
        Err(error) => unread(&error),
        Ok(bytes) => match import::mcp_servers(FILE, &bytes?) {
            Ok(names) if names.is_empty() => "no MCP servers".to_owned(),
            Ok(names) => format!("MCP servers {}; not available yet", listed(&names)),
            Err(problem) => format!("cannot be read: {}", problem.to_line()),
        },
    };
    draft.remarks.push(format!("{FILE}: {meaning}"));
    Some(Seen { file: FILE, meaning })
}

fn included(checkout: &Checkout, draft: &mut Draft) -> Option<Seen> {
    const FILE: &str = ".worktreeinclude";
    let meaning = match checkout.read(FILE) {
        Err(error) => unread(&error),
        Ok(bytes) => {
            let bytes = bytes?;
            let text = String::from_utf8_lossy(&bytes);
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let names: Vec<String> = lines.map(str::to_owned).collect();
            format!("ignored files that enter in branch mode, which is not available yet: {}", listed(&names))
        }
    };
    draft.remarks.push(format!("{FILE}: {meaning}"));
    Some(Seen { file: FILE, meaning })
}

/// A file that is a link, no file, or too long says nothing, and that is said; without the place where this checkout lies.
fn unread(error: &DiscoverError) -> String {
    let reason = match error {
        DiscoverError::Refused { reason, .. } => reason.clone(),
        DiscoverError::Io { source, .. } => source.to_string(),
        DiscoverError::NothingHere(_) | DiscoverError::NotFound(_) => "it is not there".to_owned(),
    };
    format!("not read: {}", reason.split(';').next().unwrap_or_default())
}

/// The first names, each shortened and made visible.
fn listed(names: &[String]) -> String {
    let shown = |name: &String| visible(&name.chars().take(NAME_MAX).collect::<String>()).into_owned();
    let mut text = names.iter().take(NAMES_MAX).map(shown).collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX {
        text.push_str(&format!(" and {} more", names.len() - NAMES_MAX));
    }
    text
}
