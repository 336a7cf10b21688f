//! Each provider that is known by name, through the real binary: where it is reached, whose key it is sent, and what it
//! is sent where it departs from the others that share its dialect.

use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;
use prompt_ratchet::config::Provider;
use prompt_ratchet::model::{
    AnswerFormat, Call, Chat, ChatRequest, Dialect, EndpointConfig, ModelRole, PRESETS, Speaks,
};
use prompt_ratchet::prompt::{Message, Role};
use serde_json::{Value, json};

use crate::fake::dialects::{Asked, Dialect as Fake, ok};

/// What is documented of one provider.
struct Row {
    provider: &'static str,
    /// Where it is reached by default.
    address: &'static str,
    /// The variable that holds its key.
    key: Option<&'static str>,
    /// The header that the key goes into.
    header: &'static str,
    /// The path below the address that is asked.
    path: &'static str,
    /// Where its seed stands in the body.
    seed: Option<&'static str>,
    /// Where log probabilities are asked for.
    logprobs: Option<&'static str>,
}

const BEARER: &str = "authorization";
const CHAT: &str = "/chat/completions";
const SEED: Option<&str> = Some("/seed");
const LOGPROBS: Option<&str> = Some("/logprobs");

/// Beside whose names a table of a model has nothing but `base_url` and, for Azure, the deployment.
#[rustfmt::skip]
const ROWS: [Row; 16] = [
    Row { provider: "openai", address: "https://api.openai.com/v1", key: None, header: BEARER, path: CHAT, seed: SEED, logprobs: LOGPROBS },
    Row { provider: "responses", address: "https://api.openai.com/v1", key: Some("OPENAI_API_KEY"), header: BEARER, path: "/responses", seed: None, logprobs: Some("/include/0") },
    Row { provider: "azure", address: "", key: Some("AZURE_OPENAI_API_KEY"), header: "api-key", path: "/openai/deployments/m/chat/completions?api-version=2024-10-21", seed: SEED, logprobs: LOGPROBS },
    Row { provider: "anthropic", address: "https://api.anthropic.com/v1", key: Some("ANTHROPIC_API_KEY"), header: "x-api-key", path: "/messages", seed: None, logprobs: None },
    Row { provider: "gemini", address: "https://generativelanguage.googleapis.com/v1beta", key: Some("GEMINI_API_KEY"), header: "x-goog-api-key", path: "/models/m:generateContent", seed: Some("/generationConfig/seed"), logprobs: Some("/generationConfig/responseLogprobs") },
    Row { provider: "bedrock", address: "https://bedrock-runtime.${AWS_REGION}.amazonaws.com", key: Some("AWS_BEARER_TOKEN_BEDROCK"), header: BEARER, path: "/model/m/converse", seed: None, logprobs: None },
    Row { provider: "openrouter", address: "https://openrouter.ai/api/v1", key: Some("OPENROUTER_API_KEY"), header: BEARER, path: CHAT, seed: SEED, logprobs: LOGPROBS },
    Row { provider: "ollama", address: "http://localhost:11434", key: None, header: BEARER, path: "/api/chat", seed: Some("/options/seed"), logprobs: LOGPROBS },
    Row { provider: "vllm", address: "http://localhost:8000/v1", key: None, header: BEARER, path: CHAT, seed: SEED, logprobs: LOGPROBS },
    Row { provider: "llamacpp", address: "http://localhost:8080/v1", key: None, header: BEARER, path: CHAT, seed: SEED, logprobs: LOGPROBS },
    Row { provider: "lmstudio", address: "http://localhost:1234/v1", key: None, header: BEARER, path: CHAT, seed: SEED, logprobs: None },
    Row { provider: "groq", address: "https://api.groq.com/openai/v1", key: Some("GROQ_API_KEY"), header: BEARER, path: CHAT, seed: SEED, logprobs: None },
    Row { provider: "mistral", address: "https://api.mistral.ai/v1", key: Some("MISTRAL_API_KEY"), header: BEARER, path: CHAT, seed: Some("/random_seed"), logprobs: None },
    Row { provider: "deepseek", address: "https://api.deepseek.com", key: Some("DEEPSEEK_API_KEY"), header: BEARER, path: CHAT, seed: None, logprobs: LOGPROBS },
    Row { provider: "together", address: "https://api.together.xyz/v1", key: Some("TOGETHER_API_KEY"), header: BEARER, path: CHAT, seed: SEED, logprobs: LOGPROBS },
    Row { provider: "fireworks", address: "https://api.fireworks.ai/inference/v1", key: Some("FIREWORKS_API_KEY"), header: BEARER, path: CHAT, seed: SEED, logprobs: LOGPROBS },
];

