//! Ids that last: a structural group has the slug of its kind as its key; its parts have the key and a letter, and
//! keep it from generation to generation by the members they share.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{FailureCluster, FailureKind};
use crate::digest::Digest;

/// Most characters of one label or name in an id.
const LONGEST_PART: usize = 24;

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
        FailureKind::Confusion { expected, answered } => {
            (format!("{}-as-{}", slug(expected), slug(answered)), vec![expected, answered])
        }
        FailureKind::Format => ("format".to_string(), vec![]),
        FailureKind::Refusal => ("refusal".to_string(), vec![]),
        FailureKind::Empty => ("empty".to_string(), vec![]),
        FailureKind::Truncated => ("truncated".to_string(), vec![]),
        FailureKind::Criterion { name } => (slug(name), vec![name]),
    };
    let digest = Digest::of_parts(parts.into_iter().map(str::as_bytes)).short();
    let marked = format!("{text}-{}", &digest[..4]);
    [text, marked]
}

/// Lower-case letters and digits, anything else a hyphen; cut at [`LONGEST_PART`]. `x` if nothing is left.
fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let slug: String = words.join("-").chars().take(LONGEST_PART).collect();
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
