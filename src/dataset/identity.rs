//! What makes a row that row: ids from content, and the fingerprint of a dataset. Neither depends on the file's format
//! or on the order of its rows.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::example::{Example, Split};
use crate::digest::Digest;

/// Gives every example without an id one from its input and expected answer: ten hex digits. Further rows of the same
/// content get `-2`, `-3`, ... in an order that their remaining content decides.
pub(super) fn name_rows(examples: &mut [Example]) {
    let mut taken: HashSet<String> =
        examples.iter().filter(|example| !example.id.is_empty()).map(|example| example.id.clone()).collect();
    let mut nameless: BTreeMap<String, Vec<(Digest, usize)>> = BTreeMap::new();
    for (index, example) in examples.iter().enumerate().filter(|(_, example)| example.id.is_empty()) {
        let expected = example.expected.as_ref().map(ToString::to_string);
        let content = [Some(example.input.to_string()), expected];
        let name = Digest::of_parts(content.iter().flatten().map(String::as_bytes)).short();
        nameless.entry(name).or_default().push((content_of(example), index));
    }
    for (name, mut rows) in nameless {
        rows.sort_unstable();
        let mut copy = 1;
        for (_, index) in rows {
            let mut id = if copy == 1 { name.clone() } else { format!("{name}-{copy}") };
            while !taken.insert(id.clone()) {
                copy += 1;
                id = format!("{name}-{copy}");
            }
            copy += 1;
            examples[index].id = id;
        }
    }
}

/// Digest of everything in the examples. It is the same for the same rows in another order or file format.
pub fn fingerprint(examples: &[Arc<Example>]) -> Digest {
    let mut rows: Vec<Digest> = examples.iter().map(|example| content_of(example)).collect();
    rows.sort_unstable();
    Digest::of_parts(rows.iter().map(|row| row.as_bytes().as_slice()))
}

/// Digest of one example. JSON text is canonical as it is: `serde_json`'s maps are sorted by key.
fn content_of(example: &Example) -> Digest {
    let Example { id, input, expected, tags, metadata, pinned, weight, group, split } = example;
    // As `Digest::of_parts` has it, but hashed in one go: many short parts take far longer.
    let mut bytes = Vec::with_capacity(512);
    let mut part = |text: &str| {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    part(id);
    part(&input.to_string());
    part(&expected.as_ref().map(ToString::to_string).unwrap_or_default());
    part(if *pinned { "true" } else { "false" });
    part(&weight.to_string());
    part(&group.as_ref().map(|name| format!("={name}")).unwrap_or_default());
    part(split.map_or("", Split::name));
    part(&tags.len().to_string());
    tags.iter().for_each(|tag| part(tag));
    // Each key and value apart: a map has no text of its own.
    for (key, value) in metadata {
        part(key);
        part(&value.to_string());
    }
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn example(value: serde_json::Value) -> Example {
        let mut value = value;
        value["id"] = json!("");
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn json_maps_are_sorted_by_key() {
        let text = serde_json::from_str::<serde_json::Value>(r#"{"b": 1, "a": {"d": 1, "c": 2}}"#).unwrap().to_string();
        assert_eq!(text, r#"{"a":{"c":2,"d":1},"b":1}"#);
    }

    #[test]
    fn rows_of_the_same_content_are_numbered_whatever_their_order() {
        let rows = [
            example(json!({"input": "a", "expected": "x", "tags": ["one"]})),
            example(json!({"input": "a", "expected": "x", "tags": ["two"]})),
            example(json!({"input": "a", "expected": "y"})),
        ];
        let mut forward = rows.to_vec();
        name_rows(&mut forward);
        let mut backward: Vec<_> = rows.iter().rev().cloned().collect();
        name_rows(&mut backward);
        backward.reverse();
        assert_eq!(forward, backward);
        let [first, second, third] = &forward[..] else { panic!() };
        assert_eq!(first.id.trim_end_matches("-2"), second.id.trim_end_matches("-2"));
        assert_ne!(first.id, second.id);
        assert_ne!(first.id.trim_end_matches("-2"), third.id);

        let print = |rows: &[Example]| fingerprint(&rows.iter().cloned().map(Arc::new).collect::<Vec<_>>());
        let mut turned = forward.clone();
        turned.reverse();
        assert_eq!(print(&forward), print(&turned));
        turned[0].weight = 2.0;
        assert_ne!(print(&forward), print(&turned));
    }
}
