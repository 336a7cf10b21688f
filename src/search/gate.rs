//! The ratchet rule, as pure decisions over measured outcomes.
//!
//! Two doubts are answered apart. *Will it hold on new rows?* One question a generation on dev rows that the proposer
//! never saw: the gain must exceed its own standard error (the parameter-free Ladder: Blum and Hardt, "The Ladder: a
//! reliable leaderboard for machine learning competitions", ICML 2015). *Is it the model's noise?* The rows that flipped
//! are sampled afresh, equally often in both arms, until an e-process rejects "both arms answer alike" at the error rate
//! spent on this generation, or the samples are used up; and the gain must hold on those samples.
//!
//! A question may end at half of dev, where that shows a loss: it can only be refused there, never kept, so that stopping
//! for futility costs no error rate (Lan and Wittes, Biometrics 44, 1988).

use std::collections::BTreeMap;

use super::settings::GateSettings;
use crate::eval::{Comparison, OneArmed, Outcome};
use crate::run::{Decision, Verdict};
use crate::stats::{EProcess, mean, rows_needed};
use crate::text::plural;

/// Share of rows that may be missing before a comparison says nothing.
pub const MISSING_SHARE: f64 = 0.1;

/// What to do after the first look.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FirstLook {
    /// Decided.
    Decided(Verdict),
    /// Ahead so far, on a model that may be noisy: sample the flipped rows afresh.
    Confirm,
}

/// A verdict on `comparison`, with its numbers.
pub(super) fn verdict(decision: Decision, reason: String, comparison: &Comparison) -> Verdict {
    let changes = comparison.changes();
    Verdict {
        decision,
        reason,
        rows: comparison.rows.len(),
        missing: comparison.missing,
        fixed: changes.fixed,
        broken: changes.broken,
        improved: changes.improved,
        worsened: changes.worsened,
        difference: comparison.difference,
        standard_error: comparison.standard_error,
        p_value: comparison.p_value,
        samples: 0,
        e_value: None,
        alpha: None,
    }
}

/// The rule on half of dev: a candidate that loses there is refused without the other half, which would seldom turn the
/// loss into a gain above its standard error.
pub(super) fn halfway(half: &Comparison, of: usize) -> Option<Verdict> {
    if misses_too_many(half) || half.difference >= 0.0 {
        return None;
    }
    let reason = format!("no gain on dev: {} on the first {} of {of} rows", points(half.difference), half.rows.len());
    Some(verdict(Decision::Rejected, reason, half))
}

/// The rule on the first samples: missing rows, then the Ladder. `tokens_saved` is how much shorter the candidate's
/// prompt is; a tie goes to the shorter, where some row scores: else nothing could have been lost.
pub(super) fn first_look(
    comparison: &Comparison,
    settings: &GateSettings,
    deterministic: bool,
    tokens_saved: i64,
) -> FirstLook {
    let rows = comparison.rows.len();
    if misses_too_many(comparison) {
        let reason = format!("{} of {} rows could not run", comparison.missing, rows + comparison.missing);
        return FirstLook::Decided(verdict(Decision::Undecided, reason, comparison));
    }
    let gain = comparison.difference;
    // Few rows may differ by luck; a judge's noise is known better than they tell.
    let standard_error = comparison.standard_error.max((settings.judge_noise / rows as f64).sqrt());
    let needed = settings.min_gain.max(settings.standard_errors * standard_error);
    if gain <= 0.0 && !(gain == 0.0 && comparison.broken() == 0 && tokens_saved > 0) {
        let reason = format!("no gain on dev: {}", points(gain));
        return FirstLook::Decided(verdict(Decision::Rejected, reason, comparison));
    }
    if gain == 0.0 && comparison.after <= 0.0 {
        let reason = "no dev row scores anything, so none shows that the shorter prompt is as good".to_owned();
        return FirstLook::Decided(verdict(Decision::Undecided, reason, comparison));
    }
    if gain == 0.0 && comparison.at_worst() < 0.0 {
        return FirstLook::Decided(verdict(Decision::Undecided, one_armed(comparison), comparison));
    }
    if gain == 0.0 {
        let reason = format!("the same score with {} less", plural(tokens_saved.unsigned_abs() as usize, "token"));
        return FirstLook::Decided(verdict(Decision::Kept, reason, comparison));
    }
    if gain <= needed {
        let sd = standard_error * (rows as f64).sqrt();
        let rows_to_decide =
            if gain > settings.min_gain { (settings.standard_errors * sd / gain).powi(2).ceil() } else { 0.0 };
        let [gain, needed] = apart(gain, needed);
        let mut reason = format!("gain of {gain} points is not above {needed} points");
        if rows_to_decide > rows as f64 {
            reason += &format!("; about {rows_to_decide} dev rows would decide");
        }
        return FirstLook::Decided(verdict(Decision::Undecided, reason, comparison));
    }
    if rests_on_one_arm(comparison, needed) {
        return FirstLook::Decided(verdict(Decision::Undecided, one_armed(comparison), comparison));
    }
    if deterministic {
        let reason = format!("gain of {} is above {}", points(gain), points(needed));
        return FirstLook::Decided(verdict(Decision::Kept, reason, comparison));
    }
    FirstLook::Confirm
}

