//! One in-context classification: a [`Question`] as it was read from a prompt, and the [`Classifier`] made from it.
//!
//! Evidence for a label is a sum over the words (and pairs of words) of the input: words of its name and definition,
//! weighted by how few labels share them; log-ratios over the examples; the nearest examples by cosine; and rules.

use std::collections::{BTreeMap, HashMap};

use super::words::{Words, hash, pair_hash};

/// A text that speaks for a label, or against it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition {
    /// Index into the labels.
    pub(super) label: usize,
    /// Words of the definition.
    pub(super) text: String,
    /// How much a word of it counts; negative for what the label is said not to be.
    pub(super) weight: f32,
}

/// A text with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// The example's input.
    pub(super) text: String,
    /// Index into the labels.
    pub(super) label: usize,
    /// What the example has for the other fields of the answer, a number for each value.
    pub(super) elsewhere: Vec<usize>,
}

/// "If the text mentions "x" or "y", answer a, not b."
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// The label that it points to.
    pub(super) label: usize,
    /// Labels that it points away from.
    pub(super) against: Vec<usize>,
    /// Phrases to look for, of at least one word each.
    pub(super) phrases: Vec<String>,
    /// Whether all phrases must be there (`and`) or one is enough (`or`).
    pub(super) all: bool,
    /// Whether it holds where the phrases are absent.
    pub(super) absent: bool,
}

/// One classification, as read from a prompt.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    /// The labels to choose from, in the prompt's order.
    pub(super) labels: Vec<String>,
    /// Definitions, in the prompt's order.
    pub(super) definitions: Vec<Definition>,
    /// Examples, in the prompt's order.
    pub(super) examples: Vec<Shown>,
    /// Rules, in the prompt's order.
    pub(super) rules: Vec<Rule>,
    /// The label for inputs that nothing speaks for.
    pub(super) fallback: Option<usize>,
}

const NAME_WEIGHT: f32 = 1.4;
const DEFINITION_WEIGHT: f32 = 1.2;
const NEAREST_WEIGHT: f32 = 2.5;
const RULE_WEIGHT: f32 = 3.0;
const FURTHER_PHRASE_WEIGHT: f32 = 0.7;
const AGAINST_WEIGHT: f32 = 1.0;
const STOP_WEIGHT: f32 = 0.12;
const PAIR_WEIGHT: f32 = 0.45;
const FUZZY_WEIGHT: f32 = 0.7;
/// Pseudo-hits that pull a word's rate within a label towards its rate over all examples: a word seen once says little.
const SMOOTHING: f32 = 0.7;
/// Shortest stem, in bytes, that is matched with one letter wrong.
const SHORTEST_FUZZY: usize = 5;

struct CompiledRule {
    label: usize,
    against: Vec<usize>,
    phrases: Vec<Vec<u64>>,
    all: bool,
    absent: bool,
}

/// A [`Question`] ready to be asked.
pub(super) struct Classifier {
    labels: Vec<String>,
    fallback: usize,
    terms: HashMap<u64, u32>,
    /// Hash of a stem with one letter left out -> term: finds words with one letter wrong, missing, added or swapped.
    deletes: HashMap<u64, u32>,
    /// The hash of each term.
    hashes: Vec<u64>,
    /// Evidence, `terms × labels`.
    evidence: Vec<f32>,
    /// For each term, the examples that it is in, with its share of their unit vectors.
    postings: Vec<Vec<(u32, f32)>>,
    /// The weight of a term in an input's vector.
    importance: Vec<f32>,
    example_labels: Vec<usize>,
    rules: Vec<CompiledRule>,
}

/// Terms of a text: hash and weight class, each once, in order of first sight.
fn terms_of(words: &Words) -> Vec<(u64, f32)> {
    let mut seen = std::collections::HashSet::new();
    let mut terms = Vec::with_capacity(words.list.len() * 2);
    for (at, word) in words.list.iter().enumerate() {
        if seen.insert(word.hash) {
            terms.push((word.hash, if word.stop { STOP_WEIGHT } else { 1.0 }));
        }
        if let Some(next) = words.list.get(at + 1) {
            let pair = pair_hash(word.hash, next.hash);
            if seen.insert(pair) {
                terms.push((pair, if word.stop && next.stop { STOP_WEIGHT } else { PAIR_WEIGHT }));
            }
        }
    }
    terms
}

