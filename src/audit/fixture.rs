//! A trail in a folder of its own, for the tests of this module.

use std::{fs, path::Path, time::Instant};

use crate::model::event::{Decision, Draft};

use super::{Context, Limits, Trail, verify};

/// A denial of a connection to `resource`.
pub(super) fn draft(resource: &str) -> Draft {
    Draft {
        time: "2026-01-02T03:04:05.000000006Z".to_owned(),
        action: "net.connect".to_owned(),
        resource: resource.to_owned(),
        decision: Decision::Deny,
        rule: None,
        reason: "no_rule".to_owned(),
        detail: serde_json::Map::new(),
    }
}

/// A folder with a trail, and how to write to it.
pub(super) struct Fixture {
    dir: tempfile::TempDir,
    pub(super) context: Context,
    pub(super) start: Instant,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let context = Context { host: "host".into(), user: "ann".into(), ..Context::default() };
        Self { dir: tempfile::tempdir().unwrap(), context, start: Instant::now() }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn open_with(&self, events: u64) -> Trail {
        Trail::open(self.path(), Limits { events, ..Limits::default() }, self.start).unwrap().0
    }

    pub(super) fn open(&self) -> Trail {
        self.open_with(1_000)
    }

    pub(super) fn fill(&self, trail: &mut Trail, count: u64) {
        for _ in 0..count {
            let resource = format!("r-{}", trail.head().seq + 1);
            trail.append(draft(&resource), &self.context, self.start).unwrap();
        }
    }

    pub(super) fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let path = self.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, change(text)).unwrap();
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path())
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(super) fn verified(&self) -> u64 {
        let report = verify::directory(self.path(), None).unwrap();
        assert_eq!(report.bad, None);
        report.events
    }
}
