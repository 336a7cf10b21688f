//! What each provider's streams promise, against a fake of them: events as documented, over HTTP, in pieces. And that the
//! binary says the same with them as without.

use std::sync::Arc;
use std::time::Duration;

use prompt_ratchet::model::embedded::Embedded;
use prompt_ratchet::model::{
    Accent, CallError, Chat, Completion, Dialect, EndpointConfig, EndpointError, FinishReason, Usage,
};
use serde_json::{Value, json};

use crate::fake::dialects::{Asked, Contract, Dialect as Fake, End, Said, failed, ok};
use crate::fake::server::{Answers, Behaviour, Fault, Server};
use crate::judges;
use crate::project::{Project, Provider};
use crate::providers::{Kind, call, hold, kind_of};

/// One dialect and how its streams look.
struct Stream {
    dialect: fn() -> Dialect,
    base: &'static str,
    contract: Contract,
    /// The content type of a stream.
    kind: &'static str,
    /// Events, as they are sent.
    written: fn(&[Value]) -> String,
}

/// What becomes of a stream.
struct Cases {
    /// A whole answer.
    whole: Vec<Value>,
    /// Of its first events, the least that are a whole answer.
    least: usize,
    /// The same answer without a stream.
    plain: Value,
    /// Events in place of the rest, and what each means.
    errors: Vec<(Value, Kind)>,
}

impl Stream {
    async fn says(&self, said: Said) -> Result<Completion, CallError> {
        let fake = Fake::start(self.contract, vec![said]).await;
        self.endpoint(&fake, Duration::from_secs(30)).complete(&call()).await
    }

    fn endpoint(&self, fake: &Fake, idle_timeout: Duration) -> prompt_ratchet::model::Endpoint {
        let config = EndpointConfig {
            api_key: Some("sk-secret".into()),
            stream: true,
            idle_timeout,
            ..EndpointConfig::new(fake.url(self.base))
        };
        (self.dialect)().endpoint(config).unwrap()
    }

    fn sent(&self, events: &[Value], end: End) -> Said {
        Said::Stream(self.kind, (self.written)(events), end)
    }

    /// The answer of a stream, which is that of a plain body, and what becomes of one that breaks.
    async fn keeps(&self, cases: &Cases) -> Completion {
        let Cases { whole, least, plain, errors } = cases;
        let streamed = self.says(self.sent(whole, End::Whole)).await.unwrap();
        assert_eq!(streamed, self.says(ok(plain.clone())).await.unwrap(), "a plain body that nobody asked for");
        for cut in 0..whole.len() {
            let ended = self.says(self.sent(&whole[..cut], End::Whole)).await;
            match cut < *least {
                true => assert_eq!(ended.as_ref().map_err(kind_of), Err(Kind::Unanswered), "after {cut} events"),
                false => assert_eq!(ended.unwrap().text, streamed.text, "after {cut} events"),
            }
        }
        let half = &whole[..least / 2];
        let broken = self.says(self.sent(half, End::Break)).await.unwrap_err();
        assert_eq!(kind_of(&broken), Kind::Unanswered, "{broken}");
        let fake = Fake::start(self.contract, vec![self.sent(half, End::Stall)]).await;
        let stalled = self.endpoint(&fake, Duration::from_millis(30)).complete(&call()).await.unwrap_err();
        assert!(matches!(&stalled, CallError::Unanswered(told) if told.contains("nothing for 0.03 s")), "{stalled}");
        let torn = Said::Stream(self.kind, (self.written)(half) + "data: {\"a\n\n", End::Whole);
        assert_eq!(kind_of(&self.says(torn).await.unwrap_err()), Kind::Unanswered);
        for (error, kind) in errors {
            let events = [half, std::slice::from_ref(error)].concat();
            let told = self.says(self.sent(&events, End::Whole)).await.unwrap_err();
            assert_eq!(kind_of(&told), *kind, "{error}: {told}");
            assert!(told.to_string().contains("words [key]"), "{error}: {told}");
        }
        let denied = self.says(failed(401, json!({"error": {"message": "words sk-secret"}}))).await.unwrap_err();
        assert!(kind_of(&denied) == Kind::Denied && denied.to_string().contains("words [key]"), "{denied}");
        streamed
    }
}

