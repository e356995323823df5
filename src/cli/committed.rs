//! `.cofferdam/approvals.yaml`: approvals that stand in the repository itself. Whoever writes the repository writes it,
//! so by itself it counts for nothing on a host; a comparison of commits says that its author wrote the widening down.
//! On a host it counts where it comes from a signed ref that the operator trusts, and says of which repository it is.
//!
//! ```yaml
//! apiVersion: cofferdam.dev/v1alpha1
//! kind: Approvals
//! metadata: {repository: git.corp.example/acme/web}
//! spec:
//!   dev: ["net * docs.example:443", {grant: port 3000, until: 2026-12-31}]
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    cli::failure::{Failure, Kind},
    model::{end::End, name::Name, remote::RemoteName},
    plan::grant::{Grant, Held},
};

const API_VERSION: &str = "cofferdam.dev/v1alpha1";
/// Where it lies, from the repository's root.
pub(super) const FILE: &str = ".cofferdam/approvals.yaml";
/// Largest one, in bytes.
pub(super) const FILE_MAX: usize = 1 << 20;
/// Most grants of one definition: what a person can be asked to read, many times over.
const GRANTS_MAX: usize = 4_096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: BTreeMap<String, Vec<Entry>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Metadata {
    #[serde(default)]
    repository: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Text(String),
    Ended(Ended),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    grant: String,
    until: String,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Written {
    /// Of which repository it is.
    pub repository: Option<RemoteName>,
    /// What it approves, by definition.
    pub definitions: BTreeMap<Name, Held>,
}

fn wrong(message: String) -> Failure {
    Failure::new(Kind::File, "approvals", message).at(FILE, None, None)
}

/// Reads it.
///
/// # Errors
/// Everything that is wrong with it, in one message each.
pub(super) fn read(bytes: &[u8]) -> Result<Written, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("this is not UTF-8".to_owned()))?;
    let document: Document = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if document.api_version != API_VERSION || document.kind != "Approvals" {
        return Err(wrong(
            "this is not `apiVersion: cofferdam.dev/v1alpha1` and `kind: Approvals`".to_owned(),
        ));
    }
    let repository = document.metadata.repository.map(|text| {
        let named = text.parse::<RemoteName>();
        named.map_err(|error| wrong(format!("metadata.repository `{}`: {error}", text.escape_debug())))
    });
    let mut definitions = BTreeMap::new();
    for (name, entries) in document.spec {
        let name: Name =
            name.parse().map_err(|error| wrong(format!("`{}`: {error}", name.escape_debug())))?;
        if entries.len() > GRANTS_MAX {
            return Err(wrong(format!("{name} has more than {GRANTS_MAX} grants")));
        }
        let held: Result<Held, Failure> = entries.into_iter().map(|entry| approved(&name, entry)).collect();
        definitions.insert(name, held?);
    }
    Ok(Written { repository: repository.transpose()?, definitions })
}

fn approved(name: &Name, entry: Entry) -> Result<(Grant, Option<End>), Failure> {
    let (text, until) = match entry {
        Entry::Text(text) => (text, None),
        Entry::Ended(Ended { grant, until }) => {
            (grant, Some(until.parse::<End>().map_err(|error| wrong(format!("{name}: {error}")))?))
        }
    };
    let grant = text.parse::<Grant>().map_err(|error| wrong(format!("{name}: {error}")))?;
    Ok((grant, until))
}

