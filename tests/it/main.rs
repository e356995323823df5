//! Everything that is tested from outside the library, in one binary: one link step, one process.

mod alone;
mod imports;
mod machine;
mod planted;
mod source;
