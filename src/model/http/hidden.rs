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
    /// Shows `${NAME}` in the place of the variable's value, also where that was made fit for an address, and of what it
    /// holds beyond a host: that may be told without it.
    pub fn hide_variable(&mut self, name: &str, value: &str) {
        let shown = format!("${{{name}}}");
        let value = value.trim();
        let mut in_path = Url::parse("http://localhost").ok();
        if let Some(url) = &mut in_path {
            url.set_path(value);
        }
        let in_path = in_path.as_ref().map_or("", |url| url.path().trim_start_matches('/'));
        let in_segment = in_path.replace('/', "%2F");
        for form in [value, in_path, &in_segment, &value.to_lowercase()] {
            self.hide_form(form, &shown);
        }
        let address = value.split_once("://").map_or(value, |(_, address)| address);
        let parsed = Url::parse(&format!("http://{address}")).ok();
        let parsed = parsed.as_ref().map_or("", |url| url.as_str().trim_start_matches("http://"));
        for address in [address, parsed] {
            let beyond_host = address.find(['/', '?']).map_or("", |at| &address[at..]);
            self.hide_form(address.trim_end_matches('/'), &shown);
            self.hide_form(beyond_host.trim_end_matches('/'), &shown);
        }
    }

    fn hide_form(&mut self, form: &str, shown: &str) {
        if form.len() >= LEAST {
            self.hide(form, shown);
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

    #[test]
    fn a_value_that_is_a_whole_address_is_hidden_without_its_scheme_and_without_its_host() {
        for value in ["https://Gate.example:81/Key-1/é/", "Gate.example:81/Key-1/é"] {
            let mut hidden = Hidden::default();
            hidden.hide_variable("URL", value);
            let told = "gate.example:81/Key-1/%C3%A9/v1: no such path: /Key-1/é/v1 or /Key-1/%C3%A9/v1";
            assert_eq!(hidden.scrub(told), "${URL}/v1: no such path: ${URL}/v1 or ${URL}/v1");
            assert_eq!(hidden.scrub("see /v1 at gate.example:81"), "see /v1 at gate.example:81");
        }
    }
}
