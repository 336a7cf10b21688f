//! What a run would do, for `optimize --dry-run`: no call is made and nothing is written.

use std::time::Duration;

use serde::Serialize;

use super::configured::{has_own, shown_name};
use super::{PlannedProgram, Project, ProjectError};
use crate::config::{ModelConfig, Provider};
use crate::dataset::{Example, Split};
use crate::model::{DEFAULT_MAX_OUTPUT, ModelRole, Usage};
use crate::money::Money;
use crate::search::{Calls, Outline, detectable_gain};
use crate::text::approximate_tokens;

/// Rows that sizes are estimated from.
const SAMPLED: usize = 200;
/// Tokens of a proposer's request besides the prompt and the rows, of a usual reply, and rows that it is shown.
const REQUEST_TOKENS: u64 = 900;
const REPLY_TOKENS: u64 = 600;
const ROWS_SHOWN: u64 = 28;
/// Tokens of a judge's request besides row and answer, and of its verdict.
const JUDGE_TOKENS: u64 = 350;
const VERDICT_TOKENS: u64 = 80;
/// Tokens of an answer where the dataset doesn't say what is expected.
const ANSWER_TOKENS: u64 = 100;
/// Candidates are taken to be longer than the prompt by this part of what they may grow by: with it, tokens come out
/// about as they did on `datasets/support-tickets.jsonl` (220 to 320 a call, 90 of them the prompt's).
const GROWN: u64 = 8;
/// Bytes that a token takes at the very most.
pub(super) const BYTES_A_TOKEN: u64 = 6;

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The dataset's file.
    pub dataset: String,
    /// Rows of train, dev and test.
    pub rows: Rows,
    /// The program that answers the rows; null where a model does.
    pub program: Option<PlannedProgram>,
    /// The model that answers the rows, or the calls of the program.
    pub task: PlannedModel,
    /// The model that proposes.
    pub proposer: PlannedModel,
    /// The model that judges; null where no scorer asks one.
    pub judge: Option<PlannedModel>,
    /// The model that embeds texts; null where no scorer asks one.
    pub embedder: Option<PlannedModel>,
    /// Most generations, as the config says.
    pub generations: u32,
    /// Generations that the limits leave room for, going by what is likely; at most `generations`.
    pub generations_afforded: u32,
    /// Proposals a generation.
    pub proposals: u32,
    /// As it usually goes, within the limits.
    pub likely: PlannedUse,
    /// If all goes on as long as it may, within the limits: whichever is reached first ends the run.
    pub most: PlannedUse,
    /// The same without limits.
    pub unlimited: PlannedUse,
    /// Seconds since the Unix epoch at which the run would stop; null without a limit on time.
    pub ends: Option<u64>,
    /// The smallest gain on dev that can be told from luck if the model has no noise, in [0, 1].
    pub detectable_gain: f64,
    /// Dev rows that would show half of that.
    pub rows_for_half: u64,
    /// Whether the same question always gets the same answer, and that the same score.
    pub deterministic: bool,
}

/// Rows by split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// Of train.
    pub train: usize,
    /// Of dev.
    pub dev: usize,
    /// Of test.
    pub test: usize,
}

/// A model, and what one of its calls is taken to need.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedModel {
    /// Its name.
    pub model: String,
    /// Dollars for a million tokens read; null where the price isn't known.
    pub input_price: Option<f64>,
    /// Dollars for a million tokens written.
    pub output_price: Option<f64>,
    /// Tokens read a call; of a program's model, a row.
    pub input_tokens: u64,
    /// Tokens written a call.
    pub output_tokens: u64,
    /// Most tokens that one of its answers is taken to have, where no `max_tokens` says it; null where one does.
    pub assumed_output: Option<u64>,
}

/// Calls, tokens and money.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PlannedUse {
    /// Rows that are answered: with a program, each counts as a call beside the model calls that it makes.
    pub rows: u64,
    /// Calls by role.
    pub calls: Calls,
    /// Tokens read and written.
    pub tokens: u64,
    /// Dollars; null where a price isn't known.
    pub cost_usd: Option<f64>,
}