/// The only call among the tools that were asked for: of `f`, with its arguments.
fn assert_called(completion: &Completion) {
    let calls = completion.tool_calls.as_ref().unwrap();
    let arguments = calls[0]["function"]["arguments"].as_str().unwrap();
    assert_eq!(
        (completion.finish, &calls[0]["function"]["name"], &calls[1]),
        (FinishReason::Tool, &json!("f"), &Value::Null)
    );
    assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({"a": 1}), "{calls}");
}

fn data(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// Chunks, and the mark of the end after a last one, which has no choice.
fn chunks(events: &[Value]) -> String {
    let is_last = events.last().is_some_and(|last| last["choices"] == json!([]) && last["usage"].is_object());
    format!(": OPENROUTER PROCESSING\n\n{}{}", data(events), if is_last { "data: [DONE]\n\n" } else { "" })
}

/// Events with their names beside, and line ends as some gateways make them.
fn named(events: &[Value]) -> String {
    let name = |event: &Value| event["type"].as_str().unwrap_or_default().to_owned();
    events.iter().map(|event| format!("event: {}\r\ndata: {event}\r\n\r\n", name(event))).collect()
}

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

const EVENTS: &str = "text/event-stream; charset=utf-8";

fn chat_contract(asked: &Asked) -> Result<(), String> {
    hold(&[
        ("path", asked.path == "/v1/chat/completions"),
        ("stream", asked.body["stream"] == true),
        ("usage", asked.body["stream_options"] == json!({"include_usage": true})),
        ("format", asked.body["response_format"]["type"] == "json_schema"),
    ])
}

const CHAT: Stream = Stream {
    dialect: || Dialect::Chat(Accent::NONE),
    base: "/v1",
    contract: chat_contract,
    kind: EVENTS,
    written: chunks,
};

fn chunk(delta: Value, finish: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "model": "m-1", "usage": null,
           "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]})
}

/// Chunks of an answer with reasoning, and the same whole.
fn chat_cases() -> Cases {
    let usage = json!({"prompt_tokens": 20, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5},
                       "completion_tokens_details": {"reasoning_tokens": 4}});
    let message = json!({"role": "assistant", "content": "billing", "refusal": null, "reasoning_content": "a card"});
    let error = |code: &str| json!({"error": {"message": "words sk-secret", "type": "x", "code": code}});
    Cases {
        whole: vec![
            chunk(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null),
            chunk(json!({"reasoning_content": "a "}), Value::Null),
            chunk(json!({"reasoning_content": "card"}), Value::Null),
            chunk(json!({"content": "bil"}), Value::Null),
            chunk(json!({"content": "ling"}), Value::Null),
            chunk(json!({}), json!("stop")),
            json!({"id": "c", "choices": [], "usage": usage}),
        ],
        least: 6,
        plain: json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}),
        errors: vec![
            (error("server_error"), Kind::Transient),
            (error("rate_limit_exceeded"), Kind::Busy),
            (error("insufficient_quota"), Kind::Denied),
            (error("context_length_exceeded"), Kind::Rejected),
        ],
    }
}

const USAGE: Usage = Usage { input: 20, output: 9, cached: 5, reasoning: 4, cache_write: 0 };

#[tokio::test]
async fn streams_of_chat_completions_are_read_whole_or_not_at_all() {
    let completion = CHAT.keeps(&chat_cases()).await;
    assert_eq!((completion.text.as_str(), completion.usage), ("billing", USAGE));
    assert_eq!((completion.reasoning.as_deref(), completion.finish), (Some("a card"), FinishReason::Stop));
    let piece = |call: Value| chunk(json!({"tool_calls": [call]}), Value::Null);
    let called = CHAT
        .says(CHAT.sent(
            &[
                piece(json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}})),
                piece(json!({"index": 0, "function": {"arguments": "{\"a\""}})),
                piece(json!({"index": 0, "function": {"arguments": ": 1}"}})),
                chunk(json!({}), json!("tool_calls")),
            ],
            End::Whole,
        ))
        .await
        .unwrap();
    let whole = json!([{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]);
    assert_eq!((called.finish, called.tool_calls, called.usage), (FinishReason::Tool, Some(whole), Usage::default()));
    let filter = json!({"error": {"message": "words", "code": "content_filter"}});
    assert_eq!(CHAT.says(CHAT.sent(&[filter], End::Whole)).await.unwrap().finish, FinishReason::Filter);
}

