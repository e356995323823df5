//! A JSON Schema made ready for [`super::validate`]: references resolved, patterns compiled, and every keyword
//! known. A keyword that this does not understand is an error, so that the published schema cannot demand what
//! the parser does not hold to.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::{Map, Value};

/// Deeper schemas are recursive, which none of ours is.
const DEPTH_MAX: usize = 32;

/// What one node must be.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// What it is for, from the documentation.
    pub(super) about: Option<String>,
    /// Sorts of value that it may have; none: any.
    pub(super) sort: Option<Sort>,
    /// Keys of a mapping.
    pub(super) keys: BTreeMap<String, Shape>,
    /// Keys that must be there.
    pub(super) required: Vec<String>,
    /// Sets of keys of which exactly one must be there; the first of each set tells which is meant.
    pub(super) choices: Vec<Vec<String>>,
    /// Keys of which one or more must be there; empty: none.
    pub(super) some_of: Vec<String>,
    /// What must stand beside a key.
    pub(super) needs: BTreeMap<String, Vec<String>>,
    /// What further keys hold; none: there are none.
    pub(super) further: Further,
    /// Form of the keys.
    pub(super) key_form: Option<Form>,
    /// Fewest keys.
    pub(super) keys_min: usize,
    /// Items of a list.
    pub(super) items: Option<Box<Shape>>,
    /// The first item, where it differs from the others.
    pub(super) first: Option<Box<Shape>>,
    /// What one item at least must be, a text; said of a list without one: its `about`.
    pub(super) contains: Option<Box<Shape>>,
    /// Fewest items.
    pub(super) items_min: usize,
    /// Most items.
    pub(super) items_max: Option<usize>,
    /// The words that a text may be; empty: any.
    pub(super) words: Vec<Word>,
    /// Form of a text.
    pub(super) form: Option<Form>,
    /// Shortest and longest text, in characters.
    pub(super) text_min: usize,
    pub(super) text_max: Option<usize>,
    /// Smallest and largest number.
    pub(super) range: (Option<i64>, Option<i64>),
    /// Alternatives.
    pub(super) branches: Vec<Shape>,
    /// Part of the format and not carried out.
    pub(super) not_available: bool,
    /// Never allowed, for this reason.
    pub(super) refused: Option<String>,
    /// Its form in words.
    pub(super) form_in_words: Option<String>,
}

/// A sort of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Bool,
    Int,
    Text,
    List,
    Map,
}

/// What keys beyond the named ones hold.
#[derive(Debug, Default)]
pub(super) enum Further {
    /// There are none.
    None,
    /// Whatever.
    #[default]
    Any,
    /// This.
    Of(Box<Shape>),
}

/// A pattern and what it means.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) pattern: Regex,
    pub(super) in_words: String,
}

/// A word of an enumeration.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) not_available: bool,
}

/// Makes a root schema ready.
pub(super) fn compile(root: &Value) -> Result<Shape, String> {
    Compiler { root }.shape(root, 0)
}

struct Compiler<'a> {
    root: &'a Value,
}