/// Share of the gain first seen that fresh samples must find again.
const HOLDS: f64 = 0.5;

/// Fresh samples after which a gain that doesn't hold is given up.
const PATIENCE: u32 = 3;

/// Whether the gain would not be above `needed`, were rows that ran in one arm only to go against it: a prompt must not win by
/// rows that it can't answer.
fn rests_on_one_arm(comparison: &Comparison, needed: f64) -> bool {
    comparison.one_armed.at_stake > 0.0 && comparison.at_worst() <= needed
}

fn one_armed(comparison: &Comparison) -> String {
    let OneArmed { before, after, .. } = comparison.one_armed;
    let arm = match (before, after) {
        (0, after) => format!("{after} with the candidate"),
        (before, 0) => format!("{before} with the incumbent"),
        (before, after) => format!("{before} with the incumbent, {after} with the candidate"),
    };
    format!(
        "gain of {} rests on rows that could not run in one arm ({arm}): with them against it, it is {}",
        points(comparison.difference),
        points(comparison.at_worst())
    )
}

/// Whether the sealed test shows a gain: the whole interval lies above zero, also were the rows that ran in one arm only to
/// go against the winner, and few are missing.
pub(super) fn shows_gain(comparison: &Comparison) -> bool {
    !misses_too_many(comparison) && comparison.interval.low - comparison.one_armed.at_stake > 0.0
}

/// The fresh samples of the flipped rows, as evidence that the rows which flipped do so again. Where both arms answer
/// alike, a fresh difference goes either way with the same chance, whatever was seen first; so every difference that goes
/// the way of the first look is a bet won at even odds.
pub(super) struct Confirmation {
    alpha: f64,
    process: EProcess,
    samples: u32,
    /// The gain at the first look.
    first: f64,
    /// Rows of the comparison.
    rows: usize,
    /// The way that each row went at the first look.
    ups: BTreeMap<String, bool>,
    /// Sum of (after - before) and number of pairs that ran, by row.
    gains: BTreeMap<String, (f64, u32)>,
    /// Pairs of which one or both could not run.
    missing: usize,
    /// The gain on each sample, where the rows' own don't say it.
    scores: Vec<f64>,
}

impl Confirmation {
    /// Evidence on the gain of `comparison`, to be gathered at error rate `alpha`.
    pub fn new(alpha: f64, comparison: &Comparison) -> Self {
        Self {
            alpha,
            process: EProcess::new(),
            samples: 0,
            first: comparison.difference,
            rows: comparison.rows.len(),
            ups: comparison.rows.iter().map(|row| (row.id.clone(), row.after > row.before)).collect(),
            gains: BTreeMap::new(),
            missing: 0,
            scores: Vec::new(),
        }
    }