#[tokio::test]
async fn what_is_wrong_with_an_answer_is_told_in_short_and_without_the_key() {
    let odd = json!({"choices": format!("sk-secret {}", "words ".repeat(1_000))});
    for said in [CHAT.sent(std::slice::from_ref(&odd), End::Whole), ok(odd.clone())] {
        let error = CHAT.says(said).await.unwrap_err();
        let told = error.to_string();
        assert!(kind_of(&error) == Kind::Unanswered && told.contains("[key] words") && told.len() < 600, "{told}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_to_end_a_stream_with_its_usage_is_asked_without() {
    let contract: Contract = |asked| hold(&[("stream", asked.body["stream"] == true)]);
    let refusal = json!({"error": {"message": "Unrecognized request argument supplied: stream_options", "type": "invalid_request_error"}});
    let cases = chat_cases();
    let fake = Fake::start(contract, vec![failed(400, refusal), CHAT.sent(&cases.whole[..6], End::Whole)]).await;
    let endpoint = CHAT.endpoint(&fake, Duration::from_secs(30));
    for _ in 0..2 {
        assert_eq!(endpoint.complete(&call()).await.unwrap().usage, Usage::default());
    }
    let asked: Vec<bool> = fake.asked().iter().map(|asked| asked.body["stream_options"].is_object()).collect();
    assert_eq!(asked, [true, false, false]);
}

#[tokio::test]
async fn streams_of_azure_are_those_of_chat_completions_at_its_own_address() {
    let azure = Stream {
        dialect: || Dialect::Azure { api_version: "2024-10-21".into() },
        base: "",
        contract: |asked| {
            hold(&[
                ("path", asked.path == "/openai/deployments/m-1/chat/completions?api-version=2024-10-21"),
                ("stream", asked.body["stream"] == true),
            ])
        },
        ..CHAT
    };
    let mut cases = chat_cases();
    cases.whole.insert(0, json!({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}));
    cases.least += 1;
    assert_eq!(azure.keeps(&cases).await.usage, USAGE);
    let withheld = azure.says(azure.sent(&[chunk(json!({}), json!("content_filter"))], End::Whole)).await.unwrap();
    assert_eq!(withheld.finish, FinishReason::Filter);
}

const RESPONSES: Stream = Stream {
    dialect: || Dialect::Responses,
    base: "/v1",
    contract: |asked| {
        hold(&[
            ("path", asked.path == "/v1/responses"),
            ("stream", asked.body["stream"] == true && asked.body["stream_options"].is_null()),
            ("format", asked.body["text"]["format"]["name"] == "label"),
        ])
    },
    kind: EVENTS,
    written: named,
};

#[tokio::test]
async fn streams_of_responses_are_read_whole_or_not_at_all() {
    let response = |status: &str, output: Value| {
        json!({"id": "r", "object": "response", "status": status, "error": null, "incomplete_details": null,
               "output": output, "usage": {"input_tokens": 20, "input_tokens_details": {"cached_tokens": 5},
               "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}}})
    };
    let reasoning = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "a card"}]});
    let message =
        json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "billing"}]});
    let done = |at: u64, item: &Value| json!({"type": "response.output_item.done", "output_index": at, "item": item});
    let delta = |text: &str| json!({"type": "response.output_text.delta", "output_index": 1, "delta": text});
    let whole = response("completed", json!([reasoning, message]));
    let error = |code: &str| json!({"type": "error", "code": code, "message": "words sk-secret", "param": null});
    let mut failed = response("failed", json!([]));
    failed["error"] = json!({"code": "server_is_overloaded", "message": "words sk-secret"});
    let cases = Cases {
        whole: vec![
            json!({"type": "response.created", "response": response("in_progress", json!([]))}),
            json!({"type": "keepalive", "sequence_number": 3}),
            json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "a card"}),
            done(0, &reasoning),
            delta("bil"),
            delta("ling"),
            done(1, &message),
            json!({"type": "response.completed", "response": whole}),
        ],
        least: 8,
        plain: whole.clone(),
        errors: vec![
            (error("server_error"), Kind::Transient),
            (error("rate_limit_exceeded"), Kind::Busy),
            (
                json!({"type": "error", "error": {"code": "insufficient_quota", "message": "words sk-secret"}}),
                Kind::Denied,
            ),
            (json!({"type": "response.failed", "response": failed}), Kind::Busy),
        ],
    };
    let completion = RESPONSES.keeps(&cases).await;
    assert_eq!((completion.text.as_str(), completion.usage), ("billing", USAGE));
    assert_eq!(completion.reasoning.as_deref(), Some("a card"));
    let call = json!({"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\": 1}"});
    let piece =
        |text: &str| json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": text});
    // A gateway that leaves the output out at the end.
    let last = json!({"type": "response.completed", "response": response("completed", json!([]))});
    let called = [piece("{\"a\""), piece(": 1}"), done(0, &call), last];
    assert_called(&RESPONSES.says(RESPONSES.sent(&called, End::Whole)).await.unwrap());
    let mut cut = response("incomplete", json!([message]));
    cut["incomplete_details"] = json!({"reason": "max_output_tokens"});
    let cut = json!({"type": "response.incomplete", "response": cut});
    assert_eq!(RESPONSES.says(RESPONSES.sent(&[cut], End::Whole)).await.unwrap().finish, FinishReason::Length);
}

