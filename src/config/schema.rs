//! Checks a config against its own JSON schema, the part of the language that schemars writes for it.
//!
//! serde stops at the first error, doesn't know ranges, and loses the place within flattened and untagged types; this
//! walk finds all problems with their paths, and what is allowed comes from the schema itself.

use serde_json::{Map, Value};

use super::error::Cause;

/// A problem with the entry at a path.
pub(super) struct Finding {
    pub(super) path: Vec<String>,
    pub(super) cause: Cause,
}

/// All problems of `value`, in the order of its keys; none means that it fits.
pub(super) fn check(schema: &Value, value: &Value) -> Vec<Finding> {
    let mut walk = Walk { root: schema, path: Vec::new(), findings: Vec::new() };
    walk.value(schema, value);
    walk.findings
}

struct Walk<'s> {
    root: &'s Value,
    path: Vec<String>,
    findings: Vec<Finding>,
}

impl<'s> Walk<'s> {
    fn report(&mut self, cause: Cause) {
        self.findings.push(Finding { path: self.path.clone(), cause });
    }

    fn at(&mut self, part: String, check: impl FnOnce(&mut Self)) {
        self.path.push(part);
        check(self);
        self.path.pop();
    }

    fn value(&mut self, schema: &'s Value, value: &Value) {
        let schema = self.resolve(schema);
        if value.is_null() {
            let allowed = self.describe(schema);
            self.report(Cause::Value { found: shown(value), allowed, nearest: None });
            return;
        }
        let words = words(schema);
        if !words.is_empty() {
            self.word(&words, value);
            return;
        }
        if let Some(branches) = list(schema, "anyOf") {
            return match branches.iter().map(|branch| self.resolve(branch)).find(|branch| takes(branch, value)) {
                Some(branch) => self.value(branch, value),
                None => self.wrong(schema, value),
            };
        }
        if !takes(schema, value) || !in_range(schema, value) {
            self.wrong(schema, value);
            return;
        }
        match value {
            Value::Object(table) => self.table(schema, table),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.at(index.to_string(), |walk| {
                        walk.value(schema.get("items").unwrap_or(&Value::Bool(true)), item)
                    });
                }
            }
            _ => {}
        }
    }

    fn wrong(&mut self, schema: &'s Value, value: &Value) {
        let allowed = self.describe(schema);
        self.report(Cause::Value { found: shown(value), allowed, nearest: None });
    }

    fn word(&mut self, words: &[&str], value: &Value) {
        if words.iter().any(|word| value == word) {
            return;
        }
        let nearest = value.as_str().and_then(|found| nearest(found, words.iter().copied()));
        self.report(Cause::Value { found: shown(value), allowed: quoted(words), nearest });
    }

    fn table(&mut self, schema: &'s Value, table: &Map<String, Value>) {
        let mut properties: Vec<(&str, &'s Value)> = entries(schema, "properties").collect();
        let mut required = required(schema);
        if let Some(variants) = list(schema, "oneOf") {
            let Some(variant) = self.variant(variants, table) else { return };
            properties.extend(entries(variant, "properties"));
            required.extend(self::required(variant));
        }
        for (key, value) in table {
            match properties.iter().find(|(name, _)| name == key) {
                // The tag itself has chosen the variant.
                Some((_, property)) if property.get("const").is_some() => {}
                Some((_, property)) => self.at(key.clone(), |walk| walk.value(property, value)),
                None => self.other_key(schema, &properties, key, value),
            }
        }
        for key in required.iter().filter(|key| !table.contains_key(**key)) {
            if let Some((_, property)) = properties.iter().find(|(name, _)| name == key) {
                self.missing(key, property);
            }
        }
    }

    /// A key that the table has no property for: of a map, or unknown.
    fn other_key(&mut self, schema: &'s Value, properties: &[(&str, &'s Value)], key: &str, value: &Value) {
        let others = if schema.is_boolean() { Some(schema) } else { schema.get("additionalProperties") };
        match others {
            Some(of_map @ (Value::Object(_) | Value::Bool(true))) => {
                self.at(key.to_owned(), |walk| walk.value(of_map, value));
            }
            _ => {
                let table = if self.path.is_empty() {
                    "at the top level".to_owned()
                } else {
                    format!("in [{}]", dotted(&self.path))
                };
                let allowed: Vec<String> = properties.iter().map(|(name, _)| (*name).to_owned()).collect();
                let nearest = nearest(key, allowed.iter().map(String::as_str));
                let name = key.to_owned();
                let of_top = !value.is_object() && entries(self.root, "properties").any(|(top, _)| top == key);
                self.at(name.clone(), |walk| walk.report(Cause::UnknownKey { name, table, allowed, nearest, of_top }));
            }
        }
    }

    /// The variant that the table's tag names; reports a tag that is absent or names none.
    fn variant(&mut self, variants: &'s [Value], table: &Map<String, Value>) -> Option<&'s Value> {
        let tag_of = |variant: &'s Value| {
            entries(variant, "properties").find_map(|(name, property)| Some((name, property.get("const")?.as_str()?)))
        };
        let tags: Vec<(&str, &str)> = variants.iter().filter_map(tag_of).collect();
        let (tag, _) = *tags.first()?;
        let words: Vec<&str> = tags.iter().map(|(_, word)| *word).collect();
        match table.get(tag) {
            Some(found) => {
                self.at(tag.to_owned(), |walk| walk.word(&words, found));
                variants.iter().find(|variant| tag_of(variant).is_some_and(|(_, word)| found == word))
            }
            None => {
                self.at(tag.to_owned(), |walk| walk.report(Cause::Missing(quoted(&words))));
                None
            }
        }
    }

    /// Reports a required key that is absent; of a table that itself only needs one other table, that one.
    fn missing(&mut self, key: &str, schema: &'s Value) {
        let purpose = schema.get("description").or_else(|| self.resolve(schema).get("description"));
        let schema = self.resolve(schema);
        if let [only] = required(schema).as_slice()
            && let Some((name, inner)) = entries(schema, "properties").find(|(name, _)| name == only)
            && self.resolve(inner).get("properties").is_some()
        {
            return self.at(key.to_owned(), |walk| walk.missing(name, inner));
        }
        let words = words(schema);
        let purpose = match purpose.and_then(Value::as_str) {
            Some(purpose) if words.is_empty() => purpose.replace('\n', " "),
            _ => quoted(&words),
        };
        self.at(key.to_owned(), |walk| walk.report(Cause::Missing(purpose)));
    }

    /// Follows `$ref`, and drops the `null` that an optional key's schema allows: TOML has none.
    fn resolve(&self, schema: &'s Value) -> &'s Value {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return self.root.pointer(reference.trim_start_matches('#')).map_or(schema, |schema| self.resolve(schema));
        }
        match list(schema, "anyOf") {
            Some([only, null]) if types(null) == ["null"] => self.resolve(only),
            _ => schema,
        }
    }

    /// What a schema takes, in words.
    fn describe(&self, schema: &'s Value) -> String {
        if let Some(branches) = list(schema, "anyOf") {
            let branches: Vec<String> = branches.iter().map(|branch| self.describe(self.resolve(branch))).collect();
            return one_of(&branches);
        }
        let words = words(schema);
        if !words.is_empty() {
            return quoted(&words);
        }
        let names: Vec<String> = types(schema).into_iter().map(|name| type_name(name).to_owned()).collect();
        match (one_of(&names), range(schema)) {
            (names, _) if names.is_empty() => "a finite number of at most 64 bits".to_owned(),
            (names, Some(range)) => format!("{names} {range}"),
            (names, None) => names,
        }
    }
}

