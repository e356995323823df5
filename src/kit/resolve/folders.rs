//! Host folders: the workspace and the mounts. Whether policy lets them in is `policy`'s to say; here they must
//! exist, be folders, and not stand in each other's way.
//!
//! Paths come out canonical (no link left in them), so that what a person approves is what is mounted.

use std::path::{Component, Path, PathBuf};

use super::{Here, text};
use crate::{
    kit::{
        Context,
        discover::plain,
        findings::Findings,
        merge::Placed,
        problem::{Code, quoted, quoted_path},
        rule::{Rule, holds},
        spanned::Spanned,
        wire::sandbox as wire,
    },
    model::{
        desired::{Access, Mount, Workspace, WorkspaceMode},
        rule::Origin,
    },
};

/// Folders of the guest that a mount may not cover: the machine does not work without them.
const GUEST_OWN: [&str; 12] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/cofferdam",
];

/// Resolves the workspace's folder: from the root of the repository that holds the file.
pub(super) fn workspace(path: &Spanned<String>, here: &Here<'_>, findings: &mut Findings) -> Option<PathBuf> {
    let (file, context) = here.file?;
    folder(path, &file.base, context, findings)
}

/// Resolves the mounts of a document. Whether they stand in each other's way is [`check_overlaps`]'s.
pub(super) fn mounts(
    written: &[Spanned<wire::Mount>],
    here: &Here<'_>,
    findings: &mut Findings,
) -> Vec<Placed<Mount>> {
    written.iter().filter_map(|mount| one(mount, here, findings)).collect()
}

fn one(mount: &Spanned<wire::Mount>, here: &Here<'_>, findings: &mut Findings) -> Option<Placed<Mount>> {
    let (file, context) = here.file?;
    if file.is_of_an_archive() && !mount.source.starts_with(['~', '/']) {
        let message = format!("{} begins at a kit that is no folder of this host", quoted(&mount.source));
        let problem = findings.at(Code::Path, mount.source.span, message);
        findings.push(
            problem.help(
                "a kit from an archive mounts `~/…` or an absolute path; what it brings lies in files/",
            ),
        );
        return None;
    }
    let source = folder(&mount.source, file.folder(), context, findings)?;
    let target = match &mount.target {
        Some(target) => guest_path(target, findings)?,
        None => {
            guest_path(&Spanned { value: source.to_str()?.to_owned(), span: mount.source.span }, findings)?
        }
    };
    let access = match mount.access {
        Some(wire::Access::Write) => Access::Write,
        Some(wire::Access::Read) | None => Access::Read,
    };
    let span = mount.source.span;
    let value = Mount { source, target, access, why: mount.why.0.clone(), origin: here.origin(span) };
    Some(here.placed(value, span, findings))
}

/// A folder of the host: absolute, below `~/`, or from `base`.
fn folder(
    written: &Spanned<String>,
    base: &Path,
    context: &Context,
    findings: &mut Findings,
) -> Option<PathBuf> {
    text::refuse_expression(written, findings);
    text::refuse_variable(written, findings);
    if text::refuse_nul(written, findings) {
        return None;
    }
    let path = match written.as_str() {
        "" => {
            findings.push(
                findings.at(Code::Path, written.span, "a path cannot be empty").help("`.` is this folder"),
            );
            return None;
        }
        "~" => context.home.clone(),
        text if text.starts_with("~/") => context.home.join(&text[2..]),
        text if text.starts_with('~') => {
            let problem = findings.at(Code::Path, written.span, "only your own home has a short form");
            findings.push(problem.help("write `~/…` or the absolute path"));
            return None;
        }
        text => base.join(text),
    };
    if context.tree.is_some() {
        // A commit is judged where its folders need not be.
        let plain = plain(&path);
        if plain.is_none() {
            findings.push(findings.at(Code::Path, written.span, "this path leads out of the root"));
        }
        return plain;
    }
    let refused = |message: String, help: &str, findings: &mut Findings| {
        findings.push(findings.at(Code::Path, written.span, message).label("not a folder").help(help));
        None
    };
    let shown = quoted_path(&path);
    let canonical = match path.canonicalize() {
        Ok(canonical) => canonical,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return refused(
                format!("{shown} is not there"),
                "make the folder, or correct the path",
                findings,
            );
        }
        Err(error) => {
            return refused(format!("{shown} cannot be looked at: {error}"), "correct the path", findings);
        }
    };
    if !canonical.is_dir() {
        return refused(
            format!("{shown} is not a folder"),
            "only folders can be mounted; name the one it lies in",
            findings,
        );
    }
    if canonical.to_str().is_none() {
        return refused(format!("{shown} is not UTF-8"), "rename the folder", findings);
    }
    Some(canonical)
}

