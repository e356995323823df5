//! A YAML document as a tree in which every node knows its place.
//!
//! Everything after parsing works on this: the schema's validator, typed reading and the semantic checks point
//! at the same spans. What makes YAML surprising never gets here (see [`super::parse`]).

use super::problem::Span;

/// A key of a mapping. Keys are text, whatever they look like.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) span: Span,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// An argument that is not given here: any value.
    Open,
}

impl Kind {
    /// The sort of value, in words of the error messages.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Null | Self::Open => "nothing",
            Self::Bool(true) => "`true`",
            Self::Bool(false) => "`false`",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl Node {
    /// The value of a key, when this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, node)| node)
    }

    /// A key and its value, when this is a mapping that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&(Key, Self)> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(found, _)| found.text == key),
            _ => None,
        }
    }

    /// The text, when this is text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The place to point at: a collection's first key or item, since the whole of it would hide the point.
    pub(super) fn head(&self) -> Span {
        match &self.kind {
            Kind::Map(entries) => entries.first().map_or(self.span, |(key, _)| key.span),
            Kind::List(items) => items.first().map_or(self.span, Self::head),
            _ => self.span,
        }
    }
}
