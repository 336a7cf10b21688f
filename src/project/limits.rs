//! `[budget]` and prices: from what the user wrote to limits that hold, and whether a run can begin under them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::civil::{self, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::load::read;
use super::plan::BYTES_A_TOKEN;
use super::{Project, ProjectError};
use crate::config::{self, Config, ModelConfig, Models, Provider};
use crate::dataset::Split;
use crate::model::{Ceiling, Limits, ModelRole, Prices, Usage};
use crate::money::Money;

/// Gives every model that has no price of its own the one that `budget.prices` names, or the table that comes with
/// Ratchet; a model that neither knows stays without.
///
/// # Errors
/// A price file that can't be read.
pub(super) fn look_up_prices(config: &mut Config, root: &Path) -> Result<(), ProjectError> {
    let file = match &config.budget.prices {
        Some(path) => {
            let path = root.join(path);
            let prices = Prices::read(&read(&path)?);
            Some(prices.map_err(|problem| ProjectError::File { path, problem })?)
        }
        None => None,
    };
    let look_up = |model: &mut ModelConfig| {
        if model.provider == Provider::Embedded || model.price.is_some() {
            return;
        }
        let Some(name) = model.model.as_deref() else { return };
        let listed = file.as_ref().and_then(|file| file.of(name)).or_else(|| Prices::built_in().of(name));
        model.price = listed.map(|price| config::Price {
            input: price.input,
            output: price.output,
            cached: price.cached,
            cache_write: price.cache_write,
            max_output: price.max_output,
        });
    };
    let Models { task, proposer, judge, embedder } = &mut config.models;
    let others = [proposer, judge, embedder].into_iter().flatten();
    for model in std::iter::once(task).chain(others) {
        look_up(model);
        model.fallback.iter_mut().for_each(look_up);
    }
    Ok(())
}

impl Project {
    /// The limits on money, calls and tokens.
    pub fn limits(&self) -> Limits {
        let budget = &self.config.budget;
        let ceiling = |usd: Option<f64>, calls, tokens| Ceiling { calls, tokens, money: usd.map(Money::from_dollars) };
        let roles = [
            (ModelRole::Task, &budget.task),
            (ModelRole::Proposer, &budget.proposer),
            (ModelRole::Judge, &budget.judge),
            (ModelRole::Embedder, &budget.embedder),
        ];
        let by_role: BTreeMap<_, _> = roles
            .into_iter()
            .map(|(role, of_role)| (role, ceiling(of_role.usd, of_role.calls, of_role.tokens)))
            .filter(|(_, ceiling)| !ceiling.is_unlimited())
            .collect();
        Limits { together: ceiling(budget.usd, budget.calls, budget.tokens), by_role }
    }

    /// Refuses a dataset on which nothing can be tried, or nothing be kept.
    pub(super) fn check_splits(&self) -> Result<(), ProjectError> {
        match [Split::Train, Split::Dev].into_iter().find(|split| self.measured(*split).is_empty()) {
            None => Ok(()),
            Some(split) if self.dataset.count(split) > 0 => Err(ProjectError::AllQuoted { split }),
            Some(split) => Err(ProjectError::NoRows { dataset: self.config.dataset.path.clone(), split }),
        }
    }

    /// Refuses a prompt that is too long before any edit.
    pub(super) fn check_length(&self) -> Result<(), ProjectError> {
        let (tokens, max) = (self.prompts.tokens(), self.config.guards.max_prompt_tokens);
        if tokens > max { Err(ProjectError::TooLong { tokens, max }) } else { Ok(()) }
    }

    /// Refuses a budget with which no run can begin: one in money without the prices, or one that ends within the
    /// baseline, which would leave a run without a single result.
    pub(super) fn check_budget(&self) -> Result<(), ProjectError> {
        let limits = self.limits();
        if limits.has_money() {
            let used = self.roles();
            for (path, model) in self.config.models.all() {
                if !used.iter().any(|role| path.first().is_some_and(|name| name == role.name())) {
                    continue;
                }
                if model.price.is_none() && model.provider != Provider::Embedded {
                    let name = model.model.clone().unwrap_or_default();
                    return Err(ProjectError::Unpriced { path: path.join("."), model: name });
                }
            }
        }
        let rows: u64 = [Split::Train, Split::Dev].iter().map(|split| self.measured(*split).len() as u64).sum();
        let answers = rows * u64::from(self.config.repeats.samples);
        // What is embedded of a row depends on its answer: it may be nothing.
        let judged = answers * self.scorers.calls().judge;
        let of_role = |role| limits.by_role.get(&role).and_then(|ceiling| ceiling.calls);
        let scopes = [
            ("budget", limits.together.calls, answers + judged, "calls"),
            ("budget.task", of_role(ModelRole::Task), answers, "calls of the task model"),
            ("budget.judge", of_role(ModelRole::Judge), judged, "calls of the judge"),
        ];
        for (table, calls, least, of) in scopes {
            if let Some(calls) = calls.filter(|calls| *calls < least) {
                let limit = format!("{table}.calls = {calls}");
                return Err(ProjectError::Baseline { limit, least: format!("{least} {of}") });
            }
        }
        self.check_baseline(&limits)
    }