/// Tokens of one call: likely and at most.
struct Size {
    likely: Usage,
    most: Usage,
}

impl Project {
    /// What a run that begins at `now` (since the Unix epoch) would do. No call is made and nothing is written.
    ///
    /// # Errors
    /// Splits or a budget with which no run can begin, as in [`optimize`](super::optimize()).
    pub async fn plan(&self, now: Duration) -> Result<Plan, ProjectError> {
        self.check_splits()?;
        self.check_length()?;
        self.check_budget()?;
        self.until(now)?;
        let settings = self.settings();
        let rows = Split::ALL.map(|split| self.measured(split).len());
        let guarded = (0..self.dataset.rows.len()).filter(|at| self.dataset.rows.is_pinned(*at)).count();
        let of_model = Self::model(&self.config, ModelRole::Task).is_deterministic();
        let of_target = self.config.target.as_ref().map_or(of_model, |target| target.deterministic);
        let deterministic = of_target && self.scorers.is_deterministic();
        let answers = u64::from(self.config.repeats.samples);
        let outline = Outline::of(&settings, rows, guarded, deterministic).with_answers(answers);
        let program = self.planned_program().await?;
        let task_size = self.task_size(program.as_ref())?;
        let embedder_size = embedder_size(&task_size);
        let sizes = [task_size, self.proposer_size()?, self.judge_size()?, embedder_size];
        let a_row = program.as_ref().map_or(0.0, |program| program.calls_a_row);
        let most_a_row = program.as_ref().map_or(0.0, |program| program.most_calls_a_row as f64);
        let told = settings.objective.effective_rows(self.measured(Split::Dev).iter());
        let (detectable_gain, rows_for_half) = detectable_gain(rows[1], told, settings.gate.judge_noise);
        let afforded = self.afforded(&outline, &sizes, a_row);
        let whole = |generation: Calls, generations| self.whole(&outline, generation, generations);
        let likely = self.used(whole(outline.likely, afforded), sizes.each_ref().map(|size| &size.likely), a_row);
        let most = whole(outline.most, u64::from(settings.generations));
        let unlimited = self.used(most, sizes.each_ref().map(|size| &size.most), most_a_row);
        Ok(Plan {
            dataset: self.config.dataset.path.display().to_string(),
            rows: Rows { train: rows[0], dev: rows[1], test: rows[2] },
            program,
            task: self.planned(ModelRole::Task, &sizes[0]),
            proposer: self.planned(ModelRole::Proposer, &sizes[1]),
            judge: (settings.calls.scoring.judge > 0).then(|| self.planned(ModelRole::Judge, &sizes[2])),
            embedder: (settings.calls.scoring.embedder > 0).then(|| self.planned(ModelRole::Embedder, &sizes[3])),
            generations: settings.generations,
            generations_afforded: u32::try_from(afforded).unwrap_or(u32::MAX),
            proposals: settings.proposals,
            likely: self.within_limits(likely),
            most: self.within_limits(unlimited),
            unlimited,
            ends: self.end(now, Duration::ZERO)?.map(|end| end.as_secs()),
            detectable_gain,
            rows_for_half,
            deterministic,
        })
    }

    /// Generations that fit into the limits as they usually go, where a row takes `a_row` further calls.
    fn afforded(&self, outline: &Outline, sizes: &[Size; 4], a_row: f64) -> u64 {
        let budget = &self.config.budget;
        let fits = |generations: u64| {
            let calls = self.whole(outline, outline.likely, generations);
            let each = sizes.each_ref().map(|size| &size.likely);
            let none = Calls::default();
            let [task, proposer, judge, embedder] = [
                Calls { task: calls.task, ..none },
                Calls { proposer: calls.proposer, ..none },
                Calls { judge: calls.judge, ..none },
                Calls { embedder: calls.embedder, ..none },
            ]
            .map(|calls| self.used(calls, each, a_row));
            let all = self.used(calls, each, a_row);
            let within = |used: &PlannedUse, usd: Option<f64>, calls: Option<u64>, tokens: Option<u64>| {
                usd.is_none_or(|usd| used.cost_usd.is_none_or(|cost| cost <= usd))
                    && calls.is_none_or(|most| used.calls.total() <= most)
                    && tokens.is_none_or(|most| used.tokens <= most)
            };
            within(&all, budget.usd, budget.calls, budget.tokens)
                && within(&task, budget.task.usd, budget.task.calls, budget.task.tokens)
                && within(&proposer, budget.proposer.usd, budget.proposer.calls, budget.proposer.tokens)
                && within(&judge, budget.judge.usd, budget.judge.calls, budget.judge.tokens)
                && within(&embedder, budget.embedder.usd, budget.embedder.calls, budget.embedder.tokens)
        };
        (1..=self.config.search.generations as u64).take_while(|generations| fits(*generations)).last().unwrap_or(0)
    }

