//! `docs/config.md` is written from the config's own schema. `UPDATE_DOCS=1 cargo test --test it docs` writes it anew.

use std::fmt::Write;
use std::path::Path;

use prompt_ratchet::config::Config;
use serde_json::Value;

const INTRO: &str = "\
# ratchet.toml

Written from the doc comments in `src/config/` by a test (`UPDATE_DOCS=1 cargo test --test it docs`): edit those.

Paths are relative to the file. `--set key=value` overrides any key on the command line, as in
`--set search.generations=3` or `--set models.task.model=gpt-5-mini`; a scorer is named by its place, as in
`--set 'scorers.0.type=\"contains\"'`. `${NAME}` in the dataset's path and in `base_url` stands for an environment
variable. Keys at the top come before the first `[table]`. An unknown key is an error.
";

#[test]
fn the_config_reference_says_what_the_schema_says() {
    let schema = Config::json_schema();
    let mut text = INTRO.to_owned();
    table(&mut text, &schema, &schema, "top level", &mut Vec::new());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "docs/config.md is out of date: UPDATE_DOCS=1 cargo test --test it docs");
}

/// One section for an object, then those of the objects within.
fn table(text: &mut String, root: &Value, schema: &Value, name: &str, done: &mut Vec<String>) {
    if done.contains(&name.to_owned()) {
        return;
    }
    done.push(name.to_owned());
    let mut within: Vec<(String, &Value)> = Vec::new();
    if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
        writeln!(text, "\n## {name}\n").unwrap();
        rows(text, root, schema, name, &mut within);
        for variant in variants {
            let kind = variant["properties"]["type"]["const"].as_str().unwrap_or_default();
            writeln!(text, "\n### type = \"{kind}\"\n\n{}\n", one_line(variant)).unwrap();
            rows(text, root, variant, name, &mut within);
        }
    } else {
        writeln!(text, "\n## {name}\n").unwrap();
        rows(text, root, schema, name, &mut within);
    }
    for (name, schema) in within {
        table(text, root, schema, &name, done);
    }
}

fn rows<'s>(text: &mut String, root: &'s Value, schema: &'s Value, name: &str, within: &mut Vec<(String, &'s Value)>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut lines = String::new();
    for (key, property) in properties {
        if property.get("const").is_some() {
            continue;
        }
        let resolved = resolve(root, property);
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "required".to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(Value::Object(_)) => "see below".to_owned(),
            Some(value) => format!("`{value}`"),
        };
        let about = if one_line(property).is_empty() { one_line(resolved) } else { one_line(property) };
        writeln!(lines, "| `{key}` | {about} | {default} |").unwrap();
        let prefix = if name == "top level" { String::new() } else { format!("{}.", name.trim_matches(['[', ']'])) };
        if resolved.get("type").and_then(Value::as_str) == Some("array") {
            let items = resolve(root, &resolved["items"]);
            // A table within itself takes the keys that were told already: scorers within a scorer, a model's fallback.
            if name == format!("[[{key}]]") || std::ptr::eq(items, schema) {
                continue;
            }
            if items.get("properties").is_some() || items.get("oneOf").is_some() {
                within.push((format!("[[{prefix}{key}]]"), items));
            }
        } else if let Some(object) = object_within(root, resolved) {
            within.push((format!("[{prefix}{key}]"), object));
        }
    }
    if !lines.is_empty() {
        writeln!(text, "| key | what it is | default |\n|---|---|---|").unwrap();
        text.push_str(&lines);
    }
}

/// The object with keys of its own that a schema stands for, also as one of several forms.
fn object_within<'s>(root: &'s Value, schema: &'s Value) -> Option<&'s Value> {
    if schema.get("properties").is_some() {
        return Some(schema);
    }
    let forms = schema.get("anyOf")?.as_array()?;
    forms.iter().map(|form| resolve(root, form)).find(|form| form.get("properties").is_some())
}

fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn one_line(schema: &Value) -> String {
    let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    about.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
