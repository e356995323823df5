//! Who descends from whom, by the commits alone. The library would believe a `commit-graph`, a file that nothing in it
//! ties to the commits and that whoever can write the folder of objects can write. Grafts, `refs/replace` and the list of
//! where a shallow clone ends have no say either.

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use git2::Oid;

use super::{History, HistoryError, signed::COMMIT_MAX};

/// Most commits that are looked at: more than any history that is known.
const COMMITS_MAX: usize = 4_000_000;

impl History {
    /// Whether `ancestor` is `commit` or one of those that it was made from. The newest are looked at first, so that
    /// what was there yesterday is found at once.
    ///
    /// # Errors
    /// When history cannot be read that far.
    pub fn descends(&self, commit: &str, ancestor: &str) -> Result<bool, HistoryError> {
        let oid = |id: &str| Oid::from_str(id).map_err(|_| HistoryError::NoCommit(id.to_owned()));
        let (first, wanted) = (oid(commit)?, oid(ancestor)?);
        let (mut seen, mut open) = (HashSet::from([first]), VecDeque::from([first]));
        while let Some(next) = open.pop_front() {
            if next == wanted {
                return Ok(true);
            }
            for parent in self.parents(next)? {
                if seen.insert(parent) {
                    open.push_back(parent);
                }
            }
            bounded(seen.len())?;
        }
        Ok(false)
    }

    /// The best common ancestor of two commits, the newest where there are several. Dates only say what is looked at
    /// first: they are whatever their author wrote.
    ///
    /// # Errors
    /// When there is none, or history ends before it.
    pub fn merge_base(&self, one: &str, two: &str) -> Result<String, HistoryError> {
        let oid = |id: &str| Oid::from_str(id).map_err(|_| HistoryError::NoCommit(id.to_owned()));
        let (one_id, two_id) = (oid(one)?, oid(two)?);
        let mut walk = Walk::new(self);
        walk.reach(one_id, Sides { of_one: true, ..Sides::default() })?;
        walk.reach(two_id, Sides { of_two: true, ..Sides::default() })?;
        let common = walk.common()?;
        let best = self.without_ancestors(&common)?;
        let best = best.ok_or_else(|| HistoryError::Unrelated(one.to_owned(), two.to_owned()))?;
        Ok(best.to_string())
    }

    /// The first of `commits` that none of the others was made from.
    fn without_ancestors(&self, commits: &[Oid]) -> Result<Option<Oid>, HistoryError> {
        let mut left: Vec<Oid> = commits.to_vec();
        let (mut seen, mut open) = (HashSet::new(), VecDeque::from(left.clone()));
        while left.len() > 1 {
            let Some(next) = open.pop_front() else { break };
            for parent in self.parents(next)? {
                if seen.insert(parent) {
                    left.retain(|commit| *commit != parent);
                    open.push_back(parent);
                }
            }
            bounded(seen.len())?;
        }
        Ok(left.first().copied())
    }

    fn parents(&self, commit: Oid) -> Result<Vec<Oid>, HistoryError> {
        Ok(self.made(commit)?.parents)
    }

    /// From the object itself.
    fn made(&self, commit: Oid) -> Result<Made, HistoryError> {
        let content = self.content(&commit.to_string())?;
        if content.len() > COMMIT_MAX {
            return Err(HistoryError::Broken(git2::Error::from_str("a commit is larger than 1 MiB")));
        }
        let mut head = content.split(|byte| *byte == b'\n').skip(1).peekable();
        let mut parents = Vec::new();
        while let Some(id) = head.peek().and_then(|line| line.strip_prefix(b"parent ")) {
            let text = std::str::from_utf8(id).ok();
            let parent = text.and_then(|text| Oid::from_str(text).ok());
            parents
                .push(parent.ok_or_else(|| {
                    HistoryError::Broken(git2::Error::from_str("a commit names no parent"))
                })?);
            head.next();
        }
        let committer = head.take(2).find_map(|line| line.strip_prefix(b"committer "));
        let date = committer.and_then(|line| line.rsplit(|byte| *byte == b' ').nth(1));
        let date = date.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        Ok(Made { date: date.unwrap_or_default(), parents })
    }
}

fn bounded(commits: usize) -> Result<(), HistoryError> {
    if commits <= COMMITS_MAX {
        return Ok(());
    }
    Err(HistoryError::Broken(git2::Error::from_str("history is longer than any is known to be")))
}

/// What a commit says of where it came from.
struct Made {
    /// Seconds since 1970, as its author wrote them.
    date: i64,
    parents: Vec<Oid>,
}

/// From which of the two a commit was reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sides {
    of_one: bool,
    of_two: bool,
    /// Below a common ancestor.
    stale: bool,
}

struct Reached {
    made: Made,
    sides: Sides,
    queued: bool,
}

/// Both histories, the newest first, until all that is left lies below what they have in common.
struct Walk<'a> {
    history: &'a History,
    reached: HashMap<Oid, Reached>,
    open: BinaryHeap<(i64, Oid)>,
    /// How many of `open` are not stale.
    live: usize,
}

impl<'a> Walk<'a> {
    fn new(history: &'a History) -> Self {
        Self { history, reached: HashMap::new(), open: BinaryHeap::new(), live: 0 }
    }

    fn reach(&mut self, commit: Oid, from: Sides) -> Result<(), HistoryError> {
        if !self.reached.contains_key(&commit) {
            let made = match self.history.made(commit) {
                // Below the answer it does not matter where history ends.
                Err(HistoryError::Missing(_)) if from.stale => return Ok(()),
                made => made?,
            };
            self.reached.insert(commit, Reached { made, sides: Sides::default(), queued: false });
            bounded(self.reached.len())?;
        }
        let Some(known) = self.reached.get_mut(&commit) else { return Ok(()) };
        let before = known.sides;
        known.sides = Sides {
            of_one: before.of_one || from.of_one,
            of_two: before.of_two || from.of_two,
            stale: before.stale || from.stale,
        };
        if known.sides == before {
            return Ok(());
        }
        self.live -= usize::from(known.queued && !before.stale);
        self.live += usize::from(!known.sides.stale);
        if !std::mem::replace(&mut known.queued, true) {
            self.open.push((known.made.date, commit));
        }
        Ok(())
    }

    /// All common ancestors that are not known to lie below another, the newest first.
    fn common(mut self) -> Result<Vec<Oid>, HistoryError> {
        let mut found = Vec::new();
        while self.live > 0 {
            let Some((_, commit)) = self.open.pop() else { break };
            let Some(known) = self.reached.get_mut(&commit) else { continue };
            known.queued = false;
            self.live -= usize::from(!known.sides.stale);
            let mut pass = known.sides;
            if pass.of_one && pass.of_two {
                if !pass.stale {
                    found.push((known.made.date, commit));
                }
                pass.stale = true;
            }
            for parent in known.made.parents.clone() {
                self.reach(parent, pass)?;
            }
        }
        found.retain(|(_, commit)| self.reached.get(commit).is_some_and(|known| !known.sides.stale));
        found.sort_by(|one, other| other.cmp(one));
        found.dedup();
        Ok(found.into_iter().map(|(_, commit)| commit).collect())
    }
}
