//! Tools in each dialect: what is offered, what was asked for and what it gave, as its provider documents them; and an
//! agent's round trip over some, through the real binary.

use prompt_ratchet::model::{Call, CallError, Chat, ChatRequest, Completion, Dialect, FinishReason, ModelRole, Tools};
use serde_json::{Value, json};

use crate::agents::project;
use crate::fake::dialects::{Asked, Dialect as Fake, Said, ok};
use crate::project::ended;
use crate::providers::{endpoint, hold};

fn schema() -> Value {
    json!({"type": "object", "properties": {"customer": {"type": "string"}}, "required": ["customer"]})
}

/// Two tools asked for at once, and what they gave: a text, and an object.
fn conversation() -> Value {
    let call = |id: &str, customer: &str| {
        let arguments = json!({ "customer": customer }).to_string();
        json!({"id": id, "type": "function", "function": {"name": "look_up", "arguments": arguments}})
    };
    json!([
        {"role": "system", "content": "Say the plan."},
        {"role": "user", "content": "c-7 or c-8?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call("call_1", "c-7"), call("call_2", "c-8")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "gold"},
        {"role": "tool", "tool_call_id": "call_2", "content": "{\"plan\": \"silver\"}"},
    ])
}

fn call(choice: Value, parallel: Option<bool>) -> Call {
    let function = json!({"name": "look_up", "description": "The plan of a customer.", "parameters": schema()});
    let tools = Tools {
        messages: serde_json::from_value(conversation()).unwrap(),
        tools: vec![json!({"type": "function", "function": function})],
        tool_choice: (!choice.is_null()).then_some(choice),
        parallel_tool_calls: parallel,
    };
    let request = ChatRequest { model: "m-1".into(), tools: Some(tools), ..ChatRequest::default() };
    Call { role: ModelRole::Task, request, draw: "0".into(), row: String::new() }
}

fn named() -> Value {
    json!({"type": "function", "function": {"name": "look_up"}})
}

/// What `body` answers to a request in `dialect`, and what that was.
async fn asked(dialect: Dialect, call: &Call, body: Value) -> (Value, Completion) {
    let fake = Fake::start(|_| Ok(()), vec![ok(body)]).await;
    let completion = endpoint(dialect, fake.url("")).complete(call).await.unwrap();
    (fake.asked().remove(0).body, completion)
}

/// Why a request isn't sent at all.
async fn refused(dialect: Dialect, call: &Call) -> String {
    let fake = Fake::start(|_| Ok(()), Vec::new()).await;
    let error = endpoint(dialect, fake.url("")).complete(call).await.unwrap_err();
    assert!(matches!(error, CallError::Rejected(_)) && fake.asked().is_empty(), "{error}");
    error.to_string()
}

/// Each of `completion`'s calls: its name and its arguments; ids are none that are alike or empty.
fn calls(completion: &Completion) -> Vec<(String, Value)> {
    assert_eq!(completion.finish, FinishReason::Tool);
    let calls = completion.tool_calls.as_ref().unwrap().as_array().unwrap();
    let ids: std::collections::BTreeSet<&str> = calls.iter().map(|call| call["id"].as_str().unwrap()).collect();
    assert!(ids.len() == calls.len() && !ids.contains(""), "{ids:?}");
    let of = |call: &Value| {
        assert_eq!(call["type"], "function");
        let arguments = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        (call["function"]["name"].as_str().unwrap().to_owned(), arguments)
    };
    calls.iter().map(of).collect()
}

fn both() -> Vec<(String, Value)> {
    ["c-7", "c-8"].map(|customer| ("look_up".to_owned(), json!({ "customer": customer }))).into()
}

/// The call with all that `completion` asked for, as a program that was told of it says it again.
fn again(completion: &Completion) -> Call {
    let mut call = call(Value::Null, None);
    let tools = call.request.tools.as_mut().unwrap();
    tools.messages[2]["tool_calls"] = completion.tool_calls.clone().unwrap();
    for (at, message) in [(0, 3), (1, 4)] {
        tools.messages[message]["tool_call_id"] = tools.messages[2]["tool_calls"][at]["id"].clone();
    }
    call
}

#[tokio::test]
async fn anthropic_is_offered_tools_and_asks_for_them_in_blocks() {
    let dialect = || Dialect::Anthropic { max_tokens: 1000 };
    let thinking = json!({"type": "thinking", "thinking": "who?", "signature": "s1"});
    let hidden = json!({"type": "redacted_thinking", "data": "x"});
    let tool_use = |id: &str, customer: &str| json!({"type": "tool_use", "id": id, "name": "look_up", "input": {"customer": customer}});
    let content = json!([thinking, hidden, {"type": "text", "text": "I look."}, tool_use("toolu_1", "c-7"), tool_use("toolu_2", "c-8")]);
    let answer = json!({"type": "message", "role": "assistant", "content": content, "stop_reason": "tool_use",
                        "usage": {"input_tokens": 20, "output_tokens": 9}});
    let (body, completion) = asked(dialect(), &call(json!("required"), Some(false)), answer.clone()).await;
    assert_eq!(
        (&body["tools"], &body["tool_choice"]),
        (
            &json!([{"name": "look_up", "description": "The plan of a customer.", "input_schema": schema()}]),
            &json!({"type": "any", "disable_parallel_tool_use": true}),
        )
    );
    let result = |id: &str, text: &str| json!({"type": "tool_result", "tool_use_id": id, "content": text});
    let mut second = tool_use("call_2", "c-8");
    second["cache_control"] = json!({"type": "ephemeral"});
    // Results stand first in the user's turn.
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "c-7 or c-8?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, tool_use("call_1", "c-7"), second]},
            {"role": "user", "content": [result("call_1", "gold"), result("call_2", "{\"plan\": \"silver\"}")]},
        ])
    );
    assert_eq!((calls(&completion), completion.text.as_str()), (both(), "I look."));
    // Thinking comes back as it was, before all else of its turn.
    let (body, _) = asked(dialect(), &again(&completion), answer.clone()).await;
    let turn = &body["messages"][1]["content"];
    assert_eq!((&turn[0], &turn[1], &turn[2]["type"]), (&thinking, &hidden, &json!("text")), "{turn}");
    for (choice, written) in [
        (Value::Null, Value::Null),
        (json!("none"), json!({"type": "none"})),
        (named(), json!({"type": "tool", "name": "look_up"})),
    ] {
        let (body, _) = asked(dialect(), &call(choice, None), answer.clone()).await;
        assert_eq!(body["tool_choice"], written);
    }
}