/// The words of a label's name: `camelCase`, `snake_case` and `kebab-case` come apart.
pub(super) fn name_words(label: &str) -> String {
    let mut words = String::with_capacity(label.len() + 4);
    let mut lower = false;
    for c in label.chars() {
        if c.is_uppercase() && lower {
            words.push(' ');
        }
        lower = c.is_lowercase();
        words.push(c);
    }
    words
}

/// What is gathered about each term before weights are known; keyed in order, so that sums are always the same.
struct Gathered {
    labels: usize,
    terms: HashMap<u64, u32>,
    deletes: HashMap<u64, u32>,
    hashes: Vec<u64>,
    class: Vec<f32>,
}

impl Gathered {
    fn term(&mut self, hash: u64, class: f32) -> usize {
        let next = self.class.len() as u32;
        let term = *self.terms.entry(hash).or_insert(next);
        if term == next {
            self.class.push(class);
            self.hashes.push(hash);
        }
        term as usize
    }

    /// Takes in a text's words and returns its terms.
    fn text(&mut self, text: &str) -> (Words, Vec<usize>) {
        let words = Words::of(text);
        let terms = terms_of(&words).into_iter().map(|(hash, class)| self.term(hash, class)).collect();
        for word in words.list.iter().filter(|word| !word.stop) {
            let stem = words.stem(*word);
            let term = self.terms[&word.hash];
            each_deletion(stem, |variant| {
                self.deletes.entry(variant).or_insert(term);
            });
        }
        (words, terms)
    }

    /// Adds to `table` the evidence of one text per label entry `(label, text, weight)`, by how few labels share a term.
    fn speak<'a>(
        &mut self,
        texts: impl Iterator<Item = (usize, &'a str, f32)>,
        scale: f32,
    ) -> Vec<(usize, usize, f32)> {
        let mut mass: BTreeMap<(usize, usize), f32> = BTreeMap::new();
        let mut length = vec![0.0_f32; self.labels];
        for (label, text, weight) in texts {
            let (words, terms) = self.text(text);
            if weight > 0.0 {
                length[label] += words.list.iter().filter(|word| !word.stop).count() as f32;
            }
            for term in terms {
                let entry = mass.entry((term, label)).or_insert(0.0);
                *entry = if weight > 0.0 { entry.max(weight) } else { *entry + weight };
            }
        }
        let mut sharers: BTreeMap<usize, f32> = BTreeMap::new();
        for ((term, _), weight) in &mass {
            if *weight > 0.0 {
                *sharers.entry(*term).or_insert(0.0) += 1.0;
            }
        }
        let labels = self.labels as f32;
        let spread = labels.max(2.0).ln();
        let defined = length.iter().filter(|l| **l > 0.0).count().max(1) as f32;
        let average = (length.iter().sum::<f32>() / defined).max(1.0);
        mass.into_iter()
            .map(|((term, label), weight)| {
                let shared = sharers.get(&term).copied().unwrap_or(1.0);
                let rarity = (labels.max(2.0) / shared).ln().max(0.0) / spread;
                // A long definition has more words to be hit by chance.
                let size = 0.75 + 0.25 * (length[label] / average).clamp(0.3, 3.0);
                (term, label, scale * weight * rarity / size)
            })
            .collect()
    }
}

fn each_deletion(stem: &str, mut take: impl FnMut(u64)) {
    if stem.len() < SHORTEST_FUZZY || stem.len() > 24 || !stem.is_ascii() {
        return;
    }
    let mut variant = [0_u8; 24];
    let bytes = stem.as_bytes();
    for skip in 0..bytes.len() {
        variant[..skip].copy_from_slice(&bytes[..skip]);
        variant[skip..bytes.len() - 1].copy_from_slice(&bytes[skip + 1..]);
        take(hash(&variant[..bytes.len() - 1]));
    }
}

impl Question {
    /// Weighs all evidence once, so that asking is a walk over the input's words.
    pub(super) fn compile(self) -> Classifier {
        let labels = self.labels.len();
        let mut gathered =
            Gathered { labels, terms: HashMap::new(), deletes: HashMap::new(), hashes: Vec::new(), class: Vec::new() };
        let names: Vec<String> = self.labels.iter().map(|label| name_words(label)).collect();
        let mut spoken =
            gathered.speak(names.iter().enumerate().map(|(label, name)| (label, name.as_str(), 1.0)), NAME_WEIGHT);
        let definitions = self.definitions.iter().map(|d| (d.label, d.text.as_str(), d.weight));
        spoken.extend(gathered.speak(definitions, DEFINITION_WEIGHT));
        let shown: Vec<(usize, Vec<usize>)> =
            self.examples.iter().map(|example| (example.label, gathered.text(&example.text).1)).collect();
        let rules = self.rules.iter().map(|rule| compile_rule(rule, &mut gathered)).collect();
        let count = gathered.class.len();
        let class = credited(&gathered.class, &shown, &self.examples);
        let mut evidence = vec![0.0; count * labels];
        for (term, label, weight) in spoken {
            evidence[term * labels + label] += weight * gathered.class[term];
        }
        add_example_ratios(&mut evidence, &shown, &class, labels);
        let (postings, importance) = example_vectors(&shown, &class);
        Classifier {
            fallback: self.fallback.unwrap_or(0),
            labels: self.labels,
            terms: gathered.terms,
            deletes: gathered.deletes,
            hashes: gathered.hashes,
            evidence,
            postings,
            importance,
            example_labels: shown.into_iter().map(|(label, _)| label).collect(),
            rules,
        }
    }
}

