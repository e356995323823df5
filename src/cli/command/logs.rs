//! `logs`: a sandbox's console, or the output of its set-up. It is the guest's text: lines stay lines, everything else that drives a terminal is
//! shown.

use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::json;

use crate::cli::{
    context::Context,
    failure::{CommandResult, Failure, Kind, Outcome},
    output::visible,
};

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandbox
    name: String,
    /// The machine's console (default)
    #[arg(long)]
    console: bool,
    /// Output of the set-up of its last start
    #[arg(long, conflicts_with = "console")]
    setup: bool,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<usize>,
}

/// Longest line that is kept in one piece, in bytes.
const LINE_MAX: u64 = 64 * 1024;

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a log that cannot be read.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let sandbox = context.ops.machines().find(&args.name)?;
    let (log, missing) = match args.setup {
        true => (&sandbox.setup_log, "has had nothing to set up yet"),
        false => (&sandbox.console_log, "has not been started yet"),
    };
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot read the log {} of {}", log.display(), sandbox.desired.name);
        Failure::new(Kind::Failed, "log_unreadable", message).caused_by(&error)
    };
    let file = match std::fs::File::open(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            context.out.say(format!("{} {missing}", sandbox.desired.name));
            return Ok(Outcome::Done);
        }
        file => file.map_err(unreadable)?,
    };
    let mut reader = BufReader::new(file);
    let mut last = std::collections::VecDeque::new();
    while let Some(line) = line(&mut reader).map_err(unreadable)? {
        match args.tail {
            None => show(&line, context)?,
            Some(wanted) => {
                last.push_back(line);
                if last.len() > wanted {
                    last.pop_front();
                }
            }
        }
    }
    for line in last {
        show(&line, context)?;
    }
    Ok(Outcome::Done)
}

fn show(line: &str, context: &Context<'_>) -> Result<(), Failure> {
    context.out.item(&json!({ "line": line }), || format!("{}\n", visible(line)))
}

fn line(reader: &mut impl std::io::BufRead) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

#[test]
fn lines_are_bounded_and_lossless_enough() {
    let long = "x".repeat(2 * LINE_MAX as usize + 1);
    let text = format!("a\r\n\n\u{1b}[2J\n{long}");
    let mut reader = text.as_bytes();
    let lines: Vec<String> = std::iter::from_fn(|| line(&mut reader).unwrap()).collect();
    assert_eq!(&lines[..3], ["a", "", "\u{1b}[2J"]);
    assert_eq!(
        lines[3..].iter().map(String::len).collect::<Vec<_>>(),
        [LINE_MAX as usize, LINE_MAX as usize, 1]
    );
}
