//! What makes a row that row: ids from content, and the fingerprint of a dataset. Neither depends on the file's format
//! or on the order of its rows.

use std::borrow::Borrow;
use std::collections::HashSet;

use super::example::{Example, Split};
use super::packed::{PackedRows, Texts};
use crate::digest::Digest;

/// Gives every row without an id one from its input and expected answer: ten hex digits. Further rows of the same
/// content get `-2`, `-3`, ... in an order that their remaining content decides.
pub(super) fn name_rows(rows: PackedRows) -> PackedRows {
    let mut nameless: Vec<(Digest, Digest, u32)> = (0..)
        .zip(rows.iter())
        .filter(|(_, example)| example.id.is_empty())
        .map(|(place, example)| {
            let expected = example.expected.as_ref().map(ToString::to_string);
            let content = [Some(example.input.to_string()), expected];
            (Digest::of_parts(content.iter().flatten().map(String::as_bytes)), content_of(&example), place)
        })
        .collect();
    if nameless.is_empty() {
        return rows;
    }
    nameless.sort_unstable();
    let taken: HashSet<&str> = (0..rows.len()).map(|at| rows.id(at)).filter(|id| !id.is_empty()).collect();
    let mut names: Vec<(u32, String)> = Vec::with_capacity(nameless.len());
    for alike in nameless.chunk_by(|(one, ..), (other, ..)| one.short() == other.short()) {
        let name = alike.first().map(|(name, ..)| name.short()).unwrap_or_default();
        let mut rows: Vec<(Digest, u32)> = alike.iter().map(|(_, content, place)| (*content, *place)).collect();
        rows.sort_unstable();
        let copies = (1..).map(|copy| if copy == 1 { name.clone() } else { format!("{name}-{copy}") });
        let free = copies.filter(|id| !taken.contains(id.as_str()));
        names.extend(rows.into_iter().zip(free).map(|((_, place), id)| (place, id)));
    }
    names.sort_unstable();
    let mut names = names.into_iter().map(|(_, id)| id);
    let mut ids = Texts::default();
    for at in 0..rows.len() {
        match rows.id(at) {
            "" => ids.push(&names.next().unwrap_or_default()),
            id => ids.push(id),
        }
    }
    rows.named(ids)
}

/// Digest of everything in the examples. It is the same for the same rows in another order or file format.
pub fn fingerprint<E: Borrow<Example>>(examples: impl IntoIterator<Item = E>) -> Digest {
    let mut rows: Vec<Digest> = examples.into_iter().map(|example| content_of(example.borrow())).collect();
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
        let named = |rows: PackedRows| name_rows(rows).iter().collect::<Vec<Example>>();
        let forward = named(rows.iter().collect());
        let mut backward = named(rows.iter().rev().collect());
        backward.reverse();
        assert_eq!(forward, backward);
        let [first, second, third] = &forward[..] else { panic!() };
        assert_eq!(first.id.trim_end_matches("-2"), second.id.trim_end_matches("-2"));
        assert_ne!(first.id, second.id);
        assert_ne!(first.id.trim_end_matches("-2"), third.id);

        let print = |rows: &[Example]| fingerprint(rows);
        let mut turned = forward.clone();
        turned.reverse();
        assert_eq!(print(&forward), print(&turned));
        turned[0].weight = 2.0;
        assert_ne!(print(&forward), print(&turned));
    }
}
