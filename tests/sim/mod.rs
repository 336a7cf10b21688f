//! Worlds whose truth is known: a simulated target and proposer for the real search code.
//!
//! A prompt is a list of lines; a line `edit 17` switches edit 17 on. Every row has a truth: it passes, it fails, or it
//! is a coin with a probability of its own. An edit fixes some rows and breaks others, on all splits alike in rate, so
//! that its true effect is known exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use prompt_ratchet::dataset::{Dataset, Example, Split};
use prompt_ratchet::digest::Digest;
use prompt_ratchet::eval::{Answer, Evaluate, Evaluation, OnOutcome, Outcome, OutcomeError};
use prompt_ratchet::model::{BoxFuture, Completion, FinishReason, Origin, Usage};
use prompt_ratchet::prompt::{Edit, Prompt, PromptSet};
use prompt_ratchet::propose::{self, Ask, Dropped, Proposal, Propose, Proposed, Strategy};
use prompt_ratchet::run::{Event, Recorded, RunError, Sink};
use prompt_ratchet::search::{CallLimits, CallsSpent, GateSettings, Protected, Search, Settings, Task};
use prompt_ratchet::seed;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// Chance of passing for one row, by edit state.
#[derive(Debug, Clone)]
pub struct Row {
    /// Chance of passing under the baseline.
    pub base: f64,
}

/// What an edit does.
#[derive(Debug, Clone, Default)]
pub struct Effect {
    /// Rows it makes pass.
    pub fixes: BTreeSet<usize>,
    /// Rows it makes fail.
    pub breaks: BTreeSet<usize>,
}

/// Draws the effect of the next edit that is proposed.
pub type Maker = Box<dyn Fn(&World, &mut dyn Rng) -> Effect + Send + Sync>;

/// A world: rows with their truth, and what edits do.
pub struct World {
    pub dataset: Dataset,
    pub rows: Vec<Row>,
    index: BTreeMap<String, usize>,
    seed: u64,
    deterministic: bool,
    maker: Option<Maker>,
    effects: Mutex<BTreeMap<u64, Effect>>,
    pub calls: AtomicU64,
}

/// The shape of a world.
pub struct Shape {
    pub seed: u64,
    /// Rows of train, dev and test.
    pub splits: [usize; 3],
    /// Share of rows that pass under the baseline.
    pub accuracy: f64,
    /// Share of rows that are coins.
    pub coins: f64,
    /// How many rows of dev are pinned, each passing with this chance.
    pub pinned: (usize, f64),
    pub deterministic: bool,
}

impl World {
    pub fn new(shape: &Shape, maker: Maker) -> Self {
        let mut random = seed::generator(shape.seed, 0, "world");
        let (mut examples, mut splits, mut rows, mut index) = (vec![], vec![], vec![], BTreeMap::new());
        let mut pinned = 0;
        for (split, count) in Split::ALL.into_iter().zip(shape.splits) {
            for _ in 0..count {
                let number = rows.len();
                let id = format!("r{number:04}");
                let is_pinned = split == Split::Dev && pinned < shape.pinned.0;
                pinned += usize::from(is_pinned);
                let base = if is_pinned {
                    shape.pinned.1
                } else if random.random_bool(shape.coins) {
                    random.random_range(0.1..0.9)
                } else {
                    f64::from(random.random_bool(shape.accuracy))
                };
                index.insert(id.clone(), number);
                examples.push(Arc::new(example(id, is_pinned)));
                splits.push(split);
                rows.push(Row { base });
            }
        }
        let fingerprint = Digest::of(&shape.seed.to_le_bytes());
        Self {
            dataset: Dataset { examples, splits, fingerprint },
            rows,
            index,
            seed: shape.seed,
            deterministic: shape.deterministic,
            maker: Some(maker),
            effects: Mutex::default(),
            calls: AtomicU64::new(0),
        }
    }

    /// Numbers of the rows of one split.
    pub fn of(&self, split: Split) -> Vec<usize> {
        self.dataset.splits.iter().enumerate().filter(|(_, of)| **of == split).map(|(number, _)| number).collect()
    }

    /// An effect that fixes `fix` and breaks `break_` of the rows of every split, as shares.
    pub fn effect(&self, random: &mut dyn Rng, fix: f64, break_: f64) -> Effect {
        let mut effect = Effect::default();
        for split in Split::ALL {
            let rows = self.of(split);
            let pick = |share: f64, wanted: fn(f64) -> bool, random: &mut dyn Rng| {
                let mut eligible: Vec<usize> =
                    rows.iter().copied().filter(|row| wanted(self.rows[*row].base)).collect();
                eligible.shuffle(random);
                eligible.truncate((share * rows.len() as f64).round() as usize);
                eligible
            };
            effect.fixes.extend(pick(fix, |base| base == 0.0, random));
            effect.breaks.extend(pick(break_, |base| base == 1.0, random));
        }
        effect
    }

    /// Chance that `row` passes under `prompts`.
    pub fn chance(&self, prompts: &PromptSet, row: usize) -> f64 {
        let effects = self.effects.lock().unwrap();
        let balance: i32 = edits_in(prompts)
            .filter_map(|edit| effects.get(&edit))
            .map(|effect| i32::from(effect.fixes.contains(&row)) - i32::from(effect.breaks.contains(&row)))
            .sum();
        match balance {
            0 => self.rows[row].base,
            better if better > 0 => 1.0,
            _ => 0.0,
        }
    }

