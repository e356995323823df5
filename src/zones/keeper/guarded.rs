//! What the host knows of a folder that the agent may write, before the guest runs: which repositories it lies in, and
//! which places in it git reads as hooks or configuration because a configuration or a link says so.
//!
//! Asked once per start. What the host's own user configures while the sandbox runs counts from the next start on.

use std::{
    collections::VecDeque,
    path::{Component, Path, PathBuf},
};

use crate::{
    kit::{GitConfig, Repository},
    store::file::read_bounded,
    zones::config::Guarded,
};

/// Largest configuration of git that is read, in bytes; most of them; most hooks that are looked at.
const CONFIG_MAX: u64 = 1 << 20;
const CONFIGS_MAX: usize = 32;
const HOOKS_MAX: usize = 256;

/// The rules for the folder at `path`, which is canonical. `homes` are where the user's own configuration lies.
pub(super) fn guarded(path: &Path, homes: &[PathBuf]) -> Guarded {
    let above = path.ancestors().skip(1).filter(|folder| is_repository(folder));
    let mut guarded = Guarded {
        path: path.to_owned(),
        repositories: above.map(Path::to_owned).collect(),
        places: Vec::new(),
    };
    let found = Repository::find(path).ok().flatten();
    let bare = guarded.repositories.last().cloned().or_else(|| is_repository(path).then(|| path.to_owned()));
    let (root, git) = match (found, bare) {
        (Some(repository), _) => (repository.root, repository.common_dir),
        (None, Some(bare)) => (bare.clone(), bare),
        (None, None) => return guarded,
    };
    let mut hooks = vec![git.join("hooks")];
    let mut configs: VecDeque<PathBuf> = [git.join("config"), git.join("config.worktree")].into();
    configs.extend(homes.iter().flat_map(|home| [home.join(".gitconfig"), home.join(".config/git/config")]));
    let mut places = Vec::new();
    for _ in 0..CONFIGS_MAX {
        let Some(file) = configs.pop_front() else { break };
        let Some(bytes) = read_bounded(&file, CONFIG_MAX).ok().flatten() else { continue };
        let config = GitConfig::read(&String::from_utf8_lossy(&bytes));
        let beside = file.parent().unwrap_or(&root);
        hooks.extend(config.hooks.iter().flat_map(|named| resolved(&root, named, homes)));
        let includes: Vec<PathBuf> =
            config.includes.iter().flat_map(|named| resolved(beside, named, homes)).collect();
        configs.extend(includes.iter().cloned());
        places.extend(includes);
    }
    for folder in hooks.into_iter().filter(|folder| !root.starts_with(folder)) {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().take(HOOKS_MAX);
        let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
        places.extend(links.filter_map(|entry| entry.path().canonicalize().ok()));
        places.push(folder);
    }
    let reached: Vec<PathBuf> = places.iter().filter_map(|place| place.canonicalize().ok()).collect();
    places.extend(reached);
    guarded.places = below(path, &root, places);
    guarded
}

/// Those of the places that lie in the folder, from there on. One that holds the whole working tree is none: there would
/// be nothing left to write.
fn below(path: &Path, root: &Path, mut places: Vec<PathBuf>) -> Vec<PathBuf> {
    places.retain(|place| !root.starts_with(place));
    let within = |place: PathBuf| match place.strip_prefix(path) {
        Ok(below) => Some(below.to_owned()),
        Err(_) => path.starts_with(&place).then(PathBuf::new),
    };
    let mut found: Vec<PathBuf> = places.into_iter().filter_map(within).collect();
    found.sort();
    found.dedup();
    found
}

/// What git takes for a repository's own directory, and a little more.
fn is_repository(folder: &Path) -> bool {
    let there = |name: &str| folder.join(name).symlink_metadata().is_ok();
    there("HEAD") && (there("objects") || there("commondir"))
}

/// Where a name in a configuration leads, for each home that `~` may mean.
fn resolved(base: &Path, named: &str, homes: &[PathBuf]) -> Vec<PathBuf> {
    match named.strip_prefix("~/") {
        Some(below) => homes.iter().map(|home| plain(&home.join(below))).collect(),
        None if named.is_empty() => Vec::new(),
        None => vec![plain(&base.join(named))],
    }
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    fn bare(at: &Path) {
        for folder in ["objects/info", "refs/heads", "hooks"] {
            fs::create_dir_all(at.join(folder)).unwrap();
        }
        fs::write(at.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(at.join("config"), "[core]\n\tbare = true\n").unwrap();
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        (dir, root)
    }

    #[test]
    fn a_folder_inside_of_a_repository_under_another_name_knows_it() {
        let (_dir, root) = folder();
        bare(&root.join("backup"));
        let at = |below: &str| guarded(&root.join(below), &[]).repositories;
        assert_eq!(at("backup/hooks"), [root.join("backup")]);
        assert_eq!(at("backup/objects/info"), [root.join("backup")]);
        assert!(at("backup").is_empty() && at(".").is_empty());
        fs::remove_file(root.join("backup/HEAD")).unwrap();
        assert!(at("backup/hooks").is_empty(), "it is none any more");
    }

    #[test]
    fn places_that_a_configuration_or_a_link_names_are_found() {
        let (_dir, root) = folder();
        let web = root.join("web");
        bare(&web.join(".git"));
        for folder in ["tools/hooks", "tools/real", "src", "shared"] {
            fs::create_dir_all(web.join(folder)).unwrap();
        }
        for file in ["tools/one", "tools/real/pre-push", "more.gitconfig"] {
            fs::write(web.join(file), "").unwrap();
            fs::set_permissions(web.join(file), fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink("../../tools/one", web.join(".git/hooks/pre-commit")).unwrap();
        symlink("tools/real", web.join("linked")).unwrap();
        let config =
            "[core]\n\thooksPath = tools/hooks\n[include]\n\tpath = ../more.gitconfig\n\tpath = /dev/zero\n";
        fs::write(web.join(".git/config"), config).unwrap();
        fs::write(web.join("more.gitconfig"), "[core]\nhooksPath = linked\n").unwrap();
        fs::write(root.join(".gitconfig"), format!("[core]\nhooksPath = {}/shared\n", web.display()))
            .unwrap();
        let places = |path: &Path| {
            let places = guarded(path, std::slice::from_ref(&root)).places;
            places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>()
        };
        let whole =
            [".git/hooks", "linked", "more.gitconfig", "shared", "tools/hooks", "tools/one", "tools/real"];
        assert_eq!(places(&web), whole);
        assert_eq!(places(&web.join("tools")), ["hooks", "one", "real"]);
        assert_eq!(places(&web.join("shared")), [""], "all of it");
        assert!(places(&web.join("src")).is_empty());
        // Where hooks lie among everything else, there would be nothing left to write.
        fs::write(web.join(".git/config"), "[core]\nhooksPath = .\n").unwrap();
        fs::remove_file(root.join(".gitconfig")).unwrap();
        assert_eq!(places(&web), [".git/hooks", "tools/one"]);
    }
}
