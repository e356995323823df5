//! Typed values from the tree. The schema's validator has gone before, so that an error here means that schema
//! and type disagree; it is still reported with its place, never a panic.

use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
    value::{StrDeserializer, U32Deserializer},
};

use super::{
    problem::Span,
    spanned::{ONE_OR_MANY, SPANNED},
    tree::{Key, Kind, Node},
};

/// Why a node is not of the type, and where.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) message: String,
    pub(super) span: Option<Span>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), span: None }
    }
}

/// Reads a node as `T`. `wrong` holds, in order, the first bytes of what is reported already: unknown keys, wrong
/// values and list items with any such are passed over, so that the rest is still checked.
pub(super) fn read<'de, T: Deserialize<'de>>(node: &'de Node, wrong: &'de [u32]) -> Result<T, Mismatch> {
    T::deserialize(Reader { node, wrong })
}

#[derive(Clone, Copy)]
struct Reader<'de> {
    node: &'de Node,
    wrong: &'de [u32],
}

impl<'de> Reader<'de> {
    fn on(self, node: &'de Node) -> Self {
        Self { node, ..self }
    }

    /// Whether something inside of `node` is reported already.
    fn is_wrong(self, node: &Node) -> bool {
        let next = self.wrong.partition_point(|at| *at < node.span.start);
        self.wrong.get(next).is_some_and(|at| *at < node.span.end.max(node.span.start + 1))
    }

    fn placed<T>(self, result: Result<T, Mismatch>) -> Result<T, Mismatch> {
        result.map_err(|error| Mismatch { span: error.span.or(Some(self.node.head())), ..error })
    }

    fn any<V: Visitor<'de>>(
        self,
        visitor: V,
        fields: Option<&'static [&'static str]>,
    ) -> Result<V::Value, Mismatch> {
        match &self.node.kind {
            // A value that is not known yet stands among what is passed over.
            Kind::Null | Kind::Open => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Int(value) => visitor.visit_i64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(text) => visitor.visit_borrowed_str(text),
            Kind::List(items) => visitor.visit_seq(Items { reader: self, rest: items.iter() }),
            Kind::Map(entries) => {
                let fields = fields.filter(|_| !self.wrong.is_empty());
                visitor.visit_map(Entries { reader: self, rest: entries.iter(), value: None, fields })
            }
        }
    }
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.placed(self.any(visitor, None))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.placed(self.any(visitor, Some(fields)))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match (name, &self.node.kind) {
            (SPANNED, _) => visitor.visit_seq(Placed { reader: self, next: 0 }),
            (ONE_OR_MANY, kind) if !matches!(kind, Kind::List(_)) => {
                visitor.visit_seq(Items { reader: self, rest: std::slice::from_ref(self.node).iter() })
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.node.text() {
            Some(text) => self.placed(visitor.visit_enum(text.into_deserializer())),
            None => self.placed(visitor.visit_enum(Tagged(self))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple map identifier ignored_any
    }
}

struct Items<'de> {
    reader: Reader<'de>,
    rest: std::slice::Iter<'de, Node>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mismatch> {
        let next = self.rest.find(|node| !self.reader.is_wrong(node));
        next.map(|node| seed.deserialize(self.reader.on(node))).transpose()
    }
}

struct Entries<'de> {
    reader: Reader<'de>,
    rest: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de Node>,
    fields: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        let known = |key: &Key| self.fields.is_none_or(|fields| fields.contains(&key.text.as_str()));
        let usable =
            |node: &Node| matches!(node.kind, Kind::Map(_) | Kind::List(_)) || !self.reader.is_wrong(node);
        let Some((key, node)) = self.rest.find(|(key, node)| known(key) && usable(node)) else {
            return Ok(None);
        };
        self.value = Some(node);
        seed.deserialize(KeyReader(&key.text))
            .map(Some)
            .map_err(|error| Mismatch { span: Some(key.span), ..error })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        match self.value.take() {
            Some(node) => seed.deserialize(self.reader.on(node)),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}

/// A key: text, also where the type wraps it.
struct KeyReader<'de>(&'de str);

impl<'de> de::Deserializer<'de> for KeyReader<'de> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct enum option identifier ignored_any
    }
}

/// The four numbers of a [`Span`], then the value.
struct Placed<'de> {
    reader: Reader<'de>,
    next: u8,
}

impl<'de> SeqAccess<'de> for Placed<'de> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mismatch> {
        let span = self.reader.node.span;
        let number = match self.next {
            0 => span.start,
            1 => span.end,
            2 => span.line,
            3 => span.column,
            _ => return seed.deserialize(self.reader).map(Some),
        };
        self.next += 1;
        seed.deserialize(U32Deserializer::new(number)).map(Some)
    }
}

/// An enum variant with content, written as a mapping with one key.
struct Tagged<'de>(Reader<'de>);

impl<'de> EnumAccess<'de> for Tagged<'de> {
    type Error = Mismatch;
    type Variant = Reader<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Reader<'de>), Mismatch> {
        match &self.0.node.kind {
            Kind::Map(entries) if entries.len() == 1 => {
                let (key, node) = &entries[0];
                let variant = seed.deserialize(StrDeserializer::<Mismatch>::new(&key.text))?;
                Ok((variant, self.0.on(node)))
            }
            _ => Err(de::Error::custom("a mapping with one key is needed")),
        }
    }
}

impl<'de> VariantAccess<'de> for Reader<'de> {
    type Error = Mismatch;

    fn unit_variant(self) -> Result<(), Mismatch> {
        Err(de::Error::custom("a word is needed"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mismatch> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Mismatch> {
        de::Deserializer::deserialize_any(self, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        de::Deserializer::deserialize_struct(self, "", fields, visitor)
    }
}