    /// Takes in one fresh sample of the flipped rows in both arms, paired in row order, and the gain in score with it,
    /// where that isn't the mean of the rows'.
    pub fn observe(&mut self, before: &[Outcome], after: &[Outcome], of_score: Option<f64>) {
        self.samples += 1;
        self.scores.extend(of_score);
        for (old, new) in before.iter().zip(after) {
            let (Some(old_value), Some(new_value)) = (old.value(), new.value()) else {
                self.missing += 1;
                continue;
            };
            let gain = self.gains.entry(old.example.id.clone()).or_default();
            *gain = (gain.0 + new_value - old_value, gain.1 + 1);
            if old_value != new_value {
                let up = self.ups.get(&old.example.id).copied().unwrap_or(true);
                self.process.observe((new_value > old_value) == up);
            }
        }
    }

    /// Whether the gain is shown to be more than noise.
    pub fn is_shown(&self) -> bool {
        self.process.rejects(self.alpha) && self.fresh_gain() >= HOLDS * self.first
    }

    /// Whether further samples are a waste: the gain is gone, or it has had its chance to hold.
    pub fn is_futile(&self) -> bool {
        let fresh = self.fresh_gain();
        self.misses_too_many()
            || self.samples > 0 && fresh <= 0.0
            || self.samples >= PATIENCE && fresh < HOLDS * self.first
    }

    /// Pairs that ran.
    fn ran(&self) -> usize {
        self.gains.values().map(|(_, pairs)| *pairs as usize).sum()
    }

    /// Whether so many pairs are missing that the others say nothing.
    fn misses_too_many(&self) -> bool {
        self.missing as f64 > MISSING_SHARE * (self.ran() + self.missing) as f64
    }

    /// Mean gain over all rows on the fresh samples.
    fn fresh_gain(&self) -> f64 {
        if let Some(gain) = mean(&self.scores) {
            return gain;
        }
        let sum: f64 = self.gains.values().map(|(sum, pairs)| sum / f64::from((*pairs).max(1))).sum();
        sum / self.rows.max(1) as f64
    }

    /// The verdict once it is shown, or the samples are used up.
    pub fn verdict(&self, comparison: &Comparison, settings: &GateSettings) -> Verdict {
        let fresh = self.fresh_gain();
        let (decision, reason) = if self.samples == 0 {
            let reason = format!("gain of {}, and no calls are left for fresh samples", points(comparison.difference));
            (Decision::Undecided, reason)
        } else if self.misses_too_many() {
            let pairs = self.ran() + self.missing;
            (Decision::Undecided, format!("{} of {pairs} pairs of fresh samples could not run", self.missing))
        } else if self.is_shown() && fresh > settings.min_gain {
            let reason =
                format!("gain of {} holds on fresh samples ({})", points(comparison.difference), points(fresh));
            (Decision::Kept, reason)
        } else if fresh <= settings.min_gain {
            let reason =
                format!("the gain of {} was noise: {} on fresh samples", points(comparison.difference), points(fresh));
            (Decision::Rejected, reason)
        } else {
            let reason = format!(
                "gain of {} fell to {} on {}, which can't be told from noise; more dev rows would decide",
                points(comparison.difference),
                points(fresh),
                plural(self.samples as usize, "fresh sample")
            );
            (Decision::Undecided, reason)
        };
        Verdict {
            samples: self.samples,
            e_value: Some(self.process.e_value()),
            alpha: Some(self.alpha),
            ..verdict(decision, reason, comparison)
        }
    }
}

/// Whether so many rows are missing that the comparison says nothing.
pub(super) fn misses_too_many(comparison: &Comparison) -> bool {
    let rows = comparison.rows.len();
    rows == 0 || comparison.missing as f64 > MISSING_SHARE * (rows + comparison.missing) as f64
}

/// Fresh samples that a guarded row which seems to break is given before it vetoes: more the more rows are guarded, so
/// that one unlucky draw among many neither breaks nor jams the ratchet. 3 for one row, 7 for twenty, always odd.
pub(super) fn guard_samples(guarded: usize) -> u32 {
    let doublings = (guarded.max(1) as f64).log2().ceil() as u32;
    3 + 2 * (doublings / 2)
}

