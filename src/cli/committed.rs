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

use super::host::problems;
use crate::{
    cli::failure::{Failure, Kind},
    kit::{self, APPROVALS_KIND},
    model::{config::WrittenGrant, end::End, name::Name, remote::RemoteName},
    plan::grant::{Grant, Held},
};

const API_VERSION: &str = "cofferdam.dev/v1alpha1";
/// Where it lies, from the repository's root.
pub const FILE: &str = ".cofferdam/approvals.yaml";
/// Largest one, in bytes.
pub const FILE_MAX: usize = 1 << 20;
/// Most that the grants of one definition weigh, and those of all: each is compared with each.
const WEIGHT_MAX: usize = 4_096;
const TOTAL_MAX: usize = 8_192;

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
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
/// Everything that is wrong with it, each with its line.
pub fn read(bytes: &[u8]) -> Result<Written, Failure> {
    let file = kit::approvals(FILE, bytes).map_err(problems)?;
    let (mut definitions, mut total) = (BTreeMap::new(), 0);
    for (name, entries) in file.definitions {
        let (mut grants, mut own) = (Vec::new(), 0);
        for (written, until) in entries {
            let at = |message: String| wrong(message).at(FILE, Some(written.line), Some(written.column));
            let grant = approved(&written).map_err(|message| at(format!("{name}: {message}")))?;
            own += grant.weight();
            total += grant.weight();
            if own > WEIGHT_MAX || total > TOTAL_MAX {
                let message = format!("{name}: these grants are too much to judge, from here on");
                let hint = format!(
                    "methods and exceptions count as grants do: at most {WEIGHT_MAX} of a sandbox, {TOTAL_MAX} of a file"
                );
                return Err(at(message).hint(hint));
            }
            grants.push((grant, until));
        }
        definitions.insert(name, grants.into_iter().collect());
    }
    Ok(Written { repository: file.repository, definitions })
}

fn approved(written: &WrittenGrant) -> Result<Grant, String> {
    written.text.parse().map_err(|error: crate::plan::grant::GrantError| error.to_string())
}

/// The file with `grants` of definition `name` in it beside what it holds already, and with the repository's name where
/// it has none. One that is wrong is not written over.
///
/// # Errors
/// Everything that is wrong with what is there, or with a grant.
pub fn with(
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
    let mut text = format!("apiVersion: {API_VERSION}\nkind: {APPROVALS_KIND}\n");
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
        match lines.is_empty() {
            // It was looked at, and needs nothing.
            true => text.push_str(&format!("  {name}: []\n")),
            false => text.push_str(&format!("  {name}:\n{lines}")),
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

    /// Processor time of this thread, in milliseconds.
    fn milliseconds() -> i64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
    }

    /// As much as a file may hold, in each way that costs most.
    #[test]
    fn a_megabyte_ends_in_seconds_with_the_line() {
        let file = |lines: &mut dyn Iterator<Item = String>| {
            let mut text = format!("apiVersion: {API_VERSION}\nkind: Approvals\nspec:\n  dev:\n");
            for line in lines {
                if text.len() + line.len() > FILE_MAX - 16 {
                    break;
                }
                text.push_str(&format!("    - {line}\n"));
            }
            text
        };
        let hosts =
            |count: usize| -> String { (0..count).map(|at| format!(" except h{at:04}.a.example")).collect() };
        let many = hosts(1_500);
        let methods =
            (0..26).map(|at| format!("{0}{0}", char::from(b'A' + at))).collect::<Vec<_>>().join(",");
        for (name, text, line) in [
            ("ports", file(&mut (1..).map(|at| format!("port {}", at % 65_000 + 1))), Some(4 + 4_097)),
            ("hosts", file(&mut (0..).map(|at| format!("\"net * h{at}.a.example:443\""))), Some(4 + 4_097)),
            (
                "paths",
                file(&mut (0..400).map(|at| format!("\"net {methods} a.example:443 /{at:06}/**\""))),
                Some(4 + 4_096 / 26 + 1),
            ),
            (
                "exceptions",
                file(&mut (0..).map(|at| format!("\"net * **.a.example:{}{many}\"", at + 8_000))),
                // 1,501 each.
                Some(7),
            ),
            (
                "exceptions with methods",
                file(&mut (0..).map(|at| format!("\"net {methods} **.a.example:{}{}\"", at + 1, hosts(90)))),
                Some(6),
            ),
            (
                "one long",
                file(&mut std::iter::once(format!("\"net * **.a.example:443{}\"", hosts(4_500)))),
                Some(5),
            ),
            ("maps", file(&mut std::iter::repeat("{}".to_owned())), Some(5)),
            ("lists", file(&mut std::iter::repeat("[]".to_owned())), Some(5)),
            (
                "ends",
                file(&mut (0..).map(|at| format!("{{grant: port {}, until: 2026-12-31}}", at % 65_000 + 1))),
                Some(4 + 4_097),
            ),
        ] {
            let begun = milliseconds();
            let failure = read(text.as_bytes()).expect_err(name);
            let took = milliseconds() - begun;
            assert_eq!((failure.exit_code(), failure.object().line), (3, line), "{name}: {failure:?}");
            assert_eq!(failure.object().file.as_deref(), Some(FILE), "{name}");
            assert!(took < 10_000, "{name}: {took} ms");
        }
        // What is as much as may be is read.
        let most = file(&mut (0..4_096).map(|at| format!("\"net * h{at}.a.example:443\"")));
        let begun = milliseconds();
        let whole = read(most.as_bytes()).expect("it is right");
        assert_eq!(whole.definitions.values().map(|held| held.always.grants().len()).sum::<usize>(), 4_096);
        assert!(milliseconds() - begun < 10_000);
    }

    /// The files that fuzzing begins with.
    #[test]
    fn what_is_read_is_written_so_that_it_reads_back() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/approvals");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("an entry").path();
            let file = read(&std::fs::read(&path).expect("a file")).expect("it is right");
            for (name, held) in &file.definitions {
                let grants = held
                    .sources()
                    .flat_map(|(end, set)| set.grants().iter().map(move |it| (it.to_string(), end)));
                let grants: Vec<_> = grants.collect();
                let text = with(None, name.as_str(), &grants, file.repository.clone()).expect("it is right");
                let back = read(text.as_bytes()).expect("it was just written");
                assert_eq!(
                    (back.definitions.get(name), &back.repository),
                    (Some(held), &file.repository),
                    "{text}"
                );
                seen += grants.len();
            }
        }
        assert_eq!(seen, 12);
    }

    #[test]
    fn what_is_wrong_is_shown_with_its_line() {
        let text = "apiVersion: cofferdam.dev/v1alpha1\nkind: Approvals\nspec:\n  dev:\n    - port 3000\n    - everything\n";
        let failure = read(text.as_bytes()).expect_err("it is no grant");
        assert_eq!((failure.object().line, failure.object().column), (Some(6), Some(7)));
        let failure = read(text.replace("spec", "spek").as_bytes()).expect_err("an unknown key");
        assert_eq!(failure.object().hint.as_deref(), Some("did you mean `spec`?"));
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
