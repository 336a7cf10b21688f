//! Embeddings: what each provider's interface promises, against a fake of it, and the scorer that compares by them.

use prompt_ratchet::model::{Accent, CallError, Chat, Completion, Dialect, Embedding, FinishReason, Usage};
use serde_json::{Map, Value, json};

use crate::fake::dialects::{Asked, Contract, Dialect as Fake, Said, failed, ok};
use crate::fake::server::{Answers, Behaviour, Fault};
use crate::project::{Project, Provider};
use crate::providers::{Kind, endpoint, hold, kind_of, only};

/// One dialect's embeddings and their fake.
struct Space {
    of: fn() -> Dialect,
    /// What is added to the fake's address.
    base: &'static str,
    contract: Contract,
    /// The body that answers with these numbers, for so many tokens.
    answer: fn(Value, u64) -> Value,
    /// Whether the answer tells its tokens.
    counts: bool,
}

impl Space {
    async fn says(&self, said: Said) -> Result<Completion, CallError> {
        let fake = Fake::start(self.contract, vec![said]).await;
        let dialect = Dialect::Embeddings(Box::new((self.of)()));
        let extra = Map::from_iter([("dimensions".to_owned(), json!(3))]);
        let call = Embedding::call("m-1", "my card".to_owned(), &extra);
        endpoint(dialect, fake.url(self.base)).complete(&call).await
    }

    async fn keeps_its_contract(&self, failures: Vec<(u16, Value, Kind)>) {
        let said = self.says(ok((self.answer)(json!([0.5, -0.25, 1e-9]), 7))).await.unwrap();
        let usage = Usage { input: if self.counts { 7 } else { 0 }, ..Usage::default() };
        assert_eq!((said.text.as_str(), said.finish, said.usage), ("[0.5,-0.25,1e-9]", FinishReason::Stop, usage));
        for (numbers, told) in [
            (json!([]), "without a number"),
            (json!([0.0, 0.0, 0]), "zeros alone"),
            (json!([1e39]), "invalid body"),
            (json!([0.5, null]), "invalid body"),
            (json!("AAAAPw=="), "invalid body"),
        ] {
            let error = self.says(ok((self.answer)(numbers.clone(), 7))).await.unwrap_err();
            assert!(error.is_transient() && error.to_string().contains(told), "{numbers}: {error}");
        }
        // No JSON has it, and some servers write it all the same.
        let not_a_number = (self.answer)(json!(["here"]), 7).to_string().replace("\"here\"", "NaN");
        let error = self.says(Said::Whole(200, Vec::new(), not_a_number)).await.unwrap_err();
        assert_eq!(kind_of(&error), Kind::Unanswered, "{error}");
        let error = self.says(ok(json!({}))).await.unwrap_err();
        assert!(kind_of(&error) == Kind::Transient && error.to_string().contains("no embedding"), "{error}");
        for (status, body, kind) in failures {
            let error = self.says(failed(status, body.clone())).await.unwrap_err();
            assert_eq!(kind_of(&error), kind, "{status} {body}: {error}");
            assert!(error.to_string().contains("words"), "{status} {body}: {error}");
        }
    }
}