const ANTHROPIC: Stream = Stream {
    dialect: || Dialect::Anthropic { max_tokens: 1000 },
    base: "/v1",
    contract: |asked| {
        hold(&[
            ("path", asked.path == "/v1/messages"),
            ("stream", asked.body["stream"] == true && asked.body["stream_options"].is_null()),
            ("schema", asked.body["output_config"]["format"]["type"] == "json_schema"),
        ])
    },
    kind: EVENTS,
    written: named,
};

fn anthropic_start() -> Value {
    json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": [],
           "model": "m-1", "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 20,
           "cache_read_input_tokens": 5, "cache_creation_input_tokens": 7, "output_tokens": 1}}})
}

fn anthropic_block(index: u64, block: Value, deltas: &[Value]) -> Vec<Value> {
    let start = json!({"type": "content_block_start", "index": index, "content_block": block});
    let deltas = deltas.iter().map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta}));
    let stop = json!({"type": "content_block_stop", "index": index});
    [start].into_iter().chain(deltas).chain([stop]).collect()
}

fn anthropic_end(reason: &str) -> Vec<Value> {
    let delta = json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
                       "usage": {"output_tokens": 9}});
    vec![delta, json!({"type": "message_stop"})]
}

#[tokio::test]
async fn streams_of_anthropic_are_read_whole_or_not_at_all() {
    let thinking = anthropic_block(
        0,
        json!({"type": "thinking", "thinking": "", "signature": ""}),
        &[
            json!({"type": "thinking_delta", "thinking": "a "}),
            json!({"type": "thinking_delta", "thinking": "card"}),
            json!({"type": "signature_delta", "signature": "s"}),
        ],
    );
    let text = anthropic_block(
        1,
        json!({"type": "text", "text": ""}),
        &[json!({"type": "text_delta", "text": "bil"}), json!({"type": "text_delta", "text": "ling"})],
    );
    let ping = json!({"type": "ping"});
    let whole = [vec![anthropic_start(), ping], thinking, text, anthropic_end("end_turn")].concat();
    let error = |kind: &str, words: &str| json!({"type": "error", "error": {"type": kind, "message": words}});
    let poor = "Your credit balance is too low to access the API: words sk-secret";
    let cases = Cases {
        least: whole.len(),
        whole,
        plain: json!({"type": "message", "stop_reason": "end_turn", "content": [
            {"type": "thinking", "thinking": "a card", "signature": "s"}, {"type": "text", "text": "billing"}],
            "usage": {"input_tokens": 20, "output_tokens": 9, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 7}}),
        errors: vec![
            (error("overloaded_error", "words sk-secret"), Kind::Busy),
            (error("api_error", "words sk-secret"), Kind::Transient),
            (error("invalid_request_error", poor), Kind::Denied),
        ],
    };
    let completion = ANTHROPIC.keeps(&cases).await;
    assert_eq!((completion.text.as_str(), completion.reasoning.as_deref()), ("billing", Some("a card")));
    assert_eq!(completion.usage, Usage { input: 32, output: 9, cached: 5, reasoning: 0, cache_write: 7 });
    let piece = |text: &str| json!({"type": "input_json_delta", "partial_json": text});
    let tool = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
    let tool = anthropic_block(0, tool, &[piece(""), piece("{\"a\""), piece(": 1}")]);
    let called = [vec![anthropic_start()], tool, anthropic_end("tool_use")].concat();
    assert_called(&ANTHROPIC.says(ANTHROPIC.sent(&called, End::Whole)).await.unwrap());
}

