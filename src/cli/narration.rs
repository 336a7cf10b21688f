//! The lines that a run leaves in the scrollback: one for each decision that a person wants to know of.

use std::collections::BTreeMap;

use prompt_ratchet::model::ModelRole;
use prompt_ratchet::report::{
    Unran, ablation, interval, one_line, p_value, percent, plural, points, signed, signed_interval, tally, undecidable,
    wrapped,
};
use prompt_ratchet::run::{
    Ablated, BaselineMeasured, Decision, Diagnosed, Dropped, Event, FellBack, GenerationEnded, IncumbentMeasured,
    Judged, Merged, NoiseMeasured, Proposed, Raced, RunStarted, Screened, TestOpened,
};

use super::paint::Paint;

/// Width of the words that begin a line.
const HEAD: usize = 11;

/// Clusters that are named, of each generation.
const CLUSTERS: usize = 3;

/// Turns events into lines. Knows the names of the candidates that it has told of.
#[derive(Debug)]
pub struct Narration {
    paint: Paint,
    width: usize,
    generations: u32,
    /// By id: what made each candidate.
    made_by: BTreeMap<String, String>,
    /// By id: the generation that proposed or merged each candidate.
    made_in: BTreeMap<String, u32>,
    /// By id: size and diff of each candidate.
    texts: BTreeMap<String, (usize, String)>,
    baseline_tokens: usize,
    /// Of this generation, not told yet.
    proposed: Vec<String>,
    dropped: Vec<Dropped>,
    was_judged: bool,
    /// Whether a generation is under way.
    is_within: bool,
    unran: Unran,
    has_told_unran: bool,
}

impl Narration {
    /// Lines of at most `width` columns.
    pub fn new(paint: Paint, width: usize) -> Self {
        Self {
            paint,
            width,
            generations: 0,
            made_by: BTreeMap::new(),
            made_in: BTreeMap::new(),
            texts: BTreeMap::new(),
            baseline_tokens: 0,
            proposed: Vec::new(),
            dropped: Vec::new(),
            was_judged: false,
            is_within: false,
            unran: Unran::default(),
            has_told_unran: false,
        }
    }

    /// The number that the run's last generation may have.
    pub fn generations(&self) -> u32 {
        self.generations
    }

    /// The lines that `event` is worth; often none.
    pub fn lines(&mut self, event: &Event) -> Vec<String> {
        match event {
            Event::Progress(_) | Event::Measured(_) | Event::AskFailed(_) => Vec::new(),
            Event::RowFailed(failed) => {
                self.unran.take(failed);
                Vec::new()
            }
            Event::Provider(notice) => self.said("provider", &notice.words()),
            Event::FellBack(change) => self.fell_back(change),
            Event::RunStarted(started) => self.started(started),
            Event::BaselineMeasured(baseline) => self.baseline(baseline),
            Event::IncumbentMeasured(measured) => self.measured_anew(measured),
            Event::NoiseMeasured(noise) => self.noise(noise),
            Event::GenerationStarted(_) => {
                (self.was_judged, self.is_within) = (false, true);
                Vec::new()
            }
            Event::Diagnosed(diagnosed) => self.diagnosed(diagnosed),
            Event::Widened(widened) => self.said("widened", &widened.words),
            Event::Proposed(proposed) => self.proposed(proposed),
            Event::Dropped(dropped) => {
                self.dropped.push(dropped.clone());
                Vec::new()
            }
            decision => {
                let mut lines = self.proposals();
                lines.extend(self.decision(decision));
                lines.extend(self.unran());
                lines
            }
        }
    }

    fn decision(&mut self, event: &Event) -> Vec<String> {
        match event {
            Event::Screened(screened) => self.screened(screened),
            Event::Raced(raced) => self.raced(raced),
            Event::Merged(merged) => self.merged(merged),
            Event::Judged(judged) => self.judged(judged),
            Event::Ablated(ablated) => self.ablated(ablated),
            Event::GenerationEnded(ended) => self.ended(ended),
            Event::TestOpened(test) => self.test(test),
            Event::RunEnded(ended) => self.said("done", ended.words()),
            _ => Vec::new(),
        }
    }

