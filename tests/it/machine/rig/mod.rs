//! What the stories stand on: a home of their own for the program, servers on loopback that note what arrives, a
//! terminal, and a look at the processes behind a sandbox.

mod home;
mod processes;
mod reaper;
mod search;
mod shared;
mod terminal;
mod upstream;

pub use self::{
    home::{Home, Output, cache as boot_files, piped},
    processes::{Processes, launchers},
    search::{file_holds, memory_holds},
    shared::{KEY, PROXY, shared},
    terminal::Terminal,
    upstream::{Authority, Certificate, Upstream},
};
