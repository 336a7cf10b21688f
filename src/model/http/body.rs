//! Bodies of the dialects that are not chat completions: what the user wrote beside.

use serde_json::{Map, Value};

use crate::model::{CallError, ChatRequest};

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
