//! What each provider's interface promises, against a fake of it: requests, answers and errors as documented, over HTTP.

use prompt_ratchet::model::{
    Accent, AnswerFormat, Call, CallError, Chat, ChatRequest, Completion, Dialect, Endpoint, EndpointConfig,
    FinishReason, ModelRole, Usage,
};
use prompt_ratchet::prompt::{Message, Role};
use serde_json::{Value, json};

use crate::fake::dialects::{Asked, Contract, Dialect as Fake, Said, failed, ok};

/// A system text, one shown example and a question, with every parameter that Ratchet knows.
pub fn call() -> Call {
    let message = |role, content: &str| Message { role, content: content.into() };
    let request = ChatRequest {
        model: "m-1".into(),
        messages: vec![
            message(Role::System, "Sort tickets. Answer in JSON."),
            message(Role::User, "my card"),
            message(Role::Assistant, "billing"),
            message(Role::User, "my login"),
        ],
        temperature: Some(0.0),
        max_tokens: Some(64),
        format: AnswerFormat::Schema {
            name: "label".into(),
            schema: json!({"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"],
                           "additionalProperties": false}),
        },
        ..ChatRequest::default()
    };
    Call { role: ModelRole::Task, request, draw: "0".into(), row: String::new() }
}

pub fn endpoint(dialect: Dialect, base_url: String) -> Endpoint {
    let config = EndpointConfig { api_key: Some("sk-secret".into()), ..EndpointConfig::new(base_url) };
    dialect.endpoint(config).unwrap()
}

/// One dialect and its fake.
struct Speech {
    dialect: fn() -> Dialect,
    /// What is added to the fake's address.
    base: &'static str,
    contract: Contract,
}

impl Speech {
    async fn says(&self, said: Said) -> Result<Completion, CallError> {
        let fake = Fake::start(self.contract, vec![said]).await;
        endpoint((self.dialect)(), fake.url(self.base)).complete(&call()).await
    }

    /// Each body is this answer.
    async fn answers(&self, cases: Vec<(Value, &str, FinishReason)>) {
        for (body, text, finish) in cases {
            let completion = self.says(ok(body.clone())).await.unwrap_or_else(|error| panic!("{body}: {error}"));
            assert_eq!((completion.text.as_str(), completion.finish), (text, finish), "{body}");
        }
    }

    /// Each failure is of this kind, and its message is told.
    async fn fails(&self, cases: Vec<(u16, Value, Kind)>) {
        for (status, body, kind) in cases {
            let error = self.says(failed(status, body.clone())).await.unwrap_err();
            assert_eq!(kind_of(&error), kind, "{status} {body}: {error}");
            assert!(error.to_string().contains("words") || kind == Kind::Busy, "{status} {body}: {error}");
        }
        // Bodies that break, or are no answer at all.
        let whole = json!({"padding": "x".repeat(4000)}).to_string();
        for said in [Said::Cut(whole), Said::Whole(200, Vec::new(), "<html>".into())] {
            let error = self.says(said.clone()).await.unwrap_err();
            assert_eq!(kind_of(&error), Kind::Unanswered, "{said:?}: {error}");
        }
        let error = self.says(ok(json!({}))).await.unwrap_err();
        assert_eq!(kind_of(&error), Kind::Transient, "{error}");
    }

    /// A parameter that is refused with `refusal` is left out, once and for all: two calls are three requests.
    async fn learns(&self, refusal: Value, answer: Value, is_left_out: fn(&Value) -> bool) {
        let fake = Fake::start(self.contract, vec![failed(400, refusal.clone()), ok(answer)]).await;
        let endpoint = endpoint((self.dialect)(), fake.url(self.base));
        for _ in 0..2 {
            endpoint.complete(&call()).await.unwrap_or_else(|error| panic!("{refusal}: {error}"));
        }
        let left_out: Vec<bool> = fake.asked().iter().map(|asked| is_left_out(&asked.body)).collect();
        assert_eq!(left_out, [false, true, true], "{refusal}");
    }
}

#[derive(Debug, PartialEq)]
pub enum Kind {
    Denied,
    Rejected,
    Transient,
    Unanswered,
    Busy,
    Other,
}