fn compile_rule(rule: &Rule, gathered: &mut Gathered) -> CompiledRule {
    let phrases = rule
        .phrases
        .iter()
        .map(|phrase| gathered.text(phrase).0.list.iter().map(|word| word.hash).collect::<Vec<_>>())
        .filter(|phrase| !phrase.is_empty())
        .collect();
    let Rule { label, all, absent, .. } = *rule;
    CompiledRule { label, against: rule.against.clone(), phrases, all, absent }
}

/// The weights of the terms in examples: less for those that tell more about another field of the answer.
fn credited(class: &[f32], shown: &[(usize, Vec<usize>)], examples: &[Shown]) -> Vec<f32> {
    let mut class = class.to_vec();
    let fields = examples.iter().map(|example| example.elsewhere.len()).min().unwrap_or(0);
    if fields == 0 {
        return class;
    }
    let own: Vec<usize> = shown.iter().map(|(label, _)| *label).collect();
    let rivals: Vec<Vec<usize>> =
        (0..fields).map(|field| examples.iter().map(|example| example.elsewhere[field]).collect()).collect();
    let mut with: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, (_, terms)) in shown.iter().enumerate() {
        for term in terms {
            with.entry(*term).or_default().push(at);
        }
    }
    for (term, with) in with {
        class[term] *= super::credit::share(&with, &own, &rivals) as f32;
    }
    class
}

/// Adds for each term and label the log of its smoothed rate in the label's examples over its rate in all of them
/// (naive Bayes with the background as prior: a label without examples stays neutral).
fn add_example_ratios(evidence: &mut [f32], shown: &[(usize, Vec<usize>)], class: &[f32], labels: usize) {
    if shown.is_empty() {
        return;
    }
    let mut totals = vec![0.0_f32; labels];
    let mut counts: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    for (label, terms) in shown {
        totals[*label] += 1.0;
        for term in terms {
            counts.entry(*term).or_insert_with(|| vec![0.0; labels])[*label] += 1.0;
        }
    }
    for (term, by_label) in counts {
        let background = by_label.iter().sum::<f32>() / shown.len() as f32;
        for (label, count) in by_label.iter().enumerate() {
            let rate = (count + SMOOTHING) / (totals[label] + SMOOTHING / background);
            evidence[term * labels + label] += (rate / background).ln() * class[term];
        }
    }
}

/// TF-IDF unit vectors of the examples as postings, and each term's weight in an input's vector.
fn example_vectors(shown: &[(usize, Vec<usize>)], class: &[f32]) -> (Vec<Vec<(u32, f32)>>, Vec<f32>) {
    let mut postings: Vec<Vec<(u32, f32)>> = vec![Vec::new(); class.len()];
    let mut frequency = vec![0.0_f32; class.len()];
    for term in shown.iter().flat_map(|(_, terms)| terms) {
        frequency[*term] += 1.0;
    }
    let total = shown.len() as f32;
    let importance: Vec<f32> =
        frequency.iter().zip(class).map(|(n, class)| ((1.0 + total) / (1.0 + n)).ln().max(0.2) * class).collect();
    for (at, (_, terms)) in shown.iter().enumerate() {
        let norm = terms.iter().map(|term| importance[*term].powi(2)).sum::<f32>().sqrt().max(1e-6);
        for term in terms {
            postings[*term].push((at as u32, importance[*term] / norm));
        }
    }
    (postings, importance)
}

impl Classifier {
    /// The label of `input`. Ties go to the earlier label; where nothing speaks for any, the fallback (else the first).
    pub(super) fn ask(&self, input: &Words) -> &str {
        let scores = self.scores(input);
        let mut best = self.fallback;
        let mut top = 1e-4;
        for (label, score) in scores.iter().enumerate() {
            if *score > top + 1e-6 {
                (best, top) = (label, *score);
            }
        }
        self.labels.get(best).map_or("", String::as_str)
    }

