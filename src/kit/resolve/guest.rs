//! What is put into the guest: files and ports.

use std::path::{Component, Path};

use super::{
    Here,
    here::SOURCE_MAX,
    text::{self, Stands},
};
use crate::{
    kit::{
        findings::Findings,
        merge::{At, Placed},
        problem::{Code, Span, quoted},
        spanned::Spanned,
        wire::guest as wire,
    },
    model::desired::{File, FileMerge, Port},
};

/// Places of the guest that are made anew at each start, by the kernel or by us: a file there would be lost, or would
/// stand in the way.
const OURS: [&str; 7] =
    ["/dev", "/proc", "/sys", "/run/cofferdam", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
/// Longest path in the guest (Linux, PATH_MAX with its NUL).
const PATH_MAX: usize = 4095;

/// Resolves the files of a document.
pub(super) fn files(
    written: &[Spanned<wire::File>],
    here: &Here<'_>,
    findings: &mut Findings,
) -> Vec<Placed<File>> {
    written.iter().filter_map(|file| self::file(file, here, findings)).collect()
}

fn file(written: &Spanned<wire::File>, here: &Here<'_>, findings: &mut Findings) -> Option<Placed<File>> {
    let span = written.path.span;
    let path = path(&written.path, findings);
    let merge = match written.merge {
        Some(wire::Merge::Json) => FileMerge::Json,
        None => FileMerge::Replace,
    };
    let (content, placeholders, place) = match (&written.content, &written.source) {
        (Some(content), _) => {
            let text = text::expressions(content, Stands::Value, findings);
            (text.into_bytes(), true, content.span)
        }
        (None, Some(source)) => (here.read(source, SOURCE_MAX, findings)?, false, source.span),
        // The schema's validator has asked for one of them.
        (None, None) => return None,
    };
    if merge == FileMerge::Json {
        check_object(&content, place, findings)?;
    }
    let mode = written.mode.as_ref().and_then(|mode| u32::from_str_radix(&mode.0, 8).ok());
    let origin = here.origin(span);
    Some(here.placed(File { path: path?, content, merge, placeholders, mode, origin }, span, findings))
}

/// What is merged must be a JSON object.
fn check_object(content: &[u8], span: Span, findings: &mut Findings) -> Option<()> {
    let (message, help) = match serde_json::from_slice::<serde_json::Value>(content) {
        Ok(serde_json::Value::Object(_)) => return Some(()),
        Ok(_) => ("what is merged must be a JSON object".to_owned(), "write {…}, or remove `merge`"),
        Err(error) => {
            (format!("this is not JSON: {error}"), "mend it, or remove `merge` to copy it as it is")
        }
    };
    findings.push(findings.at(Code::File, span, message).help(help));
    None
}

/// A path of a file in the guest, in one spelling: absolute, or `~/…`.
fn path(written: &Spanned<String>, findings: &mut Findings) -> Option<String> {
    text::refuse_expression(written, findings);
    text::refuse_variable(written, findings);
    let refused = |message: String, help: &str, findings: &mut Findings| {
        findings.push(findings.at(Code::Path, written.span, message).help(help));
        None
    };
    let (below, rest) = match written.strip_prefix("~/") {
        Some(rest) => ("~", rest),
        None => ("", written.strip_prefix('/').unwrap_or_default()),
    };
    let plain = Path::new(rest).components().all(|part| matches!(part, Component::Normal(_)));
    if rest.is_empty() || rest.ends_with('/') || !plain || written.chars().any(char::is_control) {
        let message =
            format!("{} is not the path of a file: absolute or `~/…`, without `..`", quoted(written));
        return refused(message, "write for example ~/.npmrc or /etc/npmrc", findings);
    }
    if written.len() > PATH_MAX {
        return refused(format!("a path has at most {PATH_MAX} bytes"), "shorten it", findings);
    }
    // Component-wise, so that `/a//b/./c` has one spelling.
    let parts: Vec<_> = Path::new(rest).components().map(|part| part.as_os_str().to_string_lossy()).collect();
    let path = format!("{below}/{}", parts.join("/"));
    if OURS.iter().any(|own| Path::new(&path).starts_with(own)) {
        let message = format!("{} is made anew by the sandbox's own system", quoted(written));
        return refused(message, "choose another place", findings);
    }
    Some(path)
}

/// Whether a path that was made of a kit's folder can be one in the guest.
pub(in crate::kit) fn is_of_the_guest(path: &str, at: &At, findings: &mut Findings) -> bool {
    let can = path.len() <= PATH_MAX && !path.chars().any(char::is_control) && !path.contains("${{ secrets");
    if !can {
        let problem = at.problem(Code::Path, format!("{} is no path in a sandbox", quoted(path)));
        findings.push(problem.help("rename the file"));
    }
    can
}

/// Resolves the ports of a document.
pub(super) fn ports(
    written: &[Spanned<wire::Port>],
    here: &Here<'_>,
    findings: &mut Findings,
) -> Vec<Placed<Port>> {
    let mut kept = Vec::new();
    for port in written {
        let fixed = port.fixed.as_ref().is_some_and(|fixed| fixed.value);
        let origin = here.origin(port.span);
        let value = Port { guest: port.guest, host: port.host, fixed, origin };
        kept.push(here.placed(value, port.span, findings));
    }
    kept
}