#[tokio::test]
async fn gemini_is_offered_functions_and_calls_them_in_parts() {
    let function = |customer: &str| json!({"name": "look_up", "args": {"customer": customer}});
    let parts = json!([{"text": "I look."}, {"functionCall": function("c-7"), "thoughtSignature": "s1"},
                       {"functionCall": function("c-8")}]);
    let answer = json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]});
    let (body, completion) = asked(Dialect::Gemini, &call(named(), Some(true)), answer.clone()).await;
    assert_eq!(
        (&body["tools"], &body["toolConfig"]),
        (
            &json!([{"functionDeclarations": [{"name": "look_up", "description": "The plan of a customer.",
                                               "parametersJsonSchema": schema()}]}]),
            &json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look_up"]}}),
        )
    );
    let called = |id: &str, customer: &str| json!({"functionCall": {"id": id, "name": "look_up", "args": {"customer": customer}}});
    let gave =
        |id: &str, response: Value| json!({"functionResponse": {"id": id, "name": "look_up", "response": response}});
    assert_eq!(
        body["contents"],
        json!([
            {"role": "user", "parts": [{"text": "c-7 or c-8?"}]},
            {"role": "model", "parts": [{"text": "I look."}, called("call_1", "c-7"), called("call_2", "c-8")]},
            {"role": "user", "parts": [gave("call_1", json!({"output": "gold"})), gave("call_2", json!({"plan": "silver"}))]},
        ])
    );
    assert_eq!(calls(&completion), both());
    // The signature comes back, and an id that Gemini didn't give stays here.
    let (body, _) = asked(Dialect::Gemini, &again(&completion), answer.clone()).await;
    let turn = &body["contents"][1]["parts"];
    assert_eq!(
        (&turn[1], &turn[2]),
        (
            &json!({"functionCall": function("c-7"), "thoughtSignature": "s1"}),
            &json!({"functionCall": function("c-8")})
        )
    );
    assert!(body["contents"][2]["parts"][0]["functionResponse"]["id"].is_null(), "{body}");
    for (choice, mode) in
        [(json!("auto"), Value::Null), (json!("none"), json!("NONE")), (json!("required"), json!("ANY"))]
    {
        let (body, _) = asked(Dialect::Gemini, &call(choice, None), answer.clone()).await;
        assert_eq!(body["toolConfig"]["functionCallingConfig"]["mode"], mode);
    }
    let told = refused(Dialect::Gemini, &call(Value::Null, Some(false))).await;
    assert!(told.contains("`parallel_tool_calls: false` can't be said in Gemini's generateContent"), "{told}");
}

