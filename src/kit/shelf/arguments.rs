//! Arguments of kits: what is declared, and what is given.

use std::collections::{BTreeMap, HashMap};

use regex_lite::{Regex, RegexBuilder};

use super::{Given, Kit};
use crate::kit::{
    de,
    document::KitDocument,
    findings::Findings,
    merge::At,
    near::{listed, similar},
    problem::{Code, Problem, Span, quoted},
    wire::{
        argument::{Argument, Scalar},
        text::ArgumentName,
    },
};

/// Longest value of an argument, in bytes: a name, a version, a path.
const VALUE_MAX: usize = 4 << 10;
/// Most that is said about the arguments of one use.
const PROBLEMS_MAX: usize = 20;
/// Largest compiled pattern, in bytes: matching takes time by this and the value's length.
const PATTERN_MAX: usize = 64 << 10;

/// An argument that a kit takes.
#[derive(Debug)]
pub(super) struct Declared {
    name: String,
    argument: Argument,
    pattern: Option<Result<Regex, String>>,
}

/// What an argument is; `None`: any value, while a kit is checked by itself.
pub(super) type Values = BTreeMap<String, Option<Scalar>>;

/// The arguments that a kit's document declares. What is wrong with their form is the schema's to say.
pub(super) fn declared(document: &KitDocument) -> Vec<Declared> {
    let written = document.node.get("spec").and_then(|spec| spec.get("args"));
    let read = written.and_then(|node| de::read::<BTreeMap<ArgumentName, Argument>>(node, &[]).ok());
    let declared = |(name, argument): (ArgumentName, Argument)| {
        let pattern = argument.pattern.as_ref().map(|pattern| compile(&pattern.value));
        Declared { name: name.0, argument, pattern }
    };
    read.unwrap_or_default().into_iter().map(declared).collect()
}

/// A pattern for the whole of a value.
fn compile(pattern: &str) -> Result<Regex, String> {
    let whole = format!("^(?:{pattern})$");
    RegexBuilder::new(&whole).size_limit(PATTERN_MAX).build().map_err(|error| error.to_string())
}

/// Checks declarations by themselves.
pub(super) fn check(declared: &[Declared], findings: &mut Findings) {
    for declared in declared {
        if let Some((span, message, help)) = declared.wrong() {
            findings.push(findings.at(Code::Argument, span, message).help(help));
        } else if let Some(default) = &declared.argument.default
            && let Err((message, help)) = declared.fits(&default.value)
        {
            findings.push(findings.at(Code::Argument, default.span, message).help(help));
        }
    }
}

/// Values to check a kit with by itself.
pub(super) fn samples(declared: &[Declared]) -> Values {
    let sample = |argument: &Declared| {
        let first = argument.argument.words.as_ref().and_then(|words| words.first());
        argument.argument.default.as_ref().or(first).map(|value| value.value.clone())
    };
    declared.iter().map(|argument| (argument.name.clone(), sample(argument))).collect()
}

