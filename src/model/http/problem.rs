//! What a provider says of a failure: the error object in its many forms, and what its code means.

use std::time::Duration;

use serde_json::Value;

/// What a provider says of a failure.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::model) struct Problem {
    /// In its own words.
    pub(in crate::model) message: String,
    /// What it means, as far as its code tells.
    pub(in crate::model) meaning: Meaning,
    /// The parameter of the request that it is about, where it names one.
    pub(in crate::model) parameter: Option<String>,
    /// The wait that it asks for within its body.
    pub(in crate::model) wait: Option<Duration>,
}

/// What the code of an error object means.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Meaning {
    /// Nothing that is known.
    #[default]
    Unclear,
    /// The account has nothing left, which no waiting mends.
    OutOfQuota,
    /// The key isn't accepted.
    NoAccess,
    /// The request is more than is ever allowed at once, though it is called a rate limit.
    TooLarge,
    /// The request or its content is refused.
    Refused,
    /// The model doesn't take a parameter, or not with this value.
    Unsupported,
    /// The provider's filter withheld the answer, or took offence at the request.
    Filtered,
    /// The provider has too much to do.
    Busy,
}

impl Problem {
    /// A problem of which only this is known.
    pub(in crate::model) fn saying(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }
}

/// Reads the body of a failure: an error object where there is one, otherwise its text.
pub(in crate::model) fn problem(body: &[u8]) -> Problem {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(map)) => described(map.get("error").unwrap_or(&Value::Object(map.clone()))),
        _ => Problem::saying(String::from_utf8_lossy(body)),
    }
}

/// An error object in one of its many forms: a string, or a map with `message` (or `detail`), `code` and `type`.
pub(in crate::model) fn described(error: &Value) -> Problem {
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    let message = error.as_str().or_else(|| text("message")).or_else(|| text("detail"));
    let message = message.map_or_else(|| error.to_string(), str::to_owned);
    // OpenRouter's moderation has the status of a key that isn't accepted.
    let is_flagged = error.get("metadata").is_some_and(|metadata| metadata.get("flagged_input").is_some());
    let meaning = match () {
        () if message.starts_with("Request too large") => Meaning::TooLarge,
        () if is_flagged => Meaning::Filtered,
        () => meaning(error),
    };
    let parameter = text("param").map(str::to_owned);
    Problem { message, meaning, parameter, wait: None }
}

/// What `code` and `type` of an error object say; the code may be a word or a status.
fn meaning(error: &Value) -> Meaning {
    let word = |key: &str| {
        Some(match error.get(key)?.as_str()? {
            "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" | "billing_error" => {
                Meaning::OutOfQuota
            }
            "invalid_api_key" | "authentication_error" | "permission_error" => Meaning::NoAccess,
            "unsupported_parameter" | "unsupported_value" => Meaning::Unsupported,
            "content_filter" | "content_policy_violation" => Meaning::Filtered,
            "context_length_exceeded" | "invalid_request_error" | "model_not_found" | "not_found_error" => {
                Meaning::Refused
            }
            "rate_limit_exceeded" | "rate_limit_error" | "overloaded_error" | "server_is_overloaded" | "slow_down" => {
                Meaning::Busy
            }
            _ => return None,
        })
    };
    let number = |key: &str| match error.get(key)?.as_u64()? {
        401..=403 => Some(Meaning::NoAccess),
        400 | 404 | 405 | 413 | 422 => Some(Meaning::Refused),
        429 | 529 => Some(Meaning::Busy),
        _ => None,
    };
    let known = ["code", "type"].into_iter().find_map(word).or_else(|| number("code"));
    known.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_code_of_an_error_says_what_it_means() {
        for (error, meaning) in [
            (json!({"code": "insufficient_quota", "type": "invalid_request_error"}), Meaning::OutOfQuota),
            (json!({"code": "invalid_api_key", "type": "invalid_request_error"}), Meaning::NoAccess),
            (json!({"code": "unsupported_value", "type": "invalid_request_error"}), Meaning::Unsupported),
            (json!({"code": null, "type": "invalid_request_error"}), Meaning::Refused),
            (json!({"code": "content_filter"}), Meaning::Filtered),
            (json!({"code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "x"}}), Meaning::Filtered),
            (json!({"type": "overloaded_error"}), Meaning::Busy),
            (json!({"code": 429}), Meaning::Busy),
            (json!({"code": 403}), Meaning::NoAccess),
            (json!({"code": 502}), Meaning::Unclear),
            (json!("overloaded"), Meaning::Unclear),
        ] {
            assert_eq!(described(&error).meaning, meaning, "{error}");
        }
    }

    #[test]
    fn the_body_of_a_failure_is_understood_in_every_form() {
        let quota = problem(br#"{"error": {"message": "no money", "type": "insufficient_quota", "code": null}}"#);
        assert_eq!(quota.meaning, Meaning::OutOfQuota);
        let large = problem(br#"{"error": {"message": "Request too large for tiny", "code": "rate_limit_exceeded"}}"#);
        assert_eq!(large.meaning, Meaning::TooLarge);
        assert_eq!(problem(br#"{"detail": "not found"}"#).message, "not found");
        assert_eq!(problem(br#"{"error": {"message": "no", "param": "top_p"}}"#).parameter.unwrap(), "top_p");
        assert_eq!(problem(b"upstream\nfailed").message, "upstream\nfailed");
        assert_eq!(problem(&[0xff]).message, "\u{fffd}");
        assert_eq!(problem(b"").message, "");
    }
}