    /// The roles that a run has calls for.
    pub(super) fn roles(&self) -> Vec<ModelRole> {
        let scoring = self.scorers.calls();
        let is_used = |role: &ModelRole| match role {
            ModelRole::Task | ModelRole::Proposer => true,
            ModelRole::Judge => scoring.judge > 0,
            ModelRole::Embedder => scoring.embedder > 0,
        };
        ModelRole::ALL.into_iter().filter(is_used).collect()
    }

    /// The same for limits in tokens and money, where the baseline takes more than they allow however few tokens a
    /// provider counts: one for six bytes read, all of them cached, and one written a row.
    fn check_baseline(&self, limits: &Limits) -> Result<(), ProjectError> {
        let task = limits.by_role.get(&ModelRole::Task).copied().unwrap_or_default();
        let scopes = [("budget", limits.together), ("budget.task", task)];
        // What a program asks for a row is its own affair.
        if self.config.target.is_some()
            || scopes.iter().all(|(_, ceiling)| ceiling.tokens.is_none() && ceiling.money.is_none())
        {
            return Ok(());
        }
        let least = self.baseline_at_least()?;
        let tokens = least.input.saturating_add(least.output);
        let cost = price(Self::model(&self.config, ModelRole::Task)).map(|price| price.cost(&least));
        for (table, Ceiling { tokens: most_tokens, money, .. }) in scopes {
            if let Some(most) = most_tokens.filter(|most| *most < tokens) {
                let limit = format!("{table}.tokens = {most}");
                return Err(ProjectError::Baseline { limit, least: format!("{tokens} tokens") });
            }
            if let Some((most, cost)) = money.zip(cost).filter(|(most, cost)| most < cost) {
                let limit = format!("{table}.usd = {}", most.dollars());
                return Err(ProjectError::Baseline { limit, least: format!("${:.4}", cost.dollars()) });
            }
        }
        Ok(())
    }

    /// The fewest tokens that the first draws of train and dev can take.
    fn baseline_at_least(&self) -> Result<Usage, ProjectError> {
        let (mut bytes, mut rows) = (0_u64, 0);
        for row in self.measured(Split::Train).iter().chain(self.measured(Split::Dev).iter()) {
            let messages = self.prompts.first().render(&row)?;
            bytes += messages.iter().map(|message| message.content.len() as u64).sum::<u64>();
            rows += 1;
        }
        let input = bytes / BYTES_A_TOKEN;
        Ok(Usage { input, output: rows, cached: input, ..Usage::default() })
    }

    /// When the run has to stop, since the Unix epoch: the earlier of `budget.for`, of which `earlier` is used up, and
    /// `budget.until`; nothing where neither is given.
    pub(super) fn end(&self, now: Duration, earlier: Duration) -> Result<Option<Duration>, ProjectError> {
        let budget = &self.config.budget;
        let lasts = budget.duration.as_deref().map(duration).transpose()?;
        let ends = lasts.map(|lasts| now + lasts.saturating_sub(earlier));
        let until = budget.until.as_deref().map(|text| until(text, now, &TimeZone::system())).transpose()?;
        Ok(ends.into_iter().chain(until).min())
    }

    /// When a run that begins at `now` has to stop by the time of day; in the past is an error.
    pub(super) fn until(&self, now: Duration) -> Result<Option<Duration>, ProjectError> {
        self.config.budget.until.as_deref().map(|text| to_come(text, now, &TimeZone::system())).transpose()
    }

    /// Writes a time of day as the moment that it stands for now, so that a resumed run means the same.
    pub(super) fn settle_until(&mut self, now: Duration) -> Result<(), ProjectError> {
        if let Some(end) = self.until(now)? {
            self.config.budget.until = Some(crate::clock::timestamp(end));
        }
        Ok(())
    }
}

