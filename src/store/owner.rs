//! Whose a sandbox is: the repository that its file lies in, else the folder (`KIT.md`, section 1).
//!
//! The agent can write to the repository, so what a `.git` says is a claim. A folder `.git` is its own proof; a file
//! `.git` counts only where the folder it names points back, else one line could borrow another repository's
//! sandboxes and approvals.

use std::{
    fmt, fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, StatxFlags, statx},
    io::Errno,
};
use serde::{Deserialize, Serialize};

/// Longest `.git`, `gitdir` or `commondir` file that is read, in bytes.
const POINTER_MAX: u64 = 8 << 10;

/// Part of a sandbox's identity. Equal when path, device, inode and time of birth are: an inode is given again as soon
/// as its folder is removed. A record of an older release says nothing of birth, and equals any.
#[derive(Debug, Clone, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Owner {
    /// A repository, by its git common directory: worktrees share it.
    Repository {
        /// The common directory.
        path: PathBuf,
        /// Its device.
        dev: u64,
        /// Its inode.
        ino: u64,
        /// When it was made, where the file system remembers that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        born: Option<Born>,
    },
    /// A folder outside any repository.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Its device.
        dev: u64,
        /// Its inode.
        ino: u64,
        /// When it was made, where the file system remembers that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        born: Option<Born>,
    },
    /// A repository that is only watched from afar.
    Remote {
        /// Its URL.
        url: String,
    },
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        match (self.known(), other.known()) {
            (Some(own), Some(other)) => {
                own.0 == other.0
                    && own.1 == other.1
                    && own.2.zip(other.2).is_none_or(|(own, other)| own == other)
            }
            (None, None) => self.place() == other.place(),
            _ => false,
        }
    }
}

/// A time of birth: nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Born(i64);

impl Born {
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let found = match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BTIME) {
            Ok(found) => found,
            Err(Errno::NOSYS) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let time = found.stx_btime;
        let nanoseconds = time.tv_sec.checked_mul(1_000_000_000).map(|whole| whole + i64::from(time.tv_nsec));
        Ok(nanoseconds.filter(|_| found.stx_mask & StatxFlags::BTIME.bits() != 0).map(Self))
    }
}

impl Owner {
    /// The owner of what lies in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub fn discover(folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        for ancestor in folder.ancestors() {
            if let Some(path) = common_directory(ancestor) {
                let (meta, born) = (fs::metadata(&path)?, Born::of(&path)?);
                return Ok(Self::Repository { path, dev: meta.dev(), ino: meta.ino(), born });
            }
        }
        let (meta, born) = (fs::metadata(&folder)?, Born::of(&folder)?);
        Ok(Self::Folder { path: folder, dev: meta.dev(), ino: meta.ino(), born })
    }

    /// Whether it is a repository, and path, device and inode; and the time of birth.
    #[expect(clippy::type_complexity, reason = "compared once, above")]
    fn known(&self) -> Option<((bool, &Path), (u64, u64), Option<Born>)> {
        match self {
            Self::Repository { path, dev, ino, born } => Some(((true, path), (*dev, *ino), *born)),
            Self::Folder { path, dev, ino, born } => Some(((false, path), (*dev, *ino), *born)),
            Self::Remote { .. } => None,
        }
    }

    /// The same without the time of birth, as records of older releases have it.
    #[must_use]
    pub(super) fn unborn(&self) -> Option<Self> {
        let mut older = self.clone();
        match &mut older {
            Self::Repository { born, .. } | Self::Folder { born, .. } => born.take().map(|_| older),
            Self::Remote { .. } => None,
        }
    }

    /// The folder that people know it by: for `/src/web/.git` that is `/src/web`, for a remote its URL.
    #[must_use]
    pub fn place(&self) -> &Path {
        match self {
            Self::Repository { path, .. } if path.ends_with(".git") => path.parent().unwrap_or(path),
            Self::Repository { path, .. } | Self::Folder { path, .. } => path,
            Self::Remote { url } => Path::new(url),
        }
    }

    /// Whether `text`, the part of `web/dev` before the name, speaks of it: the end of its place, whole components.
    #[must_use]
    pub fn is_called(&self, text: &str) -> bool {
        let place = self.place();
        let bare = place.as_os_str().as_bytes().strip_suffix(b".git");
        !text.is_empty()
            && (place.ends_with(text)
                || bare.is_some_and(|bare| Path::new(std::ffi::OsStr::from_bytes(bare)).ends_with(text)))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.place().display())
    }
}

/// The common directory of a repository whose work tree begins in `folder`.
fn common_directory(folder: &Path) -> Option<PathBuf> {
    let dot_git = folder.join(".git");
    // Not followed: a link would borrow another repository just as a file would.
    let kind = fs::symlink_metadata(&dot_git).ok()?.file_type();
    if kind.is_dir() {
        return (dot_git.join("HEAD").exists() && dot_git.join("objects").is_dir()).then_some(dot_git);
    }
    let named = pointer(&dot_git, folder, Some("gitdir:"))?;
    let back = pointer(&named.join("gitdir"), &named, None)?;
    let common = pointer(&named.join("commondir"), &named, None)?;
    (back == dot_git.canonicalize().ok()? && named.parent()? == common.join("worktrees")).then_some(common)
}