/// Whether a guarded row is confirmed as broken by fresh samples: more than half of them are failed by the candidate beyond
/// those that the incumbent fails. A row that passed once by luck is no requirement, and one that passes three times in four
/// whatever the prompt seldom vetoes: by twenty such rows, one candidate in 20 is refused. A sample that can't run is failed.
pub(super) fn is_confirmed_broken(before: &[Option<f64>], after: &[Option<f64>], pass_threshold: f64) -> bool {
    let failed =
        |values: &[Option<f64>]| values.iter().filter(|value| value.is_none_or(|of| of < pass_threshold)).count();
    2 * failed(after).saturating_sub(failed(before)) > after.len()
}

/// `+3.2 points`: a difference of mean values in hundredths. Zero has no sign.
pub(super) fn points(difference: f64) -> String {
    format!("{} points", signed(difference, 1))
}

fn signed(difference: f64, decimals: usize) -> String {
    let text = format!("{:+.decimals$}", 100.0 * difference);
    if text.contains(|digit: char| matches!(digit, '1'..='9')) { text } else { text[1..].to_owned() }
}

/// Two differences in hundredths, with as many decimals as it takes to tell them apart.
fn apart(one: f64, other: f64) -> [String; 2] {
    let with = |decimals| [one, other].map(|number| signed(number, decimals));
    (1..4).map(with).find(|[one, other]| one != other).unwrap_or_else(|| with(1))
}

