//! How commands end: kinds of failure and outcomes. The only place that knows exit codes.

use serde::{Deserialize, Serialize};

/// Classes of failure; each has an exit code that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 1: it was tried and did not work.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 3: a file that a person wrote is wrong.
    File,
    /// 4: policy denies it.
    Denied,
    /// 5: it waits for an approval.
    Pending,
    /// 6: there is no such thing.
    NotFound,
    /// 7: it took longer than was permitted.
    TimedOut,
    /// 8: this host lacks something.
    HostLacks,
}

/// Which of several kinds is reported: the earliest here.
const PRECEDENCE: [Kind; 8] = [
    Kind::Usage,
    Kind::File,
    Kind::HostLacks,
    Kind::Denied,
    Kind::Failed,
    Kind::TimedOut,
    Kind::NotFound,
    Kind::Pending,
];

impl Kind {
    /// The exit code of this kind.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::File => 3,
            Self::Denied => 4,
            Self::Pending => 5,
            Self::NotFound => 6,
            Self::TimedOut => 7,
            Self::HostLacks => 8,
        }
    }

    /// Of several, the one that is reported.
    #[must_use]
    pub fn first(kinds: impl IntoIterator<Item = Self>) -> Option<Self> {
        let rank = |kind: &Self| PRECEDENCE.iter().position(|other| other == kind);
        kinds.into_iter().min_by_key(rank)
    }
}

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// It answered, and the answer is of this kind: `policy check` of a denied host.
    Answer(Kind),
    /// The exit code of a command in the sandbox.
    Passed(u8),
}

impl Outcome {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Answer(kind) => kind.exit_code(),
            Self::Passed(code) => code,
        }
    }
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let codes: Vec<u8> = PRECEDENCE.iter().map(|kind| kind.exit_code()).collect();
    assert_eq!(codes, [2, 3, 8, 4, 1, 7, 6, 5]);
}

#[test]
fn of_several_kinds_the_documented_one_is_reported() {
    for (index, first) in PRECEDENCE.iter().enumerate() {
        assert_eq!(Kind::first(PRECEDENCE[index..].iter().rev().copied()), Some(*first));
    }
    assert_eq!(Kind::first([]), None);
}
