//! The rules of the format that more than one value has a part in, by name: the rows of the merge table, and what is in
//! form and cannot be meant. Whoever holds to one asks [`holds`], so that a test can leave that rule out and see that its
//! table notices.

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Scalars, and values of maps: the last says it.
    LastWins,
    /// Two mixins that differ in a scalar: an error.
    MixinsAgree,
    /// What comes after two mixins that differ decides.
    SandboxSettles,
    /// Maps are put together by key.
    ByKey,
    /// One key of two mixins: an error.
    KeyOnce,
    /// Lists stand one after the other, denies among them: nothing below removes one.
    Lists,
    /// Identical entries of a list are one.
    Folded,
    /// One file's path, or one port, twice: an error.
    Once,
    /// Of isolation the strictest.
    Strictest,
    /// What is locked is not set later.
    Locked,
    /// A secret goes to a host that a rule allows.
    SecretReaches,
    /// No secret and no wildcard at a name below which anybody can have a host.
    SharedNames,
    /// A rule that another denies whole.
    NeverMatches,
    /// Mounts, and the workspace, in each other's way.
    Overlap,
    /// A kit that extends itself.
    Cycle,
}

#[cfg(not(test))]
pub(super) const fn holds(_: Rule) -> bool {
    true
}

#[cfg(test)]
pub(super) use broken::{holds, without};

/// Deliberate breaks.
#[cfg(test)]
mod broken {
    use std::cell::Cell;

    use super::Rule;

    thread_local! {
        static LEFT_OUT: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    pub(in crate::kit) fn holds(rule: Rule) -> bool {
        LEFT_OUT.get() != Some(rule)
    }

    /// What `work` yields where nobody holds to a rule.
    pub(in crate::kit) fn without<T>(rule: Option<Rule>, work: impl FnOnce() -> T) -> T {
        LEFT_OUT.set(rule);
        let result = work();
        LEFT_OUT.set(None);
        result
    }
}
