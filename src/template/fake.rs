//! A scripted host for tests: tools are shell scripts in a folder of their own.

use std::{fs, path::PathBuf};

use super::host::Host;

pub struct FakeHost {
    folder: tempfile::TempDir,
    pub host: Host,
}

impl FakeHost {
    /// Finds the scripts first and the real `sh`, `cat`, … after; `/etc` and the like are empty.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tools = folder.path().join("tools");
        let root = folder.path().join("root");
        fs::create_dir(&tools).unwrap();
        fs::create_dir(&root).unwrap();
        fs::create_dir(folder.path().join("scripts")).unwrap();
        // `bare` holds links to what the scripts themselves use, and nothing that we look for.
        let bare = folder.path().join("bare");
        fs::create_dir(&bare).unwrap();
        for name in ["sh", "env", "cat", "head", "wc", "mkdir", "touch", "cp", "chmod", "sleep", "rm", "test"]
        {
            let real =
                ["/usr/bin", "/bin"].iter().map(|dir| PathBuf::from(dir).join(name)).find(|p| p.exists());
            std::os::unix::fs::symlink(real.unwrap(), bare.join(name)).unwrap();
        }
        let host = Host { search: vec![tools, bare], root, superuser: false, environment: Vec::new() };
        Self { folder, host }
    }

    pub fn tool(&self, name: &str, script: &str) {
        let link = self.folder.path().join("tools").join(name);
        if !link.exists() {
            let stand_in = concat!(env!("CARGO_MANIFEST_DIR"), "/src/template/fake_tool.sh");
            std::os::unix::fs::symlink(stand_in, link).unwrap();
        }
        fs::write(self.folder.path().join("scripts").join(name), script).unwrap();
    }

    pub fn file(&self, path: &str, content: &str) {
        let path = self.host.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}