impl Compiler<'_> {
    fn shape(&self, schema: &Value, depth: usize) -> Result<Shape, String> {
        let Value::Object(schema) = schema else {
            return Err(format!("a schema that is no object: {schema}"));
        };
        if depth > DEPTH_MAX {
            return Err("the schema refers to itself".to_owned());
        }
        let mut shape = match schema.get("$ref") {
            Some(target) => self.shape(self.target(target)?, depth + 1)?,
            None => Shape::default(),
        };
        for (keyword, value) in schema {
            self.keyword(&mut shape, keyword, value, depth).map_err(|error| format!("{keyword}: {error}"))?;
        }
        if let Some(words) = &shape.form_in_words {
            for form in shape.form.iter_mut().chain(&mut shape.key_form) {
                form.in_words.clone_from(words);
            }
        }
        Ok(shape)
    }

    fn target(&self, reference: &Value) -> Result<&Value, String> {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        pointer
            .and_then(|pointer| self.root.pointer(pointer))
            .ok_or_else(|| format!("{reference} leads nowhere"))
    }

    fn keyword(&self, shape: &mut Shape, keyword: &str, value: &Value, depth: usize) -> Result<(), String> {
        match keyword {
            "$ref" | "$defs" | "$schema" | "title" => {}
            "description" => shape.about = value.as_str().map(str::to_owned),
            "type" => shape.sort = Some(sort(value)?),
            "properties" => {
                for (key, schema) in object(value)? {
                    let inner = self.shape(schema, depth + 1).map_err(|error| format!("{key}: {error}"))?;
                    shape.keys.insert(key.clone(), inner);
                }
            }
            "required" => shape.required = texts(value)?,
            // Beside a pattern for keys, `false` is what the pattern means already.
            "additionalProperties" if shape.key_form.is_some() && *value == false => {}
            "additionalProperties" => {
                shape.further = match value {
                    Value::Bool(false) => Further::None,
                    Value::Bool(true) => Further::Any,
                    schema => Further::Of(Box::new(self.shape(schema, depth + 1)?)),
                }
            }
            "patternProperties" => {
                let [(pattern, schema)] = object(value)?.iter().collect::<Vec<_>>()[..] else {
                    return Err("more than one pattern".to_owned());
                };
                shape.key_form = Some(form(pattern)?);
                shape.further = Further::Of(Box::new(self.shape(schema, depth + 1)?));
            }
            "propertyNames" => shape.key_form = self.shape(value, depth + 1)?.form,
            "contains" => shape.contains = Some(Box::new(self.shape(value, depth + 1)?)),
            "prefixItems" => {
                let [first] = &list(value)?[..] else { return Err("more than one item".to_owned()) };
                shape.first = Some(Box::new(self.shape(first, depth + 1)?));
            }
            "dependentRequired" => {
                for (key, needed) in object(value)? {
                    shape.needs.insert(key.clone(), texts(needed)?);
                }
            }
            "items" => shape.items = Some(Box::new(self.shape(value, depth + 1)?)),
            "minProperties" => shape.keys_min = size(value)?,
            "maxItems" => shape.items_max = Some(size(value)?),
            "minItems" => shape.items_min = size(value)?,
            "enum" => {
                shape.words =
                    texts(value)?.into_iter().map(|text| Word { text, not_available: false }).collect()
            }
            "const" => shape.words = vec![Word { text: text(value)?, not_available: false }],
            "pattern" => shape.form = Some(form(&text(value)?)?),
            "maxLength" => shape.text_max = Some(size(value)?),
            "minLength" => shape.text_min = size(value)?,
            "minimum" => shape.range.0 = Some(value.as_i64().ok_or("not a number")?),
            "maximum" => shape.range.1 = Some(value.as_i64().ok_or("not a number")?),
            "anyOf" if list(value)?.iter().all(only_required) => {
                for alternative in list(value)? {
                    let [key] = &texts(&alternative["required"])?[..] else {
                        return Err("alternatives of several keys".to_owned());
                    };
                    shape.some_of.push(key.clone());
                }
            }
            "anyOf" => shape.branches = self.all(value, depth)?,
            "oneOf" => self.one_of(shape, value, depth)?,
            "not" if *value == Value::Object(Map::new()) => {}
            "x-notAvailable" => shape.not_available = value == true,
            "x-refused" => shape.refused = Some(text(value)?),
            "x-form" => shape.form_in_words = Some(text(value)?),
            _ => return Err("a keyword that the validator does not hold to".to_owned()),
        }
        Ok(())
    }

    fn all(&self, value: &Value, depth: usize) -> Result<Vec<Shape>, String> {
        list(value)?.iter().map(|schema| self.shape(schema, depth + 1)).collect()
    }

    /// `oneOf` is either a choice of keys, or an enumeration whose words have documentation of their own.
    fn one_of(&self, shape: &mut Shape, value: &Value, depth: usize) -> Result<(), String> {
        if list(value)?.iter().all(only_required) {
            shape.choices =
                list(value)?.iter().map(|schema| texts(&schema["required"])).collect::<Result<_, _>>()?;
            return Ok(());
        }
        for branch in self.all(value, depth)? {
            if branch.words.is_empty() || branch.sort != Some(Sort::Text) {
                return Err("neither a choice of keys nor an enumeration".to_owned());
            }
            shape.sort = Some(Sort::Text);
            let not_available = branch.not_available;
            shape.words.extend(branch.words.into_iter().map(|word| Word { not_available, ..word }));
        }
        Ok(())
    }
}

fn only_required(schema: &Value) -> bool {
    schema.as_object().is_some_and(|map| map.len() == 1 && map.contains_key("required"))
}

fn sort(value: &Value) -> Result<Sort, String> {
    Ok(match value.as_str() {
        Some("boolean") => Sort::Bool,
        Some("integer") => Sort::Int,
        Some("string") => Sort::Text,
        Some("array") => Sort::List,
        Some("object") => Sort::Map,
        _ => return Err(format!("{value} is no sort of value here")),
    })
}

fn form(pattern: &str) -> Result<Form, String> {
    let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
    Ok(Form { in_words: format!("the form is {}", pattern.as_str()), pattern })
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| "not an object".to_owned())
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| "not a list".to_owned())
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "not a text".to_owned())
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    list(value)?.iter().map(text).collect()
}

fn size(value: &Value) -> Result<usize, String> {
    value.as_u64().and_then(|size| usize::try_from(size).ok()).ok_or_else(|| "not a size".to_owned())
}
