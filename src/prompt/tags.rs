//! A light scan for template tags, for what the template engine does not tell: where a variable is named, which
//! statements a template uses, and where comments are. Only meant for source that has already compiled.

/// What a tag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TagKind {
    /// `{{ .. }}`
    Output,
    /// `{% .. %}`
    Statement,
    /// `{# .. #}`
    Comment,
}

/// One tag of a template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag<'a> {
    /// What it does.
    pub kind: TagKind,
    /// The text between the delimiters, without whitespace control signs.
    pub inner: &'a str,
    /// Byte offset of the opening delimiter.
    pub start: usize,
    /// Byte offset of `inner`.
    pub inner_start: usize,
    /// Byte offset after the closing delimiter.
    pub end: usize,
}

impl<'a> Tag<'a> {
    /// The names in the tag with their byte offsets in the source, without attributes (`.name`) and filters.
    pub fn names(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.words().filter(|word| !matches!(word.after, '.' | '|')).map(|word| (word.offset, word.text))
    }

    /// The filters (`| name`) in the tag with their byte offsets in the source.
    pub fn filters(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.words().filter(|word| word.after == '|').map(|word| (word.offset, word.text))
    }

    fn words(&self) -> impl Iterator<Item = Word<'a>> {
        let mut words = Vec::new();
        let mut after = ' ';
        let mut rest = self.inner;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' | '\'' => string_length(rest, first),
                letter if is_name(letter) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
                other => other.len_utf8(),
            };
            let (text, next) = rest.split_at(length);
            if is_name(first) && !first.is_numeric() {
                words.push(Word { offset: self.inner_start + self.inner.len() - rest.len(), text, after });
            }
            if !first.is_whitespace() {
                after = first;
            }
            rest = next;
        }
        words.into_iter()
    }
}

/// A name in a tag.
struct Word<'a> {
    /// Byte offset in the source.
    offset: usize,
    text: &'a str,
    /// First character of what stands before it, whitespace apart.
    after: char,
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes of the string literal that `text` begins with, quotes included.
fn string_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (offset, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return offset + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// All tags of `source` in order. What stands between `{% raw %}` and `{% endraw %}` holds none.
pub(super) fn tags(source: &str) -> Vec<Tag<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(tag) = next_tag(source, from) {
        from = tag.end;
        if tag.kind == TagKind::Statement && tag.inner.trim() == "raw" {
            from = end_of_raw(source, from);
        }
        found.push(tag);
    }
    found
}

fn next_tag(source: &str, from: usize) -> Option<Tag<'_>> {
    let bytes = source.as_bytes();
    let start = (from..bytes.len().saturating_sub(1))
        .find(|&at| bytes[at] == b'{' && matches!(bytes[at + 1], b'{' | b'%' | b'#'))?;
    let (kind, close) = match bytes[start + 1] {
        b'{' => (TagKind::Output, "}}"),
        b'%' => (TagKind::Statement, "%}"),
        _ => (TagKind::Comment, "#}"),
    };
    let body = &source[start + 2..];
    let length = match kind {
        TagKind::Comment => body.find(close),
        _ => code_length(body, close),
    }?;
    let signs = |c| c == '-' || c == '+';
    let inner = &body[..length];
    let skipped = usize::from(inner.starts_with(signs));
    let inner = &inner[skipped..];
    Some(Tag {
        kind,
        inner: inner.strip_suffix(signs).unwrap_or(inner),
        start,
        inner_start: start + 2 + skipped,
        end: start + 2 + length + close.len(),
    })
}

/// Bytes before the `close` that is in no string and in no bracket.
fn code_length(code: &str, close: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(c) = code[at..].chars().next() {
        if depth == 0 && code[at..].starts_with(close) {
            return Some(at);
        }
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += match c {
            '"' | '\'' => string_length(&code[at..], c),
            _ => c.len_utf8(),
        };
    }
    None
}

/// Offset after the `{% endraw %}` that ends the raw block whose content begins at `from`.
fn end_of_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(open) = source[at..].find("{%") {
        let inside = &source[at + open + 2..];
        if let Some(close) = inside.find("%}")
            && inside[..close].trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') == "endraw"
        {
            return at + open + 2 + close + 2;
        }
        at += open + 2;
    }
    source.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_delimiter_in_a_string_or_a_bracket_does_not_end_the_tag() {
        let source = r#"a {{ "}}" ~ {"k": {"l": 1}}.k }} b {# c #}"#;
        let inner: Vec<&str> = tags(source).iter().map(|tag| tag.inner).collect();
        assert_eq!(inner, [r#" "}}" ~ {"k": {"l": 1}}.k "#, " c "]);
    }

    #[test]
    fn a_raw_block_holds_no_tags() {
        let source = "{% raw %}{{ a }}{%- endraw -%}{{ b }}";
        let inner: Vec<&str> = tags(source).iter().map(|tag| tag.inner.trim()).collect();
        assert_eq!(inner, ["raw", "b"]);
    }

    #[test]
    fn names_leave_out_attributes_filters_strings_and_numbers() {
        let source = "{{- a.b | upper ~ 'c' ~ 1 ~ d }}";
        let names: Vec<(usize, &str)> = tags(source).iter().flat_map(Tag::names).collect();
        assert_eq!(names, [(4, "a"), (28, "d")]);
        let filters: Vec<(usize, &str)> = tags(source).iter().flat_map(Tag::filters).collect();
        assert_eq!(filters, [(10, "upper")]);
    }
}
