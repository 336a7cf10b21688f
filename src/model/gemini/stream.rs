//! generateContent as a stream (<https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent>): each event is
//! a response with the parts that are new. None says that it is the last; the one with the finish reason is.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::model::http::{DONE, Gather, Refused, Seen, Streams, renew};

/// How content is streamed.
pub(super) struct Responses;

impl Streams for Responses {
    /// The address asks for it.
    fn asking(&self, _: Refused) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn url(&self, mut url: Url) -> Url {
        let path = url.path().replace(":generateContent", ":streamGenerateContent");
        url.set_path(&path);
        url.query_pairs_mut().append_pair("alt", "sse");
        url
    }

    fn gather(&self) -> Box<dyn Gather> {
        Box::new(Gathered::default())
    }
}

/// What has come.
#[derive(Default)]
struct Gathered {
    /// The first candidate, but for its parts and log probabilities.
    candidate: Map<String, Value>,
    parts: Vec<Value>,
    /// Of the tokens, where they are told.
    logprobs: Vec<f64>,
    /// The means that events told.
    means: Vec<f64>,
    feedback: Option<Map<String, Value>>,
    usage: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<Map<String, Value>>,
    usage_metadata: Option<Map<String, Value>>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    index: u64,
    content: Option<Content>,
    avg_logprobs: Option<f64>,
    logprobs_result: Option<Logprobs>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Content {
    parts: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logprobs {
    chosen_candidates: Option<Vec<Chosen>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chosen {
    log_probability: Option<f64>,
}

impl Gather for Gathered {
    fn take(&mut self, data: &[u8]) -> serde_json::Result<Seen> {
        if data.trim_ascii() == DONE {
            return Ok(Seen::Last);
        }
        let event: Event = serde_json::from_slice(data)?;
        if let Some(error) = event.error.filter(|error| !error.is_null()) {
            return Ok(Seen::Failure(json!({ "error": error })));
        }
        // Tokens are those so far, not those since.
        renew(&mut self.usage, event.usage_metadata.unwrap_or_default());
        self.feedback = event.prompt_feedback.or(self.feedback.take());
        for candidate in event.candidates.into_iter().flatten().filter(|candidate| candidate.index == 0) {
            self.parts.extend(candidate.content.and_then(|content| content.parts).into_iter().flatten());
            self.means.extend(candidate.avg_logprobs);
            let chosen = candidate.logprobs_result.and_then(|told| told.chosen_candidates);
            self.logprobs.extend(chosen.into_iter().flatten().filter_map(|token| token.log_probability));
            renew(&mut self.candidate, candidate.rest);
        }
        Ok(Seen::Part)
    }

    fn body(self: Box<Self>) -> Option<Value> {
        let mut body = Map::from_iter([("usageMetadata".to_owned(), self.usage.into())]);
        let is_blocked = self.feedback.as_ref().is_some_and(|feedback| feedback.contains_key("blockReason"));
        if let Some(feedback) = self.feedback {
            body.insert("promptFeedback".to_owned(), feedback.into());
        }
        if self.candidate.contains_key("finishReason") {
            let mut candidate = self.candidate;
            candidate.insert("content".to_owned(), json!({"role": "model", "parts": self.parts}));
            // A mean of one event among several is not that of the answer.
            let mean = match (self.logprobs.as_slice(), self.means.as_slice()) {
                ([], [mean]) => Some(*mean),
                ([], _) => None,
                (logprobs, _) => Some(logprobs.iter().sum::<f64>() / logprobs.len() as f64),
            };
            candidate.insert("avgLogprobs".to_owned(), json!(mean));
            body.insert("candidates".to_owned(), json!([candidate]));
        } else if !is_blocked {
            return None;
        }
        Some(body.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(events: &[Value]) -> Option<Value> {
        let mut gathered = Box::<Gathered>::default();
        for event in events {
            assert_eq!(gathered.take(event.to_string().as_bytes()).unwrap(), Seen::Part, "{event}");
        }
        gathered.body()
    }

    #[test]
    fn the_address_asks_for_a_stream() {
        for (url, streamed) in [
            (
                "http://localhost/v1beta/models/m:generateContent",
                "http://localhost/v1beta/models/m:streamGenerateContent?alt=sse",
            ),
            (
                "http://localhost/models/m:generateContent?a=1",
                "http://localhost/models/m:streamGenerateContent?a=1&alt=sse",
            ),
        ] {
            assert_eq!(Responses.url(Url::parse(url).unwrap()).as_str(), streamed);
        }
    }

    #[test]
    fn the_log_probability_is_the_mean_over_all_tokens_or_the_one_that_is_told() {
        let event = |told: Value| {
            let mut candidate = json!({"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"});
            candidate.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
            json!({ "candidates": [candidate] })
        };
        let tokens = |one: f64, other: f64| json!({"logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": one}, {"logProbability": other}]}, "avgLogprobs": -9.0});
        for (events, mean) in [
            (vec![event(tokens(-0.5, -0.25)), event(tokens(-0.5, -0.75))], json!(-0.5)),
            (vec![event(json!({})), event(json!({"avgLogprobs": -0.5}))], json!(-0.5)),
            (vec![event(json!({"avgLogprobs": -0.25})), event(json!({"avgLogprobs": -0.5}))], Value::Null),
            (vec![event(json!({}))], Value::Null),
        ] {
            assert_eq!(gathered(&events).unwrap()["candidates"][0]["avgLogprobs"], mean, "{events:?}");
        }
    }

    #[test]
    fn an_answer_is_whole_with_its_finish_reason_and_a_prompt_that_was_blocked_has_none() {
        let part =
            json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"promptTokenCount": 2}});
        assert_eq!(gathered(std::slice::from_ref(&part)), None);
        assert_eq!(gathered(&[]), None);
        let other = json!({"candidates": [{"index": 1, "finishReason": "STOP"}]});
        assert_eq!(gathered(&[part, other]), None);
        let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 2}});
        assert_eq!(gathered(std::slice::from_ref(&blocked)), Some(blocked));
    }
}
