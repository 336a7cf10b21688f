//! [`SplitMap`]: which split each id is in, some ten bytes an entry beyond the id.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::example::Split;
use super::packed::Texts;

/// Id to split; in files a map in the order of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SplitMap {
    /// Ascending, each once.
    ids: Texts,
    /// One an id.
    splits: Vec<Split>,
}

impl SplitMap {
    /// The split of an id.
    pub(super) fn get(&self, id: &str) -> Option<Split> {
        let (mut low, mut high) = (0, self.splits.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.ids.get(middle).cmp(id) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return self.splits.get(middle).copied(),
            }
        }
        None
    }

    /// The same with `newer` entries, which come by ascending ids, in place of those of their ids.
    pub(super) fn updated<'a>(&self, newer: impl Iterator<Item = (&'a str, Split)>) -> Self {
        let mut updated = Self::default();
        let mut older = self.iter().peekable();
        for (id, split) in newer {
            while let Some((before, its)) = older.next_if(|(before, _)| *before < id) {
                updated.push(before, its);
            }
            older.next_if(|(before, _)| *before == id);
            updated.push(id, split);
        }
        older.for_each(|(id, split)| updated.push(id, split));
        updated
    }

    /// The entries, by ascending ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Split)> {
        self.ids.iter().zip(self.splits.iter().copied())
    }

    fn push(&mut self, id: &str, split: Split) {
        self.ids.push(id);
        self.splits.push(split);
    }
}

/// Of several entries for an id the last counts.
impl FromIterator<(String, Split)> for SplitMap {
    fn from_iter<I: IntoIterator<Item = (String, Split)>>(entries: I) -> Self {
        let sorted: BTreeMap<String, Split> = entries.into_iter().collect();
        Self::default().updated(sorted.iter().map(|(id, split)| (id.as_str(), *split)))
    }
}

impl Serialize for SplitMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for SplitMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor;

        impl<'de> Visitor<'de> for MapVisitor {
            type Value = SplitMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<SplitMap, A::Error> {
                let (mut read, mut is_sorted) = (SplitMap::default(), true);
                while let Some((id, split)) = entries.next_entry::<String, Split>()? {
                    is_sorted &= read.splits.len().checked_sub(1).is_none_or(|last| read.ids.get(last) < id.as_str());
                    read.push(&id, split);
                }
                // As people may have merged it.
                Ok(if is_sorted { read } else { read.iter().map(|(id, split)| (id.to_owned(), split)).collect() })
            }
        }

        deserializer.deserialize_map(MapVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_what_a_sorted_map_holds_whatever_order_it_was_written_in(
            older in prop::collection::vec(("[a-c]{0,3}", 0_usize..3), 0..12),
            newer in prop::collection::btree_map("[a-d]{0,3}", 0_usize..3, 0..12),
        ) {
            let mut wanted: BTreeMap<String, Split> =
                older.iter().map(|(id, split)| (id.clone(), Split::ALL[*split])).collect();
            let written: Vec<String> = older.iter().map(|(id, at)| format!("{id:?}:\"{}\"", Split::ALL[*at])).collect();
            let map: SplitMap = serde_json::from_str(&format!("{{{}}}", written.join(","))).unwrap();
            prop_assert_eq!(serde_json::to_string(&map).unwrap(), serde_json::to_string(&wanted).unwrap());
            let map = map.updated(newer.iter().map(|(id, split)| (id.as_str(), Split::ALL[*split])));
            wanted.extend(newer.iter().map(|(id, split)| (id.clone(), Split::ALL[*split])));
            prop_assert_eq!(serde_json::to_string(&map).unwrap(), serde_json::to_string(&wanted).unwrap());
            for id in ["", "a", "ab", "cd", "d", "zz"] {
                prop_assert_eq!(map.get(id), wanted.get(id).copied());
            }
        }
    }
}