    fn started(&mut self, started: &RunStarted) -> Vec<String> {
        self.generations = started.generations;
        let [train, dev, test] = started.rows;
        let mut rows = format!(
            "{train} train, {dev} dev, {test} test rows; up to {}; seed {}",
            plural(started.generations as usize, "generation"),
            started.seed
        );
        if !started.objective.is_mean_score() {
            rows += &format!("; scores are {}", started.objective.words());
        }
        vec![format!("{}: {rows}", self.paint.bold(one_line(&started.name, 40)))]
    }

    fn baseline(&mut self, baseline: &BaselineMeasured) -> Vec<String> {
        self.baseline_tokens = baseline.tokens;
        let (train, dev) = (&baseline.train, &baseline.dev);
        // A run that opens with examples leaves train for later.
        let on_train =
            if train.examples + train.errors > 0 { format!("train {}, ", percent(train.score)) } else { String::new() };
        let mut text = format!(
            "dev {} {}, {on_train}{}",
            percent(dev.score),
            interval(&dev.interval),
            plural(baseline.tokens, "token")
        );
        let errors = train.errors + dev.errors;
        if errors > 0 {
            text += &format!("; {} could not run", plural(errors, "row"));
        }
        let mut lines = self.said("baseline", &text);
        lines.extend(self.unran());
        lines.extend(undecidable(dev).into_iter().flat_map(|warning| self.said("warning", &warning)));
        lines
    }

    /// Rows that could not run: those that were met first, once; what comes later is in the report.
    fn unran(&mut self) -> Vec<String> {
        if self.unran.is_empty() || std::mem::replace(&mut self.has_told_unran, true) {
            return Vec::new();
        }
        self.unran.lines().iter().flat_map(|line| self.said("not run", line)).collect()
    }

    fn measured_anew(&self, measured: &IncumbentMeasured) -> Vec<String> {
        let (dev, train) = (&measured.dev, &measured.train);
        let text = format!(
            "dev {} {}, train {}; the baseline on dev {}",
            percent(dev.score),
            interval(&dev.interval),
            percent(train.score),
            percent(measured.baseline_dev.score)
        );
        self.said("incumbent", &text)
    }

    fn noise(&self, noise: &NoiseMeasured) -> Vec<String> {
        self.said("noise", &noise.words)
    }

    fn diagnosed(&self, diagnosed: &Diagnosed) -> Vec<String> {
        let clusters = &diagnosed.clusters;
        let rows: usize = clusters.iter().map(|cluster| cluster.members.len()).sum();
        let title = format!("generation {}/{}", diagnosed.generation, self.generations);
        let verb = if rows == 1 { "fails" } else { "fail" };
        let mut lines = vec![
            String::new(),
            format!(
                "{}  {} {verb}, in {}",
                self.paint.bold(title),
                plural(rows, "train row"),
                plural(clusters.len(), "cluster")
            ),
        ];
        for cluster in clusters.iter().take(CLUSTERS) {
            let count = cluster.members.len();
            lines.push(format!("{count:>HEAD$}  {}", one_line(&cluster.label, self.width.saturating_sub(HEAD + 2))));
        }
        if clusters.len() > CLUSTERS {
            lines.push(self.paint.dim(format!("{:>HEAD$}  and {} more", "", clusters.len() - CLUSTERS)).to_string());
        }
        lines
    }

    fn proposed(&mut self, proposed: &Proposed) -> Vec<String> {
        self.made_by.insert(proposed.candidate.clone(), proposed.strategy.clone());
        self.made_in.insert(proposed.candidate.clone(), proposed.generation);
        self.texts.insert(proposed.candidate.clone(), (proposed.tokens, proposed.diff.clone()));
        self.proposed.push(proposed.strategy.clone());
        Vec::new()
    }

