//! Which folders of the host a sandbox gets, and under which rules. Pure.

use std::path::Path;

use crate::model::desired::{Access, Sandbox, WorkspaceMode};

/// A folder of the host as the guest sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Share<'a> {
    pub path: &'a Path,
    pub target: String,
    pub read_only: bool,
}

impl<'a> Share<'a> {
    /// Where the guard has its rules from; none where nothing is written. A folder is guarded whoever shares it: the
    /// same repository may be the workspace and a mount.
    pub(super) fn guard(&self) -> Option<&'a Path> {
        (!self.read_only).then_some(self.path)
    }
}

/// The workspace, then the mounts.
pub(super) fn shares(sandbox: &Sandbox) -> Vec<Share<'_>> {
    let workspace = sandbox.workspace.iter().map(|workspace| Share {
        path: &workspace.path,
        target: workspace.path.display().to_string(),
        read_only: workspace.mode == WorkspaceMode::Read,
    });
    let mounts = sandbox.mounts.iter().map(|mount| Share {
        path: &mount.source,
        target: mount.target.clone(),
        read_only: mount.access == Access::Read,
    });
    workspace.chain(mounts).collect()
}

#[test]
fn every_folder_that_can_be_written_is_guarded() {
    let mut sandbox = Sandbox::smallest("dev");
    let value =
        serde_json::json!({ "path": "/src/shop", "mode": "direct", "origin": { "layer": "repository" } });
    sandbox.workspace = Some(serde_json::from_value(value).unwrap());
    for access in ["write", "read"] {
        let value = serde_json::json!({
            "source": "/src/shop", "target": "/data", "access": access, "why": "data",
            "origin": { "layer": "repository" },
        });
        sandbox.mounts.push(serde_json::from_value(value).unwrap());
    }
    let guarded: Vec<_> = shares(&sandbox).iter().map(Share::guard).collect();
    assert_eq!(guarded, [Some(Path::new("/src/shop")), Some(Path::new("/src/shop")), None]);
}
