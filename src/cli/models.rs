//! `ratchet models`: which model serves which role.

use clap::Args;
use prompt_ratchet::model::{Price, Prices};
use prompt_ratchet::project::ConfiguredModel;
use serde_json::json;

use super::Global;
use super::exit::{Exit, Failure};
use super::paint::Paint;
use super::plain::neutral;
use super::report::{print, print_json};
use super::runs::aligned;

/// List the models that are configured: role, provider, address, key, price and limits
///
/// Asks nobody; `ratchet doctor` does. Whether a key's variable is set is told, never what it holds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ratchet models\n  ratchet models --json | jq '.models[] | .model'")]
pub struct Models {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Models {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let models = ConfiguredModel::all(&global.config, &global.overrides)?;
        if self.json {
            print_json(&json!({ "models": models, "prices_of": Prices::date() }))?;
        } else {
            print(&table(&models, Paint::stdout()))?;
        }
        Ok(Exit::Done)
    }
}

fn table(models: &[ConfiguredModel], paint: Paint) -> String {
    models.iter().map(|model| entry(model, paint)).collect()
}

fn entry(model: &ConfiguredModel, paint: Paint) -> String {
    if !model.own {
        return format!("{}  as the task model\n", paint.bold(model.role));
    }
    let mut text = format!("{}\n{}", paint.bold(model.role), facts(model));
    for (number, fallback) in (1..).zip(&model.fallback) {
        let title = format!("{}, fallback {number}", model.role);
        text += &format!("{}\n{}", paint.bold(title), facts(fallback));
    }
    text
}

fn facts(model: &ConfiguredModel) -> String {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![format!("  {name}"), neutral(&value)]);
    row("provider", model.provider.to_owned());
    row("model", model.model.clone());
    if let Some(address) = &model.address {
        row("address", address.clone());
        model.also_at.iter().for_each(|address| row("and at", address.clone()));
        row(
            "key",
            match &model.key {
                Some(key) if key.is_set => format!("{} (set)", key.name),
                Some(key) => format!("{} (NOT SET)", key.name),
                None => "none is sent".to_owned(),
            },
        );
    }
    row("price", model.price.map_or("not known; see models.*.price".to_owned(), price));
    row("limits", limits(model));
    aligned(&rows)
}

fn price(price: Price) -> String {
    if price.is_free() {
        return "free".to_owned();
    }
    let part =
        |what: &str, dollars: Option<f64>| dollars.map_or(String::new(), |dollars| format!(", {what} ${dollars}"));
    format!(
        "${} in, ${} out{}{} for a million tokens",
        price.input,
        price.output,
        part("cached", price.cached),
        part("cache write", price.cache_write)
    )
}

fn limits(model: &ConfiguredModel) -> String {
    let mut text = format!("{} at once", model.max_concurrency);
    let more = [
        (model.requests_per_minute, "requests a minute"),
        (model.tokens_per_minute, "tokens a minute"),
        (model.max_tokens.map(u64::from), "tokens an answer"),
    ];
    for (limit, of) in more.into_iter().filter_map(|(limit, of)| Some((limit?, of))) {
        text += &format!(", {limit} {of}");
    }
    text
}

#[cfg(test)]
mod tests {
    use prompt_ratchet::model::ModelRole;

    use super::*;

    #[test]
    fn titles_are_painted_and_what_the_config_holds_is_shown_as_text() {
        let model = ConfiguredModel {
            role: ModelRole::Task,
            own: true,
            provider: "openai",
            model: "tiny\u{1b}[2J".to_owned(),
            address: None,
            also_at: Vec::new(),
            key: None,
            price: None,
            max_concurrency: 8,
            requests_per_minute: None,
            tokens_per_minute: None,
            max_tokens: None,
            fallback: Vec::new(),
        };
        let shown = table(&[model], Paint::always());
        assert!(shown.starts_with("\u{1b}[1mtask\u{1b}[0m\n"), "{shown:?}");
        assert_eq!(shown.matches('\u{1b}').count(), 2, "{shown:?}");
    }
}
