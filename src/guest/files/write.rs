//! The helper that writes one file: a process of its own, so that whatever lies at the path (a pipe that nobody writes, a
//! file system that does not answer) holds up nobody else, and as the user whose file it is, so that a link in the
//! agent's home leads where the agent could have written anyway.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Component, Path},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::merge::merge;
use crate::{
    boot::make_folders,
    wire::{
        files::CONTENT_MAX,
        frame::{self, HOST_FRAME_MAX},
    },
};

/// Permission bits of a file that says nothing.
const MODE: u32 = 0o644;

/// What the helper finds on its standard input, as one frame with the content behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Where, absolute.
    pub path: String,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Merged into what is there.
    pub merge_json: bool,
}

/// Runs as the helper.
///
/// # Errors
/// Why the file is not written.
pub fn serve() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let job: Job = frame::read(&mut input, HOST_FRAME_MAX)?;
    let mut content = Vec::new();
    input.take(CONTENT_MAX as u64).read_to_end(&mut content)?;
    perform(&job, content)
}

/// Writes a file as this process's user: whole or not at all, beside it first.
fn perform(job: &Job, content: Vec<u8>) -> io::Result<()> {
    let path = Path::new(&job.path);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), path.is_absolute() && plain)
    else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain absolute path"));
    };
    let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    make_folders(parent, user)?;
    let (content, mode) = if job.merge_json {
        let (before, mode) = existing(path)?;
        (merged(before, &content)?, mode)
    } else {
        (content, None)
    };
    // Set-id bits could only serve to confuse: the agent is root when it wants.
    let mode = job.mode.or(mode).unwrap_or(MODE) & 0o777;
    let mut fresh = OsString::from(".");
    fresh.push(name);
    fresh.push(".cofferdam-new");
    let fresh = parent.join(fresh);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Narrow first: what it holds is for its owner alone until the mode is right.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let written = (|| {
        file.write_all(&content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// The file that is there, with its mode; never through a link, never waiting, and bounded.
fn existing(path: &Path) -> io::Result<(Vec<u8>, Option<u32>)> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    let file: File = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(io::Error::other("it is a link, and JSON is merged into files only"));
        }
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("what is there is no file"));
    }
    let mut bytes = Vec::new();
    file.take(CONTENT_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > CONTENT_MAX {
        return Err(io::Error::other("what is there is too long to merge into"));
    }
    Ok((bytes, Some(meta.permissions().mode())))
}

/// The object that `before` holds, with `patch` merged in. No file, or an empty one, is an empty object.
fn merged(before: Vec<u8>, patch: &[u8]) -> io::Result<Vec<u8>> {
    let invalid = |what: &'static str| move |error| io::Error::other(format!("{what}: {error}"));
    let patch: Value = serde_json::from_slice(patch).map_err(invalid("the content is no JSON"))?;
    let mut target = match before.trim_ascii() {
        [] => Value::Object(Map::new()),
        text => serde_json::from_slice(text).map_err(invalid("what is there is no JSON"))?,
    };
    merge(&mut target, patch);
    let mut text = serde_json::to_vec_pretty(&target)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::PathBuf};

    use super::*;

    /// An empty folder; the guest's crate has no library for that.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("cofferdam-files-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn put(path: &Path, merge_json: bool, mode: Option<u32>, content: &str) -> Result<(), String> {
        let job = Job { path: path.display().to_string(), mode, merge_json };
        perform(&job, content.as_bytes().to_vec()).map_err(|error| error.to_string())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_written_with_its_folders_and_its_mode() {
        let root = folder("write");
        let path = root.join("a/b/npmrc");
        put(&path, false, None, "fund=false\n").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("fund=false\n", 0o644));
        put(&path, false, Some(0o4750), "new").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("new", 0o750));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn json_is_merged_and_keeps_what_it_does_not_name() {
        let root = folder("merge");
        let path = root.join("settings.json");
        put(&path, true, None, r#"{"a":{"b":1}}"#).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        put(&path, true, None, r#"{"a":{"c":2},"d":[3]}"#).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, serde_json::json!({"a": {"b": 1, "c": 2}, "d": [3]}));
        assert_eq!(mode(&path), 0o600, "its mode stays");
        fs::write(&path, "{not json").unwrap();
        assert!(put(&path, true, None, "{}").unwrap_err().contains("what is there is no JSON"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{not json", "and it is left alone");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_lies_at_the_path_cannot_lead_elsewhere_or_hold_it_up() {
        let root = folder("tricks");
        let (secret, link, pipe) = (root.join("secret"), root.join("link"), root.join("pipe"));
        fs::write(&secret, r#"{"kept":true}"#).unwrap();
        symlink(&secret, &link).unwrap();
        assert!(put(&link, true, None, r#"{"x":1}"#).unwrap_err().contains("it is a link"));
        put(&link, false, None, "in its place").unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), r#"{"kept":true}"#);
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(put(&pipe, true, None, "{}").unwrap_err().contains("no file"));
        let huge = root.join("huge");
        File::create(&huge).unwrap().set_len(CONTENT_MAX as u64 + 1).unwrap();
        assert!(put(&huge, true, None, "{}").unwrap_err().contains("too long"));
        let directory = root.join("directory");
        fs::create_dir(&directory).unwrap();
        assert!(put(&directory, false, None, "x").is_err());
        for odd in ["relative", "/tmp/../etc/x"] {
            assert!(put(Path::new(odd), false, None, "x").unwrap_err().contains("plain"), "{odd}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