pub fn kind_of(error: &CallError) -> Kind {
    match error {
        CallError::Denied(_) | CallError::OutOfQuota(_) => Kind::Denied,
        CallError::Rejected(_) => Kind::Rejected,
        CallError::Transient(_) => Kind::Transient,
        CallError::Unanswered(_) => Kind::Unanswered,
        CallError::Busy { .. } => Kind::Busy,
        _ => Kind::Other,
    }
}

/// An error unless all of it holds.
pub fn hold(claims: &[(&str, bool)]) -> Result<(), String> {
    match claims.iter().find(|(_, holds)| !holds) {
        Some((claim, _)) => Err((*claim).to_owned()),
        None => Ok(()),
    }
}

fn roles(messages: &Value) -> Vec<&str> {
    messages.as_array().into_iter().flatten().filter_map(|message| message["role"].as_str()).collect()
}

/// Only these keys stand in `body`.
pub fn only(body: &Value, keys: &[&str]) -> bool {
    body.as_object().is_some_and(|body| body.keys().all(|key| keys.contains(&key.as_str())))
}

fn chat_contract(asked: &Asked) -> Result<(), String> {
    let keys = ["model", "messages", "temperature", "max_tokens", "max_completion_tokens", "response_format"];
    hold(&[
        ("path", asked.path == "/v1/chat/completions"),
        ("key", asked.header("authorization") == "Bearer sk-secret"),
        ("keys", only(&asked.body, &keys)),
        ("model", asked.body["model"] == "m-1"),
        ("messages", roles(&asked.body["messages"]) == ["system", "user", "assistant", "user"]),
        ("one limit", asked.body["max_tokens"].is_null() || asked.body["max_completion_tokens"].is_null()),
    ])
}

const CHAT: Speech = Speech { dialect: || Dialect::Chat(Accent::NONE), base: "/v1", contract: chat_contract };

fn chat_answer(message: Value, finish: &str) -> Value {
    json!({"id": "c", "object": "chat.completion", "model": "m-1",
           "choices": [{"index": 0, "message": message, "finish_reason": finish}],
           "usage": {"prompt_tokens": 20, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5},
                     "completion_tokens_details": {"reasoning_tokens": 4}}})
}

#[tokio::test]
async fn chat_completions_keep_their_contract() {
    let text = |text: &str| json!({"role": "assistant", "content": text, "refusal": null});
    let parts = json!([{"type": "text", "text": "bil"}, {"type": "text", "text": "ling"}]);
    CHAT.answers(vec![
        (chat_answer(text("billing"), "stop"), "billing", FinishReason::Stop),
        (chat_answer(text(""), "stop"), "", FinishReason::Stop),
        (chat_answer(text("bill"), "length"), "bill", FinishReason::Length),
        (chat_answer(json!({"content": parts}), "stop"), "billing", FinishReason::Stop),
        (chat_answer(json!({"content": null, "refusal": "I can't"}), "stop"), "I can't", FinishReason::Refusal),
        (chat_answer(json!({"content": null}), "content_filter"), "", FinishReason::Filter),
        (chat_answer(json!({"content": null, "tool_calls": []}), "tool_calls"), "", FinishReason::Tool),
    ])
    .await;
    let error = |code: &str| json!({"error": {"message": "words", "type": "invalid_request_error", "code": code}});
    CHAT.fails(vec![
        (401, error("invalid_api_key"), Kind::Denied),
        (404, error("model_not_found"), Kind::Rejected),
        (400, error("context_length_exceeded"), Kind::Rejected),
        (429, error("rate_limit_exceeded"), Kind::Busy),
        (429, error("insufficient_quota"), Kind::Denied),
        (503, json!({"error": {"message": "words", "type": "server_error"}}), Kind::Transient),
    ])
    .await;
    let answer = chat_answer(text("billing"), "stop");
    let refusal = |param: &str, code: &str| json!({"error": {"message": format!("'{param}' words"), "type": "invalid_request_error", "param": param, "code": code}});
    CHAT.learns(refusal("temperature", "unsupported_value"), answer.clone(), |body| body["temperature"].is_null())
        .await;
    CHAT.learns(refusal("max_tokens", "unsupported_parameter"), answer.clone(), |body| {
        body["max_tokens"].is_null() && body["max_completion_tokens"] == 64
    })
    .await;
    let format = json!({"error": {"message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
                                  "param": "response_format", "code": null}});
    CHAT.learns(format, answer.clone(), |body| body["response_format"].is_null()).await;
    let flagged = json!({"error": {"code": 403, "message": "your input was flagged",
                                   "metadata": {"reasons": ["violence"], "flagged_input": "x"}}});
    assert_eq!(CHAT.says(failed(403, flagged)).await.unwrap().finish, FinishReason::Filter);
    let usage = CHAT.says(ok(answer)).await.unwrap().usage;
    assert_eq!(usage, Usage { input: 20, output: 9, cached: 5, reasoning: 4, cache_write: 0 });
}

