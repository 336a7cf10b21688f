//! Parameters of OpenAI's chat completions, said as another dialect says them.

use serde_json::{Map, Value};

use super::Dialect;

/// How a dialect says a parameter.
enum Said {
    /// As OpenAI does.
    AsWritten,
    /// At this place, keys outermost first.
    At(&'static [&'static str]),
    /// The same, always as a list.
    ListAt(&'static [&'static str]),
    /// Not at all.
    Never,
}

/// Parameters of OpenAI's by name. Others are the provider's own: who writes them knows where they belong.
const OPENAI: [&str; 13] = [
    "audio",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "modalities",
    "prediction",
    "presence_penalty",
    "reasoning_effort",
    "seed",
    "stop",
    "top_logprobs",
    "top_p",
    "verbosity",
];

impl Dialect {
    /// Puts `value` of OpenAI's parameter `name` into `extra`, where this dialect has it; whether it has it at all.
    pub fn say(&self, extra: &mut Map<String, Value>, name: &str, value: Value) -> bool {
        let (path, value) = match self.said(name) {
            Said::Never => return false,
            Said::AsWritten => {
                extra.insert(name.to_owned(), value);
                return true;
            }
            Said::At(path) => (path, value),
            Said::ListAt(path) => (path, if value.is_array() { value } else { Value::Array(vec![value]) }),
        };
        put(extra, path, value);
        true
    }

    fn said(&self, name: &str) -> Said {
        if !OPENAI.contains(&name) {
            return Said::AsWritten;
        }
        match (self, name) {
            (Self::Chat(accent), "seed") => match accent.seed {
                Some("random_seed") => Said::At(&["random_seed"]),
                Some(_) => Said::AsWritten,
                None => Said::Never,
            },
            (Self::Chat(_) | Self::Azure { .. }, _) => Said::AsWritten,
            (Self::Responses, "top_p" | "top_logprobs") => Said::AsWritten,
            (Self::Responses, "reasoning_effort") => Said::At(&["reasoning", "effort"]),
            (Self::Responses, "verbosity") => Said::At(&["text", "verbosity"]),
            (Self::Anthropic { .. }, "top_p") => Said::AsWritten,
            (Self::Anthropic { .. }, "stop") => Said::ListAt(&["stop_sequences"]),
            (Self::Gemini, "top_p") => Said::At(&["generationConfig", "topP"]),
            (Self::Gemini, "stop") => Said::ListAt(&["generationConfig", "stopSequences"]),
            (Self::Gemini, "seed") => Said::At(&["generationConfig", "seed"]),
            (Self::Gemini, "frequency_penalty") => Said::At(&["generationConfig", "frequencyPenalty"]),
            (Self::Gemini, "presence_penalty") => Said::At(&["generationConfig", "presencePenalty"]),
            (Self::Bedrock, "top_p") => Said::At(&["inferenceConfig", "topP"]),
            (Self::Bedrock, "stop") => Said::ListAt(&["inferenceConfig", "stopSequences"]),
            (Self::Ollama { .. }, "top_p") => Said::At(&["options", "top_p"]),
            (Self::Ollama { .. }, "stop") => Said::ListAt(&["options", "stop"]),
            (Self::Ollama { .. }, "seed") => Said::At(&["options", "seed"]),
            (Self::Ollama { .. }, "frequency_penalty") => Said::At(&["options", "frequency_penalty"]),
            (Self::Ollama { .. }, "presence_penalty") => Said::At(&["options", "presence_penalty"]),
            _ => Said::Never,
        }
    }
}

/// Puts `value` at `path`, beside what stands there already.
fn put(within: &mut Map<String, Value>, path: &[&str], value: Value) {
    let Some((key, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        within.insert((*key).to_owned(), value);
        return;
    }
    let inner = within.entry(*key).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Some(inner) = inner.as_object_mut() {
        put(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What becomes of these five, beside what stands there; those that can't be said by name.
    fn said(dialect: &Dialect) -> (Value, Vec<&'static str>) {
        let mut extra = json!({"generationConfig": {"topK": 1}}).as_object().unwrap().clone();
        let asked = [
            ("stop", json!("END")),
            ("top_p", json!(0.5)),
            ("seed", json!(3)),
            ("frequency_penalty", json!(1)),
            ("presence_penalty", json!(2)),
            ("top_k", json!(4)),
        ];
        let refused = asked.into_iter().filter(|(name, value)| !dialect.say(&mut extra, name, value.clone()));
        let refused = refused.map(|(name, _)| name).collect();
        (Value::Object(extra), refused)
    }

    #[test]
    fn each_dialect_says_them_in_its_own_way_or_not_at_all() {
        let kept = json!({"topK": 1});
        for (dialect, extra, refused) in [
            (
                Dialect::default(),
                json!({"generationConfig": kept, "stop": "END", "top_p": 0.5, "seed": 3, "frequency_penalty": 1,
                       "presence_penalty": 2, "top_k": 4}),
                vec![],
            ),
            (
                Dialect::Responses,
                json!({"generationConfig": kept, "top_p": 0.5, "top_k": 4}),
                vec!["stop", "seed", "frequency_penalty", "presence_penalty"],
            ),
            (
                Dialect::Anthropic { max_tokens: 9 },
                json!({"generationConfig": kept, "stop_sequences": ["END"], "top_p": 0.5, "top_k": 4}),
                vec!["seed", "frequency_penalty", "presence_penalty"],
            ),
            (
                Dialect::Gemini,
                json!({"generationConfig": {"topK": 1, "stopSequences": ["END"], "topP": 0.5, "seed": 3,
                       "frequencyPenalty": 1, "presencePenalty": 2}, "top_k": 4}),
                vec![],
            ),
            (
                Dialect::Bedrock,
                json!({"generationConfig": kept, "inferenceConfig": {"stopSequences": ["END"], "topP": 0.5}, "top_k": 4}),
                vec!["seed", "frequency_penalty", "presence_penalty"],
            ),
            (
                Dialect::Ollama { context_length: 9 },
                json!({"generationConfig": kept, "options": {"stop": ["END"], "top_p": 0.5, "seed": 3,
                       "frequency_penalty": 1, "presence_penalty": 2}, "top_k": 4}),
                vec![],
            ),
        ] {
            assert_eq!(said(&dialect), (extra, refused), "{dialect:?}");
        }
    }
}