/// The moment that `text` stands for, which must not be past where a run begins.
fn to_come(text: &str, now: Duration, zone: &TimeZone) -> Result<Duration, ProjectError> {
    let end = until(text, now, zone)?;
    if end > now {
        return Ok(end);
    }
    Err(ProjectError::Time {
        key: "budget.until",
        text: text.to_owned(),
        advice: "that is past; write a time to come, like 07:00 or a date with a time",
    })
}

/// `8h` or `1h30m`.
fn duration(text: &str) -> Result<Duration, ProjectError> {
    let lasts = text.parse::<SignedDuration>().ok().and_then(|lasts| Duration::try_from(lasts).ok());
    lasts.filter(|lasts| !lasts.is_zero()).ok_or_else(|| ProjectError::Time {
        key: "budget.for",
        text: text.to_owned(),
        advice: "write a length of time like 8h, 90m or 1h30m",
    })
}

/// The moment that `text` stands for at `now`: a time of day at its next occurrence in `zone`, a date with a time, or a
/// moment in UTC.
fn until(text: &str, now: Duration, zone: &TimeZone) -> Result<Duration, ProjectError> {
    let wrong = || ProjectError::Time {
        key: "budget.until",
        text: text.to_owned(),
        advice: "write a local time like 07:00, or a date with a time like 2026-01-31T07:00",
    };
    let seconds = i64::try_from(now.as_secs()).map_err(|_| wrong())?;
    let here = Timestamp::from_second(seconds).map_err(|_| wrong())?.to_zoned(zone.clone());
    let moment = |local: DateTime| local.to_zoned(zone.clone()).map(|zoned| zoned.timestamp()).map_err(|_| wrong());
    let end = if let Ok(moment) = text.parse::<Timestamp>() {
        moment
    } else if let Ok(time) = text.parse::<civil::Time>().or_else(|_| format!("{text}:00").parse())
        && !text.contains(['T', ' ', '-'])
    {
        let today = moment(here.date().to_datetime(time))?;
        if today > here.timestamp() {
            today
        } else {
            moment(here.date().tomorrow().map_err(|_| wrong())?.to_datetime(time))?
        }
    } else {
        moment(text.parse::<DateTime>().map_err(|_| wrong())?)?
    };
    Ok(Duration::from_secs(u64::try_from(end.as_second()).unwrap_or(0)))
}

/// A model's price as the model layer takes it; the embedded model is free.
pub(super) fn price(model: &ModelConfig) -> Option<crate::model::Price> {
    if model.provider == Provider::Embedded {
        return Some(crate::model::Price::default());
    }
    model.price.map(|price| crate::model::Price {
        input: price.input,
        output: price.output,
        cached: price.cached,
        cache_write: price.cache_write,
        max_output: price.max_output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn a_time_of_day_is_its_next_occurrence_where_the_user_is() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let now = Duration::from_secs(seconds("2026-01-31T21:30:00Z") as u64);
        let at = |text: &str| until(text, now, &zone).map(|end| end.as_secs() as i64);
        // 23:30 there.
        assert_eq!(at("07:00").unwrap(), seconds("2026-02-01T05:00:00Z"));
        assert_eq!(at("07:00:30").unwrap(), seconds("2026-02-01T05:00:30Z"));
        assert_eq!(at("23:45").unwrap(), seconds("2026-01-31T21:45:00Z"));
        assert_eq!(at("23:30").unwrap(), seconds("2026-02-01T21:30:00Z"), "now is over");
        assert_eq!(at("2026-02-03T07:00").unwrap(), seconds("2026-02-03T05:00:00Z"));
        assert_eq!(at("2026-02-03 07:00").unwrap(), seconds("2026-02-03T05:00:00Z"));
        assert_eq!(at("2026-02-03T07:00:00Z").unwrap(), seconds("2026-02-03T07:00:00Z"));
        let past = to_come("2026-01-31T23:30", now, &zone).unwrap_err().to_string();
        assert!(past.contains("budget.until = \"2026-01-31T23:30\": that is past"), "{past}");
        assert!(to_come("23:30", now, &zone).is_ok());
        for wrong in ["", "7", "25:00", "tomorrow", "2026-02-30T07:00", "07:00pm"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_length_of_time_has_its_units() {
        for (text, seconds) in [("8h", 28_800), ("90m", 5_400), ("1h30m", 5_400), ("1h 30m", 5_400), ("45s", 45)] {
            assert_eq!(duration(text).unwrap().as_secs(), seconds, "{text}");
        }
        for wrong in ["", "8", "-1h", "0s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