/// The values for one use of a kit.
///
/// # Errors
/// What is wrong, at that use; of very much the first.
pub(super) fn values(kit: &Kit, given: &Given, at: &At) -> Result<Values, Vec<Problem>> {
    let mut problems = Vec::new();
    let declared: HashMap<&str, &Declared> = kit.arguments.iter().map(|it| (it.name.as_str(), it)).collect();
    let here = |span: Span| At { span, ..at.clone() };
    for (name, value) in given {
        let wrong = match declared.get(name.0.as_str()) {
            Some(declared) => declared.fits(&value.value),
            None => Err(undeclared(kit, &name.0)),
        };
        if let Err((message, help)) = wrong {
            problems.push(here(value.span).problem(Code::Argument, message).help(help));
        }
        if problems.len() == PROBLEMS_MAX {
            return Err(problems);
        }
    }
    let given: HashMap<&str, &Scalar> = given.iter().map(|(name, it)| (name.0.as_str(), &it.value)).collect();
    let mut values = Values::new();
    for declared in &kit.arguments {
        let default = declared.argument.default.as_ref().map(|default| &default.value);
        if let Some(value) = given.get(declared.name.as_str()).copied().or(default) {
            values.insert(declared.name.clone(), Some(value.clone()));
        } else if problems.len() < PROBLEMS_MAX {
            let message =
                format!("the kit {} needs its argument {}", quoted(&kit.name), quoted(&declared.name));
            let help = format!("write {{kit: {}, args: {{{}: …}}}}", kit.name, declared.name);
            problems.push(at.problem(Code::Argument, message).help(help));
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

/// That a kit takes no such argument, and what to do.
fn undeclared(kit: &Kit, name: &str) -> (String, String) {
    let known = || kit.arguments.iter().map(|declared| declared.name.as_str());
    let help = match similar(name, known()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if kit.arguments.is_empty() => "it takes none".to_owned(),
        None => format!("it takes {}", listed(known())),
    };
    (format!("the kit {} has no argument {}", quoted(&kit.name), quoted(name)), help)
}

impl Declared {
    /// What is wrong with the declaration, where, and what to do.
    fn wrong(&self) -> Option<(Span, String, &'static str)> {
        let name = quoted(&self.name);
        let argument = &self.argument;
        if let Some(required) = argument.required.as_ref().filter(|required| !required.value) {
            let message = format!("the argument {name} is not required and has no default");
            return Some((required.span, message, "write `default:` with the value that it then has"));
        }
        if let (Some(words), Some(pattern)) = (&argument.words, &argument.pattern) {
            let message = format!("the argument {name} has `enum` and `pattern`, which exclude each other");
            let words = words.first().map(|word| word.span);
            let span = words.filter(|words| words.start > pattern.span.start).unwrap_or(pattern.span);
            return Some((span, message, "keep one of the two"));
        }
        if let (Some(Err(error)), Some(written)) = (&self.pattern, &argument.pattern) {
            let message = format!("this is no pattern: {error}");
            return Some((written.span, message, "write a regular expression without look-around"));
        }
        let mut values = argument.words.iter().flatten().chain(&argument.default);
        let first = values.next()?.value.word();
        let other = values.find(|value| value.value.word() != first)?;
        let message = format!("the values of the argument {name} are of two sorts");
        Some((other.span, message, "quote all of them, or none"))
    }

    /// Whether a value is one that the argument may have; if not, why and what to do.
    fn fits(&self, value: &Scalar) -> Result<(), (String, String)> {
        let name = quoted(&self.name);
        let text = value.to_string();
        let cannot = || format!("the argument {name} cannot be {}", quoted(&text));
        if text.len() > VALUE_MAX || text.contains("${{") || text.chars().any(char::is_control) {
            let message =
                format!("the argument {name} is one line of at most {VALUE_MAX} bytes, without expressions");
            return Err((message, "write the value itself".to_owned()));
        }
        if let Some(words) = &self.argument.words {
            if words.iter().any(|word| word.value == *value) {
                return Ok(());
            }
            let words: Vec<_> = words.iter().map(|word| word.value.to_string()).collect();
            let help = match similar(&text, words.iter().map(String::as_str)) {
                Some(near) if near != text => format!("did you mean `{near}`?"),
                _ => format!("it is one of {}", listed(words.iter().map(String::as_str))),
            };
            return Err((cannot(), help));
        }
        let sort = match (&self.pattern, &self.argument.default) {
            (Some(_), _) => Some("text"),
            (None, default) => default.as_ref().map(|default| default.value.word()),
        };
        if let Some(sort) = sort.filter(|sort| *sort != value.word()) {
            let message = format!("the argument {name} must be {sort}, not {}", value.word());
            let quotes = || format!("write \"{text}\" in quotes");
            return Err((message, if sort == "text" { quotes() } else { format!("write {sort}") }));
        }
        match (&self.pattern, &self.argument.pattern) {
            (Some(Ok(pattern)), Some(written)) if !pattern.is_match(&text) => {
                Err((cannot(), format!("its form is {}", quoted(&written.value))))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn patterns_hold_for_the_whole_value_and_are_bounded() {
        assert!(!compile("[a-z]+").unwrap().is_match("a1"));
        assert!(!compile("a|b").unwrap().is_match("ab"));
        assert!(!compile("a").unwrap().is_match("a\n"));
        assert!(compile("(a{1000}){1000}").is_err(), "this would take long to match");
    }
}
