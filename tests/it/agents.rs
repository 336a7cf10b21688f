//! An agent that calls tools and reads its model's answers as a stream, as client libraries do, through the real binary and
//! a fake provider.

use serde_json::{Value, json};

use crate::fake::dialects::{Asked, Dialect as Fake, Said, ok};
use crate::fake::server::{Answers, Behaviour, Fault, Rates};
use crate::project::{Project, Provider};

/// Asks with a tool, looks it up, and asks again for a stream, which it reads event by event.
const AGENT: &str = r#"
import json, os, sys, urllib.request

TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]

def ask(body):
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"},
    )
    try:
        return urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        raise SystemExit(error.read().decode())

for line in sys.stdin:
    row = json.loads(line)
    messages = row["prompts"]["only"]["messages"]
    first = json.load(ask({"model": "any", "messages": messages, "tools": TOOLS, "tool_choice": "auto"}))
    said = first["choices"][0]["message"]
    assert first["choices"][0]["finish_reason"] == "tool_calls", first
    call = said["tool_calls"][0]
    plan = {"c-7": "gold"}[json.loads(call["function"]["arguments"])["customer"]]
    # As libraries do that know nothing but the documented fields.
    said = {"role": "assistant", "content": said["content"], "tool_calls": [{key: call[key] for key in ("id", "type", "function")}]}
    messages += [said, {"role": "tool", "tool_call_id": call["id"], "content": plan}]
    text, tokens = "", None
    body = {"messages": messages, "tools": TOOLS, "stream": True, "stream_options": {"include_usage": True}}
    with ask(body) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        for event in stream:
            event = event.decode().removeprefix("data: ").strip()
            if event and event != "[DONE]":
                chunk = json.loads(event)
                tokens = chunk["usage"] or tokens
                text += "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
    assert tokens["total_tokens"] == 7, tokens
    print(json.dumps({"id": row["id"], "output": text}), flush=True)
"#;

fn said(message: Value, finish: &str) -> Said {
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    ok(json!({"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}))
}

/// Two rows of the agent with a task model of this `provider`.
pub fn project(provider: &str) -> Project {
    let project = Project::new();
    project.write("agent.py", AGENT);
    project.write("prompts/library.prompty", "system:\nSay the plan.\nuser:\n{{ input }}\n");
    let rows =
        (0..2).map(|at| json!({"input": format!("question {at}"), "expected": "the gold plan"}).to_string() + "\n");
    project.write("library.jsonl", rows.collect::<String>());
    let config = format!(
        "dataset = 'library.jsonl'\n[prompts]\nonly = 'prompts/library.prompty'\n[target]\ncommand = ['python3', 'agent.py']\n\
         workers = 1\n[models]\ntask = {{{provider}, retries = 0}}\n\
         [[scorers]]\ntype = 'exact_match'\n[[scorers]]\ntype = 'trace_path'\nsteps = ['only', 'look_up', 'only']\n\
         [[scorers]]\ntype = 'python'\npath = 'steps.py'\n"
    );
    project.write("ratchet.toml", config);
    let steps = "def handler(output, trace):\n    tool = trace[1]\n    return tool['input'] == {'customer': 'c-7'} and tool['output'] == 'gold'\n";
    project.write("steps.py", steps);
    project
}

/// The second request of a row holds all that the first led to, as it was written.
fn contract(asked: &Asked) -> Result<(), String> {
    let messages = asked.body["messages"].as_array().unwrap();
    let is_whole = match messages.len() {
        2 => asked.body["tool_choice"] == "auto",
        4 => {
            messages[2]["tool_calls"][0]["id"] == "call_1"
                && messages[3] == json!({"role": "tool", "tool_call_id": "call_1", "content": "gold"})
        }
        _ => false,
    };
    let is_plain = asked.body["stream"].is_null() && asked.body["stream_options"].is_null();
    let has_tools = asked.body["tools"][0]["function"]["name"] == "look_up";
    if is_whole && is_plain && has_tools && asked.body["model"] == "m" { Ok(()) } else { Err(asked.body.to_string()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_tools_and_a_stream_is_answered_and_replayed_and_its_tools_are_steps() {
    if !crate::targets::has("python3") {
        return;
    }
    let function = json!({"name": "look_up", "arguments": "{\"customer\": \"c-7\"}"});
    let calls = json!([{"id": "call_1", "type": "function", "function": function}]);
    let tool = said(json!({"role": "assistant", "content": null, "tool_calls": calls}), "tool_calls");
    let text = said(json!({"role": "assistant", "content": "the gold plan"}), "stop");
    let fake = Fake::start(contract, vec![tool.clone(), text.clone(), tool, text]).await;
    let project = project(&format!("provider = 'openai', model = 'm', base_url = '{}'", fake.url("/v1")));
    let eval = || tokio::task::block_in_place(|| project.ratchet(&["eval", "--split", "all", "--json"]));
    let ran = eval();
    let told = ran.json();
    assert_eq!(
        (&told["score"], &told["errors"], &told["examples"]),
        (&json!(1.0), &json!(0), &json!(2)),
        "{told}{}",
        ran.err
    );
    assert_eq!(fake.asked().len(), 4);
    // Another agent asks the same, and nobody else is asked: tools come from the store as well.
    project.write("agent.py", format!("{AGENT}\n# changed\n"));
    let again = eval().json();
    assert_eq!((&again["score"], fake.asked().len()), (&json!(1.0), 4), "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_tools_can_not_be_passed_on_the_agent_is_told_so() {
    if !crate::targets::has("python3") {
        return;
    }
    let project = project("provider = 'command', run = ['cat']");
    let ran = tokio::task::block_in_place(|| project.ratchet(&["eval", "--split", "all"]));
    let told = ran.out + &ran.err;
    assert!(told.contains("can't be passed on to this project's task model"), "{told}");
}

/// Answers whatever its model says, and where it says nothing.
const CAREFREE: &str = r#"
import json, os, sys, urllib.error, urllib.request

for line in sys.stdin:
    row = json.loads(line)
    body = {"messages": row["prompts"]["only"]["messages"]}
    headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(), headers)
    try:
        output = json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        output = str(error)
    print(json.dumps({"id": row["id"], "output": output}), flush=True)
"#;

#[test]
fn a_model_that_does_not_exist_is_told_also_where_the_agent_answers_without_it() {
    if !crate::targets::has("python3") {
        return;
    }
    let unknown = r#"{"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}"#;
    let rates = Rates(vec![(1.0, Fault::Raw(404, unknown.into()))]);
    let provider = Provider::start(Answers::Fixed("x".into()), Behaviour { rates, ..Behaviour::default() });
    let project = project(provider.table().trim_end_matches(", retries=0"));
    project.write("agent.py", CAREFREE);
    let ran = project.ratchet(&["eval", "--split", "all"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    for told in ["none of 2 rows could run", "The model `m` does not exist", "[models.task]"] {
        assert!(ran.err.contains(told), "{}", ran.err);
    }
    assert_eq!(ran.err.matches("error").count(), 1, "{}", ran.err);
}
