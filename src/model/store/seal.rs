//! A digest beside each answer, so that one that was altered in the file, or that the disk gives back otherwise, is noticed
//! and not used. SQLite checks how its pages hang together, not what they say.

use rusqlite::Row;

use crate::digest::Digest;
use crate::model::CallKey;

/// What a row holds, as it is stored, but for when it was.
pub(super) struct Content<'a> {
    /// Run, role, model, finish, text.
    pub texts: [&'a str; 5],
    /// Trace, reasoning, endpoint, tool calls.
    pub beside: [Option<&'a str>; 4],
    /// Tokens read, written, cached, of reasoning; latency.
    pub counts: [i64; 5],
    /// Cost; the bits of the log probability.
    pub numbers: [Option<i64>; 2],
}

impl<'a> Content<'a> {
    /// What `row` holds, in the columns of [`super::sqlite::READ`].
    pub fn of(row: &'a Row<'_>) -> rusqlite::Result<Self> {
        let (mut texts, mut beside, mut counts) = ([""; 5], [None; 4], [0; 5]);
        for (text, column) in texts.iter_mut().zip([0, 1, 2, 3, 9]) {
            *text = row.get_ref(column)?.as_str()?;
        }
        for (text, column) in beside.iter_mut().zip([10, 12, 13, 14]) {
            *text = row.get_ref(column)?.as_str_or_null()?;
        }
        for (count, column) in counts.iter_mut().zip([4, 5, 6, 11, 7]) {
            *count = row.get(column)?;
        }
        let numbers = [row.get(8)?, row.get::<_, Option<f64>>(15)?.map(bits)];
        Ok(Self { texts, beside, counts, numbers })
    }

    /// The digest of the answer under `key`: 16 bytes tell it from any other.
    pub fn digest(&self, key: CallKey) -> [u8; 16] {
        let counts = self.counts.map(i64::to_le_bytes);
        let numbers = self.numbers.map(|number| number.map(i64::to_le_bytes));
        let numbers = numbers.iter().map(|number| number.as_ref().map(<[u8; 8]>::as_slice));
        // Nothing is another thing than an empty text.
        let optional =
            self.beside.iter().map(|text| text.map(str::as_bytes)).chain(numbers).flat_map(|part| match part {
                Some(part) => [b"+".as_slice(), part],
                None => [b"-".as_slice(), b""],
            });
        let texts = self.texts.iter().map(|text| text.as_bytes());
        let counts = counts.iter().map(<[u8; 8]>::as_slice);
        let parts = std::iter::once(key.as_bytes().as_slice()).chain(texts).chain(counts).chain(optional);
        Digest::of_parts(parts).as_u128().to_le_bytes()
    }
}

/// A number as it is digested.
pub(super) fn bits(number: f64) -> i64 {
    i64::from_le_bytes(number.to_le_bytes())
}