/// About how many rows would show a difference of this size at 95 % with 80 % power; 0 where none would, or where fewer than
/// there are would on average, so that luck was against it.
pub(super) fn rows_to_show(comparison: &Comparison) -> u64 {
    if comparison.difference <= 0.0 || comparison.standard_error <= 0.0 {
        return 0;
    }
    let sd = comparison.standard_error * (comparison.rows.len() as f64).sqrt();
    let needed = rows_needed(comparison.difference, sd, 0.95, 0.8);
    if needed > comparison.rows.len() as u64 { needed } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::{comparison, outcome};
    use crate::eval::{Change, PairedRow};
    use crate::model::CallError;

    fn decided(comparison: &Comparison, saved: i64) -> (Decision, String) {
        match first_look(comparison, &GateSettings::default(), true, saved) {
            FirstLook::Decided(verdict) => (verdict.decision, verdict.reason),
            FirstLook::Confirm => panic!("a deterministic target needs no confirmation"),
        }
    }

    fn outcomes(values: &[f64]) -> Vec<Outcome> {
        values.iter().enumerate().map(|(row, value)| outcome(row, *value)).collect()
    }

    #[test]
    fn a_gain_above_its_standard_error_is_kept_and_one_below_is_undecided_with_the_rows_it_takes() {
        assert_eq!(decided(&comparison(100, 9, 2, 0), 0).0, Decision::Kept);
        let (decision, reason) = decided(&comparison(100, 5, 4, 0), 0);
        assert_eq!(decision, Decision::Undecided);
        assert!(reason.contains("900 dev rows would decide") || reason.contains("909 dev rows"), "{reason}");
    }

    #[test]
    fn a_gain_below_what_a_judges_noise_alone_would_show_is_undecided() {
        // Nine rows of 100 fixed, two broken: 7 points with a standard error of 3.3.
        let noisy = |judge_noise: f64| {
            let settings = GateSettings { judge_noise, ..GateSettings::default() };
            match first_look(&comparison(100, 9, 2, 0), &settings, true, 0) {
                FirstLook::Decided(verdict) => verdict.decision,
                FirstLook::Confirm => panic!("a deterministic target needs no confirmation"),
            }
        };
        assert_eq!([0.0, 0.1, 0.4, 0.6].map(noisy)[..3], [Decision::Kept; 3]);
        assert_eq!(noisy(0.6), Decision::Undecided);
    }

    #[test]
    fn no_gain_is_rejected_but_a_tie_goes_to_the_shorter_prompt() {
        assert_eq!(decided(&comparison(100, 2, 5, 0), 0).0, Decision::Rejected);
        assert_eq!(decided(&comparison(100, 0, 0, 0), 0).0, Decision::Rejected);
        assert_eq!(decided(&comparison(100, 0, 0, 0), 12).0, Decision::Kept);
        assert_eq!(decided(&comparison(100, 3, 3, 0), 12).0, Decision::Rejected);
    }

    #[test]
    fn half_of_dev_refuses_a_loss_and_decides_nothing_else() {
        let refused = halfway(&comparison(50, 2, 4, 0), 100).unwrap();
        assert_eq!((refused.decision, refused.rows), (Decision::Rejected, 50));
        assert_eq!(refused.reason, "no gain on dev: -4.0 points on the first 50 of 100 rows");
        assert_eq!(halfway(&comparison(50, 3, 3, 0), 100), None);
        assert_eq!(halfway(&comparison(50, 9, 0, 0), 100), None);
        assert_eq!(halfway(&comparison(40, 0, 9, 10), 100), None, "too many rows are missing");
    }

    #[test]
    fn too_many_missing_rows_decide_nothing_whatever_the_gain() {
        let (decision, reason) = decided(&comparison(80, 30, 0, 20), 0);
        assert_eq!(decision, Decision::Undecided);
        assert!(reason.contains("20 of 100 rows could not run"), "{reason}");
    }

    #[test]
    fn a_gain_that_rests_on_rows_which_only_one_arm_could_run_is_undecided() {
        // 13 of 100 rows fixed, 4 broken: 9 points with a standard error of 4.
        let with = |after: usize, at_stake: f64| {
            let one_armed = OneArmed { before: 0, after, at_stake };
            Comparison { one_armed, ..comparison(100, 13, 4, after) }
        };
        assert_eq!(decided(&with(2, 0.02), 0).0, Decision::Kept, "two rows don't matter");
        let (decision, reason) = decided(&with(8, 0.08), 0);
        assert_eq!(decision, Decision::Undecided);
        assert!(reason.contains("could not run in one arm (8 with the candidate)"), "{reason}");
        assert!(reason.ends_with("it is +1.0 points"), "{reason}");
        let one_armed = OneArmed { before: 0, after: 3, at_stake: 0.03 };
        let tie = Comparison { one_armed, ..comparison(97, 0, 0, 3) };
        assert_eq!(decided(&tie, 12).0, Decision::Undecided, "shorter, but three rows can't be run with it");
    }

    #[test]
    fn the_sealed_test_shows_no_gain_by_rows_that_are_missing() {
        let with = |missing: usize, at_stake: f64| {
            let one_armed = OneArmed { before: 0, after: missing, at_stake };
            Comparison { one_armed, ..comparison(100, 30, 4, missing) }
        };
        assert!(shows_gain(&with(0, 0.0)) && shows_gain(&with(3, 0.03)));
        assert!(!shows_gain(&with(11, 0.2)), "the winner may have failed them");
        assert!(!shows_gain(&with(20, 0.0)), "too many");
    }

    #[test]
    fn fresh_samples_that_were_not_drawn_or_could_not_run_are_no_noise() {
        let first = comparison(100, 9, 1, 0);
        let settings = GateSettings::default();
        let none = Confirmation::new(0.03, &first).verdict(&first, &settings);
        assert_eq!((none.decision, none.samples), (Decision::Undecided, 0));
        assert!(none.reason.contains("no calls are left"), "{}", none.reason);

        let mut failed = outcomes(&[1.0; 10]);
        failed.iter_mut().for_each(|outcome| outcome.result = Err(CallError::Rejected("no".into()).into()));
        let mut evidence = Confirmation::new(0.03, &first);
        evidence.observe(&outcomes(&[0.0; 10]), &failed, None);
        assert!(evidence.is_futile(), "asking again is a waste");
        let verdict = evidence.verdict(&first, &settings);
        assert_eq!(verdict.decision, Decision::Undecided);
        assert!(verdict.reason.contains("10 of 10 pairs of fresh samples could not run"), "{}", verdict.reason);
    }

    #[test]
    fn a_model_that_may_be_noisy_is_asked_again_before_a_gain_is_kept() {
        let look = first_look(&comparison(100, 9, 2, 0), &GateSettings::default(), false, 0);
        assert_eq!(look, FirstLook::Confirm);
    }

    #[test]
    fn a_gain_that_holds_on_fresh_samples_is_shown_and_one_that_vanishes_was_noise() {
        let first = comparison(100, 9, 1, 0);
        let mut real = Confirmation::new(0.03, &first);
        let again = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let (before, after) = (outcomes(&again), outcomes(&again.map(|value| 1.0 - value)));
        real.observe(&before, &after, None);
        assert!(real.is_shown());
        let verdict = real.verdict(&first, &GateSettings::default());
        assert_eq!((verdict.decision, verdict.samples), (Decision::Kept, 1));
        assert!(verdict.e_value.unwrap() >= 1.0 / 0.03);

        let mut noise = Confirmation::new(0.03, &first);
        for _ in 0..8 {
            noise.observe(&outcomes(&[0.0, 1.0, 0.0, 1.0]), &outcomes(&[1.0, 0.0, 1.0, 0.0]), None);
        }
        assert!(!noise.is_shown());
        assert_eq!(noise.verdict(&first, &GateSettings::default()).decision, Decision::Rejected);
    }

    #[test]
    fn a_tie_goes_to_the_shorter_prompt_only_where_something_could_have_been_lost() {
        let decision = |tie: &Comparison| match first_look(tie, &GateSettings::default(), true, 3) {
            FirstLook::Decided(verdict) => verdict.decision,
            FirstLook::Confirm => panic!("the model is deterministic"),
        };
        assert_eq!(decision(&comparison(40, 0, 0, 0)), Decision::Kept);
        let pair = |id: u32| PairedRow { id: id.to_string(), before: 0.0, after: 0.0, change: Change::Unchanged };
        let nothing = Comparison::of_rows((0..40).map(pair).collect(), &[1.0; 40], 0);
        assert_eq!(decision(&nothing), Decision::Undecided);
    }

    #[test]
    fn differences_are_told_apart_and_zero_has_no_sign() {
        assert_eq!(
            (points(0.0), points(-0.000_01), points(0.032)),
            ("0.0 points".into(), "0.0 points".into(), "+3.2 points".into())
        );
        assert_eq!(apart(0.017_01, 0.017_04), ["+1.701", "+1.704"]);
        assert_eq!(apart(0.01, 0.02), ["+1.0", "+2.0"]);
    }

    #[test]
    fn a_gain_in_a_score_that_is_no_mean_of_rows_has_to_hold_in_that_score() {
        let first = comparison(100, 9, 1, 0);
        let again: Vec<Outcome> = outcomes(&[0.0; 9]);
        let gained: Vec<Outcome> = outcomes(&[1.0; 9]);
        for (of_score, decision) in [(0.06, Decision::Kept), (-0.01, Decision::Rejected)] {
            let mut evidence = Confirmation::new(0.03, &first);
            evidence.observe(&again, &gained, Some(of_score));
            assert_eq!(evidence.is_shown(), decision == Decision::Kept);
            assert_eq!(evidence.verdict(&first, &GateSettings::default()).decision, decision);
        }
    }

    #[test]
    fn a_guarded_row_is_broken_only_if_most_fresh_draws_fail_and_the_incumbents_do_not() {
        let (pass, fail) = (Some(1.0), Some(0.0));
        assert!(is_confirmed_broken(&[pass, pass, pass], &[fail, fail, pass], 1.0));
        assert!(is_confirmed_broken(&[pass, pass, pass], &[None, None, pass], 1.0), "it can't be run any more");
        assert!(!is_confirmed_broken(&[pass, pass, pass], &[fail, pass, pass], 1.0));
        assert!(!is_confirmed_broken(&[pass, pass, fail], &[fail, fail, pass], 1.0), "a coin");
        // It passed once by luck: no requirement.
        assert!(!is_confirmed_broken(&[fail, fail, pass], &[fail, fail, fail], 1.0));
        assert!(!is_confirmed_broken(&[None, None], &[None, None], 1.0));
    }

    #[test]
    fn more_guarded_rows_get_more_samples() {
        assert_eq!([1, 2, 20, 100].map(guard_samples), [3, 3, 7, 9]);
    }
}
