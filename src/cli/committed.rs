//! `.cofferdam/approvals.yaml`: approvals that stand in the repository itself. Whoever writes the repository writes it,
//! so it counts for nothing on a host; a comparison of commits says that its author wrote the widening down.
//!
//! ```yaml
//! apiVersion: cofferdam.dev/v1alpha1
//! kind: Approvals
//! spec:
//!   dev: ["net * docs.example:443", "port 3000"]
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    cli::failure::{Failure, Kind},
    model::name::Name,
    plan::grant::{Grant, GrantSet},
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
    spec: BTreeMap<String, Vec<String>>,
}

/// Reads it.
///
/// # Errors
/// Everything that is wrong with it, in one message each.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<Name, GrantSet>, Failure> {
    let wrong = |message: String| Failure::new(Kind::File, "approvals", message).at(FILE, None, None);
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("this is not UTF-8".to_owned()))?;
    let document: Document = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if document.api_version != API_VERSION || document.kind != "Approvals" {
        return Err(wrong(
            "this is not `apiVersion: cofferdam.dev/v1alpha1` and `kind: Approvals`".to_owned(),
        ));
    }
    let mut approved = BTreeMap::new();
    for (name, grants) in document.spec {
        let name: Name =
            name.parse().map_err(|error| wrong(format!("`{}`: {error}", name.escape_debug())))?;
        if grants.len() > GRANTS_MAX {
            return Err(wrong(format!("{name} has more than {GRANTS_MAX} grants")));
        }
        let read = |text: &String| text.parse::<Grant>().map_err(|error| wrong(format!("{name}: {error}")));
        let set: Result<GrantSet, Failure> = grants.iter().map(read).collect();
        approved.insert(name, set?);
    }
    Ok(approved)
}

/// The file with `grants` of definition `name` in it beside what it holds already. One that is wrong is not written
/// over.
///
/// # Errors
/// Everything that is wrong with what is there, or with a grant.
pub(super) fn with(there: Option<&[u8]>, name: &str, grants: &[String]) -> Result<String, Failure> {
    let mut all = there.map_or_else(|| Ok(BTreeMap::new()), read)?;
    let wrong = |message: String| Failure::new(Kind::File, "approvals", message).at(FILE, None, None);
    let name: Name = name.parse().map_err(|error| wrong(format!("{error}")))?;
    let held = all.remove(&name).map(|set| set.to_string()).unwrap_or_default();
    let both = held.lines().chain(grants.iter().map(String::as_str));
    let set: Result<GrantSet, _> = both.map(str::parse::<Grant>).collect();
    all.insert(name, set.map_err(|error| wrong(error.to_string()))?);
    let mut text = format!("apiVersion: {API_VERSION}\nkind: Approvals\nspec:\n");
    for (name, set) in all {
        let set = set.to_string();
        if set.is_empty() {
            continue;
        }
        // A JSON text is a YAML text (YAML 1.2, 1.2.1).
        let lines = set.lines().map(|grant| format!("    - {}\n", serde_json::Value::from(grant)));
        text.push_str(&format!("  {name}:\n{}", lines.collect::<String>()));
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
        assert_eq!(good.values().next().expect("one").to_string(), "net * docs.example:443\nport 3000\n");
        for bad in [
            text("{dev: [\"net  * docs.example:443\"]}"),
            text("{dev: [everything]}"),
            text("{\"a/b\": []}"),
            text("{dev: []}\nmore: 1"),
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
        let first = with(None, "dev", &["port 3000".into()]).expect("it is right");
        let text = "net * docs.example:443".to_owned();
        let both =
            with(Some(first.as_bytes()), "dev", &[text.clone(), "port 3000".into()]).expect("it is right");
        assert!(both.ends_with("  dev:\n    - \"net * docs.example:443\"\n    - \"port 3000\"\n"), "{both}");
        let other = with(Some(both.as_bytes()), "web", &[text]).expect("it is right");
        assert!(other.contains("  dev:\n") && other.contains("  web:\n"), "{other}");
        // What is wrong is somebody's: it is not written over.
        assert_eq!(with(Some(b"mine"), "dev", &[]).expect_err("not ours").exit_code(), 3);
        assert!(with(None, "dev", &["everything".into()]).is_err());
    }
}
