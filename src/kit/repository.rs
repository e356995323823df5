//! Which repository a folder belongs to, read without a git library: the agent may have written all of it.
//!
//! A repository is its common directory: path, device and inode. A `.git` *file* counts only where the directory
//! that it names points back at it, else one line (`gitdir: ../trusted/.git`) would borrow another repository's
//! approvals. Every read is bounded and follows no link.

use std::{
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, openat};

/// Largest file that names something: a path, or a commit.
const POINTER_MAX: u64 = 8 << 10;
/// Largest configuration of a repository.
const CONFIG_MAX: u64 = 1 << 20;
/// Largest list of packed references: 300,000 of them.
const PACKED_MAX: u64 = 32 << 20;
/// Most files beside packs that are looked at.
const PACKS_MAX: usize = 100_000;
/// Longest chain of symbolic references.
const CHAIN_MAX: usize = 5;

/// A repository and the working tree that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Root of the working tree, canonical.
    pub root: PathBuf,
    /// Directory that all its working trees share, canonical.
    pub common_dir: PathBuf,
    /// Device of that directory.
    pub device: u64,
    /// Inode of that directory.
    pub inode: u64,
    /// Directory of this working tree's `HEAD`.
    git_dir: PathBuf,
}

impl Repository {
    /// The repository whose working tree `folder` lies in. Nothing that merely looks like one counts.
    ///
    /// # Errors
    /// When `folder` itself cannot be looked at.
    pub fn find(folder: &Path) -> io::Result<Option<Self>> {
        let folder = folder.canonicalize()?;
        Ok(folder.ancestors().find_map(Self::at))
    }

    /// The repository whose working tree begins at `root`.
    fn at(root: &Path) -> Option<Self> {
        let dot_git = root.join(".git");
        let found = std::fs::symlink_metadata(&dot_git).ok()?;
        let (git_dir, common_dir) = if found.is_dir() {
            (dot_git.clone(), dot_git)
        } else if found.is_file() {
            linked(root)?
        } else {
            return None;
        };
        let complete = common_dir.join("objects").is_dir() && git_dir.join("HEAD").is_file();
        let identity =
            std::fs::symlink_metadata(&common_dir).ok().filter(|found| complete && found.is_dir())?;
        Some(Self {
            root: root.to_owned(),
            device: identity.dev(),
            inode: identity.ino(),
            common_dir,
            git_dir,
        })
    }

    /// The commit that is checked out, hexadecimal. `None` where there is none yet, or the repository keeps its
    /// references in a form that this does not read.
    #[must_use]
    pub fn head_commit(&self) -> Option<String> {
        let mut text = read_bounded(&self.git_dir.join("HEAD"), POINTER_MAX)?;
        for _ in 0..CHAIN_MAX {
            let Some(name) = text.strip_prefix("ref:") else { return commit(&text) };
            let name = name.trim().to_owned();
            if !is_plain_reference(&name) {
                return None;
            }
            let loose = |dir: &Path| read_bounded(&dir.join(&name), POINTER_MAX);
            text = match loose(&self.git_dir).or_else(|| loose(&self.common_dir)) {
                Some(text) => text,
                None => return self.packed(&name),
            };
        }
        None
    }