/// An answer as the provider gives it.
fn answer(provider: &str) -> Value {
    let text = json!([{"type": "output_text", "text": "ok"}]);
    match provider {
        "responses" => json!({"status": "completed", "output": [{"type": "message", "content": text}]}),
        "bedrock" => json!({"stopReason": "end_turn", "output": {"message": {"content": [{"text": "ok"}]}}}),
        "anthropic" => json!({"stop_reason": "end_turn", "content": [{"type": "text", "text": "ok"}]}),
        "gemini" => json!({"candidates": [{"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"}]}),
        "ollama" => json!({"message": {"role": "assistant", "content": "ok"}, "done_reason": "stop"}),
        _ => json!({"choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]}),
    }
}

/// Runs the binary on a project whose task model is `table`, with `key` in the environment alone.
fn ratchet(table: &str, key: Option<&str>, arguments: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("rows.jsonl", "{\"input\": \"a\", \"expected\": \"x\"}\n{\"input\": \"b\", \"expected\": \"y\"}\n");
    write("p.prompty", "user:\n{{ input }}\n");
    write(
        "ratchet.toml",
        &format!(
            "prompt = 'p.prompty'\ndataset = 'rows.jsonl'\n[models]\ntask = {{{table}}}\n[[scorers]]\ntype = 'exact_match'\n"
        ),
    );
    let output = tokio::task::block_in_place(|| {
        let mut command = Command::cargo_bin("ratchet").unwrap();
        command.current_dir(folder.path()).args(arguments);
        for row in ROWS {
            row.key.map(|name| command.env_remove(name));
        }
        key.map(|name| command.env(name, "sk-secret"));
        command.output().unwrap()
    });
    let out = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code().unwrap(), out)
}

#[test]
fn every_provider_with_a_preset_is_in_the_table() {
    let names: Vec<&str> = ROWS.iter().map(|row| row.provider).collect();
    assert_eq!(names, PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>());
    assert_eq!(names.len() + 2, Provider::ALL.len(), "all but embedded and command");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_provider_is_reached_where_and_with_the_key_that_is_documented() {
    for row in ROWS {
        let table = format!("provider = '{}', model = 'm'", row.provider);
        let based = if row.address.is_empty() { format!("{table}, base_url = 'http://x'") } else { table };
        let (_, told) = ratchet(&based, None, &["models", "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        let model = &told["models"][0];
        let address = if row.address.is_empty() { "http://x" } else { row.address };
        assert_eq!((&model["address"], &model["key"]["name"]), (&json!(address), &json!(row.key)), "{}", row.provider);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_provider_is_sent_its_own_names_for_key_path_seed_and_log_probabilities() {
    for row in ROWS {
        let fake = Fake::start(|_| Ok(()), vec![ok(answer(row.provider))]).await;
        let mut table = format!("provider = '{}', model = 'm', base_url = '{}'", row.provider, fake.url("/base"));
        for (key, value, place) in [("seed", "7", row.seed), ("logprobs", "true", row.logprobs)] {
            let with = format!("{table}, {key} = {value}");
            match place {
                Some(_) => table = with,
                None => {
                    let (code, told) = ratchet(&with, row.key, &["doctor", "--json"]);
                    assert!(code == 2 && told.contains(&format!("`models.task.{key}` does nothing")), "{with}: {told}");
                }
            }
        }
        let (code, told) = ratchet(&table, row.key, &["doctor", "--json"]);
        assert_eq!(code, 0, "{table}: {told}");
        let [asked]: [Asked; 1] = fake.asked().try_into().unwrap();
        assert_eq!(asked.path, format!("/base{}", row.path), "{}", row.provider);
        let sent = asked.header(row.header).trim_start_matches("Bearer ");
        assert_eq!(sent, if row.key.is_some() { "sk-secret" } else { "" }, "{}", row.provider);
        let at = |place: Option<&str>| place.and_then(|place| asked.body.pointer(place)).cloned();
        // The call isn't the first draw of a row, so that the seed is one made of 7.
        let seed = at(row.seed).map(|seed| seed.as_u64().is_some_and(|seed| seed != 7));
        let wanted = match row.provider {
            "responses" => json!("message.output_text.logprobs"),
            "together" => json!(1),
            _ => json!(true),
        };
        assert_eq!((seed, at(row.logprobs)), (row.seed.map(|_| true), row.logprobs.map(|_| wanted)), "{}", asked.body);
        let plain = asked.body.to_string();
        assert!(row.seed.is_some() || !plain.contains("seed"), "{plain}");
        if row.provider != "ollama" && row.path.ends_with("completions") {
            let keys = ["model", "messages", "max_tokens", "seed", "random_seed", "logprobs"];
            let all = asked.body.as_object().unwrap();
            assert!(all.keys().all(|key| keys.contains(&key.as_str())), "a parameter that nobody documents: {plain}");
        }
    }
}

/// What the chat completions of one provider are asked for, of a schema and of any object.
async fn formats(provider: &str, speaks: Speaks) -> Option<[Value; 2]> {
    let Speaks::Chat(accent) = speaks else { return None };
    let mut forms = Vec::new();
    for format in [AnswerFormat::Schema { name: "label".into(), schema: json!({"type": "object"}) }, AnswerFormat::Json]
    {
        let fake = Fake::start(|_| Ok(()), vec![ok(answer(provider))]).await;
        let messages = vec![Message { role: Role::User, content: "Answer in JSON.".into() }];
        let request = ChatRequest { model: "m".into(), messages, format, ..ChatRequest::default() };
        let config = EndpointConfig { provider: provider.into(), ..EndpointConfig::new(fake.url("/v1")) };
        let endpoint = Dialect::Chat(accent).endpoint(config).unwrap();
        endpoint
            .complete(&Call { role: ModelRole::Task, request, draw: "0".into(), row: String::new() })
            .await
            .unwrap();
        forms.push(fake.asked()[0].body["response_format"]["type"].clone());
    }
    forms.try_into().ok()
}

#[tokio::test]
async fn the_form_of_an_answer_is_asked_for_as_each_provider_knows_it() {
    for preset in PRESETS {
        let [schema, object] = match preset.name {
            "deepseek" => [json!("json_object"), json!("json_object")],
            "lmstudio" => [json!("json_schema"), Value::Null],
            _ => [json!("json_schema"), json!("json_object")],
        };
        let asked = formats(preset.name, preset.speaks).await;
        assert!(asked.is_none_or(|asked| asked == [schema, object]), "{}", preset.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_probabilities_are_kept_with_the_answers_and_set_against_the_scores() {
    let logprobs = json!({"content": [{"token": "x", "logprob": -0.5}, {"token": "", "logprob": -0.25}]});
    let choice = json!({"message": {"content": "x"}, "finish_reason": "stop", "logprobs": logprobs});
    let fake = Fake::start(|_| Ok(()), vec![ok(json!({"choices": [choice]}))]).await;
    let table = format!("provider = 'openai', model = 'm', base_url = '{}', logprobs = true", fake.url("/v1"));
    let (code, told) = ratchet(&table, None, &["eval", "--split", "all", "--csv", "-"]);
    assert!(code == 0 && told.contains("reason,error,logprob\n"), "{told}");
    assert_eq!(told.matches(",-0.375\n").count(), 2, "{told}");
    let (_, told) = ratchet(&table, None, &["eval", "--split", "all"]);
    assert!(told.contains("certainty: ") && told.replace("\n  ", " ").contains("higher one in 50.0 %"), "{told}");
    let (_, told) = ratchet(&table, None, &["eval", "--split", "all", "--json"]);
    assert!(told.contains("\"told_apart\": 0.5"), "{told}");
}
