//! A strict reading of JSON-like values, the same for JSON and YAML: a key that occurs twice and a number that isn't
//! finite are errors, where `serde_json::Value` would silently keep the last and write null.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A value read strictly.
pub(super) struct Strict(pub Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        match Number::from_f64(value) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(E::custom(format_args!("{value} is not a finite number"))),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("there is `{key}` twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// A document of rows: a list, or a map with the list as `examples` or `data`. `Row` is how a format keeps a row
/// together with its place. The map's other entries are ignored.
pub(super) struct Document<Row>(pub Vec<Row>);

impl<'de, Row: Deserialize<'de>> Deserialize<'de> for Document<Row> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DocumentVisitor<Row>(std::marker::PhantomData<Row>);

        impl<'de, Row: Deserialize<'de>> Visitor<'de> for DocumentVisitor<Row> {
            type Value = Document<Row>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of rows, or an object with the list as `examples` or `data`")
            }

            fn visit_unit<E>(self) -> Result<Document<Row>, E> {
                Ok(Document(Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document<Row>, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = items.next_element()? {
                    rows.push(row);
                }
                Ok(Document(rows))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Document<Row>, A::Error> {
                let mut rows = None;
                while let Some(key) = entries.next_key::<String>()? {
                    if key != "examples" && key != "data" {
                        entries.next_value::<serde::de::IgnoredAny>()?;
                    } else if rows.is_none() {
                        rows = Some(entries.next_value::<Vec<Row>>()?);
                    } else {
                        return Err(A::Error::custom("there are two lists of rows; keep one of `examples`, `data`"));
                    }
                }
                rows.map(Document).ok_or_else(|| A::Error::custom("there is no list `examples` or `data`"))
            }
        }

        deserializer.deserialize_any(DocumentVisitor(std::marker::PhantomData))
    }
}
