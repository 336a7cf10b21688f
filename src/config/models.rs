//! `[models.*]`: which models are used for what, and how they are reached.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The models by role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// The model that answers the rows.
    pub task: ModelConfig,
    /// The model that proposes edits; by default the task model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposer: Option<ModelConfig>,
    /// The model that scorers ask which judge answers; by default the task model, which may favour its own answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<ModelConfig>,
    /// The model that embeds texts, for the scorer `embedding_similarity`, which needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedder: Option<ModelConfig>,
}

/// One model and how to reach it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// What serves it.
    pub provider: Provider,
    /// Its name as the provider knows it (`azure`: the deployment's); required by all but `embedded` and `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub model: Option<String>,
    /// Where it is reached, as in `http://127.0.0.1:8000/v1`; by default the provider's own address (`docs/models.md`).
    /// Required by `azure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub base_url: Option<String>,
    /// The environment variable that holds the key; by default the provider's usual one (`docs/models.md`). `openai`, which
    /// stands for any server that speaks like it, and servers of your own are sent none unless this is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub api_key_env: Option<String>,
    /// `command` only, and required there: the program and its arguments. It reads a call as one line of JSON on stdin and
    /// prints the answer (`docs/models.md`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub run: Option<Vec<String>>,
    /// `ollama` only: tokens of the context, read and written, by default 16384. What may not fit is refused, never cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 512))]
    pub context_length: Option<u32>,
    /// `azure` only: the version of its API, by default `2024-10-21`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub api_version: Option<String>,
    /// Sampling temperature; by default the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub temperature: Option<f64>,
    /// Most tokens of an answer; by default the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u32>,
    /// Seed of the model's draws, for providers that have one (`docs/models.md`). Each repeat of a call gets a seed of its
    /// own, made of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 2_147_483_647))]
    pub seed: Option<u32>,
    /// `models.task` only: whether the log probability of each answer is asked for, for providers that have it. It is a
    /// column of `eval --csv`, and `eval` says whether right answers have a higher one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub logprobs: bool,
    /// Whether answers are asked for as a stream and put together here, for long answers that a gateway would give up on, or
    /// that a provider refuses to give at once (`docs/models.md`). The answers are the same, and stored as the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// Most calls under way at once; fewer while the provider says that it is overloaded.
    #[serde(default = "default_max_concurrency")]
    #[schemars(range(min = 1))]
    pub max_concurrency: usize,
    /// Most requests a minute; by default what the provider's `x-ratelimit-*` headers allow, which are obeyed anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u64>,
    /// Most tokens a minute, read and written; by default as the headers say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<u64>,
    /// Seconds after which a call counts as failed, and is tried again; with `stream`, seconds in which nothing comes.
    #[serde(default = "default_timeout")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub timeout_seconds: f64,
    /// How often a call that failed for a passing reason is tried again while others are answered. Four times as often
    /// where the provider only says that it is busy.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// Seconds for which a provider that answers nobody is waited for, with one try at a time, before a fallback takes its
    /// place or, without one, the run stops. It can be resumed.
    #[serde(default = "default_max_outage")]
    #[schemars(range(min = 0.0))]
    pub max_outage_seconds: f64,
    /// Whether the same request always gets the same answer; by default only `embedded` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deterministic: Option<bool>,
    /// What it costs; by default as `budget.prices` says, or the table that comes with Ratchet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Further addresses of the same model, like `base_url`. Each answers an equal share of the rows, always the same ones,
    /// until it was out for `max_outage_seconds`: then the others take its rows, which are measured anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_at: Vec<String>,
    /// Models to take in its place, in this order: for the whole of a run that begins while it can't be had, or from there
    /// on, once it was out for `max_outage_seconds`. Nothing is compared across the change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<ModelConfig>,
    /// Further parameters of the request, sent as they are: `extra = { reasoning_effort = "low" }`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// The role whose model embeds texts.
pub(super) const EMBEDDER: &str = "embedder";

impl ModelConfig {
    /// Tokens of the context, read and written, where the server is told: Ollama's.
    pub fn context_length(&self) -> u32 {
        self.context_length.unwrap_or(16_384)
    }
}

impl Models {
    /// All models that a run may ask, with where they stand below `models`.
    pub fn all(&self) -> Vec<(Vec<String>, &ModelConfig)> {
        let mut all = Vec::new();
        let roles = [
            ("task", Some(&self.task)),
            ("proposer", self.proposer.as_ref()),
            ("judge", self.judge.as_ref()),
            (EMBEDDER, self.embedder.as_ref()),
        ];
        for (role, model) in roles {
            let Some(model) = model else { continue };
            all.push((vec![role.to_owned()], model));
            let fallbacks = model.fallback.iter().enumerate();
            all.extend(
                fallbacks.map(|(at, model)| (vec![role.to_owned(), "fallback".to_owned(), at.to_string()], model)),
            );
        }
        all
    }
}

