//! Whatever a file does to its reader, the work grows no faster than the file, the memory stays within a multiple of
//! it, and the answer is an error with its place. Every format that anybody may have written is held to that.

mod attacks;

use std::time::Duration;

use miette::Diagnostic as _;

use super::*;
use crate::sys::meter::{Cost, measure};
use attacks::{ATTACKS, Attack, HEAD, MEANINGS, document, lines};

/// Something that reads a file of anybody's; what is wrong with it, where something is.
struct Format {
    name: &'static str,
    read: fn(&[u8]) -> Vec<Problem>,
}

const FORMATS: [Format; 7] = [
    Format { name: "sandbox.yaml", read: sandbox },
    Format { name: "spec.yaml", read: |bytes| docker::import("spec.yaml", bytes).err().unwrap_or_default() },
    Format { name: "sandbox.lock", read: |bytes| read_lock("sandbox.lock", bytes).err().unwrap_or_default() },
    Format { name: "config.yaml", read: operator },
    Format { name: "sbxenv.yaml", read: sbxenv },
    Format {
        name: "devcontainer.json",
        read: |bytes| import::devcontainer("devcontainer.json", bytes, "shell").err().unwrap_or_default(),
    },
    Format {
        name: ".mcp.json",
        read: |bytes| {
            import::mcp_servers(".mcp.json", bytes).err().map(|problem| vec![*problem]).unwrap_or_default()
        },
    },
];

fn sandbox(bytes: &[u8]) -> Vec<Problem> {
    match check(&[file("sandbox.yaml", bytes)], BesideAll::default(), None, &context()) {
        Err(LoadError::Invalid(problems)) => problems,
        _ => Vec::new(),
    }
}

fn operator(bytes: &[u8]) -> Vec<Problem> {
    let context =
        ConfigContext { name: "config.yaml".into(), folder: "/etc/x".into(), home: "/home/u".into() };
    config(bytes, &context).err().map(|error| error.0).unwrap_or_default()
}

fn sbxenv(bytes: &[u8]) -> Vec<Problem> {
    let knows = |name: &str| name == "claude";
    import::sbxenv("sbxenv.yaml", bytes, "shell", &knows, &knows).err().unwrap_or_default()
}

/// Bytes of a small file, and by how much the large one is larger.
const SMALL: usize = 12 << 10;
const TIMES: u32 = 8;
/// How much more than in proportion the large file may cost: what grows with the square costs [`TIMES`] times more.
const SLACK: u32 = 3;
/// Work that is the same for every file, and what a clock cannot tell apart.
const BASE: Cost = Cost { asked: 1 << 20, peak: 4 << 20, cpu: Duration::from_millis(10) };
/// Most memory held per byte of the file.
const HELD_PER_BYTE: u64 = 160;

/// What is wrong with what reading costs.
fn judge(small: Cost, large: Cost, large_bytes: usize) -> Option<String> {
    let most = u64::from(TIMES * SLACK);
    let held = BASE.peak + HELD_PER_BYTE * large_bytes as u64;
    if large.asked > BASE.asked + most * small.asked {
        return Some(format!(
            "asks for {} bytes, and for {} of a file {TIMES} times as large",
            small.asked, large.asked
        ));
    }
    if large.peak > held {
        return Some(format!("holds {} bytes for a file of {large_bytes}", large.peak));
    }
    let most_cpu = BASE.cpu + small.cpu * (TIMES * SLACK);
    (large.cpu > most_cpu)
        .then(|| format!("takes {:?}, and {:?} for a file {TIMES} times as large", small.cpu, large.cpu))
}

/// What is wrong with how `read` bears an attack. Caches of the processor are shared with others: the best of a few.
fn bear(read: fn(&[u8]) -> Vec<Problem>, make: fn(usize) -> Vec<u8>) -> Result<Vec<Problem>, String> {
    let (small, large) = (make(SMALL), make(SMALL * TIMES as usize));
    // What is made once, such as the compiled schemas, is nobody's.
    drop(read(&small));
    let mut wrong = None;
    for _ in 0..4 {
        let (_, cost_small) = measure(|| read(&small));
        let (problems, cost_large) = measure(|| read(&large));
        wrong = judge(cost_small, cost_large, large.len());
        if wrong.is_none() {
            return Ok(problems);
        }
    }
    Err(wrong.unwrap_or_default())
}

