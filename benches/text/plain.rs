//! What the search stands beside: prompts that take no search at all, and searches too plain to go wrong. They look at
//! the same rows and pay for the same calls; the sealed test only reports.

use std::collections::BTreeSet;
use std::sync::Arc;

use prompt_ratchet::dataset::{Example, Split};
use prompt_ratchet::eval::{Evaluate, Evaluator, Outcome, Summary};
use prompt_ratchet::prompt::{Edit, PromptSet, escape_literal};
use prompt_ratchet::propose::{Ask, FREE, FreeAsk, Propose, Proposed, Sets, ShownRow};
use prompt_ratchet::seed;
use rand::seq::{IndexedRandom, SliceRandom};
use serde_json::Value;

use crate::task::{Ran, Task, runtime, session, stack};

/// Random examples of each label that are shown where nothing is searched.
const EACH: usize = 3;
/// Examples of each set that random search tries.
const SET: usize = 24;
/// Failing rows that the hill climber shows its proposer.
const FAILING: usize = 8;

impl Task {
    /// No search: the format line and the free candidates' first set of examples, up to eight typical ones a label.
    pub fn typical(&self, seed: u64) -> Ran {
        let mut prompts = Arc::clone(&self.project.prompts);
        for wanted in FREE {
            if let Some((_, proposed)) = self.free(&prompts, seed).into_iter().find(|(strategy, _)| strategy == wanted)
            {
                prompts = Arc::new(proposed.prompts);
            }
        }
        self.measured(&prompts)
    }

    /// No search: the format line and random examples, until each label has three.
    pub fn random(&self, seed: u64) -> Ran {
        let mut rows = self.rows_of(Split::Train);
        rows.shuffle(&mut seed::generator(seed, 0, "random examples"));
        let mut chosen: Vec<Arc<Example>> = Vec::new();
        for turn in 1..=EACH {
            for set in self.labels() {
                for (label, _) in &set.counts {
                    let has = |row: &&Arc<Example>| set.label_of(row).as_ref() == Some(label);
                    let is_new = |row: &&Arc<Example>| chosen.iter().all(|known| known.id != row.id);
                    if chosen.iter().filter(has).count() < turn {
                        let next = rows.iter().filter(has).find(is_new).cloned();
                        chosen.extend(next);
                    }
                }
            }
        }
        self.measured(&self.showing(&chosen))
    }

    /// Random search: the format line and 24 random train rows, as many such sets as dev can be asked about with so many
    /// calls; the one that is best on dev.
    pub fn random_search(&self, calls: u64, seed: u64) -> Ran {
        let mut random = seed::generator(seed, 0, "random search");
        let sets = (calls as usize / self.rows_of(Split::Dev).len()).max(1);
        let ran = (0..sets).map(|_| {
            let mut rows = self.rows_of(Split::Train);
            rows.shuffle(&mut random);
            rows.truncate(SET);
            self.measured(&self.showing(&rows))
        });
        // Of equals the first.
        ran.reduce(|best, next| if next.dev > best.dev { next } else { best }).unwrap()
    }

    /// A plain hill climber: it shows the proposer eight failing rows, whatever they expect, under a random strategy, and
    /// keeps what is higher on dev.
    pub fn hill_climb(&self, calls: u64, seed: u64) -> Ran {
        let session = session(None);
        let stack = stack(&session);
        let (evaluator, proposer) = (self.evaluator(&stack), self.proposer(&stack));
        let mut random = seed::generator(seed, 0, "hill climber");
        let (mut best, dev) = (Arc::clone(&self.project.prompts), self.rows_of(Split::Dev));
        let mut score = on(&evaluator, &best, &dev);
        for slot in 0..calls as u32 {
            let mut rows = self.rows_of(Split::Train);
            rows.shuffle(&mut random);
            let mut failing: Vec<ShownRow> = Vec::new();
            for block in rows.chunks(FAILING) {
                let outcomes = outcomes(&evaluator, &best, block);
                failing.extend(outcomes.iter().filter(|outcome| outcome.is_failing(1.0)).map(shown));
                if failing.len() >= FAILING {
                    break;
                }
            }
            failing.truncate(FAILING);
            let ask = self.ask(&best, failing, slot, seed, self.project.strategies.choose(&mut random).unwrap());
            let Ok(proposed) = runtime().block_on(proposer.propose(&ask)) else { continue };
            let next = Arc::new(proposed.prompts);
            if session.ledger.spend().roles[&prompt_ratchet::model::ModelRole::Task].live + dev.len() as u64 > calls {
                break;
            }
            let of_next = on(&evaluator, &next, &dev);
            if of_next > score {
                (best, score) = (next, of_next);
            }
        }
        self.measured(&best)
    }

