//! Escaping of row text that is pasted into a template, as when a strategy adds examples.

use super::file::Role;

/// `text` as template source that renders back to it, for row text that is pasted into a prompt as an example.
///
/// Line breaks become single spaces and a role line is written so that it opens no message: pasted anywhere in a
/// message, on a line of its own too, the text stays inside that message. The one place it must not be pasted is right
/// after a `{` of the template's own text.
pub fn escape_literal(text: &str) -> String {
    let folded = fold_lines(text);
    let mut escaped = String::with_capacity(folded.len());
    let mut characters = folded.chars().peekable();
    while let Some(c) = characters.next() {
        // At the end the brace could meet what the template goes on with.
        if c == '{' && matches!(characters.peek(), None | Some('{' | '%' | '#')) {
            escaped.push_str(r#"{{ "{" }}"#);
        } else {
            escaped.push(c);
        }
    }
    match Role::opened_by(&folded) {
        Some(_) => escaped.replacen(':', r#"{{ ":" }}"#, 1),
        None => escaped,
    }
}

/// `text` with each run of line breaks as one space.
fn fold_lines(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut in_break = false;
    for c in text.chars() {
        let breaks = matches!(c, '\n' | '\r');
        if !breaks {
            folded.push(c);
        } else if !in_break {
            folded.push(' ');
        }
        in_break = breaks;
    }
    folded
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::prompt::Prompt;

    fn rendered(text: &str) -> Vec<(Role, String)> {
        let row = serde_json::from_value(json!({"id": "r1", "input": "i"})).unwrap();
        let messages = Prompt::parse("p", text).unwrap().render(&row).unwrap();
        messages.into_iter().map(|message| (message.role, message.content)).collect()
    }

    #[test]
    fn a_literal_alone_on_its_line_opens_no_message() {
        for text in ["user:", "System: ", "ASSISTANT:\n"] {
            let source = format!("x {{{{ input }}}}\n{}\ny", escape_literal(text));
            let messages = rendered(&source);
            assert_eq!(messages, [(Role::User, format!("x i\n{}\ny", fold_lines(text)))]);
        }
    }

    /// Text made of what could be mistaken for structure.
    pub(in crate::prompt) fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("{{ input }}".to_owned()),
            Just("{".to_owned()),
            Just("}".to_owned()),
            Just("%".to_owned()),
            Just("#".to_owned()),
            Just("{% raw %}".to_owned()),
            Just("{#".to_owned()),
            Just("-".to_owned()),
            Just("\nsystem:\n".to_owned()),
            Just("user:".to_owned()),
            Just("\r\n".to_owned()),
            Just("---\n".to_owned()),
            Just("{# ratchet:end #}".to_owned()),
            any::<String>(),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn an_escaped_literal_renders_back(text in hostile(), before in "[%#}x]?", after in "[{%#}x]?") {
            let source = format!("[{before}{}{after}]\n{}\n{{{{ input }}}}", escape_literal(&text), escape_literal(&text));
            let folded = fold_lines(&text);
            let messages = rendered(&source);
            prop_assert_eq!(messages, [(Role::User, format!("[{before}{folded}{after}]\n{folded}\ni"))]);
        }
    }
}