const GEMINI: Stream = Stream {
    dialect: || Dialect::Gemini,
    base: "/v1beta",
    contract: |asked| {
        hold(&[
            ("path", asked.path == "/v1beta/models/m-1:streamGenerateContent?alt=sse"),
            ("the address alone asks for it", asked.body["stream"].is_null()),
            ("schema", asked.body["generationConfig"]["responseMimeType"] == "application/json"),
        ])
    },
    kind: "text/event-stream",
    written: data,
};

#[tokio::test]
async fn streams_of_gemini_are_read_whole_or_not_at_all() {
    let usage = json!({"promptTokenCount": 20, "cachedContentTokenCount": 5, "candidatesTokenCount": 5,
                       "thoughtsTokenCount": 4, "totalTokenCount": 29});
    let part = |part: Value| {
        json!({"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}],
               "usageMetadata": {"promptTokenCount": 20, "totalTokenCount": 20}})
    };
    let mut last = part(json!({"text": "ing"}));
    last["candidates"][0]["finishReason"] = json!("STOP");
    last["usageMetadata"] = usage.clone();
    let parts = json!([{"text": "a card", "thought": true}, {"text": "billing"}]);
    let error = |code: u16, status: &str, details: Value| json!({"error": {"code": code, "message": "words sk-secret", "status": status, "details": details}});
    let day = json!([{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]);
    let wait = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]);
    let cases = Cases {
        whole: vec![
            part(json!({"text": "a ", "thought": true})),
            part(json!({"text": "card", "thought": true})),
            part(json!({"text": "bill"})),
            last,
        ],
        least: 4,
        plain: json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
                      "usageMetadata": usage}),
        errors: vec![
            (error(503, "UNAVAILABLE", json!([])), Kind::Transient),
            (error(429, "RESOURCE_EXHAUSTED", wait), Kind::Busy),
            (error(429, "RESOURCE_EXHAUSTED", day), Kind::Denied),
        ],
    };
    let completion = GEMINI.keeps(&cases).await;
    assert_eq!((completion.text.as_str(), completion.reasoning.as_deref()), ("billing", Some("a card")));
    assert_eq!(completion.usage, USAGE);
    let call = json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]}}]});
    let end = json!({"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}]});
    assert_called(&GEMINI.says(GEMINI.sent(&[call, end], End::Whole)).await.unwrap());
    let blocked =
        json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 20}});
    assert_eq!(GEMINI.says(GEMINI.sent(&[blocked], End::Whole)).await.unwrap().finish, FinishReason::Filter);
}

const OLLAMA: Stream = Stream {
    dialect: || Dialect::Ollama { context_length: 4096 },
    base: "",
    contract: |asked| {
        hold(&[
            ("path", asked.path == "/api/chat"),
            ("stream", asked.body["stream"] == true),
            ("limit", asked.body["options"]["num_predict"] == 64),
        ])
    },
    kind: "application/x-ndjson",
    written: lines,
};