fn responses_contract(asked: &Asked) -> Result<(), String> {
    let body = &asked.body;
    hold(&[
        ("path", asked.path == "/v1/responses"),
        ("key", asked.header("authorization") == "Bearer sk-secret"),
        ("keys", only(body, &["model", "input", "instructions", "temperature", "max_output_tokens", "text", "store"])),
        ("instructions", body["instructions"] == "Sort tickets. Answer in JSON."),
        ("input", roles(&body["input"]) == ["user", "assistant", "user"]),
        ("limit", body["max_output_tokens"] == 64),
        ("format", body["text"].is_null() || body["text"]["format"]["name"] == "label"),
    ])
}

const RESPONSES: Speech = Speech { dialect: || Dialect::Responses, base: "/v1", contract: responses_contract };

fn responses_answer(status: &str, reason: Option<&str>, output: Value) -> Value {
    let details = reason.map(|reason| json!({"reason": reason}));
    json!({"id": "r", "object": "response", "status": status, "error": null, "incomplete_details": details,
           "output": output, "usage": {"input_tokens": 20, "input_tokens_details": {"cached_tokens": 5},
           "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 29}})
}

#[tokio::test]
async fn responses_keep_their_contract() {
    let message =
        |parts: Value| json!({"type": "message", "role": "assistant", "status": "completed", "content": parts});
    let text = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let reasoning = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "a card"}]});
    let whole = responses_answer("completed", None, json!([reasoning, message(json!([text("bil"), text("ling")]))]));
    RESPONSES
        .answers(vec![
            (whole.clone(), "billing", FinishReason::Stop),
            (responses_answer("completed", None, json!([])), "", FinishReason::Stop),
            (
                responses_answer("incomplete", Some("max_output_tokens"), json!([message(json!([text("bill")]))])),
                "bill",
                FinishReason::Length,
            ),
            (responses_answer("incomplete", Some("content_filter"), json!([])), "", FinishReason::Filter),
            (
                responses_answer(
                    "completed",
                    None,
                    json!([message(json!([{"type": "refusal", "refusal": "I can't"}]))]),
                ),
                "I can't",
                FinishReason::Refusal,
            ),
            (
                responses_answer("completed", None, json!([{"type": "function_call", "name": "f", "arguments": "{}"}])),
                "",
                FinishReason::Tool,
            ),
        ])
        .await;
    let completion = RESPONSES.says(ok(whole.clone())).await.unwrap();
    assert_eq!(completion.usage, Usage { input: 20, output: 9, cached: 5, reasoning: 4, cache_write: 0 });
    assert_eq!(completion.reasoning.as_deref(), Some("a card"));
    let error = |code: &str| json!({"error": {"message": "words", "type": "invalid_request_error", "code": code}});
    RESPONSES
        .fails(vec![
            (401, error("invalid_api_key"), Kind::Denied),
            (404, error("model_not_found"), Kind::Rejected),
            (429, error("rate_limit_exceeded"), Kind::Busy),
            (429, error("insufficient_quota"), Kind::Denied),
            (500, error("server_error"), Kind::Transient),
        ])
        .await;
    let failed = json!({"status": "failed", "error": {"code": "server_error", "message": "words"}, "output": []});
    assert_eq!(kind_of(&RESPONSES.says(ok(failed)).await.unwrap_err()), Kind::Transient);
    let refusal = json!({"error": {"message": "Unsupported parameter: 'temperature' is not supported with this model.",
                                   "param": "temperature", "code": null}});
    RESPONSES.learns(refusal, whole, |body| body["temperature"].is_null()).await;
}

