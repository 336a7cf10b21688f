//! Parts a streamed body into its events: server-sent events, or lines. It takes bytes as they come, however they are cut.

/// How the events of a body are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Framing {
    /// Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>), of which
    /// only `data` is read: all dialects repeat an event's name in it.
    Events,
    /// A JSON text a line.
    Lines,
}

/// The parts of a body so far.
pub(super) struct Events {
    framing: Framing,
    /// The line under way.
    line: Vec<u8>,
    /// Whether no line has ended yet.
    is_first: bool,
    /// Whether the last byte was a CR: a line feed right after it ends no further line.
    after_cr: bool,
    /// What the event under way carries; `None` before its first line of data.
    data: Option<Vec<u8>>,
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl Events {
    /// Nothing so far.
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, line: Vec::new(), is_first: true, after_cr: false, data: None }
    }

    /// Takes the next bytes. What the events that end within them carry; one that carries nothing is none.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, end) = match piece.split_last() {
                Some((end @ (b'\n' | b'\r'), text)) => (text, Some(*end)),
                _ => (piece, None),
            };
            let is_second_half = std::mem::take(&mut self.after_cr) && piece == b"\n";
            self.line.extend_from_slice(text);
            self.after_cr = end == Some(b'\r');
            if end.is_some() && !is_second_half {
                found.extend(self.end_line());
            }
        }
        found
    }

    /// What the event carries that the body ended within: its last line breaks were left out.
    pub(super) fn end(mut self) -> Option<Vec<u8>> {
        let last = if self.line.is_empty() { None } else { self.end_line() };
        last.or_else(|| self.dispatch())
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_first) && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        match self.framing {
            Framing::Lines => Some(line).filter(|line| !line.trim_ascii().is_empty()),
            Framing::Events if line.is_empty() => self.dispatch(),
            Framing::Events => {
                self.field(&line);
                None
            }
        }
    }

    fn field(&mut self, line: &[u8]) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        if parts.next() != Some(b"data") {
            return;
        }
        let value = parts.next().unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => self.data = Some(value.to_vec()),
        }
    }

    fn dispatch(&mut self) -> Option<Vec<u8>> {
        self.data.take().filter(|data| !data.trim_ascii().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parted(framing: Framing, pieces: &[&[u8]]) -> Vec<String> {
        let mut events = Events::new(framing);
        let mut found: Vec<Vec<u8>> = pieces.iter().flat_map(|piece| events.feed(piece)).collect();
        found.extend(events.end());
        found.into_iter().map(|data| String::from_utf8_lossy(&data).into_owned()).collect()
    }

    #[test]
    fn data_is_read_as_the_standard_says_and_all_else_is_passed_over() {
        for (text, found) in [
            ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
            ("\u{feff}data: a\n\n", vec!["a"]),
            ("data: a\r\n\r\ndata:b\r\rdata:  c\n\n", vec!["a", "b", " c"]),
            ("data: a\ndata\ndata: b\n\n", vec!["a\n\nb"]),
            (": ping\n\nevent: x\nid: 1\nretry: 9\ndata: a\n\n", vec!["a"]),
            ("data: {\"a\": \"b: c\"}\n\n", vec!["{\"a\": \"b: c\"}"]),
            ("event: x\n\ndata:\n\ndata: \n\n", vec![]),
            ("database: a\n\nx\u{feff}data: b\n\n", vec![]),
            // The end of the body ends what is under way.
            ("data: a\n\ndata: b", vec!["a", "b"]),
            ("data: a\ndata: b\n", vec!["a\nb"]),
        ] {
            assert_eq!(parted(Framing::Events, &[text.as_bytes()]), found, "{text:?}");
        }
    }

    #[test]
    fn a_line_is_an_event_where_lines_are_and_an_empty_one_is_none() {
        assert_eq!(
            parted(Framing::Lines, &[b"{\"a\": 1}\r\n\n \n{\"b\"", b": 2}\n{}"]),
            ["{\"a\": 1}", "{\"b\": 2}", "{}"]
        );
    }

    proptest! {
        #[test]
        fn the_same_events_are_found_however_the_bytes_are_cut(
            text in "(data|data:|: |event: x|[abé\u{feff} ]|\r\n|\n|\r|\n\n){0,24}", cuts in prop::collection::vec(0..60_usize, 0..8),
            lines in any::<bool>(),
        ) {
            let framing = if lines { Framing::Lines } else { Framing::Events };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, later) = rest.split_at(cut - (text.len() - rest.len()));
                pieces.push(piece);
                rest = later;
            }
            pieces.push(rest);
            prop_assert_eq!(parted(framing, &pieces), parted(framing, &[text.as_bytes()]));
        }

        #[test]
        fn what_was_written_is_read_whatever_stands_around_it(
            written in prop::collection::vec(("[a-z{}\": é]{1,12}", 0..3_usize, 0..3_usize), 0..6),
        ) {
            let mut text = String::new();
            let mut wanted = Vec::new();
            for (line, end, beside) in &written {
                let end = ["\n", "\r\n", "\r"][*end];
                let beside = ["", ": a comment", "event: message"][*beside];
                text += &[beside, end, "data: ", line, end, "data: ", line, end, end].concat();
                // Beside nothing, the empty line ends nothing either.
                wanted.push(format!("{line}\n{line}"));
            }
            wanted.retain(|data| !data.trim_ascii().is_empty());
            prop_assert_eq!(parted(Framing::Events, &[text.as_bytes()]), wanted);
        }
    }
}
