//! Parameters that a model refuses, learnt from its errors: the request is sent again without them, and so is every
//! later one of the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::problem::{Meaning, Problem};
use crate::model::ChatRequest;

/// Which of a request's own parameters a model refuses. What the user wrote in `extra` is never left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::model) struct Refused {
    /// `temperature`: most reasoning models have one of their own.
    pub(in crate::model) temperature: bool,
    /// `max_tokens`: newer models of OpenAI call it `max_completion_tokens`.
    pub(in crate::model) max_tokens: bool,
    /// The answer's format.
    pub(in crate::model) format: bool,
    /// Marks for the provider's cache.
    pub(in crate::model) cache: bool,
    /// `stream_options`, which ask that a stream ends with its usage: some servers tell it anyway, some never.
    pub(in crate::model) stream_options: bool,
}

/// How providers say that they don't take something. A value out of its range is another matter: the user has to know.
const NOT_TAKEN: [&str; 6] =
    ["not support", "unsupported", "deprecated", "unavailable", "not available", "must be 'json_schema'"];

/// How the answer's format is called in requests.
const FORMATS: [&str; 6] =
    ["response_format", "text.format", "output_config", "outputconfig", "responsejsonschema", "responsemimetype"];

/// How it is asked that a stream ends with its usage.
pub(in crate::model) const STREAM_OPTIONS: &str = "stream_options";

/// How a mark for the cache is called where a model may refuse it.
pub(in crate::model) const CACHE_MARK: &str = "cachepoint";

impl Refused {
    /// What is known after `problem` with `request`; nothing where that is no refusal of a parameter that can be left
    /// out, or of one that was left out already.
    fn learn(self, problem: &Problem, request: &ChatRequest) -> Option<Self> {
        let message = problem.message.to_lowercase();
        let ours = |key: &str| !request.extra.contains_key(key);
        // Whatever is wrong with it, the answer is the same without.
        if !self.stream_options && ours(STREAM_OPTIONS) && message.contains(STREAM_OPTIONS) {
            return Some(Self { stream_options: true, ..self });
        }
        if problem.meaning != Meaning::Unsupported && !NOT_TAKEN.iter().any(|words| message.contains(words)) {
            return None;
        }
        let is_named = |name: &str| match &problem.parameter {
            Some(parameter) => parameter.to_lowercase() == name,
            None => ["'", "`", "\""].iter().any(|quote| message.contains(&format!("{quote}{name}{quote}"))),
        };
        let mut learnt = self;
        learnt.temperature |= request.temperature.is_some() && ours("temperature") && is_named("temperature");
        learnt.max_tokens |= request.max_tokens.is_some() && ours("max_tokens") && is_named("max_tokens");
        // A schema that is wrong is refused too, and has to be told.
        let is_about_format = FORMATS.iter().any(|name| is_named(name) || message.contains(name));
        learnt.format |= !request.format.is_text() && is_about_format && !message.starts_with("invalid schema");
        learnt.cache |= is_named(CACHE_MARK);
        (learnt != self).then_some(learnt)
    }
}

/// What each model of an endpoint refuses, as far as it was asked.
#[derive(Default)]
pub(super) struct Refusals {
    by_model: Mutex<BTreeMap<String, Refused>>,
}

impl Refusals {
    /// What `model` is known to refuse.
    pub(super) fn of(&self, model: &str) -> Refused {
        // Copied in and out whole: a panic elsewhere can't leave one half changed.
        self.by_model.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied().unwrap_or_default()
    }