fn azure_contract(asked: &Asked) -> Result<(), String> {
    hold(&[
        ("path", asked.path == "/openai/deployments/m-1/chat/completions?api-version=2024-10-21"),
        ("key", asked.header("api-key") == "sk-secret" && asked.header("authorization").is_empty()),
        ("messages", roles(&asked.body["messages"]) == ["system", "user", "assistant", "user"]),
    ])
}

#[tokio::test]
async fn azure_keeps_its_contract() {
    let azure =
        Speech { dialect: || Dialect::Azure { api_version: "2024-10-21".into() }, base: "", contract: azure_contract };
    let answer = chat_answer(json!({"role": "assistant", "content": "billing"}), "stop");
    azure.answers(vec![(answer.clone(), "billing", FinishReason::Stop)]).await;
    let error = |code: &str| json!({"error": {"message": "words", "code": code}});
    azure
        .fails(vec![
            (401, error("401"), Kind::Denied),
            (404, error("DeploymentNotFound"), Kind::Rejected),
            (429, error("429"), Kind::Busy),
        ])
        .await;
    // The prompt itself was filtered: an answer that was withheld, and no fault of the line.
    let filtered = json!({"error": {"message": "the prompt triggered the policy", "code": "content_filter", "status": 400,
        "param": "prompt", "innererror": {"code": "ResponsibleAIPolicyViolation"}}});
    let completion = azure.says(failed(400, filtered)).await.unwrap();
    assert_eq!((completion.text.as_str(), completion.finish), ("", FinishReason::Filter));
    let refusal = json!({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model.",
                                   "param": "max_tokens", "code": "unsupported_parameter"}});
    azure.learns(refusal, answer, |body| body["max_completion_tokens"] == 64).await;
}

fn anthropic_contract(asked: &Asked) -> Result<(), String> {
    let body = &asked.body;
    hold(&[
        ("path", asked.path == "/v1/messages"),
        ("key", asked.header("x-api-key") == "sk-secret" && asked.header("authorization").is_empty()),
        ("version", asked.header("anthropic-version") == "2023-06-01"),
        ("keys", only(body, &["model", "max_tokens", "system", "messages", "temperature", "output_config"])),
        ("max_tokens", body["max_tokens"] == 64),
        ("system", body["system"][0]["text"] == "Sort tickets. Answer in JSON."),
        ("mark", body["system"][0]["cache_control"]["type"] == "ephemeral"),
        ("turns", roles(&body["messages"]) == ["user", "assistant", "user"]),
        ("no text is empty", body["messages"].as_array().unwrap().iter().all(|turn| turn["content"][0]["text"] != "")),
    ])
}

const ANTHROPIC: Speech =
    Speech { dialect: || Dialect::Anthropic { max_tokens: 1000 }, base: "/v1", contract: anthropic_contract };

fn anthropic_answer(content: Value, stop_reason: &str) -> Value {
    json!({"id": "m", "type": "message", "role": "assistant", "model": "m-1", "content": content,
           "stop_reason": stop_reason, "stop_sequence": null, "usage": {"input_tokens": 20, "output_tokens": 9,
           "cache_read_input_tokens": 5, "cache_creation_input_tokens": 7}})
}

