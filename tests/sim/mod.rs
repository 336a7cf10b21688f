//! Worlds whose truth is known: a simulated target and proposer for the real search code.
//!
//! A prompt is a list of lines; a line `edit 17` switches edit 17 on. Rows are drawn from an endless population: a row
//! passes or fails, or is a coin with a probability of its own. An edit makes each failing row pass and each passing
//! row fail with chances of its own, drawn once a row, so that its true effect on new rows is known exactly. Coins and
//! pinned rows answer anew for every prompt and every sample.

pub mod planted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use prompt_ratchet::dataset::{Dataset, Example, Split};
use prompt_ratchet::digest::Digest;
use prompt_ratchet::eval::{Answer, Evaluate, Evaluation, Objective, OnOutcome, Outcome, OutcomeError};
use prompt_ratchet::model::{BoxFuture, Completion, FinishReason, Usage};
use prompt_ratchet::prompt::{Edit, Prompt, PromptSet};
use prompt_ratchet::propose::{self, Ask, Dropped, FreeAsk, Proposal, Propose, Proposed, Strategy};
use prompt_ratchet::run::{Event, Pulls, Recorded, RunError, Sink};
use prompt_ratchet::search::{
    Alone, CallLimits, CallsSpent, GateSettings, Parts, Protected, Search, Settings, Task, Unlimited,
};
use prompt_ratchet::seed;
use rand::{Rng, RngExt};

/// The shape of a world.
#[derive(Debug, Clone)]
pub struct Shape {
    pub seed: u64,
    /// Share of plain rows that pass under the baseline, in (0, 1).
    pub accuracy: f64,
    /// Share of rows that are coins.
    pub coins: f64,
    /// How many rows of dev are pinned, each passing with [`PINNED_PASSES`].
    pub pinned: usize,
    /// Whether the target declares itself deterministic.
    pub deterministic: bool,
    /// Two edits that hurt together: a passing row fails with the chance given.
    pub clash: Option<(u64, u64, f64)>,
    /// What a second line does that every proposal adds, at the end.
    pub second: Option<Maker>,
}

/// Rows of train, dev and test.
const SPLITS: [usize; 3] = [100, 100, 200];

/// The edit of a proposal's second line has this number more than that of its first.
pub const SECOND: u64 = 50;

/// Chance that a pinned row passes, until an edit breaks it: then it passes with the chance that is left.
const PINNED_PASSES: f64 = 0.95;

/// What an edit does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Effect {
    /// Chance that a failing row passes.
    pub fixes: f64,
    /// Chance that a passing row fails.
    pub breaks: f64,
    /// Pinned rows that it breaks.
    pub pins: usize,
}

/// The proposal that an effect is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub generation: u32,
    pub slot: u32,
    /// Share of plain rows that pass under the prompt that is edited, in truth.
    pub accuracy: f64,
}

/// Draws the effect of a proposal.
pub type Maker = fn(Turn, &mut dyn Rng) -> Effect;

/// A world: rows with their truth, and what edits do.
pub struct World {
    pub dataset: Dataset,
    shape: Shape,
    maker: Maker,
    /// Chance of passing under the baseline, by row.
    base: Vec<f64>,
    index: BTreeMap<String, usize>,
    effects: Mutex<BTreeMap<u64, Effect>>,
    /// Chance of passing, by prompt and row.
    chances: Mutex<BTreeMap<Digest, Arc<Vec<f64>>>>,
    /// Rows answered, those of test left out.
    pub calls: AtomicU64,
    sealed_calls: AtomicU64,
}

impl World {
    pub fn new(shape: Shape, maker: Maker) -> Self {
        let mut random = seed::generator(shape.seed, 0, "world");
        let (mut examples, mut splits, mut base, mut index) = (vec![], vec![], vec![], BTreeMap::new());
        for (split, count) in Split::ALL.into_iter().zip(SPLITS) {
            for of_split in 0..count {
                let id = format!("r{:04}", base.len());
                let pinned = split == Split::Dev && of_split < shape.pinned;
                let (coin, chance, passes) = (
                    random.random_bool(shape.coins),
                    random.random_range(0.1..0.9),
                    random.random_bool(shape.accuracy),
                );
                index.insert(id.clone(), base.len());
                base.push(match (pinned, coin) {
                    (true, _) => PINNED_PASSES,
                    (false, true) => chance,
                    (false, false) => f64::from(passes),
                });
                examples.push(Arc::new(example(id, pinned)));
                splits.push(split);
            }
        }
        let fingerprint = Digest::of(&shape.seed.to_le_bytes());
        Self {
            dataset: Dataset { examples, splits, fingerprint },
            shape,
            maker,
            base,
            index,
            effects: Mutex::default(),
            chances: Mutex::default(),
            calls: AtomicU64::new(0),
            sealed_calls: AtomicU64::new(0),
        }
    }

