//! The providers by name: where each is reached, which variable holds its key, and what it speaks.

use super::openai::{Accent, Formats, Logprobs};

/// A provider that is known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// The name in the config.
    pub name: &'static str,
    /// Where it is reached, unless the config says otherwise; `${NAME}` stands for an environment variable. Empty where
    /// only the user knows.
    pub base_url: &'static str,
    /// The variable that holds the key, unless the config names another; `None` where none is sent by default.
    pub api_key_env: Option<&'static str>,
    /// What it speaks.
    pub speaks: Speaks,
}

/// What a provider speaks, but for what the config says of it (see [`super::Dialect`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// OpenAI's chat completions.
    Chat(Accent),
    /// OpenAI's Responses.
    Responses,
    /// Azure OpenAI's chat completions.
    Azure,
    /// Anthropic's messages.
    Anthropic,
    /// Gemini's generateContent.
    Gemini,
    /// Bedrock's Converse.
    Bedrock,
    /// Ollama's own chat.
    Ollama,
}

/// All of them. Without a key variable `openai` is sent no key, as it stands for any server that speaks like it.
pub const PRESETS: [Preset; 16] = [
    of("openai", "https://api.openai.com/v1", None, CHAT),
    of("responses", "https://api.openai.com/v1", Some("OPENAI_API_KEY"), Speaks::Responses),
    of("azure", "", Some("AZURE_OPENAI_API_KEY"), Speaks::Azure),
    of("anthropic", "https://api.anthropic.com/v1", Some("ANTHROPIC_API_KEY"), Speaks::Anthropic),
    of("gemini", "https://generativelanguage.googleapis.com/v1beta", Some("GEMINI_API_KEY"), Speaks::Gemini),
    of(
        "bedrock",
        "https://bedrock-runtime.${AWS_REGION}.amazonaws.com",
        Some("AWS_BEARER_TOKEN_BEDROCK"),
        Speaks::Bedrock,
    ),
    of("openrouter", "https://openrouter.ai/api/v1", Some("OPENROUTER_API_KEY"), CHAT),
    of("ollama", "http://localhost:11434", None, Speaks::Ollama),
    of("vllm", "http://localhost:8000/v1", None, CHAT),
    of("llamacpp", "http://localhost:8080/v1", None, CHAT),
    // It refuses a plain object.
    of("lmstudio", "http://localhost:1234/v1", None, Speaks::Chat(Accent { formats: Formats::Schema, ..Accent::NONE })),
    of("groq", "https://api.groq.com/openai/v1", Some("GROQ_API_KEY"), CHAT),
    of(
        "mistral",
        "https://api.mistral.ai/v1",
        Some("MISTRAL_API_KEY"),
        Speaks::Chat(Accent { seed: Some("random_seed"), ..Accent::NONE }),
    ),
    // It has neither schemas nor seeds.
    of(
        "deepseek",
        "https://api.deepseek.com",
        Some("DEEPSEEK_API_KEY"),
        Speaks::Chat(Accent { formats: Formats::Object, seed: None, ..Accent::NONE }),
    ),
    of(
        "together",
        "https://api.together.xyz/v1",
        Some("TOGETHER_API_KEY"),
        Speaks::Chat(Accent { logprobs: Logprobs::Count, ..Accent::NONE }),
    ),
    of("fireworks", "https://api.fireworks.ai/inference/v1", Some("FIREWORKS_API_KEY"), CHAT),
];

const CHAT: Speaks = Speaks::Chat(Accent::NONE);

const fn of(name: &'static str, base_url: &'static str, api_key_env: Option<&'static str>, speaks: Speaks) -> Preset {
    Preset { name, base_url, api_key_env, speaks }
}

impl Preset {
    /// The provider of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}
