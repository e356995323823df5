//! Host folders: the workspace and the mounts. Whether policy lets them in is `policy`'s to say; here they must
//! exist, be folders, and not stand in each other's way.
//!
//! Paths come out canonical (no link left in them), so that what a person approves is what is mounted.

use std::path::{Component, Path, PathBuf};

use super::{Around, text};
use crate::{
    kit::{
        findings::Findings,
        problem::{Code, Span, quoted, quoted_path},
        spanned::Spanned,
        wire::sandbox as wire,
    },
    model::desired::{Access, Mount, Workspace, WorkspaceMode},
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

/// Resolves the workspace. Without a mode it is `read` until branch mode is there, which a note says.
pub(super) fn workspace(
    written: Option<&Spanned<wire::Workspace>>,
    at: Span,
    around: &Around<'_>,
    findings: &mut Findings,
) -> Option<Workspace> {
    let span = written.map_or(at, |workspace| workspace.span);
    let mode = match written.and_then(|workspace| workspace.mode) {
        Some(wire::WorkspaceMode::Direct) => WorkspaceMode::Direct,
        // The schema's validator has refused the other two.
        Some(_) => WorkspaceMode::Read,
        None => {
            let message =
                "the workspace is read-only here: without a mode it will be `branch` once that is available";
            let note = findings.at(Code::Note, span, message).as_warning();
            findings.push(note.help(
                "write `workspace: {mode: direct}` to let the agent write, or `mode: read` to keep this",
            ));
            WorkspaceMode::Read
        }
    };
    let path = match written.and_then(|workspace| workspace.path.as_ref()) {
        Some(path) => folder(path, &around.file.base, around, findings)?,
        None => around.file.base.clone(),
    };
    Some(Workspace { path, mode, origin: around.origin(span.line) })
}

/// Resolves the mounts.
pub(super) fn mounts(
    written: &[Spanned<wire::Mount>],
    workspace: Option<&Workspace>,
    around: &Around<'_>,
    findings: &mut Findings,
) -> Vec<Mount> {
    let mut kept: Vec<Mount> = Vec::new();
    for mount in written {
        let Some(resolved) = one(mount, around, findings) else { continue };
        let span = mount.source.span;
        let clear = check_overlap(&resolved, span, &kept, workspace, findings);
        if clear {
            kept.push(resolved);
        }
    }
    kept
}

fn one(mount: &Spanned<wire::Mount>, around: &Around<'_>, findings: &mut Findings) -> Option<Mount> {
    let source = folder(&mount.source, around.folder(), around, findings)?;
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
    let origin = around.origin(mount.source.span.line);
    Some(Mount { source, target, access, why: mount.why.0.clone(), origin })
}

/// A folder of the host: absolute, below `~/`, or from `base`.
fn folder(
    written: &Spanned<String>,
    base: &Path,
    around: &Around<'_>,
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
        "~" => around.context.home.clone(),
        text if text.starts_with("~/") => around.context.home.join(&text[2..]),
        text if text.starts_with('~') => {
            let problem = findings.at(Code::Path, written.span, "only your own home has a short form");
            findings.push(problem.help("write `~/…` or the absolute path"));
            return None;
        }
        text => base.join(text),
    };
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

/// Two views of one host folder must agree on who may write, and no mount lies inside another in the guest.
fn check_overlap(
    mount: &Mount,
    span: Span,
    others: &[Mount],
    workspace: Option<&Workspace>,
    findings: &mut Findings,
) -> bool {
    let nested = |a: &Path, b: &Path| a.starts_with(b) || b.starts_with(a);
    let views = others
        .iter()
        .map(|other| (other.source.as_path(), Path::new(&other.target), other.access, &other.origin));
    let workspace = workspace.map(|workspace| {
        let access = if workspace.mode == WorkspaceMode::Direct { Access::Write } else { Access::Read };
        (workspace.path.as_path(), workspace.path.as_path(), access, &workspace.origin)
    });
    for (source, target, access, origin) in workspace.into_iter().chain(views) {
        let line = origin.line.unwrap_or_default();
        let (message, help) = if nested(Path::new(&mount.target), target) {
            let message = format!(
                "{} and {} lie inside each other in the sandbox",
                quoted(&mount.target),
                quoted_path(target)
            );
            (message, format!("give it a `target` of its own; the other stands on line {line}"))
        } else if nested(&mount.source, source) && access != mount.access {
            let message = format!(
                "{} would be writable by one way and read-only by another",
                quoted_path(&mount.source)
            );
            (message, format!("give both the same access; the other stands on line {line}"))
        } else {
            continue;
        };
        findings.push(findings.at(Code::Overlap, span, message).help(help));
        return false;
    }
    true
}

/// Where sessions begin: a guest path, from the workspace when it is relative.
pub(super) fn working_dir(
    written: &Spanned<String>,
    workspace: Option<&Workspace>,
    findings: &mut Findings,
) -> Option<String> {
    text::refuse_expression(written, findings);
    let relative = Path::new(written.as_str());
    let plain =
        |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_) | Component::CurDir);
    if written.is_empty() || !relative.components().all(plain) || written.chars().any(char::is_control) {
        let message = format!("{} is not a plain path", quoted(written));
        findings.push(
            findings
                .at(Code::Path, written.span, message)
                .help("write a path below the workspace, or an absolute one"),
        );
        return None;
    }
    let path = workspace.map_or_else(|| relative.to_path_buf(), |workspace| workspace.path.join(relative));
    Some(path.components().collect::<PathBuf>().to_string_lossy().into_owned())
}