    /// The proposals of this generation, once.
    fn proposals(&mut self) -> Vec<String> {
        let (proposed, dropped) = (std::mem::take(&mut self.proposed), std::mem::take(&mut self.dropped));
        let mut lines = Vec::new();
        if !proposed.is_empty() {
            lines.extend(self.said("proposed", &format!("{}: {}", proposed.len(), tally(&proposed, ", "))));
        }
        for dropped in dropped {
            let reason = format!("{}: {}", dropped.strategy, dropped.reason);
            lines.extend(self.passed_over("dropped", "", &reason));
        }
        lines
    }

    fn screened(&self, screened: &Screened) -> Vec<String> {
        if screened.passed {
            return Vec::new();
        }
        let name = self.name(&screened.candidate);
        if let Some(error) = &screened.could_not_run {
            return self.passed_over("dropped", "", &format!("{name}: the model could not answer it: {error}"));
        }
        let (fixed, broken) = (screened.fixed, screened.broken);
        let text = format!("{name}: {fixed} fixed, {broken} broken of {}", plural(screened.rows, "row"));
        self.passed_over("screened", " ", &text)
    }

    fn raced(&self, raced: &Raced) -> Vec<String> {
        let mut text = format!(
            "{}: estimated from {}: {}",
            self.name(&raced.candidate),
            plural(raced.rows, "row"),
            raced.changes()
        );
        if !raced.breaks_pinned.is_empty() {
            text += &format!("; breaks pinned {}", raced.breaks_pinned.join(", "));
        }
        let number = signed(raced.difference);
        if raced.survived {
            self.under("ahead".to_owned(), &number, &text)
        } else {
            self.passed_over("lost", &number, &text)
        }
    }

    fn merged(&mut self, merged: &Merged) -> Vec<String> {
        let parts: Vec<String> = merged.parts.iter().map(|part| self.name(part)).collect();
        let name = tally(&parts, " + ");
        let next = match &merged.breaks_pinned[..] {
            [] if merged.better => "goes to the gate".to_owned(),
            [] => "no better than its best part".to_owned(),
            broken => format!("breaks pinned {}", broken.join(", ")),
        };
        let text = format!("{name}: {next}");
        self.made_by.insert(merged.candidate.clone(), name);
        self.made_in.insert(merged.candidate.clone(), merged.generation);
        self.texts.insert(merged.candidate.clone(), (merged.tokens, merged.diff.clone()));
        self.under("merge".to_owned(), " ", &text)
    }

    fn judged(&mut self, judged: &Judged) -> Vec<String> {
        self.was_judged = true;
        let verdict = &judged.verdict;
        let word = match verdict.decision {
            Decision::Kept => self.paint.good("kept"),
            Decision::Rejected => self.paint.bad("rejected"),
            Decision::Undecided => self.paint.open("undecided"),
        };
        // One that waited for the gate isn't the one of that name which this generation has told of.
        let made_in = self.made_in.get(&judged.candidate).filter(|made_in| **made_in < judged.generation);
        let of = made_in.map(|made_in| format!(" of generation {made_in}")).unwrap_or_default();
        let text = format!(
            "{}{of}: {} ({} of {})",
            self.name(&judged.candidate),
            verdict.reason,
            verdict.changes(),
            plural(verdict.rows, "dev row")
        );
        let mut lines = self.under(word.to_string(), "", &text);
        if verdict.decision == Decision::Kept
            && let Some((tokens, diff)) = self.texts.get(&judged.candidate)
        {
            let before = self.texts.get(&judged.incumbent).map_or(self.baseline_tokens, |(tokens, _)| *tokens);
            let (added, removed) = changed_lines(diff);
            let size = format!(
                "dev {} {}; {} added, {removed} removed, {before} to {}",
                percent(judged.dev.score),
                interval(&judged.dev.interval),
                plural(added, "line"),
                plural(*tokens, "token")
            );
            lines.extend(self.said("", &size));
        }
        lines
    }

    fn ablated(&self, ablated: &Ablated) -> Vec<String> {
        let parts: Vec<String> = ablated.parts.iter().map(|part| self.name(part)).collect();
        let text = format!("without a hunk of {}: {}", tally(&parts, " + "), ablation(ablated));
        let number = signed(ablated.difference);
        match ablated.shortened {
            Some(_) => self.under("shortened".to_owned(), &number, &text),
            None => self.passed_over("ablated", &number, &text),
        }
    }