#[tokio::test]
async fn ollama_is_offered_tools_and_told_what_they_gave_by_name() {
    let dialect = || Dialect::Ollama { context_length: 4096 };
    let function = |customer: &str| json!({"function": {"name": "look_up", "arguments": {"customer": customer}}});
    let message = json!({"role": "assistant", "content": "", "thinking": "who?", "tool_calls": [function("c-7"), function("c-8")]});
    let answer = json!({"message": message, "done": true, "done_reason": "stop"});
    let mut call_with_thought = call(Value::Null, None);
    call_with_thought.request.tools.as_mut().unwrap().messages[2]["reasoning_content"] = json!("who?");
    let (body, completion) = asked(dialect(), &call_with_thought, answer.clone()).await;
    let offered = json!({"name": "look_up", "description": "The plan of a customer.", "parameters": schema()});
    assert_eq!(body["tools"], json!([{"type": "function", "function": offered}]));
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "Say the plan."},
            {"role": "user", "content": "c-7 or c-8?"},
            {"role": "assistant", "content": "I look.", "thinking": "who?",
             "tool_calls": [function("c-7"), function("c-8")]},
            {"role": "tool", "tool_name": "look_up", "content": "gold"},
            {"role": "tool", "tool_name": "look_up", "content": "{\"plan\": \"silver\"}"},
        ])
    );
    assert_eq!(calls(&completion), both());
    let (body, _) = asked(dialect(), &call(json!("none"), None), answer.clone()).await;
    assert!(body["tools"].is_null());
    for (call, told) in [
        (call(json!("required"), None), "`tool_choice: \"required\"` can't be said in Ollama's own chat"),
        (call(named(), None), "`tool_choice` of \"look_up\" can't be said"),
        (call(Value::Null, Some(false)), "`parallel_tool_calls: false` can't be said"),
    ] {
        let error = refused(dialect(), &call).await;
        assert!(error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn responses_is_offered_functions_and_calls_are_items() {
    let function = |id: &str, customer: &str| {
        let arguments = json!({ "customer": customer }).to_string();
        json!({"type": "function_call", "call_id": id, "name": "look_up", "arguments": arguments})
    };
    let summary = json!([{"type": "summary_text", "text": "who?"}]);
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "x"});
    let output = json!([reasoning, function("call_1", "c-7"), function("call_2", "c-8")]);
    let answer = json!({"status": "completed", "output": output});
    let (body, completion) = asked(Dialect::Responses, &call(named(), Some(false)), answer.clone()).await;
    assert_eq!(
        (&body["tools"], &body["tool_choice"], &body["parallel_tool_calls"]),
        (
            &json!([{"type": "function", "name": "look_up", "description": "The plan of a customer.", "parameters": schema(),
                     "strict": false}]),
            &json!({"type": "function", "name": "look_up"}),
            &json!(false),
        )
    );
    let gave = |id: &str, output: &str| json!({"type": "function_call_output", "call_id": id, "output": output});
    assert_eq!(
        body["input"],
        json!([
            {"role": "user", "content": "c-7 or c-8?"},
            {"role": "assistant", "content": "I look."}, function("call_1", "c-7"), function("call_2", "c-8"),
            gave("call_1", "gold"), gave("call_2", "{\"plan\": \"silver\"}"),
        ])
    );
    assert_eq!(calls(&completion), both());
    let (body, _) = asked(Dialect::Responses, &again(&completion), answer.clone()).await;
    assert_eq!(body["input"][1], reasoning);
    for (choice, written) in
        [(Value::Null, Value::Null), (json!("none"), json!("none")), (json!("required"), json!("required"))]
    {
        let (body, _) = asked(Dialect::Responses, &call(choice, None), answer.clone()).await;
        assert_eq!(body["tool_choice"], written);
    }
}

#[tokio::test]
async fn bedrock_is_offered_tools_and_asks_for_them_in_blocks() {
    let tool_use = |id: &str, customer: &str| json!({"toolUse": {"toolUseId": id, "name": "look_up", "input": {"customer": customer}}});
    let reasoning = json!({"reasoningContent": {"reasoningText": {"text": "who?", "signature": "s1"}}});
    let content = json!([reasoning, tool_use("tooluse_1", "c-7"), tool_use("tooluse_2", "c-8")]);
    let answer = json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use"});
    let (body, completion) = asked(Dialect::Bedrock, &call(json!("required"), None), answer.clone()).await;
    let spec = json!({"name": "look_up", "description": "The plan of a customer.", "inputSchema": {"json": schema()}});
    assert_eq!(body["toolConfig"], json!({"tools": [{"toolSpec": spec}], "toolChoice": {"any": {}}}));
    let result = |id: &str, text: &str| json!({"toolResult": {"toolUseId": id, "content": [{"text": text}]}});
    let mark = json!({"cachePoint": {"type": "default"}});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"text": "c-7 or c-8?"}]},
            {"role": "assistant", "content": [{"text": "I look."}, tool_use("call_1", "c-7"), tool_use("call_2", "c-8"), mark]},
            {"role": "user", "content": [result("call_1", "gold"), result("call_2", "{\"plan\": \"silver\"}")]},
        ])
    );
    assert_eq!(calls(&completion), both());
    let (body, _) = asked(Dialect::Bedrock, &again(&completion), answer.clone()).await;
    assert_eq!(body["messages"][1]["content"][0], reasoning);
    for (choice, written) in [(Value::Null, Value::Null), (named(), json!({"tool": {"name": "look_up"}}))] {
        let (body, _) = asked(Dialect::Bedrock, &call(choice, None), answer.clone()).await;
        assert_eq!(body["toolConfig"]["toolChoice"], written);
    }
    let told = refused(Dialect::Bedrock, &call(json!("none"), None)).await;
    assert!(told.contains("`tool_choice: \"none\"` after tool calls can't be said in Bedrock's Converse"), "{told}");
    let mut first = call(json!("none"), None);
    first.request.tools.as_mut().unwrap().messages.truncate(2);
    let (body, _) = asked(Dialect::Bedrock, &first, answer).await;
    assert!(body["toolConfig"].is_null());
}

