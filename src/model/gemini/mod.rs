//! Gemini's generateContent: what is sent, and what comes back.
//!
//! Parameters stand in `generationConfig`, so `extra` does too: `extra = { generationConfig = { topK = 1 } }`.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Meaning, Problem, Refused, Reply, Streams, Wire, described, is_given, problem, with_extra};
use super::openai::mean;
use super::tools::{Turn, Turns, written};
use super::{AnswerFormat, CallError, ChatRequest, Completion, FinishReason, Usage};
use crate::prompt::Role;

mod stream;
mod tools;

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gemini;

impl Gemini {
    /// The address of an operation of the request's model.
    pub(super) fn operation(base: &Url, model: &str, operation: &str) -> Url {
        let mut url = base.clone();
        let model = model.trim_start_matches("models/");
        url.set_path(&format!("{}/models/{model}:{operation}", base.path().trim_end_matches('/')));
        url
    }
}

impl Wire for Gemini {
    fn url(&self, base: &Url, model: &str) -> Url {
        Self::operation(base, model, "generateContent")
    }

    fn key(&self, key: &str) -> (HeaderName, String) {
        (HeaderName::from_static("x-goog-api-key"), key.to_owned())
    }

    fn body(&self, request: &ChatRequest, refused: Refused) -> Result<Vec<u8>, CallError> {
        let Turns { system, turns } = Turns::of(request)?;
        let content = |turn: &Turn| -> Result<Value, CallError> {
            let role = if turn.role == Role::Assistant { "model" } else { "user" };
            Ok(json!({"role": role, "parts": tools::parts(turn)?}))
        };
        let mut config = json!({});
        if let Some(temperature) = request.temperature.filter(|_| !refused.temperature) {
            config["temperature"] = json!(temperature);
        }
        if let Some(max_tokens) = request.max_tokens {
            config["maxOutputTokens"] = json!(max_tokens);
        }
        if let Some(seed) = request.seed {
            config["seed"] = json!(seed);
        }
        if request.logprobs {
            config["responseLogprobs"] = json!(true);
        }
        if !request.format.is_text()
            && !refused.format
            && !is_given(&request.extra, &["generationConfig", "responseMimeType"])
        {
            config["responseMimeType"] = json!("application/json");
            if let AnswerFormat::Schema { schema, .. } = &request.format {
                config["responseJsonSchema"] = schema.clone();
            }
        }
        let contents = turns.iter().map(content).collect::<Result<Vec<_>, _>>()?;
        let mut body = json!({"contents": contents, "generationConfig": config});
        if let Some(system) = system {
            body["systemInstruction"] = json!({"parts": [{"text": system}]});
        }
        if let Some(tools) = &request.tools {
            tools::offer(&mut body, &tools.offer()?)?;
        }
        with_extra(body, request)
    }

    fn reply(&self, body: &[u8]) -> serde_json::Result<Reply> {
        let raw: RawReply = serde_json::from_slice(body)?;
        if let Some(error) = raw.error {
            return Ok(Reply::Problem(described(&error)));
        }
        let usage = raw.usage.map(usage).unwrap_or_default();
        let Some(candidate) = raw.candidates.unwrap_or_default().into_iter().next() else {
            // A prompt that the filter took offence at has no candidate, and says so beside.
            return Ok(match raw.feedback.and_then(|feedback| feedback.block_reason) {
                Some(_) => Reply::Answer(Completion::live(String::new(), FinishReason::Filter, usage)),
                None => Reply::Problem(Problem::saying("no candidates")),
            });
        };
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        let texts = |thoughts: bool| -> String {
            parts.iter().filter(|part| part.thought == thoughts).filter_map(|part| part.text.as_deref()).collect()
        };
        let tool_calls = written(tools::asked(&parts));
        let finish = if tool_calls.is_some() { FinishReason::Tool } else { finish(candidate.finish_reason.as_deref()) };
        let tokens = candidate.logprobs_result.and_then(|told| told.chosen_candidates).unwrap_or_default();
        let tokens: Vec<f64> = tokens.iter().filter_map(|token| token.log_probability).collect();
        let logprob = candidate.avg_logprobs.or_else(|| mean(&tokens));
        let completion = Completion { tool_calls, logprob, ..Completion::live(texts(false), finish, usage) };
        Ok(Reply::Answer(completion.thinking(Some(texts(true)))))
    }

    fn streams(&self) -> Option<&'static dyn Streams> {
        Some(&stream::Responses)
    }

    fn problem(&self, body: &[u8]) -> Problem {
        let problem = problem(body);
        let details = serde_json::from_slice::<Failure>(body).map(|failure| failure.error.details).unwrap_or_default();
        let reason = |reason: &str| details.iter().any(|detail| detail.reason.as_deref() == Some(reason));
        // No waiting within a run brings a day's quota back.
        let is_of_a_day = details
            .iter()
            .flat_map(|detail| &detail.violations)
            .any(|violation| violation.quota_id.as_deref().is_some_and(|id| id.contains("PerDay")));
        let meaning = match () {
            () if reason("API_KEY_INVALID") => Meaning::NoAccess,
            () if is_of_a_day => Meaning::OutOfQuota,
            () => problem.meaning,
        };
        let wait = details.iter().find_map(|detail| seconds(detail.retry_delay.as_deref()?));
        Problem { meaning, wait, ..problem }
    }
}