    /// The calls of a run of so many such generations.
    fn whole(&self, outline: &Outline, generation: Calls, generations: u64) -> Calls {
        let task = outline.beginning + generations * generation.task + outline.test;
        Calls::scored(task, generations * generation.proposer, self.scorers.calls())
    }

    /// `calls` with their tokens and cost, where one of each role takes `each`. A row, which is one call of the task, takes
    /// `a_row` further ones of a program's, whose tokens are the row's.
    fn used(&self, mut calls: Calls, each: [&Usage; 4], a_row: f64) -> PlannedUse {
        let roles = [
            (ModelRole::Task, calls.task, each[0]),
            (ModelRole::Proposer, calls.proposer, each[1]),
            (ModelRole::Judge, calls.judge, each[2]),
            (ModelRole::Embedder, calls.embedder, each[3]),
        ];
        let (mut tokens, mut cost) = (0_u64, Some(Money::ZERO));
        for (role, calls, one) in roles.into_iter().filter(|(_, calls, _)| *calls > 0) {
            let usage = Usage {
                input: one.input.saturating_mul(calls),
                output: one.output.saturating_mul(calls),
                ..Usage::default()
            };
            tokens = tokens.saturating_add(usage.input).saturating_add(usage.output);
            let price = super::limits::price(Self::model(&self.config, role));
            cost = cost.zip(price).map(|(cost, price)| cost + price.cost(&usage));
        }
        let rows = calls.task;
        calls.task = rows.saturating_add((rows as f64 * a_row).ceil() as u64);
        PlannedUse { rows, calls, tokens, cost_usd: cost.map(Money::dollars) }
    }

    /// `used`, but no more than the limits allow.
    fn within_limits(&self, mut used: PlannedUse) -> PlannedUse {
        let budget = &self.config.budget;
        let lower = |number: u64, limit: Option<u64>| limit.map_or(number, |limit| number.min(limit));
        used.calls.task = lower(lower(used.calls.task, budget.task.calls), budget.calls);
        used.rows = used.rows.min(used.calls.task);
        used.calls.proposer = lower(lower(used.calls.proposer, budget.proposer.calls), budget.calls);
        used.calls.judge = lower(lower(used.calls.judge, budget.judge.calls), budget.calls);
        used.calls.embedder = lower(lower(used.calls.embedder, budget.embedder.calls), budget.calls);
        used.tokens = lower(used.tokens, budget.tokens);
        used.cost_usd = used.cost_usd.map(|cost| budget.usd.map_or(cost, |usd| cost.min(usd)));
        used
    }

    fn planned(&self, role: ModelRole, size: &Size) -> PlannedModel {
        let model = Self::model(&self.config, role);
        let price = super::limits::price(model);
        // The task's limit isn't one for those that share its table.
        let limit = model.max_tokens.filter(|_| has_own(&self.config, role));
        PlannedModel {
            model: shown_name(model),
            input_price: price.map(|price| price.input),
            output_price: price.map(|price| price.output),
            input_tokens: size.likely.input,
            output_tokens: size.likely.output,
            assumed_output: (model.provider != Provider::Embedded && role != ModelRole::Embedder && limit.is_none())
                .then(|| most_output(model, None)),
        }
    }