    /// Learns from `problem` with `request`, from which `left_out` was left out; whether it is worth sending it again.
    pub(super) fn learn(&self, problem: &Problem, request: &ChatRequest, left_out: Refused) -> bool {
        let Some(learnt) = left_out.learn(problem, request) else { return false };
        tracing::warn!(model = request.model, ?learnt, "the model refuses a parameter: it is left out from now on");
        let mut by_model = self.by_model.lock().unwrap_or_else(PoisonError::into_inner);
        let known = by_model.entry(request.model.clone()).or_default();
        known.temperature |= learnt.temperature;
        known.max_tokens |= learnt.max_tokens;
        known.format |= learnt.format;
        known.cache |= learnt.cache;
        known.stream_options |= learnt.stream_options;
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::AnswerFormat;
    use crate::model::http::problem::problem;
    use crate::model::testing::call;

    fn learnt(error: serde_json::Value) -> Option<Refused> {
        let mut request = call("0").request;
        request.max_tokens = Some(9);
        request.format = AnswerFormat::Json;
        Refused::default().learn(&problem(json!({ "error": error }).to_string().as_bytes()), &request)
    }

    #[test]
    fn a_refused_parameter_is_learnt_from_its_name_or_from_the_words() {
        let nothing = Refused::default();
        for (error, refused) in [
            (
                json!({"message": "Unsupported value: 'temperature' does not support 0 with this model.",
                       "type": "invalid_request_error", "param": "temperature", "code": "unsupported_value"}),
                Refused { temperature: true, ..nothing },
            ),
            (
                json!({"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                       'max_completion_tokens' instead.", "param": "max_tokens", "code": "unsupported_parameter"}),
                Refused { max_tokens: true, ..nothing },
            ),
            (
                json!({"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."}),
                Refused { temperature: true, ..nothing },
            ),
            (
                json!({"message": "This response_format type is unavailable now", "type": "invalid_request_error"}),
                Refused { format: true, ..nothing },
            ),
        ] {
            assert_eq!(learnt(error.clone()), Some(refused), "{error}");
        }
    }

    #[test]
    fn that_a_stream_ends_with_its_usage_is_no_longer_asked_for_once_it_is_named_in_an_error() {
        let extra = json!([{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]);
        for error in [
            json!({"message": "Unrecognized request argument supplied: stream_options", "type": "invalid_request_error"}),
            json!({ "detail": extra }),
        ] {
            let refused = Refused { stream_options: true, ..Refused::default() };
            assert_eq!(learnt(error.clone()), Some(refused), "{error}");
            let mut request = call("0").request;
            let error = problem(json!({ "error": error }).to_string().as_bytes());
            assert_eq!(refused.learn(&error, &request), None);
            request.extra = json!({"stream_options": {}}).as_object().unwrap().clone();
            assert_eq!(Refused::default().learn(&error, &request), None);
        }
    }

    #[test]
    fn what_the_user_has_to_mend_is_no_refusal() {
        for error in [
            json!({"message": "temperature: range: 0..1", "type": "invalid_request_error"}),
            json!({"message": "'temperature' must be at most 2", "param": "temperature", "code": "decimal_above_max_value"}),
            json!({"message": "max_tokens: 99999 > 8192, which is the maximum allowed number of output tokens"}),
            json!({"message": "Invalid schema for response_format 'x': 'oneOf' is not supported.",
                   "param": "response_format"}),
            json!({"message": "The model `x` does not exist", "code": "model_not_found"}),
            json!({"message": "Unsupported parameter: 'top_k'", "param": "top_k", "code": "unsupported_parameter"}),
        ] {
            assert_eq!(learnt(error.clone()), None, "{error}");
        }
    }

    #[test]
    fn what_the_user_wrote_is_never_left_out_and_nothing_is_learnt_twice() {
        let refusal = json!({"message": "no", "param": "temperature", "code": "unsupported_value"});
        let refusal = problem(json!({ "error": refusal }).to_string().as_bytes());
        let mut request = call("0").request;
        let known = Refused { temperature: true, ..Refused::default() };
        assert_eq!(known.learn(&refusal, &request), None);
        request.extra = json!({"temperature": 0.5}).as_object().unwrap().clone();
        assert_eq!(Refused::default().learn(&refusal, &request), None);
    }
}
