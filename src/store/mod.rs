//! The state directory: what this host remembers of its sandboxes between processes.
//!
//! It exists so that every process (a command, a keeper, a watcher) sees the same whole state, whenever any of them
//! was killed. The files own the state; nothing is cached here. Layout, everything the owner's alone:
//!
//! ```text
//! version                  format of all this; a newer one is refused
//! lock                     held while sandboxes are created or removed
//! audit/ audit.lock        trail of the host (`audit::Trail`), and whose turn it is to write it
//! removed/<name>-<id>/     trail of a sandbox that is no more
//! policy/user.json         this user's own rules
//! policy/owner-<hash>.json this user's rules for one repository's sandboxes
//! policy/approvals-<hash>.json what was approved for them, and what waits
//! policy/tips-<hash>.json  the newest signed commits of trusted refs that were seen there
//! sandboxes/<id>/
//!     record.json          identity and desired state
//!     status.json          what the keeper saw last
//!     template.json        on which template its system disk stands
//!     policy.json          rules of this sandbox's session
//!     ports.json           ports that commands published or withdrew
//!     placeholders.json    what stands for each secret in the guest
//!     names.jsonl          synthetic addresses, appended
//!     sockets              where its sockets are, as one path
//!     life.lock            held by the keeper while it lives
//!     edit.lock            held while one of the JSON files is changed
//!     system.next.img template.next.json   a renewal that was killed
//!     system.img data.img console.log setup.log audit/
//! ```
//!
//! Guarantee: killed at any point, the next reader sees the old state or the new one. Files are replaced by rename,
//! folders appear and disappear by rename, and what a crash left under a name with a leading dot is no state.
//! Read [`file`](mod@file) for the replacing, [`state`] for the directory, [`sandbox`] for the life of one record.
//!
//! What is absent: no environment and no clock; callers pass both.

pub mod answers;
pub mod approvals;
mod edit;
pub mod file;
pub mod find;
pub mod lock;
pub mod names;
pub mod owner;
pub mod placeholders;
pub mod places;
pub mod ports;
mod renewal;
pub mod rules;
pub mod sandbox;
pub mod sockets;
pub mod stack;
pub mod state;
pub mod tips;
pub mod trail;

pub use self::{
    approvals::{Approval, Approvals, ApprovalsError, Definition, FromRef, How, Parked, Rejection},
    edit::UpdateError,
    file::StoreError,
    find::{FindError, find},
    lock::Lock,
    names::NameTable,
    owner::Owner,
    places::Places,
    ports::PortSet,
    rules::{Added, RuleSet, Scope},
    sandbox::{CreateError, Listing, NewSandbox, Record, RemoveError, Unreadable},
    state::{SandboxDir, Store},
};