    /// Rows spread over the dataset.
    fn sampled(&self) -> Vec<Example> {
        let rows = &self.dataset.rows;
        let step = rows.len().div_ceil(SAMPLED).max(1);
        (0..rows.len()).step_by(step).filter_map(|at| rows.get(at)).collect()
    }

    /// A call of the task model; of a program, all calls for a row together, as measured or else one a prompt.
    fn task_size(&self, program: Option<&PlannedProgram>) -> Result<Size, ProjectError> {
        let (mut tokens, mut bytes, mut answers) = (0, 0, 0);
        let rows = self.sampled();
        for row in &rows {
            for prompt in self.prompts.iter() {
                for message in prompt.render(row)? {
                    tokens += approximate_tokens(&message.content) as u64 + 4;
                }
            }
            answers += row.expected_text().map_or(ANSWER_TOKENS, |text| approximate_tokens(&text) as u64 + 1);
        }
        for row in self.dataset.rows.iter() {
            let mut of_row = 0;
            for prompt in self.prompts.iter() {
                of_row += prompt.render(&row)?.iter().map(|message| message.content.len() as u64 + 16).sum::<u64>();
            }
            bytes = bytes.max(of_row);
        }
        let model = Self::model(&self.config, ModelRole::Task);
        let (count, most) = (rows.len().max(1) as u64, most_output(model, model.max_tokens));
        let growth = self.config.guards.max_growth as u64 * BYTES_A_TOKEN;
        let longer = self.config.guards.max_growth as u64 / GROWN;
        let measured = program.and_then(|program| program.usage);
        let input = measured.map_or(tokens.div_ceil(count), |usage| usage.input);
        let output = measured.map_or(answers.div_ceil(count).min(most), |usage| usage.output);
        // A program may send each prompt again with every call.
        let calls = program.map_or(1, |program| program.most_calls_a_row.div_ceil(self.prompts.len() as u64).max(1));
        Ok(Size {
            likely: usage(input + longer, output),
            most: usage((bytes + growth + 64) * calls, most * program.map_or(1, |program| program.most_calls_a_row)),
        })
    }

    /// A call of the proposer, who is shown rows beside the prompt.
    fn proposer_size(&self) -> Result<Size, ProjectError> {
        let task = self.task_size(None)?;
        let model = Self::model(&self.config, ModelRole::Proposer);
        let own = model.max_tokens.filter(|_| self.config.models.proposer.is_some());
        let most = most_output(model, own);
        Ok(Size {
            likely: usage(REQUEST_TOKENS + ROWS_SHOWN * (task.likely.input / 2).min(400), REPLY_TOKENS.min(most)),
            most: usage(BYTES_A_TOKEN * REQUEST_TOKENS + 3 * ROWS_SHOWN * task.most.input, most),
        })
    }

    /// A call of the judge, who is shown a row with its answer and what was expected.
    fn judge_size(&self) -> Result<Size, ProjectError> {
        let task = self.task_size(None)?;
        let model = Self::model(&self.config, ModelRole::Judge);
        let most = most_output(model, model.max_tokens.filter(|_| self.config.models.judge.is_some()));
        let (likely, longest) = (task.likely, task.most);
        Ok(Size {
            likely: usage(JUDGE_TOKENS + likely.input + 2 * likely.output, VERDICT_TOKENS.min(most)),
            most: usage(BYTES_A_TOKEN * JUDGE_TOKENS + 2 * longest.input + 2 * longest.output, most),
        })
    }
}

/// A call of the embedder, who reads one answer and writes nothing.
fn embedder_size(task: &Size) -> Size {
    Size { likely: usage(task.likely.output, 0), most: usage(task.most.output, 0) }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

/// Most tokens that a call can write, as it is reserved.
fn most_output(model: &ModelConfig, max_tokens: Option<u32>) -> u64 {
    if model.provider == Provider::Embedded {
        return ANSWER_TOKENS;
    }
    let known = model.price.and_then(|price| price.max_output);
    max_tokens.map(u64::from).or(known).unwrap_or(DEFAULT_MAX_OUTPUT)
}
