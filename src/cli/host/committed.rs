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
    if document.api_version != "cofferdam.dev/v1alpha1" || document.kind != "Approvals" {
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
}