#[tokio::test]
async fn anthropic_keeps_its_contract() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let thinking = json!({"type": "thinking", "thinking": "a card", "signature": "s"});
    let hidden = json!({"type": "redacted_thinking", "data": "x"});
    let whole = anthropic_answer(json!([thinking, hidden, text("bil"), text("ling")]), "end_turn");
    ANTHROPIC
        .answers(vec![
            (whole.clone(), "billing", FinishReason::Stop),
            (anthropic_answer(json!([]), "end_turn"), "", FinishReason::Stop),
            (anthropic_answer(json!([text("bill")]), "max_tokens"), "bill", FinishReason::Length),
            (anthropic_answer(json!([text("x")]), "stop_sequence"), "x", FinishReason::Stop),
            (anthropic_answer(json!([]), "refusal"), "", FinishReason::Refusal),
            (
                anthropic_answer(json!([{"type": "tool_use", "name": "f", "input": {}}]), "tool_use"),
                "",
                FinishReason::Tool,
            ),
            (anthropic_answer(json!([text("x")]), "model_context_window_exceeded"), "x", FinishReason::Length),
        ])
        .await;
    let completion = ANTHROPIC.says(ok(whole.clone())).await.unwrap();
    assert_eq!(completion.usage, Usage { input: 32, output: 9, cached: 5, reasoning: 0, cache_write: 7 });
    assert_eq!(completion.reasoning.as_deref(), Some("a card"));
    let error = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}});
    let poor = "Your credit balance is too low to access the API: words";
    ANTHROPIC
        .fails(vec![
            (400, error("invalid_request_error", "words"), Kind::Rejected),
            (400, error("invalid_request_error", poor), Kind::Denied),
            (401, error("authentication_error", "words"), Kind::Denied),
            (403, error("permission_error", "words"), Kind::Denied),
            (404, error("not_found_error", "model: words"), Kind::Rejected),
            (413, error("request_too_large", "words"), Kind::Rejected),
            (429, error("rate_limit_error", "words"), Kind::Busy),
            (500, error("api_error", "words"), Kind::Transient),
            (504, error("timeout_error", "words"), Kind::Unanswered),
            (529, error("overloaded_error", "words"), Kind::Busy),
        ])
        .await;
    let limited = Said::Whole(429, vec![("retry-after", "7")], error("rate_limit_error", "words").to_string());
    let limited = ANTHROPIC.says(limited).await.unwrap_err();
    assert!(matches!(limited, CallError::Busy { retry_after_ms: Some(7_000), .. }), "{limited}");
    let refusal = error("invalid_request_error", "`temperature` is deprecated for this model.");
    ANTHROPIC.learns(refusal, whole.clone(), |body| body["temperature"].is_null()).await;
    let refusal =
        error("invalid_request_error", "output_config.format: structured outputs are not supported by this model");
    ANTHROPIC.learns(refusal, whole, |body| body["output_config"].is_null()).await;
}

fn gemini_contract(asked: &Asked) -> Result<(), String> {
    let body = &asked.body;
    let config = &body["generationConfig"];
    hold(&[
        ("path", asked.path == "/v1beta/models/m-1:generateContent"),
        ("key", asked.header("x-goog-api-key") == "sk-secret" && !asked.path.contains("key=")),
        ("keys", only(body, &["contents", "systemInstruction", "generationConfig"])),
        ("system", body["systemInstruction"]["parts"][0]["text"] == "Sort tickets. Answer in JSON."),
        ("turns", roles(&body["contents"]) == ["user", "model", "user"]),
        ("limit", config["maxOutputTokens"] == 64),
        (
            "a schema needs its type",
            config["responseJsonSchema"].is_null() || config["responseMimeType"] == "application/json",
        ),
    ])
}

const GEMINI: Speech = Speech { dialect: || Dialect::Gemini, base: "/v1beta", contract: gemini_contract };

fn gemini_answer(parts: Value, finish: &str) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": finish, "index": 0}],
           "usageMetadata": {"promptTokenCount": 20, "cachedContentTokenCount": 5, "candidatesTokenCount": 5,
                             "thoughtsTokenCount": 4, "totalTokenCount": 29}})
}