    /// A generation that this cuts off is had once more.
    fn fell_back(&mut self, change: &FellBack) -> Vec<String> {
        if change.role != ModelRole::Proposer && std::mem::take(&mut self.is_within) {
            self.generations += 1;
        }
        self.said("fallback", &change.words())
    }

    fn ended(&mut self, ended: &GenerationEnded) -> Vec<String> {
        self.is_within = false;
        if self.was_judged || ended.kept {
            Vec::new()
        } else {
            self.said("no gain", "nothing came through to the gate")
        }
    }

    fn test(&self, test: &TestOpened) -> Vec<String> {
        let text = format!(
            "{} to {}, {} {}, {} over {}: {}",
            percent(test.baseline.score),
            percent(test.winner.score),
            points(test.comparison.difference),
            signed_interval(&test.comparison.interval),
            p_value(test.comparison.p_value),
            plural(test.comparison.rows.len(), "row"),
            if test.shown { "better" } else { "not shown to be better" },
        );
        let word = if test.shown { self.paint.good("test") } else { self.paint.open("test") };
        let mut lines = vec![String::new()];
        lines.extend(self.under(word.to_string(), "", &text));
        lines
    }

    fn name(&self, candidate: &str) -> String {
        self.made_by.get(candidate).cloned().unwrap_or_else(|| candidate.to_owned())
    }

    fn said(&self, head: &str, text: &str) -> Vec<String> {
        self.under(self.paint.dim(head).to_string(), "", text)
    }

    /// What can be passed over.
    fn passed_over(&self, head: &str, number: &str, text: &str) -> Vec<String> {
        self.under(head.to_owned(), number, text).into_iter().map(|line| self.paint.dim(line).to_string()).collect()
    }

    /// `text` beside `head`, which may be coloured, and `number`, which may be empty.
    fn under(&self, head: String, number: &str, text: &str) -> Vec<String> {
        let number = if number.is_empty() { String::new() } else { format!("{number:>6}  ") };
        let room = self.width.saturating_sub(HEAD + 2 + number.len()).max(20);
        let pad = " ".repeat(HEAD.saturating_sub(console::measure_text_width(&head)));
        let mut start = format!("{pad}{head}  {number}");
        let indent = " ".repeat(HEAD + 2 + number.len());
        let mut lines = Vec::new();
        for line in wrapped(&one_line(text, usize::MAX), room, "") {
            lines.push(format!("{start}{line}"));
            start.clone_from(&indent);
        }
        lines
    }
}

/// Lines that a unified diff adds and removes.
fn changed_lines(diff: &str) -> (usize, usize) {
    let count = |sign: char, header: &str| {
        diff.lines().filter(|line| line.starts_with(sign) && !line.starts_with(header)).count()
    };
    (count('+', "+++ "), count('-', "--- "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prompt_ratchet::run::read_events;

    use super::*;

    fn told(width: usize) -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run-format-1");
        let mut narration = Narration::new(Paint::none(), width);
        read_events(&folder).unwrap().iter().flat_map(|event| narration.lines(event)).collect()
    }

    #[test]
    fn a_run_is_told_in_few_lines() {
        insta::assert_snapshot!(told(80).join("\n"));
    }

    #[test]
    fn a_candidate_that_waited_for_the_gate_is_named_with_its_generation() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run-format-1");
        let mut narration = Narration::new(Paint::none(), 200);
        let mut told = Vec::new();
        for mut event in read_events(&folder).unwrap() {
            if let Event::Judged(judged) = &mut event {
                judged.generation += 1;
                told.extend(narration.lines(&event));
            } else {
                narration.lines(&event);
            }
        }
        assert!(told[0].contains(" of generation 1: "), "{told:?}");
    }

    #[test]
    fn lines_fit_the_terminal() {
        for line in told(80) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn headers_of_a_diff_are_no_changes() {
        assert_eq!(changed_lines("--- a/p\n+++ b/p\n@@ -1 +1,2 @@\n-old\n+new\n+er\n"), (2, 1));
    }
}