    /// True mean value of `prompts` on the rows of one split.
    pub fn truth(&self, prompts: &PromptSet, split: Split) -> f64 {
        let rows = self.of(split);
        rows.iter().map(|row| self.chance(prompts, *row)).sum::<f64>() / rows.len() as f64
    }

    /// The plain starting prompt.
    pub fn baseline() -> Arc<PromptSet> {
        let prompt = Prompt::parse("p", "Answer.\nInput: {{ input }}\n").unwrap();
        Arc::new(PromptSet::one(prompt).unwrap())
    }

    /// Runs the real search in this world; returns all its journalled events.
    pub fn search(&self, settings: &Settings) -> Vec<Event> {
        let sink = Gathered::default();
        let strategies = [Arc::new(Strategy {
            name: "sim".to_owned(),
            summary: String::new(),
            kinds: Vec::new(),
            quotes_rows: false,
            instruction: String::new(),
            origin: propose::Origin::BuiltIn,
        })];
        let spent = || CallsSpent {
            total: self.calls.load(Ordering::Relaxed),
            task: self.calls.load(Ordering::Relaxed),
            proposer: 0,
        };
        let search = Search {
            settings,
            dataset: &self.dataset,
            baseline: Self::baseline(),
            task: &Task::default(),
            evaluate: self,
            propose: self,
            strategies: &strategies,
            sink: &sink,
            spent: &spent,
            recorded: Recorded::default(),
        };
        block_on(search.run()).unwrap();
        sink.events.into_inner().unwrap()
    }
}

fn example(id: String, pinned: bool) -> Example {
    Example {
        input: id.clone().into(),
        id,
        expected: Some("yes".into()),
        tags: Vec::new(),
        metadata: Default::default(),
        pinned,
        weight: 1.0,
        group: None,
        split: None,
    }
}

/// Default settings, as everywhere.
pub fn settings(seed: u64) -> Settings {
    Settings {
        name: "sim".to_owned(),
        seed,
        generations: 10,
        proposals: 6,
        patience: 10,
        target_score: None,
        pass_threshold: 1.0,
        gate: GateSettings::default(),
        protected: Protected { pinned: true, tags: BTreeMap::new() },
        calls: CallLimits::default(),
    }
}

fn edits_in(prompts: &PromptSet) -> impl Iterator<Item = u64> {
    prompts.first().text().lines().filter_map(|line| line.strip_prefix("edit ")?.parse().ok())
}

impl Evaluate for World {
    fn evaluate<'a>(
        &'a self,
        prompts: &'a Arc<PromptSet>,
        examples: &'a [Arc<Example>],
        sample: u32,
        _: OnOutcome<'a>,
    ) -> BoxFuture<'a, Result<Evaluation, OutcomeError>> {
        let outcomes = examples
            .iter()
            .map(|example| {
                let row = self.index[&example.id];
                let chance = self.chance(prompts, row);
                let passes = if chance == 0.0 || chance == 1.0 {
                    chance == 1.0
                } else {
                    let draw = Digest::of_parts([
                        self.seed.to_le_bytes().as_slice(),
                        prompts.digest().as_bytes(),
                        example.id.as_bytes(),
                        &sample.to_le_bytes(),
                    ]);
                    (draw.as_u64() as f64 / u64::MAX as f64) < chance
                };
                Outcome { example: Arc::clone(example), sample, result: Ok(answer(passes)) }
            })
            .collect();
        self.calls.fetch_add(examples.len() as u64, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(Evaluation { prompts: prompts.digest(), outcomes })))
    }

    fn is_deterministic(&self) -> bool {
        self.deterministic
    }
}

fn answer(passes: bool) -> Answer {
    Answer {
        completion: Completion {
            text: if passes { "yes" } else { "no" }.to_owned(),
            finish: FinishReason::Stop,
            usage: Usage::default(),
            latency_ms: 0,
            cost: None,
            origin: Origin::Live,
            trace: None,
        },
        scores: Vec::new(),
        value: f64::from(passes),
    }
}

impl Propose for World {
    fn propose<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Result<Proposed, Dropped>> {
        let number = u64::from(ask.generation) * 100 + u64::from(ask.slot);
        let mut random = seed::generator(self.seed, ask.generation, &format!("edit {}", ask.slot));
        if let Some(maker) = &self.maker {
            let effect = maker(self, &mut random);
            self.effects.lock().unwrap().insert(number, effect);
        }
        let edit =
            Edit { file: "p".to_owned(), search: "Answer.\n".to_owned(), replace: format!("Answer.\nedit {number}\n") };
        let prompts = ask.prompts.apply(std::slice::from_ref(&edit)).unwrap();
        let proposal =
            Proposal { edits: vec![edit], rationale: String::new(), expected_effect: String::new(), quoted: vec![] };
        Box::pin(std::future::ready(Ok(Proposed { proposal, prompts })))
    }

    fn free(&self, _: &PromptSet, _: &[Arc<Example>], _: &[(String, usize)], _: u64) -> Vec<(String, Proposed)> {
        Vec::new()
    }

    fn fits(&self, _: &PromptSet) -> bool {
        true
    }
}

#[derive(Default)]
struct Gathered {
    events: Mutex<Vec<Event>>,
}

impl Sink for Gathered {
    fn emit(&self, event: Event) -> Result<(), RunError> {
        if event.is_journalled() {
            self.events.lock().unwrap().push(event);
        }
        Ok(())
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
