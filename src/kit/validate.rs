//! Holds a document against its schema and reports everything that differs, each at its place with the fix.

use std::fmt;

use super::{
    findings::Findings,
    near::{listed, similar},
    problem::{Code, Span, quoted},
    shape::{Form, Further, Shape, Sort},
    tree::{Key, Kind, Node},
};

/// Validates a document. What it finds stands in `findings`.
pub(super) fn validate(root: &Node, shape: &Shape, findings: &mut Findings) {
    Validator { findings }.node(root, shape, &Path::Root, root.head());
}

/// Where in the document the validator stands; spelt out only when something is wrong there.
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => formatter.write_str("the document"),
            Self::Key(Self::Root, key) => formatter.write_str(key),
            Self::Key(above, key) => write!(formatter, "{above}.{key}"),
            Self::Item(above, index) => write!(formatter, "{above}[{index}]"),
        }
    }
}

impl Path<'_> {
    /// The path as a message names it.
    fn name(&self) -> String {
        match self {
            Self::Root => self.to_string(),
            _ => quoted(&self.to_string()),
        }
    }
}

struct Validator<'a> {
    findings: &'a mut Findings,
}

impl Validator<'_> {
    /// `at` is the key or item that holds the node: what is missing inside is reported there.
    fn node(&mut self, node: &Node, shape: &Shape, path: &Path<'_>, at: Span) {
        if node.kind == Kind::Open {
            return;
        }
        if let Some(reason) = &shape.refused {
            let problem = self.findings.at(Code::Secret, at, reason.clone());
            self.findings.push(problem.help(shape.form_in_words.clone().unwrap_or_default()));
            return;
        }
        if !shape.branches.is_empty() {
            self.branches(node, shape, path, at);
        } else if shape.sort.is_some_and(|sort| !sort.is(&node.kind)) {
            return self.wrong_type(node, shape, path, at);
        } else {
            self.content(node, shape, path, at);
        }
        if shape.not_available {
            self.not_available(&path.name(), at);
        }
    }

    fn content(&mut self, node: &Node, shape: &Shape, path: &Path<'_>, at: Span) {
        match &node.kind {
            Kind::Map(entries) => self.map(entries, shape, path, at),
            Kind::List(items) => self.list(items, shape, path, at),
            Kind::Text(text) => self.text(text, node.span, shape, path),
            Kind::Int(number) => self.number(*number, node.span, shape, path),
            Kind::Null | Kind::Bool(_) | Kind::Float(_) | Kind::Open => {}
        }
    }

    fn not_available(&mut self, what: &str, at: Span) {
        let problem = self.findings.at(Code::NotAvailable, at, format!("{what} is not available yet"));
        let help = "it is part of the format and this version does not carry it out; remove it for now";
        self.findings.push(problem.label("not available yet").help(help));
    }

    /// Goes on with the alternative that is meant: by sort of value, then by keys.
    fn branches(&mut self, node: &Node, shape: &Shape, path: &Path<'_>, at: Span) {
        let fitting =
            || shape.branches.iter().filter(|branch| branch.sort.is_none_or(|sort| sort.is(&node.kind)));
        let has = |key: &String| node.get(key).is_some();
        let complete = |branch: &&Shape| !branch.required.is_empty() && branch.required.iter().all(has);
        let related = |branch: &&Shape| branch.keys.keys().any(has);
        let meant = fitting().find(complete).or_else(|| fitting().find(related)).or_else(|| fitting().last());
        match meant {
            Some(branch) => self.node(node, branch, path, at),
            None => self.wrong_type(node, shape, path, at),
        }
    }

    fn wrong_type(&mut self, node: &Node, shape: &Shape, path: &Path<'_>, at: Span) {
        let wanted = wanted(shape);
        let message = format!("{} must be {wanted}, not {}", path.name(), node.kind.word());
        let written = self.findings.source().slice(node.span).to_owned();
        let scalar = matches!(node.kind, Kind::Bool(_) | Kind::Int(_) | Kind::Float(_));
        let takes =
            |sort| shape.sort == Some(sort) || shape.branches.iter().any(|branch| branch.sort == Some(sort));
        let in_form = shape.form.as_ref().is_none_or(|form| form.pattern.is_match(&written));
        let help = match (&node.kind, &shape.form) {
            (_, Some(form)) if !in_form => form.in_words.clone(),
            // A whole text that is an argument has the argument's sort.
            _ if scalar && takes(Sort::Text) && written.starts_with(['"', '\'']) => {
                "give the argument a value that is text: in quotes where it is declared and given".to_owned()
            }
            _ if scalar && takes(Sort::Text) => format!("write \"{written}\" in quotes"),
            // YAML's other word for nothing is a folder to whoever writes it.
            (Kind::Null, _) if takes(Sort::Text) && written == "~" => {
                "write \"~\" in quotes: without them it is YAML's word for nothing".to_owned()
            }
            (Kind::Null, _) => format!("write {wanted} after the key, or remove the key"),
            (Kind::Text(_), _) if takes(Sort::Bool) => "write true or false".to_owned(),
            (Kind::Text(text), _) if takes(Sort::List) && text.len() < 60 => format!("write [{written}]"),
            (Kind::Text(text), _) if takes(Sort::Int) && text.parse::<i64>().is_ok() => {
                format!("write {text}")
            }
            (Kind::Float(_), _) if takes(Sort::Int) => "write a whole number, without a point".to_owned(),
            _ if shape.sort == Some(Sort::List) => "write a list: [one, another]".to_owned(),
            _ if shape.sort == Some(Sort::Map) && !shape.keys.is_empty() => {
                let keys = match shape.required.is_empty() {
                    true => listed(shape.keys.keys().map(String::as_str)),
                    false => listed(shape.required.iter().map(String::as_str)),
                };
                format!("write a mapping with its keys: {keys}")
            }
            _ => shape.about.as_deref().map_or_else(|| format!("write {wanted}"), one_line),
        };
        let span = if node.span.start == node.span.end { at } else { node.head() };
        let problem = self.findings.at(Code::WrongType, span, message);
        self.findings.push(problem.label(format!("must be {wanted}")).help(help));
    }

    fn map(&mut self, entries: &[(Key, Node)], shape: &Shape, path: &Path<'_>, at: Span) {
        for (key, node) in entries {
            let inner = Path::Key(path, &key.text);
            match (shape.keys.get(&key.text), &shape.further) {
                (Some(shape), _) => self.node(node, shape, &inner, key.span),
                (None, Further::Any) => {}
                (None, Further::Of(shape_of_value)) => {
                    self.key(key, shape.key_form.as_ref(), path);
                    self.node(node, shape_of_value, &inner, key.span);
                }
                (None, Further::None) => self.unknown_key(key, shape, path),
            }
        }
        if entries.len() < shape.keys_min {
            self.empty(shape, path, at);
        }
        self.required(entries, shape, path, at);
        self.needed(entries, shape, path, at);
        if !shape.choices.is_empty() {
            self.choice(entries, shape, path, at);
        }
    }

    /// Reports the keys that must be there. One that is misspelt is told once, where it stands, and not also as missing.
    fn required(&mut self, entries: &[(Key, Node)], shape: &Shape, path: &Path<'_>, at: Span) {
        let known = || shape.keys.keys().map(String::as_str);
        let told = matches!(shape.further, Further::None) && !self.findings.is_full();
        let unknown = entries.iter().filter(|(key, _)| told && !shape.keys.contains_key(&key.text));
        let meant: Vec<&str> = unknown.filter_map(|(key, _)| similar(&key.text, known())).collect();
        let has = |wanted: &str| entries.iter().any(|(key, _)| key.text == wanted) || meant.contains(&wanted);
        for wanted in shape.required.iter().filter(|key| !has(key)) {
            self.missing(wanted, shape, path, at);
        }
    }

    /// Reports keys that need another one beside them, and that none is there of which one must be.
    fn needed(&mut self, entries: &[(Key, Node)], shape: &Shape, path: &Path<'_>, at: Span) {
        let has = |wanted: &String| entries.iter().any(|(key, _)| key.text == *wanted);
        for (key, _) in entries {
            for wanted in shape.needs.get(&key.text).into_iter().flatten().filter(|wanted| !has(wanted)) {
                let message = format!("{} needs `{wanted}`", Path::Key(path, &key.text).name());
                let help = format!("{}, or remove `{}`", add(wanted, shape), key.text);
                self.findings.push(self.findings.at(Code::MissingKey, key.span, message).help(help));
            }
        }
        if let Some(first) = shape.some_of.first().filter(|_| !shape.some_of.iter().any(has)) {
            let keys: Vec<_> = shape.some_of.iter().map(|key| format!("`{key}`")).collect();
            let message = format!("{} needs {}", path.name(), keys.join(" or "));
            self.findings.push(self.findings.at(Code::MissingKey, at, message).help(add(first, shape)));
        }
    }

    fn key(&mut self, key: &Key, form: Option<&Form>, path: &Path<'_>) {
        let Some(form) = form.filter(|form| !form.pattern.is_match(&key.text)) else { return };
        let message = format!("{} cannot be a key of {}", quoted(&key.text), path.name());
        let problem = self.findings.at(Code::WrongValue, key.span, message);
        self.findings.push(problem.help(form.in_words.clone()));
    }

    fn unknown_key(&mut self, key: &Key, shape: &Shape, path: &Path<'_>) {
        if self.findings.is_full() {
            return;
        }
        let message = format!("unknown key {} in {}", quoted(&key.text), path.name());
        let known = || shape.keys.keys().map(String::as_str);
        let help = match similar(&key.text, known()) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => format!("known here: {}", listed(known())),
        };
        let problem = self.findings.at(Code::UnknownKey, key.span, message);
        self.findings.push(problem.label("not known here").help(help));
    }

    fn missing(&mut self, key: &str, shape: &Shape, path: &Path<'_>, at: Span) {
        let problem = self.findings.at(Code::MissingKey, at, format!("{} lacks `{key}`", path.name()));
        self.findings.push(problem.label(format!("`{key}` is missing")).help(add(key, shape)));
    }

    fn choice(&mut self, entries: &[(Key, Node)], shape: &Shape, path: &Path<'_>, at: Span) {
        let has = |wanted: &String| entries.iter().any(|(key, _)| key.text == *wanted);
        let present: Vec<_> = shape.choices.iter().filter(|set| set.first().is_some_and(has)).collect();
        let firsts = |sets: &mut dyn Iterator<Item = &Vec<String>>| {
            sets.filter_map(|set| set.first()).map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
        };
        let message = match present.as_slice() {
            [set] => {
                for wanted in set.iter().filter(|key| !has(key)) {
                    self.missing(wanted, shape, path, at);
                }
                return;
            }
            [] => format!("{} needs one of {}", path.name(), firsts(&mut shape.choices.iter())),
            several => format!(
                "{} has {}, which exclude each other",
                path.name(),
                firsts(&mut several.iter().copied())
            ),
        };
        let problem = self.findings.at(Code::MissingKey, at, message);
        self.findings.push(problem.help("write exactly one of them; make two entries of it for two"));
    }

    fn list(&mut self, items: &[Node], shape: &Shape, path: &Path<'_>, at: Span) {
        if items.len() < shape.items_min {
            self.empty(shape, path, at);
        }
        if let Some((excess, max)) = shape.items_max.and_then(|max| Some((items.get(max)?, max))) {
            let message = format!("{} has at most {max} entries, here are {}", path.name(), items.len());
            let problem = self.findings.at(Code::TooLarge, excess.head(), message);
            return self.findings.push(problem.help("leave some out"));
        }
        for (index, item) in items.iter().enumerate() {
            let first = shape.first.as_ref().filter(|_| index == 0);
            let Some(shape) = first.or(shape.items.as_ref()) else { return };
            self.node(item, shape, &Path::Item(path, index), item.head());
        }
        self.contains(items, shape);
    }

    /// Reports a list without the one item that it must have. One that is still open may become it.
    fn contains(&mut self, items: &[Node], shape: &Shape) {
        let (Some(wanted), Some(first)) = (&shape.contains, items.first()) else { return };
        let (Some(form), Some(about)) = (&wanted.form, &wanted.about) else { return };
        let is_it = |item: &Node| {
            item.kind == Kind::Open || item.text().is_some_and(|text| form.pattern.is_match(text))
        };
        if !items.iter().any(is_it) {
            let problem = self.findings.at(Code::MissingKey, first.head(), about.clone());
            self.findings.push(problem.help(form.in_words.clone()));
        }
    }

    /// Reports a list or mapping that holds nothing: a reader could take it for nothing or for everything.
    fn empty(&mut self, shape: &Shape, path: &Path<'_>, at: Span) {
        let wanted = match shape.keys.is_empty() {
            true => "at least one entry".to_owned(),
            false => format!("at least one of {}", listed(shape.keys.keys().map(String::as_str))),
        };
        let help = match path {
            Path::Item(..) => format!("write {wanted}, or remove the entry"),
            _ => format!("write {wanted}, or remove the key"),
        };
        let problem = self.findings.at(Code::WrongValue, at, format!("{} cannot be empty", path.name()));
        let about = shape.about.as_deref().filter(|_| shape.keys.is_empty());
        let about = about.map(|about| format!(" ({})", one_line(about))).unwrap_or_default();
        self.findings.push(problem.help(format!("{help}{about}")));
    }

    fn text(&mut self, text: &str, span: Span, shape: &Shape, path: &Path<'_>) {
        if !shape.words.is_empty() {
            return self.word(text, span, shape, path);
        }
        let length = text.chars().count();
        let in_words = |form: &Form| form.in_words.clone();
        let deviates = shape.form.as_ref().filter(|form| !form.pattern.is_match(text));
        let help = match (deviates, shape.text_max) {
            (_, Some(max)) if length > max => format!("write at most {max} characters"),
            (Some(form), _) => in_words(form),
            (None, _) if length < shape.text_min => "write a text".to_owned(),
            (None, _) => return,
        };
        let message = match text {
            "" => format!("{} cannot be empty", path.name()),
            _ => format!("{} cannot be {}", path.name(), quoted(text)),
        };
        let problem = self.findings.at(Code::WrongValue, span, message);
        self.findings.push(problem.help(help));
    }

    fn word(&mut self, text: &str, span: Span, shape: &Shape, path: &Path<'_>) {
        match shape.words.iter().find(|word| word.text == text) {
            Some(word) if word.not_available => {
                self.not_available(&format!("{} in {}", quoted(text), path.name()), span)
            }
            Some(_) => {}
            None => {
                let known = || shape.words.iter().map(|word| word.text.as_str());
                let message = format!("{} cannot be {}", path.name(), quoted(text));
                let help = match similar(text, known()) {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None => format!("write one of {}", listed(known())),
                };
                let problem = self.findings.at(Code::WrongValue, span, message);
                self.findings.push(problem.help(help));
            }
        }
    }

    fn number(&mut self, number: i64, span: Span, shape: &Shape, path: &Path<'_>) {
        let (low, high) = shape.range;
        if low.is_none_or(|low| low <= number) && high.is_none_or(|high| number <= high) {
            return;
        }
        let help = match (low, high) {
            (Some(low), Some(high)) => format!("write a number from {low} to {high}"),
            (Some(low), None) => format!("write a number not below {low}"),
            (None, Some(high)) => format!("write a number not above {high}"),
            (None, None) => return,
        };
        let problem = self.findings.at(Code::WrongValue, span, format!("{} cannot be {number}", path.name()));
        self.findings.push(problem.help(help));
    }
}

impl Sort {
    fn is(self, kind: &Kind) -> bool {
        matches!(
            (self, kind),
            (Self::Bool, Kind::Bool(_))
                | (Self::Int, Kind::Int(_))
                | (Self::Text, Kind::Text(_))
                | (Self::List, Kind::List(_))
                | (Self::Map, Kind::Map(_))
        )
    }

    fn word(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Map => "a mapping",
        }
    }
}

/// The sorts of value that a shape takes, in words.
fn wanted(shape: &Shape) -> String {
    let mut words: Vec<_> = shape
        .sort
        .iter()
        .chain(shape.branches.iter().flat_map(|branch| &branch.sort))
        .map(|sort| sort.word())
        .collect();
    words.dedup();
    words.join(" or ")
}

/// What to add for a key that is missing.
fn add(key: &str, shape: &Shape) -> String {
    let about = shape.keys.get(key).and_then(|shape| shape.about.as_deref());
    about.map_or_else(|| format!("add `{key}:`"), |about| format!("add `{key}:` ({})", one_line(about)))
}

fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.trim_end_matches('.').to_owned()
}