impl ModelConfig {
    /// Whether the same request always gets the same answer: as declared, else true for the embedded model alone.
    pub fn is_deterministic(&self) -> bool {
        self.deterministic.unwrap_or(self.provider == Provider::Embedded)
    }
}

fn default_max_concurrency() -> usize {
    16
}

fn default_timeout() -> f64 {
    120.0
}

fn default_max_outage() -> f64 {
    1_800.0
}

fn default_retries() -> u32 {
    5
}

/// What serves a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The small classifier that is part of Ratchet: no key, no network.
    Embedded,
    /// Any OpenAI-compatible chat completions endpoint.
    Openai,
    /// OpenAI's Responses.
    Responses,
    /// Azure OpenAI.
    Azure,
    /// Anthropic's messages.
    Anthropic,
    /// Google's Gemini.
    Gemini,
    /// Amazon Bedrock's Converse, with a bearer key.
    Bedrock,
    /// OpenRouter.
    Openrouter,
    /// Ollama's own chat, with its context length set.
    Ollama,
    /// A vLLM server.
    Vllm,
    /// A llama.cpp server.
    Llamacpp,
    /// LM Studio.
    Lmstudio,
    /// Groq.
    Groq,
    /// Mistral.
    Mistral,
    /// DeepSeek.
    Deepseek,
    /// Together.
    Together,
    /// Fireworks.
    Fireworks,
    /// A program that reads a call and prints the answer.
    Command,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Embedded,
        Self::Openai,
        Self::Responses,
        Self::Azure,
        Self::Anthropic,
        Self::Gemini,
        Self::Bedrock,
        Self::Openrouter,
        Self::Ollama,
        Self::Vllm,
        Self::Llamacpp,
        Self::Lmstudio,
        Self::Groq,
        Self::Mistral,
        Self::Deepseek,
        Self::Together,
        Self::Fireworks,
        Self::Command,
    ];

    /// Its name in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Openai => "openai",
            Self::Responses => "responses",
            Self::Azure => "azure",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
            Self::Openrouter => "openrouter",
            Self::Ollama => "ollama",
            Self::Vllm => "vllm",
            Self::Llamacpp => "llamacpp",
            Self::Lmstudio => "lmstudio",
            Self::Groq => "groq",
            Self::Mistral => "mistral",
            Self::Deepseek => "deepseek",
            Self::Together => "together",
            Self::Fireworks => "fireworks",
            Self::Command => "command",
        }
    }

    /// The provider of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    /// Whether it embeds texts.
    pub fn embeds(self) -> bool {
        !matches!(
            self,
            Self::Embedded
                | Self::Responses
                | Self::Anthropic
                | Self::Bedrock
                | Self::Groq
                | Self::Deepseek
                | Self::Command
        )
    }

    /// Whether a seed can be sent to it.
    fn has_seed(self) -> bool {
        !matches!(self, Self::Embedded | Self::Responses | Self::Anthropic | Self::Bedrock | Self::Deepseek)
    }

    /// Whether it tells log probabilities.
    fn has_logprobs(self) -> bool {
        !matches!(self, Self::Embedded | Self::Anthropic | Self::Bedrock | Self::Lmstudio | Self::Groq | Self::Mistral)
    }

    /// Whether it streams answers in a form that is read here.
    fn has_stream(self) -> bool {
        !matches!(self, Self::Embedded | Self::Bedrock | Self::Command)
    }

    /// Whether it reads `key` of its table.
    pub(super) fn reads(self, key: &str) -> bool {
        match key {
            "seed" => return self.has_seed(),
            "logprobs" => return self.has_logprobs(),
            "stream" => return self.has_stream(),
            _ => {}
        }
        match self {
            Self::Embedded => matches!(key, "provider" | "model" | "max_concurrency" | "deterministic"),
            Self::Command => !matches!(key, "base_url" | "also_at" | "api_key_env" | "context_length" | "api_version"),
            _ => match key {
                "run" => false,
                "context_length" => self == Self::Ollama,
                "api_version" => self == Self::Azure,
                _ => true,
            },
        }
    }
}

/// Prices in US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens read.
    #[schemars(range(min = 0.0))]
    pub input: f64,
    /// Tokens written.
    #[schemars(range(min = 0.0))]
    pub output: f64,
    /// Tokens read from the provider's cache; by default as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cached: Option<f64>,
    /// Tokens written to the provider's cache; by default as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cache_write: Option<f64>,
    /// Most tokens that the model writes in one answer: what a call without `max_tokens` is reserved at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_output: Option<u64>,
}