    /// The list of the files that git tracks in this working tree.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.git_dir.join("index")
    }

    /// The commit or tag that a branch, tag, remote branch or whole hexadecimal id names, in the order of
    /// gitrevisions(7). `None` where nothing has that name.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<String> {
        if name == "HEAD" {
            return self.head_commit();
        }
        if let Some(id) = commit(name) {
            return Some(id);
        }
        let whole = name.starts_with("refs/").then(|| name.to_owned());
        let usual = ["refs/tags/", "refs/heads/", "refs/remotes/"].map(|prefix| format!("{prefix}{name}"));
        let remote = format!("refs/remotes/{name}/HEAD");
        whole.into_iter().chain(usual).chain([remote]).find_map(|name| self.reference(&name))
    }

    /// Whether history was cut off when it was fetched.
    #[must_use]
    pub fn is_shallow(&self) -> bool {
        std::fs::symlink_metadata(self.common_dir.join("shallow")).is_ok()
    }

    /// Whether objects were left with the remote when it was cloned, to be fetched when git wants them.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        let packs = std::fs::read_dir(self.common_dir.join("objects/pack"));
        let mut packs = packs.into_iter().flatten().take(PACKS_MAX).flatten();
        packs.any(|entry| Path::new(&entry.file_name()).extension().is_some_and(|end| end == "promisor"))
    }

    /// Whether references lie in a table (`refs/` is empty then), which this does not read.
    #[must_use]
    pub fn keeps_a_reftable(&self) -> bool {
        std::fs::symlink_metadata(self.common_dir.join("reftable")).is_ok()
    }

    /// The repository with exactly this common directory, whatever working tree it has.
    #[must_use]
    pub fn shared(common_dir: &Path) -> Option<Self> {
        let identity = std::fs::symlink_metadata(common_dir).ok().filter(std::fs::Metadata::is_dir)?;
        Some(Self {
            root: common_dir.parent().unwrap_or(common_dir).to_owned(),
            device: identity.dev(),
            inode: identity.ino(),
            common_dir: common_dir.to_owned(),
            git_dir: common_dir.to_owned(),
        })
    }

    /// Where a remote is fetched from, as `git clone` wrote it: one plain `url`. Nothing that the file includes or
    /// rewrites is followed.
    #[must_use]
    pub fn remote(&self, name: &str) -> Option<String> {
        let text = read_bounded(&self.common_dir.join("config"), CONFIG_MAX)?;
        let wanted = format!("[remote \"{name}\"]");
        let (mut within, mut urls) = (false, Vec::new());
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                within = line == wanted;
            } else if let Some((key, value)) = line.split_once('=').filter(|_| within)
                && key.trim().eq_ignore_ascii_case("url")
            {
                urls.push(value.trim().to_owned());
            }
        }
        // Of several, which one is meant would be git's to say.
        <[String; 1]>::try_from(urls).ok().map(|[url]| url)
    }

    /// The commit or tag that exactly this reference names.
    #[must_use]
    pub fn reference(&self, name: &str) -> Option<String> {
        if !is_plain_reference(name) {
            return None;
        }
        let loose = read_bounded(&self.common_dir.join(name), POINTER_MAX);
        match loose.as_deref().map(|text| (text, text.strip_prefix("ref:"))) {
            // `refs/remotes/origin/HEAD` points once.
            Some((_, Some(target))) => {
                // Told from elsewhere before anything is opened: `ref: /etc/shadow` is written quickly.
                let target = Some(target.trim()).filter(|target| is_plain_reference(target))?;
                let text = read_bounded(&self.common_dir.join(target), POINTER_MAX);
                text.map_or_else(|| self.packed(target), |text| commit(&text))
            }
            Some((text, None)) => commit(text),
            None => self.packed(name),
        }
    }

    fn packed(&self, name: &str) -> Option<String> {
        let list = read_bounded(&self.common_dir.join("packed-refs"), PACKED_MAX)?;
        let mut entries = list.lines().filter_map(|line| line.split_once(' '));
        entries.find(|(_, packed)| *packed == name).and_then(|(id, _)| commit(id))
    }
}

/// Follows a `.git` file of a linked working tree: `gitdir: PATH`, and PATH/gitdir leads back here.
fn linked(root: &Path) -> Option<(PathBuf, PathBuf)> {
    let pointer = read_bounded(&root.join(".git"), POINTER_MAX)?;
    let git_dir = root.join(pointer.strip_prefix("gitdir:")?.trim()).canonicalize().ok()?;
    let back = read_bounded(&git_dir.join("gitdir"), POINTER_MAX)?;
    if git_dir.join(back.trim()).canonicalize().ok()? != root.join(".git") {
        return None;
    }
    let common = read_bounded(&git_dir.join("commondir"), POINTER_MAX)?;
    let common_dir = git_dir.join(common.trim()).canonicalize().ok()?;
    // A linked working tree's directory lies inside the repository that made it.
    git_dir.starts_with(common_dir.join("worktrees")).then_some((git_dir, common_dir))
}

fn is_plain_reference(name: &str) -> bool {
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    name.starts_with("refs/") && plain && !name.contains('\0')
}