/// A path in the guest: absolute, plain, and not the machine's own.
fn guest_path(written: &Spanned<String>, findings: &mut Findings) -> Option<String> {
    text::refuse_expression(written, findings);
    if text::refuse_nul(written, findings) {
        return None;
    }
    let path = Path::new(written.as_str());
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain || written.chars().any(char::is_control) {
        let message = format!("{} is not an absolute path without `..`", quoted(written));
        findings.push(findings.at(Code::Path, written.span, message).help("write for example /data"));
        return None;
    }
    let own = path == Path::new("/") || GUEST_OWN.iter().any(|own| path.starts_with(own));
    if own {
        let message = format!("{} belongs to the sandbox's own system", quoted(written));
        findings.push(
            findings
                .at(Code::Path, written.span, message)
                .help("add `target: /data` or another path of its own"),
        );
        return None;
    }
    // Component-wise, so that `/data/` and `/data//x/.` have one spelling.
    Some(path.components().collect::<PathBuf>().to_string_lossy().into_owned())
}

/// Two views of one host folder must agree on who may write, and no mount lies inside another in the guest. The first
/// of two that clash is kept.
pub(super) fn check_overlaps(
    mounts: Vec<Placed<Mount>>,
    workspace: &Workspace,
    findings: &mut Findings,
) -> Vec<Mount> {
    let access = if workspace.mode == WorkspaceMode::Direct { Access::Write } else { Access::Read };
    let place = |origin: &Origin| match (&origin.file, origin.line) {
        (Some(file), Some(line)) => format!("the other stands in {file}:{line}"),
        _ => "the other is the workspace".to_owned(),
    };
    let mut kept: Vec<Mount> = Vec::new();
    for Placed { value: mount, at } in mounts {
        let others = kept
            .iter()
            .map(|other| (other.source.as_path(), Path::new(&other.target), other.access, &other.origin));
        let workspace = (workspace.path.as_path(), workspace.path.as_path(), access, &workspace.origin);
        let clash = std::iter::once(workspace).chain(others).find_map(|(source, target, access, origin)| {
            let (message, help) = overlap(&mount, source, target, access)?;
            Some(at.problem(Code::Overlap, message).help(format!("{help}; {}", place(origin))))
        });
        match clash {
            Some(problem) if holds(Rule::Overlap) => findings.push(problem),
            _ => kept.push(mount),
        }
    }
    kept
}

fn overlap(mount: &Mount, source: &Path, target: &Path, access: Access) -> Option<(String, &'static str)> {
    let nested = |a: &Path, b: &Path| a.starts_with(b) || b.starts_with(a);
    if nested(Path::new(&mount.target), target) {
        let (one, other) = (quoted(&mount.target), quoted_path(target));
        let message = format!("{one} and {other} lie inside each other in the sandbox");
        Some((message, "give it a `target` of its own"))
    } else if nested(&mount.source, source) && access != mount.access {
        let source = quoted_path(&mount.source);
        let message = format!("{source} would be writable by one way and read-only by another");
        Some((message, "give both the same access"))
    } else {
        None
    }
}

/// Where sessions begin, as it is written: plain, relative to the workspace or absolute.
pub(super) fn working_dir(written: &Spanned<String>, findings: &mut Findings) -> Option<String> {
    text::refuse_expression(written, findings);
    let relative = Path::new(written.as_str());
    let plain =
        |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_) | Component::CurDir);
    if written.is_empty() || !relative.components().all(plain) || written.chars().any(char::is_control) {
        let message = format!("{} is not a plain path", quoted(written));
        let problem = findings.at(Code::Path, written.span, message);
        findings.push(problem.help("write a path below the workspace, or an absolute one"));
        return None;
    }
    Some(written.value.clone())
}