#[tokio::test]
async fn streams_of_ollama_are_read_whole_or_not_at_all() {
    let line = |message: Value| json!({"model": "m-1", "message": message, "done": false});
    let last = |message: Value, reason: &str| {
        json!({"model": "m-1", "message": message, "done": true, "done_reason": reason, "prompt_eval_count": 20,
               "eval_count": 9})
    };
    let cases = Cases {
        whole: vec![
            line(json!({"role": "assistant", "content": "", "thinking": "a "})),
            line(json!({"role": "assistant", "content": "", "thinking": "card"})),
            line(json!({"role": "assistant", "content": "bil"})),
            line(json!({"role": "assistant", "content": "ling"})),
            last(json!({"role": "assistant", "content": ""}), "stop"),
        ],
        least: 5,
        plain: last(json!({"role": "assistant", "content": "billing", "thinking": "a card"}), "stop"),
        errors: vec![(json!({"error": "words sk-secret"}), Kind::Transient)],
    };
    let completion = OLLAMA.keeps(&cases).await;
    assert_eq!((completion.text.as_str(), completion.reasoning.as_deref()), ("billing", Some("a card")));
    assert_eq!(completion.usage, Usage { input: 20, output: 9, ..Usage::default() });
    let call = line(json!({"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}));
    let called = [call, last(json!({"content": ""}), "stop")];
    assert_called(&OLLAMA.says(OLLAMA.sent(&called, End::Whole)).await.unwrap());
    let cut = [line(json!({"content": "bill"})), last(json!({"content": ""}), "length")];
    assert_eq!(OLLAMA.says(OLLAMA.sent(&cut, End::Whole)).await.unwrap().finish, FinishReason::Length);
}

#[tokio::test]
async fn a_server_that_never_begins_its_stream_is_not_waited_for_as_long_as_an_answer_may_take() {
    let behaviour = Behaviour { first: [Some(Fault::Stall)].into(), ..Behaviour::default() };
    let server = Server::start(0, Answers::Fixed("billing".into()), behaviour).await.unwrap();
    let idle_timeout = Duration::from_millis(30);
    let config = EndpointConfig { stream: true, idle_timeout, ..EndpointConfig::new(server.base_url()) };
    let error = Dialect::default().endpoint(config).unwrap().complete(&call()).await.unwrap_err();
    assert!(matches!(&error, CallError::Unanswered(told) if told.ends_with("nothing for 0.03 s")), "{error}");
}

#[test]
fn what_has_no_stream_that_is_read_here_is_refused() {
    for dialect in [Dialect::Bedrock, Dialect::Embeddings(Box::new(Dialect::Gemini))] {
        let config = EndpointConfig { stream: true, ..EndpointConfig::new("http://localhost:1") };
        assert!(matches!(dialect.endpoint(config), Err(EndpointError::NoStream(_))));
    }
}

/// What `eval` says of `project`, but for the time that it took and what was paid for.
fn evaluated(project: &Project, more: &[&str]) -> (Value, u64) {
    let ran = project.ratchet(&[&["eval", "--json"], more].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mut told = ran.json();
    let calls = told["calls"].take().as_u64().unwrap();
    told["seconds"].take();
    (told, calls)
}

#[test]
fn eval_says_the_same_with_a_stream_as_without_and_either_finds_what_the_other_stored() {
    let broken = [Some(Fault::Cut), Some(Fault::ErrorBody), None, Some(Fault::Cut)];
    let behaviour = Behaviour { first: broken.into(), ..Behaviour::default() };
    let provider = Provider::start(Answers::Chat(Arc::new(Embedded::new())), behaviour);
    let streamed = Project::new();
    let task = format!("models.task={{{}, retries=3, stream=true}}", provider.table().replace(", retries=0", ""));
    let (with, calls) = evaluated(&streamed, &["--set", &task]);
    let asked: Value = serde_json::from_slice(&provider.server.last().unwrap().body).unwrap();
    assert_eq!(asked["stream"], true);
    let requests = provider.server.stats().requests;
    assert!(calls >= 40 && requests == provider.server.stats().answered + 3, "{:?}", provider.server.stats());
    let plain = format!("models.task={{{}}}", provider.table());
    let (stored, none) = evaluated(&streamed, &["--set", &plain]);
    assert_eq!((none, provider.server.stats().requests), (0, requests), "the same answers under the same keys");
    let (without, live) = evaluated(&Project::new(), &["--set", &plain]);
    assert!(live > 0 && with["tokens"].as_u64() > Some(0), "{with}");
    for key in ["examples", "score", "interval", "errors", "labels", "macro_f1"] {
        assert_eq!((&with[key], &stored[key]), (&without[key], &without[key]), "{key}");
    }
}

#[test]
fn a_judge_whose_verdicts_are_streamed_in_a_form_says_the_same() {
    let provider = judges::provider();
    let project = judges::project(&provider, 10..30, judges::RUBRIC);
    let (without, _) = evaluated(&project, &[]);
    let streaming = judges::project(&provider, 10..30, judges::RUBRIC);
    let config = streaming.read("ratchet.toml").replace("retries=0", "retries=0, stream=true");
    streaming.write("ratchet.toml", config);
    let (with, _) = evaluated(&streaming, &[]);
    assert_eq!(with, without);
    let asked: Value = serde_json::from_slice(&provider.server.last().unwrap().body).unwrap();
    assert_eq!((&asked["stream"], &asked["response_format"]["type"]), (&json!(true), &json!("json_schema")));
}

#[test]
fn a_provider_whose_stream_is_not_read_is_refused_at_load() {
    let project = Project::new();
    for (table, told) in [
        ("provider='bedrock', model='m', base_url='http://localhost:1'", "binary stream of events is not read here"),
        ("provider='command', run=['sh']", "`models.task.stream` does nothing with the provider \"command\""),
        ("provider='embedded'", "`models.task.stream` does nothing with the provider \"embedded\""),
    ] {
        let ran = project.ratchet(&["eval", "--set", &format!("models.task={{{table}, stream=true}}")]);
        assert!(ran.code == 2 && ran.err.contains(told), "{table}: {} {}", ran.code, ran.err);
    }
}