/// The file with `grants` of definition `name` in it beside what it holds already, and with the repository's name where
/// it has none. One that is wrong is not written over.
///
/// # Errors
/// Everything that is wrong with what is there, or with a grant.
pub(super) fn with(
    there: Option<&[u8]>,
    name: &str,
    grants: &[(String, Option<End>)],
    repository: Option<RemoteName>,
) -> Result<String, Failure> {
    let mut all = there.map_or_else(|| Ok(Written::default()), read)?;
    let name: Name = name.parse().map_err(|error| wrong(format!("{error}")))?;
    let read_one = |(text, until): &(String, Option<End>)| {
        let grant = text.parse::<Grant>().map_err(|error| wrong(error.to_string()))?;
        Ok((grant, *until))
    };
    let new: Vec<(Grant, Option<End>)> = grants.iter().map(read_one).collect::<Result<_, Failure>>()?;
    let held = all.definitions.remove(&name).unwrap_or_default();
    // What is said of a grant now takes the place of what was said of it before.
    let before = held.sources().flat_map(|(end, set)| set.grants().iter().map(move |it| (it.clone(), end)));
    let kept = before.filter(|(grant, _)| new.iter().all(|(other, _)| other != grant));
    let both: Held = kept.chain(new.iter().cloned()).collect();
    all.definitions.insert(name, both);
    let mut text = format!("apiVersion: {API_VERSION}\nkind: Approvals\n");
    if let Some(repository) = all.repository.or(repository) {
        // A JSON text is a YAML text (YAML 1.2, 1.2.1).
        text.push_str(&format!("metadata:\n  repository: {}\n", serde_json::json!(repository)));
    }
    text.push_str("spec:\n");
    for (name, held) in all.definitions {
        let line = |(end, grant): (Option<End>, &Grant)| {
            let grant = serde_json::json!(grant);
            match end {
                None => format!("    - {grant}\n"),
                Some(end) => format!("    - {{grant: {grant}, until: {end}}}\n"),
            }
        };
        let grants = held.sources().flat_map(|(end, set)| set.grants().iter().map(move |it| (end, it)));
        let lines: String = grants.map(line).collect();
        if !lines.is_empty() {
            text.push_str(&format!("  {name}:\n{lines}"));
        }
    }
    read(text.as_bytes())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reads_as_grants_counts() {
        let text =
            |spec: &str| format!("apiVersion: cofferdam.dev/v1alpha1\nkind: Approvals\nspec: {spec}\n");
        let read = |text: &str| read(text.as_bytes());
        let good = read(&text("{dev: [port 3000, \"net * docs.example:443\"]}")).expect("it is right");
        let dev = good.definitions.values().next().expect("one");
        assert_eq!(dev.always.to_string(), "net * docs.example:443\nport 3000\n");
        for bad in [
            text("{dev: [\"net  * docs.example:443\"]}"),
            text("{dev: [everything]}"),
            text("{\"a/b\": []}"),
            text("{dev: []}\nmore: 1"),
            text("{dev: [{grant: port 3000, until: tomorrow}]}"),
            text("{dev: [{grant: port 3000}]}"),
            text("{dev: [{grant: port 3000, until: 2026-12-31, by: me}]}"),
            text("{}").replace("spec", "metadata: {repository: web}\nspec"),
            text("{}").replace("Approvals", "Sandbox"),
            text("{}").replace("v1alpha1", "v2"),
            "a: &a [*a]".to_owned(),
            "[".repeat(10_000),
            String::new(),
        ] {
            assert_eq!(read(&bad).expect_err(&bad).exit_code(), 3, "{bad}");
        }
    }

    #[test]
    fn what_is_added_stands_beside_what_was_there() {
        let port = ("port 3000".to_owned(), None);
        let first = with(None, "dev", std::slice::from_ref(&port), None).expect("it is right");
        let text = ("net * docs.example:443".to_owned(), None);
        let both = with(Some(first.as_bytes()), "dev", &[text.clone(), port], None).expect("it is right");
        assert!(both.ends_with("  dev:\n    - \"net * docs.example:443\"\n    - \"port 3000\"\n"), "{both}");
        let other = with(Some(both.as_bytes()), "web", &[text], None).expect("it is right");
        assert!(other.contains("  dev:\n") && other.contains("  web:\n"), "{other}");
        // What is wrong is somebody's: it is not written over.
        assert_eq!(with(Some(b"mine"), "dev", &[], None).expect_err("not ours").exit_code(), 3);
        assert!(with(None, "dev", &[("everything".into(), None)], None).is_err());
    }

    #[test]
    fn ends_and_the_repository_are_kept() {
        let (port, until) = ("port 3000".to_owned(), "2026-12-31".parse().ok());
        let web: RemoteName = "git@git.corp.example:acme/web.git".parse().expect("a name");
        let fork: RemoteName = "git.corp.example/ann/web".parse().expect("a name");
        let first = with(None, "dev", &[(port.clone(), until)], Some(web)).expect("it is right");
        assert!(first.contains("  repository: \"git.corp.example/acme/web\"\n"), "{first}");
        assert!(first.ends_with("  dev:\n    - {grant: \"port 3000\", until: 2026-12-31}\n"), "{first}");
        let more = with(Some(first.as_bytes()), "web", &[(port.clone(), None)], Some(fork)).expect("right");
        assert!(more.contains("acme/web") && !more.contains("ann/web"), "{more}");
        let longer = with(Some(more.as_bytes()), "dev", &[(port, None)], None).expect("it is right");
        assert!(longer.contains("  dev:\n    - \"port 3000\"\n  web:"), "{longer}");
    }
}
