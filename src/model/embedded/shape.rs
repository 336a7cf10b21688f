//! The JSON object that a prompt asks for: its fields and the values that each may have. Read from a skeleton
//! (`{"priority": "low|normal"}`), else from a list of fields (`- priority: low | normal`), else from the examples.

use super::input::has_word;
use super::labels;
use super::lines::{Line, bullet, clean, definition};
use super::shown::Example;

/// A field of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// Its name.
    pub(super) key: String,
    /// The values to choose from; empty where none are given.
    pub(super) values: Vec<String>,
}

/// An object that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// In the order of the prompt.
    pub(super) slots: Vec<Slot>,
    /// The lines that state it, as places among the lines read: they say nothing else.
    pub(super) stated: Vec<usize>,
}

/// The shape that `lines`, from which the examples are taken out, or else the `examples` give.
pub(super) fn find(lines: &[Line<'_>], examples: &[Example]) -> Option<Shape> {
    let mut shape = skeleton(lines).or_else(|| listed(lines)).or_else(|| shown(examples))?;
    for slot in shape.slots.iter_mut().filter(|slot| slot.values.is_empty()) {
        if let Some((at, values)) = lines.iter().enumerate().find_map(|(at, line)| Some((at, about(line, &slot.key)?)))
        {
            slot.values = values;
            shape.stated.push(at);
        } else {
            slot.values = values_of(examples, &slot.key);
        }
    }
    Some(shape)
}

/// The object in braces of which most fields come with values; of equals the first.
fn skeleton(lines: &[Line<'_>]) -> Option<Shape> {
    let mut best: Option<(usize, Shape)> = None;
    let mut at = 0;
    while at < lines.len() {
        let Some(open) = lines[at].text.find('{') else {
            at += 1;
            continue;
        };
        let closes = |line: &Line<'_>| line.text.contains('}');
        let Some(last) = lines[at..].iter().position(closes).map(|behind| at + behind) else { break };
        let text = lines[at..=last].iter().map(|line| line.text).collect::<Vec<_>>().join("\n");
        let inside = &text[open + 1..text[open..].find('}').map_or(text.len(), |end| open + end)];
        let slots: Vec<Slot> = pairs(inside)
            .into_iter()
            .map(|(key, value)| Slot { key, values: choices(&value).unwrap_or_default() })
            .collect();
        let rating = slots.iter().filter(|slot| !slot.values.is_empty()).count();
        if !slots.is_empty() && best.as_ref().is_none_or(|(most, _)| rating > *most) {
            best = Some((rating, Shape { slots, stated: (at..=last).collect() }));
        }
        at = last + 1;
    }
    best.map(|(_, shape)| shape)
}

/// `priority: low | normal | urgent` or `priority: one of low, normal, urgent`, a line each, where JSON is asked for.
fn listed(lines: &[Line<'_>]) -> Option<Shape> {
    if !lines.iter().any(|line| has_word(line.text, "JSON")) {
        return None;
    }
    let mut shape = Shape::default();
    for (at, line) in lines.iter().enumerate() {
        let content = bullet(line.text).unwrap_or(line.text);
        let Some((key, text)) = definition(content).filter(|(key, _)| !key.contains(char::is_whitespace)) else {
            continue;
        };
        let values = if text.contains('|') { choices(text) } else { one_of(text) };
        if let Some(values) = values.filter(|_| shape.slots.iter().all(|slot| slot.key != key)) {
            shape.slots.push(Slot { key: key.to_owned(), values });
            shape.stated.push(at);
        }
    }
    (!shape.slots.is_empty()).then_some(shape)
}

/// The fields of the first example whose answer is an object.
fn shown(examples: &[Example]) -> Option<Shape> {
    let keys = examples.iter().map(Example::keys).find(|keys| !keys.is_empty())?;
    let slots = keys.into_iter().map(|key| Slot { key, values: Vec::new() }).collect();
    Some(Shape { slots, stated: Vec::new() })
}

/// The values that a line about a field gives (`- priority: one of low, normal, urgent`).
fn about(line: &Line<'_>, key: &str) -> Option<Vec<String>> {
    let content = bullet(line.text).unwrap_or(line.text);
    let (name, _) = definition(content).filter(|(name, _)| name.eq_ignore_ascii_case(key))?;
    let behind = content.find(name).map_or(content, |at| &content[at + name.len()..]);
    choices(behind.trim_start_matches(['"', '`', '*', ' ', ':', '=', '-']))
}

/// The values that examples give a field, if there are two: nothing is left to choose else.
fn values_of(examples: &[Example], key: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for value in examples.iter().map(|example| example.target_of(key)).filter(|value| labels::label_like(value)) {
        if !values.iter().any(|known| labels::same(known, &value)) {
            values.push(value);
        }
    }
    if values.len() < 2 { Vec::new() } else { values }
}

/// The values of a list, also behind a remark (`how soon: low | normal`) or in brackets (`how soon (low, normal)`).
fn choices(text: &str) -> Option<Vec<String>> {
    let behind = |mark: char| text.rsplit_once(mark).and_then(|(_, list)| labels::list(list));
    labels::list(text).or_else(|| one_of(text)).or_else(|| behind(':')).or_else(|| behind('('))
}

fn one_of(text: &str) -> Option<Vec<String>> {
    let at = text.to_ascii_lowercase().find("one of")?;
    let list = text[at + "one of".len()..].trim_start().trim_start_matches("these").trim_start_matches("the following");
    labels::list(list)
}

/// The keys and raw values between the braces of an object, as loosely as prompts write them.
fn pairs(inside: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut rest = inside;
    while let Some(start) = rest.find('"') {
        let after = &rest[start + 1..];
        let Some(end) = after.find('"') else { break };
        let (key, behind) = (&after[..end], &after[end + 1..]);
        if !behind.trim_start().starts_with(':') {
            rest = behind;
            continue;
        }
        let value_start = behind.find(':').map_or(0, |at| at + 1);
        let value = &behind[value_start..];
        let next = next_key(value);
        let raw = value[..next].trim().trim_end_matches(',').replace('"', "");
        found.push((key.to_owned(), raw.trim_matches(['<', '>', ' ']).to_owned()));
        rest = &value[next..];
    }
    found
}

/// Where the next `"key":` begins in the rest of an object.
fn next_key(text: &str) -> usize {
    let mut from = 0;
    while let Some(start) = text[from..].find('"').map(|at| from + at) {
        let Some(end) = text[start + 1..].find('"').map(|at| start + 1 + at) else { break };
        if text[end + 1..].trim_start().starts_with(':') {
            return start;
        }
        from = end + 1;
    }
    text.len()
}

impl Shape {
    /// The lines that may say something about field `own`: not those that state the shape, not definitions under a
    /// heading of another field that has the value too, not sentences that name another field only.
    pub(super) fn lines_about<'a>(&self, own: usize, lines: &[Line<'a>]) -> Vec<Line<'a>> {
        let mut kept = Vec::with_capacity(lines.len());
        let mut section = None;
        for (at, line) in lines.iter().enumerate() {
            if self.stated.contains(&at) {
                section = None;
                continue;
            }
            let content = bullet(line.text).unwrap_or(line.text);
            let named = self.named_in(content);
            let defined = definition(content).map(|(name, _)| name);
            let is_heading = content.starts_with('#') || content.ends_with(':');
            if is_heading
                || defined.is_some_and(|name| self.slots.iter().any(|slot| slot.key.eq_ignore_ascii_case(name)))
            {
                section = named.first().copied().filter(|_| named.len() == 1);
            } else if let Some(name) = defined {
                let has = |slot: usize| self.slots[slot].values.iter().any(|value| labels::same(value, name));
                if section.is_some_and(|slot| slot != own && has(slot)) {
                    continue;
                }
            } else if !named.is_empty() && !named.contains(&own) {
                continue;
            }
            kept.push(*line);
        }
        kept
    }

    /// The fields whose keys stand in `text`.
    fn named_in(&self, text: &str) -> Vec<usize> {
        (0..self.slots.len()).filter(|at| has_word(clean(text), &self.slots[*at].key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::lines;
    use super::*;

    fn shape(text: &str) -> Vec<(String, Vec<String>)> {
        let lines: Vec<Line<'_>> = lines(text).collect();
        find(&lines, &[]).map_or_else(Vec::new, |shape| shape.slots.into_iter().map(|s| (s.key, s.values)).collect())
    }

    #[test]
    fn a_shape_is_found_however_the_prompt_writes_it() {
        for text in [
            r#"JSON: {"mood": "calm|angry", "size": "small|large"}"#,
            "JSON:\n{\n  \"mood\": \"calm | angry\",\n  \"size\": <small, large>\n}",
            "Reply in JSON with\n- mood: calm | angry\n- size: small | large",
            "Reply in JSON with\n`mood`: one of calm, angry\n`size`: one of small or large",
            "JSON, please:\n- mood: how they sound: calm | angry\n- size (small | large)",
            "JSON like {\"mood\": \"...\", \"size\": \"...\"}\n- mood: calm, angry\n- size: one of the following: small, large",
        ] {
            let expected = [("mood", ["calm", "angry"]), ("size", ["small", "large"])];
            let expected = expected.map(|(key, values)| (key.to_owned(), values.map(str::to_owned).to_vec()));
            assert_eq!(shape(text), expected, "{text}");
        }
    }

    #[test]
    fn of_two_shapes_the_one_with_more_values_counts() {
        let text = "Return {\"mood\": \"...\"} in JSON.\nExactly this: {\"mood\": \"calm|angry\"}";
        assert_eq!(shape(text), [("mood".to_owned(), vec!["calm".to_owned(), "angry".to_owned()])]);
    }

    #[test]
    fn a_prompt_for_labels_has_no_shape() {
        for text in ["Choose one of: a, b", "- a: x | y\n- b: z", "Say {name}", "{", "}{", "Reply in JSON."] {
            assert_eq!(shape(text), [], "{text}");
        }
    }

    #[test]
    fn a_value_that_two_fields_have_belongs_to_the_heading_above_it() {
        let text = "JSON {\"topic\": \"bike|other\", \"tongue\": \"dutch|other\"}\ntopic:\n- bike: wheels\n- other: hats\n\
                    tongue:\n- other: bonjour\nIf it says \"bel\", tongue is dutch.\n- bike: saddles";
        let lines: Vec<Line<'_>> = lines(text).collect();
        let shape = find(&lines, &[]).unwrap();
        let about = |own| shape.lines_about(own, &lines).iter().map(|line| line.text).collect::<Vec<_>>();
        assert_eq!(about(0), ["topic:", "- bike: wheels", "- other: hats", "tongue:", "- bike: saddles"]);
        let rule = "If it says \"bel\", tongue is dutch.";
        assert_eq!(about(1), ["topic:", "tongue:", "- other: bonjour", rule, "- bike: saddles"]);
    }
}
