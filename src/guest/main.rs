//! The guest's side.
#[path = "../wire/mod.rs"]
mod wire;
fn main() {}