fn openai_answer(numbers: Value, tokens: u64) -> Value {
    json!({"object": "list", "model": "m-1", "data": [{"object": "embedding", "index": 0, "embedding": numbers}],
           "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
}

fn openai_body(asked: &Asked) -> [(&'static str, bool); 3] {
    [
        ("keys", only(&asked.body, &["model", "input", "dimensions"])),
        ("input", asked.body["model"] == "m-1" && asked.body["input"] == "my card"),
        ("extra", asked.body["dimensions"] == 3),
    ]
}

#[tokio::test]
async fn embeddings_like_openais_keep_their_contract() {
    fn contract(asked: &Asked) -> Result<(), String> {
        hold(&openai_body(asked))?;
        hold(&[("path", asked.path == "/v1/embeddings"), ("key", asked.header("authorization") == "Bearer sk-secret")])
    }
    let of = || Dialect::Chat(Accent::NONE);
    let error = |code: &str| json!({"error": {"message": "words", "type": "invalid_request_error", "code": code}});
    Space { of, base: "/v1", contract, answer: openai_answer, counts: true }
        .keeps_its_contract(vec![
            (400, error("context_length_exceeded"), Kind::Rejected),
            (401, error("invalid_api_key"), Kind::Denied),
            (404, error("model_not_found"), Kind::Rejected),
            (429, error("rate_limit_exceeded"), Kind::Busy),
            (429, error("insufficient_quota"), Kind::Denied),
            (500, error("server_error"), Kind::Transient),
        ])
        .await;
}

#[tokio::test]
async fn embeddings_of_azure_keep_their_contract() {
    fn contract(asked: &Asked) -> Result<(), String> {
        hold(&openai_body(asked))?;
        hold(&[
            ("path", asked.path == "/openai/deployments/m-1/embeddings?api-version=2024-10-21"),
            ("key", asked.header("api-key") == "sk-secret" && asked.header("authorization").is_empty()),
        ])
    }
    let of = || Dialect::Azure { api_version: "2024-10-21".into() };
    let error = |code: &str| json!({"error": {"message": "words", "code": code}});
    Space { of, base: "", contract, answer: openai_answer, counts: true }
        .keeps_its_contract(vec![
            (401, error("401"), Kind::Denied),
            (404, error("DeploymentNotFound"), Kind::Rejected),
            (429, error("429"), Kind::Busy),
        ])
        .await;
}

#[tokio::test]
async fn embeddings_of_gemini_keep_their_contract() {
    fn contract(asked: &Asked) -> Result<(), String> {
        hold(&[
            ("path", asked.path == "/v1beta/models/m-1:embedContent"),
            ("key", asked.header("x-goog-api-key") == "sk-secret"),
            ("keys", only(&asked.body, &["model", "content", "dimensions"])),
            ("model", asked.body["model"] == "models/m-1"),
            ("content", asked.body["content"] == json!({"parts": [{"text": "my card"}]})),
        ])
    }
    let answer = |numbers, _| json!({"embedding": {"values": numbers}});
    let error = |code: u16, status: &str| json!({"error": {"code": code, "message": "words", "status": status}});
    Space { of: || Dialect::Gemini, base: "/v1beta", contract, answer, counts: false }
        .keeps_its_contract(vec![
            (400, error(400, "INVALID_ARGUMENT"), Kind::Rejected),
            (403, error(403, "PERMISSION_DENIED"), Kind::Denied),
            (404, error(404, "NOT_FOUND"), Kind::Rejected),
            (429, error(429, "RESOURCE_EXHAUSTED"), Kind::Busy),
            (503, error(503, "UNAVAILABLE"), Kind::Transient),
        ])
        .await;
}

#[tokio::test]
async fn embeddings_of_ollama_keep_their_contract_and_no_text_is_cut() {
    fn contract(asked: &Asked) -> Result<(), String> {
        hold(&[
            ("path", asked.path == "/api/embed"),
            ("keys", only(&asked.body, &["model", "input", "truncate", "options", "dimensions"])),
            ("input", asked.body["input"] == "my card"),
            ("whole", asked.body["truncate"] == false && asked.body["options"]["num_ctx"] == 4096),
        ])
    }
    let answer = |numbers, tokens| json!({"model": "m-1", "embeddings": [numbers], "total_duration": 9, "prompt_eval_count": tokens});
    Space { of: || Dialect::Ollama { context_length: 4096 }, base: "/v1", contract, answer, counts: true }
        .keeps_its_contract(vec![
            (400, json!({"error": "the input length exceeds the context length: words"}), Kind::Rejected),
            (404, json!({"error": "model \"m-1\" not found, words"}), Kind::Rejected),
            (500, json!({"error": "words"}), Kind::Transient),
        ])
        .await;
}

/// Rows that a fixed answer is near to, far from, and equal to.
fn project(provider: &Provider, embedder: &Provider) -> Project {
    let project = Project::new();
    let expected = ["the card was charged twice", "the card was charged two times", "no way to log in"];
    let rows =
        (0..24).map(|at| json!({"input": format!("row {at}"), "expected": expected[at % 3], "tags": [at.to_string()]}));
    project.write("library.jsonl", rows.map(|row| row.to_string() + "\n").collect::<String>());
    let (task, embedder) =
        (provider.table(), embedder.table().replace("tiny", "embedding-small").replace("retries=0", "retries=2"));
    let config = format!(
        "name = 'replies'\nprompt = 'prompts/library.prompty'\ndataset = 'library.jsonl'\npass_threshold = 0.5\n\
         [models]\ntask = {{{task}, deterministic = true}}\nembedder = {{{embedder}, price = {{input = 1, output = 0}}}}\n\
         [search]\ngenerations = 1\nproposals = 1\n[[scorers]]\ntype = 'embedding_similarity'\nexpected_min = 0.4\n"
    );
    project.write("prompts/library.prompty", "system:\nAnswer.\nuser:\n{{ input }}\n");
    project.write("ratchet.toml", config);
    project
}

fn provider() -> Provider {
    Provider::start(Answers::Fixed("the card was charged twice".into()), Behaviour::default())
}

#[test]
fn answers_are_scored_by_embeddings_that_are_asked_for_once() {
    let provider = provider();
    let behaviour = Behaviour { first: [Some(Fault::ServerError)].into(), ..Behaviour::default() };
    let embedder = Provider::start(Answers::Fixed(String::new()), behaviour);
    let project = project(&provider, &embedder);
    let first = project.ratchet(&["eval", "--split", "all", "--csv", "rows.csv"]);
    assert_eq!(first.code, 0, "{}", first.err);
    // The answer and two expected texts; the third is the answer.
    assert!(first.out.contains("(3 of the embedder)") || first.err.contains("(3 of the embedder)"), "{}", first.out);
    let again = project.ratchet(&["eval", "--split", "all", "--json"]).json();
    assert_eq!((&again["calls"], &again["errors"], &again["examples"]), (&json!(0), &json!(0), &json!(24)), "{again}");
    let rows = project.read("rows.csv");
    assert!(rows.contains("cosine similarity 0.") && rows.contains("no way to log in"), "{rows}");
    let score = again["score"].as_f64().unwrap();
    assert!(score > 1.0 / 3.0 && score < 1.0, "{score}");

    let (models, doctor) = (project.ratchet(&["models"]), project.ratchet(&["doctor"]));
    assert!(models.out.contains("embedder\n") && models.out.contains("embedding-small"), "{}", models.out);
    assert!(doctor.out.contains("embedder call") && doctor.out.contains("33 dimensions"), "{}", doctor.out);
    let plan = project.ratchet(&["optimize", "--dry-run", "--json"]).json();
    assert_eq!(plan["likely"]["calls"]["embedder"], plan["likely"]["calls"]["task"], "{plan}");
    assert_eq!(plan["embedder"]["model"], "embedding-small");
}

#[test]
fn a_run_counts_its_embeddings_apart_and_keeps_their_limit() {
    let provider = provider();
    let project = project(&provider, &provider);
    let ran = project.ratchet(&["optimize", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json()["calls"]["embedder"], 3, "{}", ran.out);
    let limits = ["budget.embedder.calls=2", "store.path='other.sqlite'"];
    let ran = project.ratchet(&["optimize", "--json", "--set", limits[0], "--set", limits[1]]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let told = ran.json();
    assert!(told["stopped"] == "budget" && told["calls"]["embedder"].as_u64().unwrap() <= 2, "{told}");
}

#[test]
fn what_can_not_embed_is_refused_at_load() {
    let provider = provider();
    let project = project(&provider, &provider);
    for (set, told) in [
        ("models.embedder={provider='anthropic', model='m'}", "is \"anthropic\", which embeds no texts"),
        ("models.embedder={provider='embedded'}", "is \"embedded\", which embeds no texts"),
        (
            "models.embedder={provider='mistral', model='m', temperature=0}",
            "`models.embedder.temperature` does nothing",
        ),
        ("scorers=[{type='embedding_similarity', expected_min=1}]", "`scorers.0.expected_min` is 1"),
    ] {
        let ran = project.ratchet(&["eval", "--set", set]);
        assert!(ran.code == 2 && ran.err.contains(told), "{set}: {}", ran.err);
    }
    let config = project.read("ratchet.toml");
    let without: String =
        config.lines().filter(|line| !line.starts_with("embedder")).map(|line| format!("{line}\n")).collect();
    project.write("ratchet.toml", without);
    let ran = project.ratchet(&["eval"]);
    assert!(ran.code == 2 && ran.err.contains("[models.embedder]"), "{}", ran.err);
    project.write("ratchet.toml", config);
    project.write("library.jsonl", "{\"input\": \"a\", \"expected\": \"\"}\n{\"input\": \"b\", \"expected\": \"x\"}\n");
    let ran = project.ratchet(&["eval"]);
    assert!(ran.code == 2 && ran.err.contains("empty text"), "{}", ran.err);
}
