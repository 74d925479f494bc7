//! A message that is read whole, of which nothing but the envelope is kept.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// What a message is.
pub enum Top {
    Object(Fields),
    Other(&'static str),
}

/// What stands at the top of an object. Only `params`, `result` and `error` may hold more than a word.
#[derive(Default)]
pub struct Fields {
    pub jsonrpc: Option<Scalar>,
    pub id: Option<Scalar>,
    pub method: Option<Scalar>,
    pub result: bool,
    pub error: bool,
    pub params: bool,
    /// A name that stands there more than once; of several that of the id, which is of no use then.
    pub twice: Option<&'static str>,
}

/// A value without parts.
#[derive(Clone, Debug)]
pub enum Scalar {
    Null,
    Number(Number),
    Text(String),
    Other(&'static str),
}

impl Scalar {
    pub fn value(self) -> Option<Value> {
        match self {
            Self::Number(number) => Some(Value::Number(number)),
            Self::Text(text) => Some(Value::String(text)),
            Self::Null | Self::Other(_) => None,
        }
    }
}

/// Any value, read to its end: unlike serde's `IgnoredAny` with its escapes, its numbers and its depth.
struct Checked;

/// The parts of an array or an object are read and dropped.
fn drain_seq<'de, A: SeqAccess<'de>>(mut parts: A) -> Result<(), A::Error> {
    while parts.next_element::<Checked>()?.is_some() {}
    Ok(())
}

fn drain_map<'de, A: MapAccess<'de>>(mut parts: A) -> Result<(), A::Error> {
    while parts.next_entry::<Checked, Checked>()?.is_some() {}
    Ok(())
}

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Checked, A::Error> {
        drain_seq(parts).map(|()| Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, parts: A) -> Result<Checked, A::Error> {
        drain_map(parts).map(|()| Checked)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar, E> {
        Ok(Scalar::Other("a boolean"))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Number::from_f64(number).map_or(Scalar::Other("no number"), Scalar::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Scalar, A::Error> {
        drain_seq(parts).map(|()| Scalar::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, parts: A) -> Result<Scalar, A::Error> {
        drain_map(parts).map(|()| Scalar::Other("an object"))
    }
}

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TopVisitor)
    }
}

struct TopVisitor;

impl<'de> Visitor<'de> for TopVisitor {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Top, E> {
        Ok(Top::Other("null"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Top, E> {
        Ok(Top::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Top, E> {
        Ok(Top::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Top, E> {
        Ok(Top::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Top, E> {
        Ok(Top::Other("a number"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Top, E> {
        Ok(Top::Other("a text"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Top, A::Error> {
        drain_seq(parts).map(|()| {
            Top::Other("a batch, which only 2025-03-26 had, and this server does not speak that version")
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Top, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = parts.next_key::<String>()? {
            fields.read(&name, &mut parts)?;
        }
        Ok(Top::Object(fields))
    }
}

impl Fields {
    fn read<'de, A: MapAccess<'de>>(&mut self, name: &str, parts: &mut A) -> Result<(), A::Error> {
        let scalar = |there: &mut Option<Scalar>, parts: &mut A| {
            parts.next_value::<Scalar>().map(|value| there.replace(value).is_some())
        };
        let drained = |there: &mut bool, parts: &mut A| {
            parts.next_value::<Checked>().map(|_| std::mem::replace(there, true))
        };
        let (name, again) = match name {
            "jsonrpc" => ("jsonrpc", scalar(&mut self.jsonrpc, parts)?),
            "id" => ("id", scalar(&mut self.id, parts)?),
            "method" => ("method", scalar(&mut self.method, parts)?),
            "params" => ("params", drained(&mut self.params, parts)?),
            "result" => ("result", drained(&mut self.result, parts)?),
            "error" => ("error", drained(&mut self.error, parts)?),
            _ => return parts.next_value::<Checked>().map(drop),
        };
        if again && self.twice != Some("id") {
            self.twice = Some(name);
        }
        Ok(())
    }
}