/// The agent's rows over `contract`, whose provider answers `tool` and then `text`: all right, and from the store again.
async fn round_trip(provider: &str, path: &str, contract: fn(&Asked) -> Result<(), String>, tool: Said, text: Said) {
    if !crate::targets::has("python3") {
        return;
    }
    let fake = Fake::start(contract, vec![tool.clone(), text.clone(), tool, text]).await;
    let project = project(&format!(
        "provider = '{provider}', model = 'm-1', base_url = '{}', api_key_env = 'AGENT_KEY'",
        fake.url(path)
    ));
    let eval = || {
        let mut command = project.command(&["eval", "--split", "all", "--json"]);
        tokio::task::block_in_place(|| ended(command.env("AGENT_KEY", "k").output().unwrap()))
    };
    let ran = eval();
    let told = ran.json();
    assert_eq!((&told["score"], &told["errors"]), (&json!(1.0), &json!(0)), "{told}{}", ran.err);
    assert_eq!(fake.asked().len(), 4);
    let agent = project.read("agent.py");
    project.write("agent.py", format!("{agent}\n# changed\n"));
    let stored = eval().json();
    assert_eq!((&stored["score"], fake.asked().len()), (&json!(1.0), 4), "{stored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_chat_completions_uses_tools_with_a_model_of_anthropic() {
    let contract = |asked: &Asked| {
        let turns = asked.body["messages"].as_array().unwrap();
        let thought = json!({"type": "thinking", "thinking": "who?", "signature": "s1"});
        hold(&[
            ("path", asked.path == "/v1/messages"),
            ("tools", asked.body["tools"][0]["name"] == "look_up"),
            ("system", asked.body["system"][0]["text"] == "Say the plan."),
            // The agent drops what it doesn't know of a call; the provider sees it again all the same.
            ("thinking", turns.len() == 1 || turns[1]["content"][0] == thought),
            ("result", turns.len() == 1 || turns[2]["content"][0]["tool_use_id"] == "toolu_1"),
        ])
    };
    let usage = json!({"input_tokens": 5, "output_tokens": 2});
    let says = |content: Value, reason: &str| {
        ok(json!({"type": "message", "content": content, "stop_reason": reason, "usage": usage}))
    };
    let tool = says(
        json!([{"type": "thinking", "thinking": "who?", "signature": "s1"},
               {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"customer": "c-7"}}]),
        "tool_use",
    );
    let text = says(json!([{"type": "text", "text": "the gold plan"}]), "end_turn");
    round_trip("anthropic", "/v1", contract, tool, text).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_chat_completions_uses_tools_with_a_model_of_gemini() {
    let contract = |asked: &Asked| {
        let turns = asked.body["contents"].as_array().unwrap();
        let called =
            json!({"functionCall": {"name": "look_up", "args": {"customer": "c-7"}}, "thoughtSignature": "s1"});
        let gave = json!({"functionResponse": {"name": "look_up", "response": {"output": "gold"}}});
        hold(&[
            ("path", asked.path == "/v1beta/models/m-1:generateContent"),
            ("tools", asked.body["tools"][0]["functionDeclarations"][0]["name"] == "look_up"),
            ("call", turns.len() == 1 || turns[1]["parts"] == json!([called])),
            ("result", turns.len() == 1 || turns[2]["parts"] == json!([gave])),
        ])
    };
    let usage = json!({"promptTokenCount": 5, "candidatesTokenCount": 2});
    let says = |part: Value| {
        let candidate = json!({"content": {"role": "model", "parts": [part]}, "finishReason": "STOP"});
        ok(json!({"candidates": [candidate], "usageMetadata": usage}))
    };
    let tool =
        says(json!({"functionCall": {"name": "look_up", "args": {"customer": "c-7"}}, "thoughtSignature": "s1"}));
    round_trip("gemini", "/v1beta", contract, tool, says(json!({"text": "the gold plan"}))).await;
}