/// The existing path that a file of one line names, relative ones from `from`.
fn pointer(file: &Path, from: &Path, label: Option<&str>) -> Option<PathBuf> {
    let bytes = super::file::read_bounded(file, POINTER_MAX).ok()??;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = match label {
        Some(label) => line.strip_prefix(label.as_bytes())?.trim_ascii_start(),
        None => line,
    };
    from.join(Path::new(std::ffi::OsStr::from_bytes(line))).canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository as git lays it out, with one worktree.
    fn repository(root: &Path) -> (PathBuf, PathBuf) {
        let (web, tree) = (root.join("web"), root.join("web-feature"));
        let linked = web.join(".git/worktrees/web-feature");
        fs::create_dir_all(web.join(".git/objects")).unwrap();
        fs::create_dir_all(&linked).unwrap();
        fs::create_dir_all(&tree).unwrap();
        fs::write(web.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(tree.join(".git"), format!("gitdir: {}\n", linked.display())).unwrap();
        fs::write(linked.join("gitdir"), format!("{}\n", tree.join(".git").display())).unwrap();
        fs::write(linked.join("commondir"), "../..\n").unwrap();
        (web, tree)
    }

    fn root() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        (dir, path)
    }

    #[test]
    fn a_repository_and_its_worktrees_are_one_owner() {
        let (_dir, root) = root();
        let (web, tree) = repository(&root);
        let inner = web.join("packages/shop");
        fs::create_dir_all(&inner).unwrap();
        let owner = Owner::discover(&inner).unwrap();
        assert!(matches!(&owner, Owner::Repository { path, .. } if *path == web.join(".git")));
        assert_eq!(Owner::discover(&tree).unwrap(), owner);
        assert_eq!(owner.place(), web);
    }

    #[test]
    fn a_git_file_cannot_borrow_another_repository() {
        let (_dir, root) = root();
        let (web, tree) = repository(&root);
        let thief = root.join("thief");
        fs::create_dir(&thief).unwrap();
        let outside = Owner::discover(&thief).unwrap();
        assert!(matches!(outside, Owner::Folder { .. }));
        for claim in ["../web/.git", "../web/.git/worktrees/web-feature"] {
            fs::write(thief.join(".git"), format!("gitdir: {claim}\n")).unwrap();
            assert_eq!(Owner::discover(&thief).unwrap(), outside, "{claim}");
        }
        // A folder of its own that points back, but belongs to no worktree list of the repository it names.
        let fake = thief.join("fake");
        fs::create_dir(&fake).unwrap();
        fs::write(thief.join(".git"), "gitdir: fake\n").unwrap();
        fs::write(fake.join("gitdir"), "../.git\n").unwrap();
        fs::write(fake.join("commondir"), "../../web/.git\n").unwrap();
        assert_eq!(Owner::discover(&thief).unwrap(), outside);
        fs::remove_file(thief.join(".git")).unwrap();
        std::os::unix::fs::symlink(web.join(".git"), thief.join(".git")).unwrap();
        assert_eq!(Owner::discover(&thief).unwrap(), outside);
        // The pair that is honest still counts: the checks above are not simply closed.
        assert!(matches!(Owner::discover(&tree).unwrap(), Owner::Repository { .. }));
    }

    #[test]
    fn a_folder_made_anew_is_another_owner() {
        let (_dir, root) = root();
        let folder = root.join("x");
        fs::create_dir(&folder).unwrap();
        let before = Owner::discover(&folder).unwrap();
        fs::rename(&folder, root.join("kept")).unwrap();
        fs::create_dir(&folder).unwrap();
        assert_ne!(Owner::discover(&folder).unwrap(), before);
    }

    #[test]
    fn an_inode_that_is_given_again_makes_no_owner() {
        let (_dir, root) = root();
        let (web, _) = repository(&root);
        let before = Owner::discover(&web).unwrap();
        let Owner::Repository { path, dev, ino, born } = before.clone() else { panic!("a repository") };
        // What a folder that is made anew in the same place gets on many file systems.
        let later = born.map(|Born(time)| Born(time + 1));
        let anew = Owner::Repository { path, dev, ino, born: later };
        assert_eq!(anew != before, born.is_some());
        // Written and read, it is the same; a record of an older release is readable.
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Owner>(&text).unwrap(), before);
        let older = r#"{"kind":"folder","path":"/src/web","dev":1,"ino":1}"#;
        let older: Owner = serde_json::from_str(older).unwrap();
        let newer = Owner::Folder { path: "/src/web".into(), dev: 1, ino: 1, born: Some(Born(7)) };
        assert_eq!((older == newer, newer.unborn() == Some(older)), (true, true));
    }

    #[test]
    fn an_owner_is_called_by_the_end_of_its_place() {
        let repository = |path: &str| Owner::Repository { path: path.into(), dev: 1, ino: 1, born: None };
        for (path, text, expected) in [
            ("/src/web/.git", "web", true),
            ("/src/web/.git", "src/web", true),
            ("/src/web/.git", "/src/web", true),
            ("/src/web/.git", "eb", false),
            ("/src/web/.git", "", false),
            ("/srv/web.git", "web", true),
            ("/srv/web.git", "web.git", true),
        ] {
            assert_eq!(repository(path).is_called(text), expected, "{path} {text}");
        }
    }
}
