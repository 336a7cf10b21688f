//! Ids that last: a structural group has the slug of its kind as its key; its parts have the key and a letter, and
//! keep it from generation to generation by the members they share.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{FailureCluster, FailureKind};
use crate::digest::Digest;

/// Most characters of one label in an id.
const LONGEST_LABEL: usize = 24;
/// Most characters of a criterion's name in an id.
const LONGEST_NAME: usize = 40;

/// The keys of several kinds, in their order: slugs, all different. A slug that is another kind's id already, now or
/// in an earlier generation, gets a piece of the kind's own digest; a kind that had such a key keeps it.
pub(super) fn keys(kinds: &[FailureKind], previous: &[FailureCluster]) -> Vec<String> {
    let mut owners: BTreeMap<String, &FailureKind> = BTreeMap::new();
    for cluster in previous {
        owners.insert(cluster.id.clone(), &cluster.kind);
        let key = candidates(&cluster.kind).into_iter().find(|key| letters(&cluster.id, key).is_some());
        if let Some(key) = key {
            owners.insert(key, &cluster.kind);
        }
    }
    let mut keys = Vec::new();
    for kind in kinds {
        let [slug, marked] = candidates(kind);
        let is_marked = owners.get(&marked) == Some(&kind) || *owners.entry(slug.clone()).or_insert(kind) != kind;
        keys.push(if is_marked { marked } else { slug });
    }
    keys
}

/// The two keys that a kind can have: its slug, and its slug with a mark.
fn candidates(kind: &FailureKind) -> [String; 2] {
    let (text, parts): (String, Vec<&str>) = match kind {
        FailureKind::Confusion { expected, answered } => (
            format!("{}-as-{}", slug(expected, LONGEST_LABEL), slug(answered, LONGEST_LABEL)),
            vec![expected, answered],
        ),
        FailureKind::Format => ("format".to_string(), vec![]),
        FailureKind::Refusal => ("refusal".to_string(), vec![]),
        FailureKind::Empty => ("empty".to_string(), vec![]),
        FailureKind::Truncated => ("truncated".to_string(), vec![]),
        FailureKind::Criterion { name } => (slug(name, LONGEST_NAME), vec![name]),
    };
    let digest = Digest::of_parts(parts.into_iter().map(str::as_bytes)).short();
    let marked = format!("{text}-{}", &digest[..4]);
    [text, marked]
}

/// Lower-case letters and digits, anything else a hyphen; at most `longest`. `x` if nothing is left.
fn slug(text: &str, longest: usize) -> String {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let slug: String = words.join("-").chars().take(longest).collect();
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "x".to_string() } else { slug.to_string() }
}

/// The letters after `key-` in `id`, if that is all there is.
fn letters<'a>(id: &'a str, key: &str) -> Option<&'a str> {
    let letters = id.strip_prefix(key)?.strip_prefix('-')?;
    (!letters.is_empty() && letters.len() <= 2 && letters.bytes().all(|b| b.is_ascii_lowercase())).then_some(letters)
}

/// Ids for the parts of one group, in their order. A group in one part has its `key`. Else a part takes the id of the
/// earlier part of the same kind that it shares most members with (pairs by overlap, then by id, then in the parts'
/// order), and a part that shares none takes a letter that no earlier part had and no other group has as its key (`keys`).
pub(super) fn part_ids(
    key: &str,
    kind: &FailureKind,
    parts: &[BTreeSet<&str>],
    previous: &[FailureCluster],
    keys: &[String],
) -> Vec<String> {
    if parts.len() == 1 {
        return vec![key.to_string()];
    }
    // An id that occurs in several generations means what it meant last.
    let earlier: BTreeMap<&str, &FailureCluster> = previous
        .iter()
        .filter(|cluster| cluster.kind == *kind && letters(&cluster.id, key).is_some())
        .map(|cluster| (cluster.id.as_str(), cluster))
        .collect();
    let mut pairs: Vec<(usize, &str, usize)> = Vec::new();
    for (id, cluster) in &earlier {
        for (index, part) in parts.iter().enumerate() {
            let shared = cluster.members.iter().filter(|member| part.contains(member.as_str())).count();
            if shared > 0 {
                pairs.push((shared, *id, index));
            }
        }
    }
    pairs.sort_by_key(|(shared, id, index)| (std::cmp::Reverse(*shared), *id, *index));
    let mut taken: BTreeMap<usize, &str> = BTreeMap::new();
    let mut given: BTreeSet<&str> = BTreeSet::new();
    for (_, id, index) in pairs {
        if !taken.contains_key(&index) && given.insert(id) {
            taken.insert(index, id);
        }
    }
    let mut fresh = (0..)
        .map(|n| format!("{key}-{}", letter(n)))
        .filter(|id| !keys.contains(id) && previous.iter().all(|cluster| cluster.id != *id));
    (0..parts.len())
        .map(|index| taken.get(&index).map(|id| (*id).to_string()).or_else(|| fresh.next()).unwrap_or_default())
        .collect()
}