fn commit(text: &str) -> Option<String> {
    let text = text.trim();
    let hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (hex && matches!(text.len(), 40 | 64)).then(|| text.to_owned())
}

/// A regular file's text, if it is no longer than `max` and no link.
fn read_bounded(path: &Path, max: u64) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(openat(rustix::fs::CWD, path, flags, Mode::empty()).ok()?);
    let found = file.metadata().ok().filter(|found| found.is_file() && found.len() <= max)?;
    let mut text = String::with_capacity(usize::try_from(found.len()).ok()?);
    file.take(max).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn repository(at: &Path) {
        fs::create_dir_all(at.join(".git/objects")).unwrap();
        fs::create_dir_all(at.join(".git/refs/heads")).unwrap();
        fs::write(at.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    }

    #[test]
    fn a_folder_finds_its_repository_and_commit() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        repository(&root);
        fs::create_dir_all(root.join("a/b")).unwrap();
        let found = Repository::find(&root.join("a/b")).unwrap().unwrap();
        assert_eq!(
            (found.root.as_path(), found.common_dir.as_path()),
            (root.as_path(), root.join(".git").as_path())
        );
        assert_eq!(found.head_commit(), None, "no commit yet");
        fs::write(root.join(".git/packed-refs"), format!("# pack-refs\n{COMMIT} refs/heads/main\n")).unwrap();
        assert_eq!(found.head_commit().as_deref(), Some(COMMIT));
        let newer = COMMIT.replace('0', "f");
        fs::write(root.join(".git/refs/heads/main"), format!("{newer}\n")).unwrap();
        assert_eq!(found.head_commit(), Some(newer));
        for hostile in [
            "ref: ../../etc/passwd",
            "ref: refs/../../x",
            "ref: refs/heads/main\u{0}",
            "zz",
            "ref: refs/heads/loop",
        ] {
            fs::write(root.join(".git/HEAD"), hostile).unwrap();
            fs::write(root.join(".git/refs/heads/loop"), "ref: refs/heads/loop").unwrap();
            assert_eq!(found.head_commit(), None, "{hostile}");
        }
    }

    #[test]
    fn a_git_file_counts_only_where_it_is_pointed_back_at() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let (trusted, tree, thief) = (dir.join("trusted"), dir.join("tree"), dir.join("thief"));
        repository(&trusted);
        let worktree = trusted.join(".git/worktrees/tree");
        for folder in [&worktree, &tree, &thief] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(worktree.join("HEAD"), COMMIT).unwrap();
        fs::write(worktree.join("commondir"), "../..\n").unwrap();
        fs::write(worktree.join("gitdir"), format!("{}\n", tree.join(".git").display())).unwrap();
        let pointer = format!("gitdir: {}\n", worktree.display());
        fs::write(tree.join(".git"), &pointer).unwrap();

        let main = Repository::find(&trusted).unwrap().unwrap();
        let linked = Repository::find(&tree).unwrap().unwrap();
        assert_eq!((linked.device, linked.inode), (main.device, main.inode), "one repository, two trees");
        assert_eq!(linked.head_commit().as_deref(), Some(COMMIT));

        fs::write(thief.join(".git"), &pointer).unwrap();
        assert_eq!(Repository::find(&thief).unwrap(), None, "the worktree points at the other tree");
        fs::write(thief.join(".git"), format!("gitdir: {}\n", trusted.join(".git").display())).unwrap();
        assert_eq!(Repository::find(&thief).unwrap(), None, "the repository points at no tree");
        fs::remove_file(thief.join(".git")).unwrap();
        std::os::unix::fs::symlink(trusted.join(".git"), thief.join(".git")).unwrap();
        assert_eq!(Repository::find(&thief).unwrap(), None, "a link borrows as well");

        // The break: once the trusted side points at the thief, it counts. So the check above is what refuses.
        fs::remove_file(thief.join(".git")).unwrap();
        fs::write(thief.join(".git"), &pointer).unwrap();
        fs::write(worktree.join("gitdir"), format!("{}\n", thief.join(".git").display())).unwrap();
        assert!(Repository::find(&thief).unwrap().is_some());
    }
}