#[tokio::test]
async fn gemini_keeps_its_contract() {
    let whole = gemini_answer(json!([{"text": "a card", "thought": true}, {"text": "bil"}, {"text": "ling"}]), "STOP");
    let blocked =
        json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 20}});
    let bare = |finish: &str| json!({"candidates": [{"finishReason": finish}]});
    GEMINI
        .answers(vec![
            (whole.clone(), "billing", FinishReason::Stop),
            (bare("STOP"), "", FinishReason::Stop),
            (gemini_answer(json!([{"text": "bill"}]), "MAX_TOKENS"), "bill", FinishReason::Length),
            (bare("SAFETY"), "", FinishReason::Filter),
            (bare("RECITATION"), "", FinishReason::Filter),
            (blocked, "", FinishReason::Filter),
            (gemini_answer(json!([{"functionCall": {"name": "f", "args": {}}}]), "STOP"), "", FinishReason::Tool),
        ])
        .await;
    let completion = GEMINI.says(ok(whole.clone())).await.unwrap();
    assert_eq!(completion.usage, Usage { input: 20, output: 9, cached: 5, reasoning: 4, cache_write: 0 });
    assert_eq!(completion.reasoning.as_deref(), Some("a card"));
    let error = |code: u16, status: &str, details: Value| json!({"error": {"code": code, "message": "words", "status": status, "details": details}});
    let key = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    let day = json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure",
                      "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]);
    GEMINI
        .fails(vec![
            (400, error(400, "INVALID_ARGUMENT", json!([])), Kind::Rejected),
            (400, error(400, "INVALID_ARGUMENT", key), Kind::Denied),
            (403, error(403, "PERMISSION_DENIED", json!([])), Kind::Denied),
            (404, error(404, "NOT_FOUND", json!([])), Kind::Rejected),
            (429, error(429, "RESOURCE_EXHAUSTED", json!([])), Kind::Busy),
            (429, error(429, "RESOURCE_EXHAUSTED", day), Kind::Denied),
            (500, error(500, "INTERNAL", json!([])), Kind::Transient),
            (503, error(503, "UNAVAILABLE", json!([])), Kind::Transient),
            (504, error(504, "DEADLINE_EXCEEDED", json!([])), Kind::Unanswered),
        ])
        .await;
    let wait = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]);
    let limited = GEMINI.says(failed(429, error(429, "RESOURCE_EXHAUSTED", wait))).await.unwrap_err();
    assert!(matches!(limited, CallError::Busy { retry_after_ms: Some(34_000), .. }), "{limited}");
    let refusal = json!({"error": {"code": 400, "message": "JSON mode is not supported: responseMimeType", "status": "INVALID_ARGUMENT"}});
    GEMINI.learns(refusal, whole, |body| body["generationConfig"]["responseMimeType"].is_null()).await;
}

fn bedrock_contract(asked: &Asked) -> Result<(), String> {
    let body = &asked.body;
    hold(&[
        ("path", asked.path == "/model/m-1/converse"),
        ("key", asked.header("authorization") == "Bearer sk-secret"),
        ("keys", only(body, &["messages", "system", "inferenceConfig", "outputConfig"])),
        ("system", body["system"][0]["text"] == "Sort tickets. Answer in JSON."),
        ("turns", roles(&body["messages"]) == ["user", "assistant", "user"]),
        ("as many marks as places", body["system"][1] == body["messages"][1]["content"][1]),
        ("the last turn is unmarked", body["messages"][2]["content"][1].is_null()),
        ("limit", body["inferenceConfig"]["maxTokens"] == 64),
    ])
}

const BEDROCK: Speech = Speech { dialect: || Dialect::Bedrock, base: "", contract: bedrock_contract };

fn bedrock_answer(content: Value, stop: &str) -> Value {
    json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop,
           "usage": {"inputTokens": 20, "outputTokens": 9, "totalTokens": 41, "cacheReadInputTokens": 5,
                     "cacheWriteInputTokens": 7}, "metrics": {"latencyMs": 5}})
}