    /// The plain starting prompt.
    pub fn baseline() -> Arc<PromptSet> {
        prompts("Answer.\nInput: {{ input }}\n")
    }

    /// True mean value of `prompts` on rows of the population, pinned ones left out.
    pub fn truth(&self, prompts: &PromptSet) -> f64 {
        (1.0 - self.shape.coins) * self.accuracy(prompts) + self.shape.coins * 0.5
    }

    /// Share of plain rows of the population that pass.
    fn accuracy(&self, prompts: &PromptSet) -> f64 {
        let step = |passing: f64, (_, effect): &(u64, Effect)| {
            passing * (1.0 - effect.breaks) + (1.0 - passing) * effect.fixes
        };
        self.effects_in(prompts).iter().fold(self.shape.accuracy, step)
    }

    /// What the edits in `prompts` do, in the order of their numbers.
    fn effects_in(&self, prompts: &PromptSet) -> Vec<(u64, Effect)> {
        let numbers = edits_in(prompts);
        let effects = self.effects.lock().unwrap();
        let mut found: Vec<(u64, Effect)> =
            numbers.iter().map(|number| (*number, effects.get(number).copied().unwrap_or_default())).collect();
        if let Some((one, other, breaks)) = self.shape.clash
            && numbers.contains(&one)
            && numbers.contains(&other)
        {
            found.push((u64::MAX, Effect { breaks, ..Effect::default() }));
        }
        found
    }

    /// Chance of passing under `prompts`, by row.
    fn chances(&self, prompts: &PromptSet) -> Arc<Vec<f64>> {
        let digest = prompts.digest();
        if let Some(known) = self.chances.lock().unwrap().get(&digest) {
            return Arc::clone(known);
        }
        let effects = self.effects_in(prompts);
        let chances: Vec<f64> = (0..self.base.len()).map(|row| self.chance(&effects, row)).collect();
        let chances = Arc::new(chances);
        self.chances.lock().unwrap().insert(digest, Arc::clone(&chances));
        chances
    }

    fn chance(&self, effects: &[(u64, Effect)], row: usize) -> f64 {
        let base = self.base[row];
        if self.dataset.examples[row].pinned {
            let place = row - SPLITS[0];
            let breaks = |(number, effect): &(u64, Effect)| {
                (place + *number as usize * effect.pins) % self.shape.pinned < effect.pins
            };
            return if effects.iter().any(breaks) { 1.0 - PINNED_PASSES } else { base };
        }
        if base != 0.0 && base != 1.0 {
            return base;
        }
        let flips = |passes: bool, (number, effect): &(u64, Effect)| {
            let chance = if passes { effect.breaks } else { effect.fixes };
            passes != (uniform([self.shape.seed, *number, row as u64, 0]) < chance)
        };
        f64::from(effects.iter().fold(base == 1.0, flips))
    }

    /// What is proposed in one slot of a generation for `parent`.
    pub fn proposed(&self, parent: &PromptSet, generation: u32, slot: u32) -> Proposed {
        let number = u64::from(generation) * 100 + u64::from(slot);
        let mut random = seed::generator(self.shape.seed, generation, &format!("edit {slot}"));
        let turn = Turn { generation, slot, accuracy: self.accuracy(parent) };
        let effect = (self.maker)(turn, &mut random);
        self.effects.lock().unwrap().insert(number, effect);
        let added = |after: &str, line: String| Edit {
            file: "p".to_owned(),
            search: after.to_owned(),
            replace: format!("{after}{line}\n"),
        };
        let mut edits = vec![added("Answer.\n", format!("edit {number}"))];
        if let Some(second) = self.shape.second {
            let of_second = number + SECOND;
            self.effects.lock().unwrap().insert(of_second, second(turn, &mut random));
            edits.push(added("Input: {{ input }}\n", format!("edit {of_second}")));
        }
        let prompts = parent.apply(&edits).unwrap();
        let proposal = Proposal { edits, rationale: String::new(), expected_effect: String::new(), quoted: vec![] };
        Proposed { proposal, prompts }
    }

    /// One draw of `prompts` on rows.
    pub fn outcomes(&self, prompts: &PromptSet, rows: &[Arc<Example>], sample: u32) -> Vec<Outcome> {
        let (chances, digest) = (self.chances(prompts), prompts.digest().as_u64());
        let of_test = SPLITS[0] + SPLITS[1];
        rows.iter()
            .map(|example| {
                let row = self.index[&example.id];
                let counter = if row < of_test { &self.calls } else { &self.sealed_calls };
                counter.fetch_add(1, Ordering::Relaxed);
                let passes = uniform([self.shape.seed ^ 1 << 63, digest, row as u64, u64::from(sample)]) < chances[row];
                Outcome { example: Arc::clone(example), sample, result: Ok(answer(passes)) }
            })
            .collect()
    }

