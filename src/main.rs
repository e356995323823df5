//! Dispatch, nothing more.
fn main() -> std::process::ExitCode {
    cofferdam::main()
}