/// `a` to `z`, then `aa`, `ab`, …
fn letter(n: usize) -> String {
    let last = char::from(b'a' + u8::try_from(n % 26).unwrap_or_default());
    if n < 26 { last.to_string() } else { format!("{}{last}", letter(n / 26 - 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion(expected: &str, answered: &str) -> FailureKind {
        FailureKind::Confusion { expected: expected.to_string(), answered: answered.to_string() }
    }

    fn cluster(id: &str, kind: &FailureKind, members: &[&str]) -> FailureCluster {
        let members = members.iter().map(|member| (*member).to_string()).collect();
        FailureCluster {
            id: id.to_string(),
            kind: kind.clone(),
            prompt: None,
            label: String::new(),
            members,
            share: 0.1,
        }
    }

    fn ids(parts: &[&[&str]], previous: &[FailureCluster]) -> Vec<String> {
        let parts: Vec<BTreeSet<&str>> = parts.iter().map(|part| part.iter().copied().collect()).collect();
        part_ids("format", &FailureKind::Format, &parts, previous, &["format".to_string()])
    }

    #[test]
    fn keys_are_slugs() {
        let kinds = [
            confusion("Technical Support", "billing"),
            FailureKind::Format,
            FailureKind::Criterion { name: "json_fields: category".to_string() },
            confusion("一", "👍"),
        ];
        assert_eq!(keys(&kinds, &[]), ["technical-support-as-billing", "format", "json-fields-category", "一-as-x"]);
    }

    #[test]
    fn kinds_with_the_same_slug_get_different_keys_and_keep_them() {
        let kinds = [confusion("c", "c#"), confusion("c", "c++")];
        let first = keys(&kinds, &[]);
        assert_eq!(first[0], "c-as-c");
        assert!(first[1].starts_with("c-as-c-"));
        let previous = [cluster(&first[0], &kinds[0], &["1"]), cluster(&first[1], &kinds[1], &["2"])];
        assert_eq!(keys(&kinds[1..], &previous), first[1..]);
        assert_eq!(keys(&kinds[1..], &previous[1..]), first[1..]);
    }

    #[test]
    fn a_key_never_is_the_id_of_another_groups_part() {
        let part_of = confusion("a", "b");
        let previous = [cluster("a-as-b-c", &part_of, &["1"])];
        assert_ne!(keys(&[confusion("a", "b c")], &previous), ["a-as-b-c"]);
    }

    #[test]
    fn a_whole_group_has_its_key_and_a_divided_one_letters() {
        assert_eq!(ids(&[&["1", "2"]], &[]), ["format"]);
        assert_eq!(ids(&[&["1"], &["2"]], &[]), ["format-a", "format-b"]);
    }

    #[test]
    fn parts_keep_their_letters_by_the_members_they_share() {
        let kind = FailureKind::Format;
        let previous = [cluster("format-a", &kind, &["1", "2", "3"]), cluster("format-b", &kind, &["4", "5"])];
        assert_eq!(ids(&[&["4", "5", "6", "7"], &["1", "2"]], &previous), ["format-b", "format-a"]);
        // A part that splits off gets a new letter, the larger share keeps the old one.
        assert_eq!(ids(&[&["1"], &["2", "3"], &["4", "5"]], &previous), ["format-c", "format-a", "format-b"]);
        // A part that shares nothing never takes an old letter.
        assert_eq!(ids(&[&["4"], &["8", "9"]], &previous), ["format-b", "format-c"]);
        // Merged into one, the group has its key again.
        assert_eq!(ids(&[&["1", "2", "3", "4", "5"]], &previous), ["format"]);
    }

    #[test]
    fn letters_go_on_after_z() {
        assert_eq!([letter(0), letter(25), letter(26), letter(52)], ["a", "z", "aa", "ba"]);
    }
}
