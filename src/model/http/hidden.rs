//! What errors, the log and the store must not show of what an address was made of: values that came from the environment
//! may be keys, and a provider or the HTTP client may repeat them.

use std::fmt;

use reqwest::Url;

/// Shorter values are no keys, and stand in many words.
const LEAST: usize = 4;

/// Values, each with what is shown in its place.
#[derive(Clone, Default)]
pub struct Hidden {
    /// Longest first: one may hold another.
    values: Vec<(String, String)>,
}

impl Hidden {
    /// Shows `${NAME}` in the place of the variable's value, also where that was made fit for an address.
    pub fn hide_variable(&mut self, name: &str, value: &str) {
        let shown = format!("${{{name}}}");
        let mut in_path = Url::parse("http://localhost").ok();
        if let Some(url) = &mut in_path {
            url.set_path(value.trim());
        }
        let in_path = in_path.as_ref().map_or("", |url| url.path().trim_start_matches('/'));
        let in_segment = in_path.replace('/', "%2F");
        for form in [value.trim(), in_path, &in_segment, &value.trim().to_lowercase()] {
            if form.len() >= LEAST {
                self.hide(form, &shown);
            }
        }
    }

    /// Shows `[key]` in the place of a key.
    pub(super) fn hide_key(&mut self, key: &str) {
        self.hide(key.trim(), "[key]");
    }

    fn hide(&mut self, value: &str, shown: &str) {
        if !value.is_empty() && !self.values.iter().any(|(known, _)| known == value) {
            self.values.push((value.to_owned(), shown.to_owned()));
            self.values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        }
    }

    /// `text` without them.
    pub fn scrub(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, (value, shown)| text.replace(value, shown))
    }

    /// Whether `text` holds one of them.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.values.iter().any(|(value, _)| text.contains(value))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<&String> = self.values.iter().map(|(_, shown)| shown).collect();
        f.debug_tuple("Hidden").field(&shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_hidden_in_every_form_that_an_address_gives_it() {
        let mut hidden = Hidden::default();
        hidden.hide_variable("TOKEN", "Tok en/Ünd \"x\"");
        hidden.hide_variable("HOST", "Example.ORG");
        hidden.hide_variable("N", "1");
        let url = Url::parse("http://Example.ORG:81/v1/Tok en/Ünd \"x\"/chat").unwrap();
        assert_eq!(hidden.scrub(url.as_str()), "http://${HOST}:81/v1/${TOKEN}/chat");
        assert_eq!(hidden.scrub("no such path: /v1/Tok en/Ünd \"x\""), "no such path: /v1/${TOKEN}");
        assert_eq!(format!("{hidden:?}").matches("Tok").count(), 0);
    }
}
