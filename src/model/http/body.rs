//! Bodies of the dialects that are not chat completions: conversations with the system text apart, and what the user
//! wrote beside.

use serde_json::{Map, Value};

use crate::model::{CallError, ChatRequest};
use crate::prompt::{Message, Role};

/// A conversation for providers that take the system text apart and want user and assistant to take turns.
#[derive(Debug, PartialEq)]
pub(in crate::model) struct Turns {
    /// All system messages; `None` where there are none, or nothing else: then they are what is asked.
    pub(in crate::model) system: Option<String>,
    /// At least one, of user and assistant by turns.
    pub(in crate::model) turns: Vec<(Role, String)>,
}

impl Turns {
    /// The conversation of `messages`; neighbours of one role become one, a blank line between them.
    pub(in crate::model) fn of(messages: &[Message]) -> Self {
        let mut system = Vec::new();
        let mut turns: Vec<(Role, String)> = Vec::new();
        for Message { role, content } in messages {
            match turns.last_mut() {
                _ if *role == Role::System => system.push(content.as_str()),
                Some((last, text)) if last == role => {
                    text.push_str("\n\n");
                    text.push_str(content);
                }
                _ => turns.push((*role, content.clone())),
            }
        }
        let system = (!system.is_empty()).then(|| system.join("\n\n"));
        if turns.is_empty() {
            return Self { system: None, turns: vec![(Role::User, system.unwrap_or_default())] };
        }
        Self { system, turns }
    }
}

/// Whether `extra` gives `path` (keys, outermost first) itself.
pub(in crate::model) fn is_given(extra: &Map<String, Value>, path: &[&str]) -> bool {
    let mut at = extra;
    for (depth, key) in path.iter().enumerate() {
        match at.get(*key) {
            Some(_) if depth + 1 == path.len() => return true,
            Some(Value::Object(within)) => at = within,
            found => return found.is_some(),
        }
    }
    false
}

/// `body` with the request's `extra`, as bytes. A key in `extra` takes the place of ours, of an object only those within.
///
/// # Errors
/// [`CallError::Local`] for what JSON can't say.
pub(in crate::model) fn with_extra(mut body: Value, request: &ChatRequest) -> Result<Vec<u8>, CallError> {
    if let Value::Object(body) = &mut body {
        merge(body, &request.extra);
    }
    serde_json::to_vec(&body).map_err(|error| CallError::Local(format!("request: {error}")))
}

fn merge(body: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (key, value) in extra {
        match (body.get_mut(key), value) {
            (Some(Value::Object(ours)), Value::Object(theirs)) => merge(ours, theirs),
            _ => drop(body.insert(key.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::testing::call;

    fn message(role: Role, content: &str) -> Message {
        Message { role, content: content.into() }
    }

    #[test]
    fn system_texts_stand_apart_and_neighbours_of_one_role_are_one_turn() {
        let messages = [
            message(Role::System, "be brief"),
            message(Role::User, "a"),
            message(Role::User, "b"),
            message(Role::Assistant, "c"),
            message(Role::System, "be kind"),
            message(Role::User, "d"),
        ];
        let turns =
            [(Role::User, "a\n\nb".to_owned()), (Role::Assistant, "c".to_owned()), (Role::User, "d".to_owned())];
        let system = Some("be brief\n\nbe kind".to_owned());
        assert_eq!(Turns::of(&messages), Turns { system, turns: turns.to_vec() });
        let alone = Turns { system: None, turns: vec![(Role::User, "be brief".to_owned())] };
        assert_eq!(Turns::of(&messages[..1]), alone);
    }

    #[test]
    fn what_the_user_wrote_takes_the_place_of_ours_key_by_key() {
        let mut request = call("0").request;
        request.extra = json!({"a": {"b": 2}, "d": [1]}).as_object().unwrap().clone();
        let body = with_extra(json!({"a": {"b": 1, "c": 1}, "d": {}}), &request).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({"a": {"b": 2, "c": 1}, "d": [1]}));
        assert!(is_given(&request.extra, &["a", "b"]) && is_given(&request.extra, &["d", "x"]));
        assert!(!is_given(&request.extra, &["a", "c"]) && !is_given(&request.extra, &["e"]));
    }
}