/// What is wrong with what is said about a hostile file.
fn bad_answer(format: &Format, attack: &Attack, problems: &[Problem]) -> Option<String> {
    // Of each file a hundred and one that says that there are more, and so many of kits.
    if problems.len() > 601 {
        return Some(format!("{} findings", problems.len()));
    }
    // Other tools' files may hold what we do not know.
    if problems.is_empty() && !attack.harmless && format.name == FORMATS[0].name {
        return Some("not refused".to_owned());
    }
    let bad = |it: &&Problem| {
        it.line() == 0
            || it.column() == 0
            || it.to_line().len() > 4_096
            || it.to_line().contains(char::is_control)
    };
    problems.iter().find(bad).map(|problem| format!("{problem:?}").chars().take(300).collect())
}

#[test]
fn hostile_files_are_bounded() {
    let pairs = FORMATS.iter().flat_map(|format| ATTACKS.iter().map(move |attack| (format, attack)));
    let pairs = pairs.chain(MEANINGS.iter().map(|attack| (&FORMATS[0], attack)));
    let mut failed = Vec::new();
    for (format, attack) in pairs {
        let what = format!("{}: {}", format.name, attack.name);
        let problems = match bear(format.read, attack.make) {
            Ok(problems) => problems,
            Err(wrong) => {
                failed.push(format!("{what}: {wrong}"));
                continue;
            }
        };
        failed.extend(bad_answer(format, attack, &problems).map(|wrong| format!("{what}: {wrong}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_file_beyond_the_bound_is_not_looked_at() {
    for format in &FORMATS {
        let large = vec![b'#'; FILE_MAX + 1];
        let (problems, cost) = measure(|| (format.read)(&large));
        assert!(problems.len() == 1 && problems[0].line() == 1, "{}: {problems:?}", format.name);
        // A copy of it may be made, its characters are not looked at.
        assert!(cost.peak <= BASE.peak + large.len() as u64, "{}: {cost:?}", format.name);
    }
}

/// The breaks: a reader that looks back over the whole file at each line, and one that keeps it for each.
#[test]
fn a_reader_whose_work_grows_with_the_square_is_found_out() {
    let comments = |size| lines(size, |_| "#\n".into());
    let looks_back = |bytes: &[u8]| {
        let back = |end: usize| bytes[..end].iter().map(|sign| usize::from(*sign)).sum::<usize>();
        assert!((0..bytes.len()).step_by(32).map(back).max() < Some(usize::MAX));
        Vec::new()
    };
    assert!(bear(looks_back, comments).is_err_and(|wrong| wrong.starts_with("takes ")));
    let copies = |bytes: &[u8]| {
        (0..bytes.len()).step_by(2).for_each(|end| drop(std::hint::black_box(bytes[..end].to_vec())));
        Vec::new()
    };
    assert!(bear(copies, comments).is_err_and(|wrong| wrong.starts_with("asks for ")));
    let hoards = |bytes: &[u8]| {
        let kept: Vec<_> = (0..1_000).map(|_| bytes.to_vec()).collect();
        assert_eq!(kept.len(), 1_000);
        Vec::new()
    };
    assert!(bear(hoards, comments).is_err_and(|wrong| wrong.starts_with("holds ")));
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_change_no_place() {
    let text = format!("{HEAD}  netwrok: 1\n");
    let plain = super::lines(&text);
    assert_eq!(super::lines(&format!("\u{feff}{}", text.replace('\n', "\r\n"))), plain);
    assert!(plain[0].starts_with("sandbox.yaml:6:3: "), "{plain:?}");
}

/// Found by fuzzing: the suggestion for an unknown name repeated a wrong one with its tab.
#[test]
fn what_a_finding_suggests_is_made_visible_too() {
    let text = [
        document("Sandbox", "s", "  agent: helper\n  kits: [{kit: m, args: {leval: x}}]\n"),
        document("Agent", "\"h\\tlper\"", "  command: {interactive: [x]}\n"),
        document(
            "Mixin",
            "m",
            "  args: {\"lev\\e[2Jel\": {default: x}, level: {default: x, enum: [\"a\\x07b\"]}}\n",
        ),
    ]
    .concat();
    for line in super::lines(&text) {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

/// Sandboxes, each of which holds all of a few large kits.
fn sharing(sandboxes: usize) -> Vec<u8> {
    let names: Vec<_> = (0..10).map(|n| format!("m{n}")).collect();
    let content = "x".repeat(60_000);
    let kit = |name: &String| {
        document("Mixin", name, &format!("  files:\n  - {{path: ~/{name}, content: {content}}}\n"))
    };
    let spec = format!("  agent: shell\n  kits: [{}]\n", names.join(", "));
    let sandbox = |n: usize| document("Sandbox", &format!("s{n}"), &spec);
    names.iter().map(kit).chain((0..sandboxes).map(sandbox)).collect::<String>().into_bytes()
}

#[test]
fn nothing_is_put_together_once_the_whole_is_too_large() {
    let cost = |count| {
        let bytes = sharing(count);
        let (problems, cost) = measure(|| sandbox(&bytes));
        let told: Vec<_> = problems.iter().map(Problem::to_line).collect();
        assert!(told.len() == 1 && told[0].contains("hold too much together"), "{told:?}");
        cost
    };
    let (some, more) = (cost(300), cost(900));
    assert!(more.asked < some.asked + some.asked / 2, "{some:?} {more:?}");
    assert!(more.peak < 192 << 20, "{more:?}");
}

/// Each of them would be a grant of its own, with what is denied of it.
#[test]
fn more_rules_than_are_compared_are_refused() {
    let rules = |allows: usize, denies: usize| {
        let allow = (0..allows).map(|n| format!("    - {{allow: a{n}.vendor.example, why: x}}\n"));
        let deny = (0..denies).map(|n| format!("    - {{deny: d{n}.vendor.example}}\n"));
        let rules: String = allow.chain(deny).collect();
        document("Sandbox", "s", &format!("  agent: shell\n  network:\n    rules:\n{rules}"))
    };
    let told = |allows, denies| -> Vec<String> {
        sandbox(rules(allows, denies).as_bytes()).iter().map(Problem::to_line).collect()
    };
    assert!(told(100, 900).is_empty(), "{:?}", told(100, 900));
    let many = told(2_100, 0);
    assert!(many.len() == 1 && many[0].contains("at most 2000 requests"), "{many:?}");
    let pairs = told(600, 600);
    assert!(pairs.len() == 1 && pairs[0].contains("too many together"), "{pairs:?}");
}

/// Kits that put a long argument in wherever one may stand, alone or in a text.
fn filled(kits: usize, text: &str) -> Vec<u8> {
    let value = "x".repeat(4_000);
    let kit = |n: usize| {
        let env: String = (0..3_000).map(|key| format!("    A{key}: \"{text}\"\n")).collect();
        document("Mixin", &format!("m{n}"), &format!("  args: {{a: {{default: {value}}}}}\n  env:\n{env}"))
    };
    (0..kits).map(kit).collect::<String>().into_bytes()
}

/// Found through the binary: 400 KB of `${{ args.a }}` became 2.6 GB.
#[test]
fn what_arguments_make_of_kits_is_bounded() {
    for text in ["${{ args.a }}", "-${{ args.a }}-"] {
        let (problems, one) = measure(|| sandbox(&filled(1, text)));
        assert!(problems.iter().any(|it| it.code == Code::TooLarge), "{problems:?}");
        assert!(one.peak < 64 << 20, "{one:?}");
        let (problems, many) = measure(|| sandbox(&filled(40, text)));
        assert!(problems.len() < 601 && many.peak < 256 << 20, "{many:?}");
    }
}

#[test]
fn of_a_place_with_many_lines_the_first_is_drawn() {
    let text = format!("{HEAD}  files:\n  - path: ~/x\n    content: |\n{}", "      line\n".repeat(40_000));
    let problems = sandbox(text.as_bytes());
    let drawn: Vec<_> = problems[0].labels().expect("it has a place").map(|label| label.len()).collect();
    assert!(problems.len() == 1 && drawn[0] < 100, "{drawn:?}");
}