#[tokio::test]
async fn bedrock_keeps_its_contract() {
    let reasoning = json!({"reasoningContent": {"reasoningText": {"text": "a card", "signature": "s"}}});
    let whole = bedrock_answer(json!([reasoning, {"text": "bil"}, {"text": "ling"}]), "end_turn");
    BEDROCK
        .answers(vec![
            (whole.clone(), "billing", FinishReason::Stop),
            (bedrock_answer(json!([]), "end_turn"), "", FinishReason::Stop),
            (bedrock_answer(json!([{"text": "bill"}]), "max_tokens"), "bill", FinishReason::Length),
            (bedrock_answer(json!([{"text": "no"}]), "guardrail_intervened"), "no", FinishReason::Filter),
            (bedrock_answer(json!([]), "content_filtered"), "", FinishReason::Filter),
            (bedrock_answer(json!([{"toolUse": {"name": "f"}}]), "tool_use"), "", FinishReason::Tool),
        ])
        .await;
    let completion = BEDROCK.says(ok(whole.clone())).await.unwrap();
    assert_eq!(completion.usage, Usage { input: 32, output: 9, cached: 5, reasoning: 0, cache_write: 7 });
    assert_eq!(completion.reasoning.as_deref(), Some("a card"));
    BEDROCK
        .fails(vec![
            (400, json!({"message": "The provided model identifier is invalid: words"}), Kind::Rejected),
            (403, json!({"Message": "words"}), Kind::Denied),
            (404, json!({"message": "words"}), Kind::Rejected),
            (408, json!({"message": "words"}), Kind::Transient),
            (424, json!({"message": "words"}), Kind::Transient),
            (429, json!({"message": "words"}), Kind::Busy),
            (503, json!({"message": "words"}), Kind::Transient),
        ])
        .await;
    let refusal =
        json!({"message": "The model returned the following errors: `temperature` is deprecated for this model."});
    BEDROCK.learns(refusal, whole.clone(), |body| body["inferenceConfig"]["temperature"].is_null()).await;
    let marked = |body: &Value| body["system"][1]["cachePoint"]["type"] == "default";
    let fake = Fake::start(bedrock_contract, vec![ok(whole.clone())]).await;
    endpoint(Dialect::Bedrock, fake.url("")).complete(&call()).await.unwrap();
    assert!(marked(&fake.asked()[0].body));
    for (status, message) in [
        (403, "You invoked an unsupported model or your request did not allow prompt caching. See the documentation."),
        (400, "Malformed input request: extraneous key [cachePoint] is not permitted"),
    ] {
        let fake =
            Fake::start(bedrock_contract, vec![failed(status, json!({"message": message})), ok(whole.clone())]).await;
        let endpoint = endpoint(Dialect::Bedrock, fake.url(""));
        for _ in 0..2 {
            endpoint.complete(&call()).await.unwrap();
        }
        let marks: Vec<bool> = fake.asked().iter().map(|asked| marked(&asked.body)).collect();
        assert_eq!(marks, [true, false, false], "{message}");
    }
}

fn ollama_contract(asked: &Asked) -> Result<(), String> {
    let body = &asked.body;
    hold(&[
        ("path", asked.path == "/api/chat"),
        ("keys", only(body, &["model", "messages", "stream", "options", "format", "truncate", "shift"])),
        ("messages", roles(&body["messages"]) == ["system", "user", "assistant", "user"]),
        ("no stream", body["stream"] == false),
        ("context", body["options"]["num_ctx"] == 4096),
        ("limit", body["options"]["num_predict"] == 64),
        ("schema", body["format"]["type"] == "object"),
    ])
}

#[tokio::test]
async fn ollama_keeps_its_contract_and_a_prompt_that_may_not_fit_is_never_sent() {
    let ollama = Speech { dialect: || Dialect::Ollama { context_length: 4096 }, base: "", contract: ollama_contract };
    let answer = |message: Value, reason: &str| {
        json!({"model": "m-1", "message": message, "done": true, "done_reason": reason, "prompt_eval_count": 20,
               "eval_count": 9})
    };
    ollama
        .answers(vec![
            (
                answer(json!({"role": "assistant", "content": "billing", "thinking": "a card"}), "stop"),
                "billing",
                FinishReason::Stop,
            ),
            (
                answer(json!({"role": "assistant", "content": "<think>\na card\n</think>\n\nbilling"}), "stop"),
                "billing",
                FinishReason::Stop,
            ),
            (answer(json!({"content": ""}), "stop"), "", FinishReason::Stop),
            (answer(json!({"content": "bill"}), "length"), "bill", FinishReason::Length),
            (
                answer(json!({"content": "", "tool_calls": [{"function": {"name": "f"}}]}), "stop"),
                "",
                FinishReason::Tool,
            ),
        ])
        .await;
    ollama
        .fails(vec![
            (404, json!({"error": "model 'm-1' not found, words"}), Kind::Rejected),
            (400, json!({"error": "input length exceeds maximum context length: words"}), Kind::Rejected),
            (500, json!({"error": "words"}), Kind::Transient),
            (503, json!({"error": "server busy, words"}), Kind::Transient),
        ])
        .await;
    let fake = Fake::start(ollama_contract, vec![ok(json!({}))]).await;
    let mut long = call();
    long.request.messages[0].content = "x".repeat(5000);
    let error = endpoint(Dialect::Ollama { context_length: 4096 }, fake.url("")).complete(&long).await.unwrap_err();
    assert!(error.to_string().contains("context_length") && fake.asked().is_empty(), "{error}");
}