/// A length of time as protobuf writes it: `34s`, `1.5s`.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReply {
    candidates: Option<Vec<Candidate>>,
    #[serde(rename = "promptFeedback")]
    feedback: Option<Feedback>,
    #[serde(rename = "usageMetadata")]
    usage: Option<RawUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
    /// Sent by some models without being asked for.
    avg_logprobs: Option<f64>,
    /// What the mean is of, for models that don't tell it.
    logprobs_result: Option<Logprobs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logprobs {
    chosen_candidates: Option<Vec<Token>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    log_probability: Option<f64>,
}

#[derive(Deserialize)]
struct Content {
    parts: Option<Vec<Part>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: Option<String>,
    #[serde(default)]
    thought: bool,
    function_call: Option<Value>,
    /// Of the thought behind a call.
    thought_signature: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawUsage {
    prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct Failure {
    error: FailureDetails,
}

#[derive(Deserialize)]
struct FailureDetails {
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    reason: Option<String>,
    retry_delay: Option<String>,
    #[serde(default)]
    violations: Vec<Violation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Violation {
    quota_id: Option<String>,
}

/// Tokens in one form: thoughts are counted beside the answer, cached tokens as a part of the prompt.
fn usage(raw: RawUsage) -> Usage {
    let count = Option::<u64>::unwrap_or_default;
    let reasoning = count(raw.thoughts_token_count);
    Usage {
        input: count(raw.prompt_token_count).saturating_add(count(raw.tool_use_prompt_token_count)),
        output: count(raw.candidates_token_count).saturating_add(reasoning),
        cached: count(raw.cached_content_token_count),
        reasoning,
        cache_write: 0,
    }
}

/// The finish reason by its name; what a filter of any kind withheld counts as one.
fn finish(name: Option<&str>) -> FinishReason {
    match name {
        Some("MAX_TOKENS") => FinishReason::Length,
        Some("SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY") => {
            FinishReason::Filter
        }
        Some("MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL") => FinishReason::Tool,
        _ => FinishReason::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;
    use crate::prompt::Message;

    #[test]
    fn the_system_text_and_the_parameters_stand_where_gemini_reads_them() {
        let mut request = call("0").request;
        request.messages.insert(0, Message { role: Role::System, content: "Sort tickets.".into() });
        request.max_tokens = Some(9);
        request.format = AnswerFormat::Schema { name: "verdict".into(), schema: json!({"type": "object"}) };
        (request.seed, request.logprobs) = (Some(1), true);
        request.extra = json!({"generationConfig": {"topK": 2, "temperature": 0.5}}).as_object().unwrap().clone();
        let body: Value = serde_json::from_slice(&Gemini.body(&request, Refused::default()).unwrap()).unwrap();
        assert_eq!(
            body,
            json!({"contents": [{"role": "user", "parts": [{"text": "Ticket: my card was charged twice"}]}],
                   "systemInstruction": {"parts": [{"text": "Sort tickets."}]},
                   "generationConfig": {"temperature": 0.5, "maxOutputTokens": 9, "seed": 1, "topK": 2, "responseLogprobs": true,
                       "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}}})
        );
        let base = Url::parse("http://localhost/v1beta/").unwrap();
        assert_eq!(Gemini.url(&base, &request.model).as_str(), "http://localhost/v1beta/models/tiny:generateContent");
    }

    #[test]
    fn the_mean_log_probability_is_told_or_made_of_the_tokens() {
        let logprob = |told: Value| {
            let mut candidate = json!({"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"});
            candidate.as_object_mut().unwrap().extend(told.as_object().unwrap().clone());
            match Gemini.reply(json!({"candidates": [candidate]}).to_string().as_bytes()).unwrap() {
                Reply::Answer(completion) => completion.logprob,
                Reply::Problem(problem) => panic!("{problem:?}"),
            }
        };
        let token = |logprob: f64| json!({"token": "a", "tokenId": 1, "logProbability": logprob});
        let tokens = json!({"topCandidates": [], "chosenCandidates": [token(-0.5), token(-0.25)]});
        assert_eq!(logprob(json!({"avgLogprobs": -0.25, "logprobsResult": tokens})), Some(-0.25));
        assert_eq!(logprob(json!({"logprobsResult": tokens})), Some(-0.375));
        assert_eq!(logprob(json!({"logprobsResult": {}})), None);
    }

    #[test]
    fn a_wait_is_read_and_a_days_quota_is_no_wait() {
        let failure = |details: Value| {
            let error = json!({"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": details});
            Gemini.problem(json!({ "error": error }).to_string().as_bytes())
        };
        let minute = failure(json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}]));
        assert_eq!((minute.meaning, minute.wait), (Meaning::Busy, Some(Duration::from_millis(1500))));
        let day = failure(json!([{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]));
        assert_eq!(day.meaning, Meaning::OutOfQuota);
        assert_eq!(Gemini.problem(b"<html>").message, "<html>");
    }
}