fn list<'s>(schema: &'s Value, key: &str) -> Option<&'s [Value]> {
    schema.get(key).and_then(Value::as_array).map(Vec::as_slice)
}

fn entries<'s>(schema: &'s Value, key: &str) -> impl Iterator<Item = (&'s str, &'s Value)> {
    schema.get(key).and_then(Value::as_object).into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn required(schema: &Value) -> Vec<&str> {
    list(schema, "required").unwrap_or_default().iter().filter_map(Value::as_str).collect()
}

/// The words of an enumeration, however it is written; empty for any other schema.
fn words(schema: &Value) -> Vec<&str> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return vec![word];
    }
    let listed = list(schema, "enum").unwrap_or_default().iter().filter_map(Value::as_str);
    listed.chain(list(schema, "oneOf").unwrap_or_default().iter().flat_map(words)).collect()
}

/// The JSON types that a schema takes, `null` apart unless it is the only one; empty where it takes any.
fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
        _ => Vec::new(),
    }
}

fn type_name(name: &str) -> &str {
    match name {
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

fn takes(schema: &Value, value: &Value) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.into_iter().any(|name| match name {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => false,
        })
}

/// The bounds of numbers, and of the length of strings and lists: the least and the most, each with whether it is
/// itself allowed.
fn bounds(schema: &Value) -> [Option<(f64, bool)>; 2] {
    let bound = |inclusive: &str, exclusive: &str| {
        let number = |key: &str| schema.get(key).and_then(Value::as_f64);
        number(exclusive).map(|bound| (bound, false)).or(number(inclusive).map(|bound| (bound, true)))
    };
    let most = bound("maximum", "exclusiveMaximum")
        .or_else(|| (schema.get("format")? == "uint32").then_some((f64::from(u32::MAX), true)));
    [bound("minimum", "exclusiveMinimum"), most]
}

fn least_length(schema: &Value) -> Option<u64> {
    schema.get("minLength").or(schema.get("minItems")).and_then(Value::as_u64)
}

fn in_range(schema: &Value, value: &Value) -> bool {
    let length = value.as_str().map(str::len).or(value.as_array().map(Vec::len));
    if let (Some(length), Some(least)) = (length, least_length(schema)) {
        return length as u64 >= least;
    }
    let Some(number) = value.as_f64() else { return true };
    let [least, most] = bounds(schema);
    least.is_none_or(|(bound, itself)| number > bound || (itself && number == bound))
        && most.is_none_or(|(bound, itself)| number < bound || (itself && number == bound))
}

/// The bounds in words.
fn range(schema: &Value) -> Option<String> {
    if least_length(schema).is_some() {
        return Some("that is not empty".to_owned());
    }
    let side = |bound: Option<(f64, bool)>, with: &str, without: &str| {
        bound.map(|(bound, itself)| format!("{} {bound}", if itself { with } else { without }))
    };
    let [least, most] = bounds(schema);
    let sides = [side(least, "of at least", "above"), side(most, "at most", "below")];
    let sides: Vec<String> = sides.into_iter().flatten().collect();
    (!sides.is_empty()).then(|| sides.join(" and "))
}

/// A value as the user would recognise it.
fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    match value {
        Value::Null => "a number that is infinite, undefined or too large".to_owned(),
        Value::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        other => {
            let text = other.to_string();
            if text.chars().count() <= MOST { text } else { text.chars().take(MOST).chain(['…']).collect() }
        }
    }
}

fn quoted(words: &[&str]) -> String {
    one_of(&words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>())
}

fn one_of(alternatives: &[String]) -> String {
    match alternatives {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The known word most like `found`, if any is alike enough that it may be a slip.
pub(crate) fn nearest<'w>(found: &str, known: impl Iterator<Item = &'w str>) -> Option<String> {
    const LEAST_SIMILARITY: f64 = 0.6;
    known
        .map(|word| (strsim::normalized_damerau_levenshtein(&found.to_lowercase(), word), word))
        .filter(|(similarity, _)| *similarity >= LEAST_SIMILARITY)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, word)| word.to_owned())
}

/// A path as `--set` takes it: parts that aren't bare TOML keys are quoted.
pub(super) fn dotted(path: &[String]) -> String {
    let bare = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let parts = path.iter().map(|part| if bare(part) { part.clone() } else { Value::from(part.as_str()).to_string() });
    parts.collect::<Vec<_>>().join(".")
}