    fn ask(
        &self,
        prompts: &Arc<PromptSet>,
        failing: Vec<ShownRow>,
        slot: u32,
        seed: u64,
        strategy: &Arc<prompt_ratchet::propose::Strategy>,
    ) -> Ask {
        let task = self.project.task();
        Ask {
            seed,
            generation: 1,
            slot,
            strategy: Arc::clone(strategy),
            cluster: None,
            prompts: Arc::clone(prompts),
            description: task.description,
            hints: task.hints,
            labels: self.labels(),
            train_rows: if strategy.quotes_rows { failing.clone() } else { Vec::new() },
            failing,
            passing: Vec::new(),
            tried: Vec::new(),
            seen: Arc::new(BTreeSet::new()),
        }
    }

    /// What a search tries first without a model.
    fn free(&self, prompts: &PromptSet, seed: u64) -> Vec<(String, Proposed)> {
        let (train, labels, quoted) = (self.rows_of(Split::Train), self.labels(), BTreeSet::new());
        let (generation, train, quoted, labels) = (1, &train[..], &quoted, &labels[..]);
        let ask = FreeAsk { seed, generation, prompts, train, quoted, labels, sets: Sets::Sizes, form_fails: false };
        self.proposer(&stack(&session(None))).free(&ask)
    }

    /// The first draft with the format line and `rows` as examples.
    fn showing(&self, rows: &[Arc<Example>]) -> Arc<PromptSet> {
        let draft = &self.project.prompts;
        let line = self.free(draft, 1).into_iter().find(|(strategy, _)| strategy == FREE[0]);
        let prompts = line.map_or_else(|| draft.as_ref().clone(), |(_, proposed)| proposed.prompts);
        let lines = rows.iter().map(|row| {
            let text = Value::String(row.input_text().split_whitespace().collect::<Vec<_>>().join(" ")).to_string();
            format!("- {} -> {}\n", escape_literal(&text), escape_literal(&row.expected_text().unwrap()))
        });
        // Before the line that the input stands on, which must occur once.
        let prompt = prompts.first();
        let input = prompt.text().lines().find(|line| line.contains("{{ input")).unwrap();
        let replace = format!("Examples:\n{}\n{input}", lines.collect::<String>());
        let edit = Edit { file: prompt.name().to_owned(), search: input.to_owned(), replace };
        Arc::new(prompts.apply(&[edit]).unwrap())
    }
}

fn outcomes(evaluator: &Evaluator, prompts: &Arc<PromptSet>, rows: &[Arc<Example>]) -> Vec<Outcome> {
    runtime().block_on(evaluator.evaluate(prompts, rows, 0, &|_| ())).unwrap().outcomes
}

/// Mean score.
fn on(evaluator: &Evaluator, prompts: &Arc<PromptSet>, rows: &[Arc<Example>]) -> f64 {
    Summary::of(&outcomes(evaluator, prompts, rows)).score
}

fn shown(outcome: &Outcome) -> ShownRow {
    let answer = outcome.result.as_ref().ok();
    ShownRow {
        id: outcome.example.id.clone(),
        input: outcome.example.input_text(),
        expected: outcome.example.expected_text(),
        answered: answer.map(|answer| answer.completion.text.clone()),
        reason: None,
        steps: None,
    }
}
