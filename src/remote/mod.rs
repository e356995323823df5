//! Kits from elsewhere, on this host: a repository is fetched, what was fetched is kept.
//!
//! **Why the host's `git` and not a library.** `git2` is built without TLS on purpose (one TLS stack, rustls); giving it
//! our own client as a transport would put a smart protocol, proxies, and C code that parses what a stranger's server
//! sends into the command's own process. `git` does that in a process of its own that can be limited, is on every host
//! where such a kit is wanted, and is asked for nothing but a pack: an empty bare repository below the cache, one commit
//! deep, no tags, no submodules, no configuration, hook, filter, credential or terminal of anybody, one protocol, no
//! redirection, every object checked, a limit on time, memory and file size (`git`). Nothing is checked out. What came is
//! read from objects by whoever called (`review` does that for any repository), refused if it holds a link, and kept as
//! the archive that `kit pack` would write, under its sum (`cache`). The temporary repository is gone when that is done.
//!
//! Nothing here decides *whether* to fetch: that is the command's, whose user named the source or asked for `update`.

mod cache;
mod git;

pub use cache::KitCache;
#[cfg(test)]
pub(crate) use git::stage;
pub use git::{FetchError, Fetched, Git};