    /// Runs the real search in this world; returns all its journalled events.
    pub fn search(&self, settings: &Settings) -> Vec<Event> {
        let sink = Gathered::default();
        // As among the built-in ones: some mend what fails alike, some look at the task as a whole.
        let strategies = [("mend", vec!["confusion".to_owned(), "criterion".to_owned()]), ("whole", Vec::new())].map(
            |(name, kinds)| {
                Arc::new(Strategy {
                    name: name.to_owned(),
                    summary: String::new(),
                    kinds,
                    quotes_rows: false,
                    of_labels: false,
                    instruction: String::new(),
                    origin: propose::Origin::BuiltIn,
                })
            },
        );
        let spent = || {
            let task = self.calls.load(Ordering::Relaxed) + self.sealed_calls.load(Ordering::Relaxed);
            CallsSpent { total: task, task, ..CallsSpent::default() }
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
            account: &Unlimited,
            standby: &Alone,
            recorded: Recorded::default(),
            past: Pulls::default(),
        };
        block_on(search.run()).unwrap();
        sink.events.into_inner().unwrap()
    }
}

/// The prompts whose one text is `text`.
pub fn prompts(text: &str) -> Arc<PromptSet> {
    Arc::new(PromptSet::one(Prompt::parse("p", text).unwrap()).unwrap())
}

/// Numbers of the edits in `prompts`, smallest first; an edit that stands there twice does no more than once.
pub fn edits_in(prompts: &PromptSet) -> Vec<u64> {
    let edit = |line: &str| line.strip_prefix("edit ")?.parse().ok();
    let mut numbers: Vec<u64> = prompts.first().text().lines().filter_map(edit).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// A number in [0, 1) that depends on all of `parts`: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014),
/// chained.
fn uniform(parts: [u64; 4]) -> f64 {
    let mix = |state: u64, part: u64| {
        let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (parts.into_iter().fold(0, mix) >> 11) as f64 / (1_u64 << 53) as f64
}

fn example(id: String, pinned: bool) -> Example {
    Example {
        // All rows look alike: nothing but the draw tells which of them an edit fixes.
        input: "row".into(),
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

/// Default settings, as everywhere; patience is as long as the run, so that every run asks all its questions.
pub fn settings(seed: u64) -> Settings {
    Settings {
        name: "sim".to_owned(),
        seed,
        generations: 10,
        proposals: 6,
        patience: 10,
        target_score: None,
        pass_threshold: 1.0,
        objective: Objective::default(),
        gate: GateSettings::default(),
        protected: Protected { pinned: true, tags: BTreeMap::new() },
        calls: CallLimits::default(),
        warnings: Vec::new(),
        parts: Parts::default(),
    }
}

impl Evaluate for World {
    fn evaluate<'a>(
        &'a self,
        prompts: &'a Arc<PromptSet>,
        examples: &'a [Arc<Example>],
        sample: u32,
        _: OnOutcome<'a>,
    ) -> BoxFuture<'a, Result<Evaluation, OutcomeError>> {
        let outcomes = self.outcomes(prompts, examples, sample);
        Box::pin(std::future::ready(Ok(Evaluation { prompts: prompts.digest(), outcomes })))
    }

    fn is_deterministic(&self) -> bool {
        self.shape.deterministic
    }
}

fn answer(passes: bool) -> Answer {
    Answer {
        completion: Completion::live(
            if passes { "yes" } else { "no" }.to_owned(),
            FinishReason::Stop,
            Usage::default(),
        ),
        scores: Vec::new(),
        value: f64::from(passes),
    }
}

impl Propose for World {
    fn propose<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Result<Proposed, Dropped>> {
        Box::pin(std::future::ready(Ok(self.proposed(&ask.prompts, ask.generation, ask.slot))))
    }

    fn free(&self, _: &FreeAsk<'_>) -> Vec<(String, Proposed)> {
        Vec::new()
    }

    fn shorter(&self, prompts: &PromptSet, seen: &BTreeSet<Digest>) -> Vec<(String, Proposed)> {
        let text = prompts.first().text();
        let lines = text.lines().filter(|line| line.starts_with("edit "));
        lines
            .map(|line| Edit { file: "p".to_owned(), search: format!("{line}\n"), replace: String::new() })
            .filter_map(|edit| Some((prompts.apply(std::slice::from_ref(&edit)).ok()?, edit)))
            .filter(|(shorter, _)| !seen.contains(&shorter.digest()))
            .map(|(prompts, edit)| {
                let (rationale, expected_effect) = (String::new(), String::new());
                let proposal = Proposal { edits: vec![edit], rationale, expected_effect, quoted: vec![] };
                ("leave-out".to_owned(), Proposed { proposal, prompts })
            })
            .collect()
    }

    fn is_sound(&self, _: &PromptSet, _: &PromptSet) -> bool {
        true
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