    fn scores(&self, input: &Words) -> Vec<f32> {
        let labels = self.labels.len();
        let mut scores = vec![0.0_f32; labels];
        let mut cosine = vec![0.0_f32; self.example_labels.len()];
        let mut norm = 0.0_f32;
        let mut used = vec![false; self.importance.len()];
        let mut resolved = Vec::with_capacity(input.list.len());
        for word in &input.list {
            resolved.push(self.resolve(input, *word));
        }
        let pairs = resolved.windows(2).map(|pair| (pair_hash(pair[0].0, pair[1].0), 1.0, PAIR_WEIGHT));
        let singles = resolved.iter().zip(&input.list);
        let singles = singles.map(|((hash, trust), word)| (*hash, *trust, if word.stop { STOP_WEIGHT } else { 1.0 }));
        for (hash, trust, class) in singles.chain(pairs) {
            let Some(term) = self.terms.get(&hash).map(|term| *term as usize) else {
                norm += class * class;
                continue;
            };
            if std::mem::replace(&mut used[term], true) {
                continue;
            }
            for (score, evidence) in scores.iter_mut().zip(&self.evidence[term * labels..]) {
                *score += evidence * trust;
            }
            let importance = self.importance[term] * trust;
            norm += importance * importance;
            for (example, share) in &self.postings[term] {
                cosine[*example as usize] += importance * share;
            }
        }
        self.add_nearest(&mut scores, &cosine, norm.sqrt());
        self.add_rules(&mut scores, &resolved);
        scores
    }

    /// The term that a word stands for: itself, or, when unknown, a known word one letter away.
    fn resolve(&self, input: &Words, word: super::words::Word) -> (u64, f32) {
        if word.stop || self.terms.contains_key(&word.hash) {
            return (word.hash, 1.0);
        }
        let stem = input.stem(word);
        if stem.len() + 1 < SHORTEST_FUZZY {
            return (word.hash, 1.0);
        }
        let mut near = self.deletes.get(&word.hash).copied();
        each_deletion(stem, |variant| {
            near = near.or_else(|| self.terms.get(&variant).or_else(|| self.deletes.get(&variant)).copied());
        });
        match near {
            Some(term) => (self.hash_of(term), FUZZY_WEIGHT),
            None => (word.hash, 1.0),
        }
    }

    fn hash_of(&self, term: u32) -> u64 {
        self.hashes.get(term as usize).copied().unwrap_or_default()
    }

    /// Adds how much nearer each label's two nearest examples are (by cosine) than examples are on average, so that
    /// one odd example does not decide alone and a label without examples is at no disadvantage.
    fn add_nearest(&self, scores: &mut [f32], cosine: &[f32], norm: f32) {
        if norm <= 0.0 || cosine.is_empty() {
            return;
        }
        let mut nearest = vec![(0.0_f32, 0.0_f32); scores.len()];
        for (label, similarity) in self.example_labels.iter().zip(cosine) {
            let (first, second) = &mut nearest[*label];
            if similarity > first {
                (*first, *second) = (*similarity, *first);
            } else if similarity > second {
                *second = *similarity;
            }
        }
        let mean = cosine.iter().sum::<f32>() / cosine.len() as f32;
        for (score, (first, second)) in scores.iter_mut().zip(nearest).filter(|(_, (first, _))| *first > 0.0) {
            *score += NEAREST_WEIGHT * (0.75 * first + 0.25 * second - mean) / norm;
        }
    }

    fn add_rules(&self, scores: &mut [f32], input: &[(u64, f32)]) {
        for rule in &self.rules {
            let hits = rule
                .phrases
                .iter()
                .filter(|phrase| input.windows(phrase.len()).any(|w| w.iter().zip(*phrase).all(|(a, b)| a.0 == *b)))
                .count();
            let holds = match (rule.absent, rule.all) {
                (true, _) => hits == 0,
                (false, true) => hits == rule.phrases.len(),
                (false, false) => hits > 0,
            };
            if !holds || rule.phrases.is_empty() {
                continue;
            }
            let weight = if rule.absent {
                RULE_WEIGHT / 3.0
            } else {
                RULE_WEIGHT + FURTHER_PHRASE_WEIGHT * (hits.min(4) - 1) as f32
            };
            scores[rule.label] += weight;
            for against in &rule.against {
                scores[*against] -= AGAINST_WEIGHT;
            }
        }
    }
}
