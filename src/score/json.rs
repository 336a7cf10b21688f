//! JSON as scorers read it: equality by value, and the code fence that models put around it.

use serde_json::{Number, Value};

use super::answer::same;

/// Equality by value: `1` and `1.0` are the same number, fields have no order, elements have.
pub(super) fn equal(a: &Value, b: &Value, ignore_case: bool) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => same(a, b, ignore_case),
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, ignore_case))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b, ignore_case)))
        }
        _ => a == b,
    }
}

/// Two integers are compared exactly, since large ones don't fit a float; anything else as floats.
fn same_number(a: &Number, b: &Number) -> bool {
    if a == b {
        return true;
    }
    let integers = !a.is_f64() && !b.is_f64();
    !integers && a.as_f64() == b.as_f64()
}

/// The text without surrounding space, and without the ``` fence if one encloses all of it.
pub(super) fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    match inside {
        // What follows the opening fence on its line names the language.
        Some(inside) => inside.split_once('\n').map_or(inside, |(_, body)| body).trim(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_equal_by_value_and_large_integers_exactly() {
        assert!(equal(&json!(1), &json!(1.0), false));
        assert!(equal(&json!({"a": [1, "X"]}), &json!({"a": [1.0, "x"]}), true));
        assert!(!equal(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_992_i64), false));
        assert!(!equal(&json!({"a": 1}), &json!({"a": 1, "b": 2}), false));
        assert!(!equal(&json!([1, 2]), &json!([2, 1]), false));
        assert!(!equal(&json!("1"), &json!(1), false));
    }

    #[test]
    fn a_fence_around_the_whole_text_is_taken_off() {
        assert_eq!(unfenced("```json\n{\"a\": 1}\n```"), "{\"a\": 1}");
        assert_eq!(unfenced("  ```\n[1]\n```\n"), "[1]");
        assert_eq!(unfenced("{}"), "{}");
        assert_eq!(unfenced("see ```json\n{}\n```"), "see ```json\n{}\n```");
        assert_eq!(unfenced("```"), "```");
        assert_eq!(unfenced("``````"), "");
    }
}
