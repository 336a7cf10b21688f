//! How numbers are written for people: scores in per cent, differences in points (a hundredth each).

use crate::model::{Amount, Spend};
use crate::money::Money;
use crate::run::{Spent, Verdict};
use crate::stats::Interval;
pub use crate::text::{count, plural};

/// A score in [0, 1], as `61.2 %`.
pub fn percent(score: f64) -> String {
    format!("{:.1} %", 100.0 * score)
}

/// A difference in [-1, 1], as `+6.9 points`.
pub fn points(difference: f64) -> String {
    format!("{} points", signed(difference))
}

/// A difference in [-1, 1] in points with its sign, as `+6.9`; zero has none.
pub fn signed(difference: f64) -> String {
    let text = format!("{:+.1}", 100.0 * difference);
    match text.as_str() {
        "+0.0" | "-0.0" => "0.0".to_owned(),
        _ => text,
    }
}

/// The interval of a score, in per cent: `[53.4, 68.5]`.
pub fn interval(interval: &Interval) -> String {
    format!("[{:.1}, {:.1}]", 100.0 * interval.low, 100.0 * interval.high)
}

/// The interval of a difference, in points: `[+1.2, +11.4]`. An end that only rounds to zero keeps its sign, since on which
/// side it lies decides whether a difference is shown.
pub fn signed_interval(interval: &Interval) -> String {
    let end = |end: f64| if end == 0.0 { signed(end) } else { format!("{:+.1}", 100.0 * end) };
    format!("[{}, {}]", end(interval.low), end(interval.high))
}

/// `p = 0.012`, or `p < 0.001`.
pub fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}

/// E-values from here on are not told any closer: they soon have hundreds of digits.
const MUCH: f64 = 10_000.0;

/// What fresh samples say of a verdict, as `; 2 fresh samples of each flipped row, e-value 40.2 where 32.9 are needed`, which is
/// one in the error rate spent on its generation; nothing where there were none.
pub fn evidence(verdict: &Verdict) -> String {
    let samples = match verdict.samples {
        0 => return String::new(),
        samples => format!("; {} of each flipped row", plural(samples as usize, "fresh sample")),
    };
    match (verdict.e_value, verdict.alpha) {
        (Some(e_value), Some(alpha)) if alpha > 0.0 => {
            let e_value = if e_value < MUCH { format!("{e_value:.1}") } else { format!("over {MUCH}") };
            format!("{samples}, e-value {e_value} where {:.1} are needed", 1.0 / alpha)
        }
        _ => samples,
    }
}

/// Names with how often each comes, in the order in which they first come: `add-rule + define-boundary x2`.
pub fn tally<S: AsRef<str>>(names: &[S], separator: &str) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for name in names.iter().map(AsRef::as_ref) {
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let words: Vec<String> = counts
        .into_iter()
        .map(|(name, count)| if count == 1 { name.to_owned() } else { format!("{name} x{count}") })
        .collect();
    words.join(separator)
}

/// `0.4 s`, `12 s`, `3 min 5 s`, `2 h 4 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// What was paid: `$0.0123`, and that the price is unknown where it is, of some calls or of all.
pub fn cost(spend: &Spend) -> String {
    let total = spend.total();
    match total.unpriced {
        0 => total.cost.to_string(),
        unpriced if unpriced == total.live && total.tokens_in + total.tokens_out == 0 => {
            "cost unknown (the provider counts no tokens)".to_owned()
        }
        unpriced if unpriced == total.live => "cost unknown (no price is configured)".to_owned(),
        unpriced => format!("{} and {} of unknown cost", total.cost, plural(unpriced as usize, "call")),
    }
}

/// What a run has paid, and what attempts without an answer count as that may have been billed: `$0.0123, and up to
/// $0.0040 for 3 attempts without an answer`.
pub fn paid(spent: &Spent) -> String {
    let cost = cost(&spent.spend);
    match lost_in_words(spent.lost_total()) {
        Some(lost) => format!("{cost}, and {lost}"),
        None => cost,
    }
}

/// What attempts without an answer count as, where there were some: `up to $0.0040 for 3 attempts without an answer`.
pub fn lost_in_words(lost: Amount) -> Option<String> {
    let attempts = format!("{} without an answer", plural(lost.calls as usize, "attempt"));
    let words = if lost.money == Money::ZERO { attempts } else { format!("up to {} for {attempts}", lost.money) };
    (lost.calls > 0).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(percent(0.6125), "61.3 %");
        assert_eq!(
            (points(0.069), points(-0.069), points(-0.000_1)),
            ("+6.9 points".into(), "-6.9 points".into(), "0.0 points".into())
        );
        let ends = |low, high| signed_interval(&Interval { low, high });
        assert_eq!([ends(-0.000_4, 0.099), ends(0.0, 0.1)], ["[-0.0, +9.9]", "[0.0, +10.0]"]);
        assert_eq!(tally(&["b", "a", "b"], " + "), "b x2 + a");
        assert_eq!((p_value(0.0004), p_value(0.0123)), ("p < 0.001".into(), "p = 0.012".into()));
        assert_eq!([0.44, 59.6, 185.0, 7_440.0].map(duration), ["0.4 s", "1 min 0 s", "3 min 5 s", "2 h 4 min"]);
    }

    #[test]
    fn what_a_verdict_rests_on_besides_first_draws_is_told_with_what_it_takes() {
        let verdict = |samples: u32| {
            let verdict = serde_json::json!({
                "decision": "kept", "reason": "", "rows": 100, "missing": 0, "fixed": 8, "broken": 1, "difference": 0.07,
                "standard_error": 0.03, "p_value": 0.04, "samples": samples, "e_value": 40.24, "alpha": 0.0304,
            });
            evidence(&serde_json::from_value(verdict).unwrap())
        };
        assert_eq!(verdict(0), "");
        assert_eq!(verdict(2), "; 2 fresh samples of each flipped row, e-value 40.2 where 32.9 are needed");
    }

    #[test]
    fn an_unknown_price_is_said_and_not_taken_for_nothing() {
        use crate::model::{ModelRole, RoleSpend};
        let spend = |live, unpriced, tokens_in| {
            let role = RoleSpend { live, unpriced, tokens_in, ..RoleSpend::default() };
            Spend { roles: [(ModelRole::Task, role)].into() }
        };
        assert_eq!(cost(&spend(3, 0, 9)), "$0.0000");
        assert_eq!(cost(&spend(3, 3, 9)), "cost unknown (no price is configured)");
        assert_eq!(cost(&spend(3, 3, 0)), "cost unknown (the provider counts no tokens)");
        assert_eq!(cost(&spend(3, 1, 9)), "$0.0000 and 1 call of unknown cost");
    }

    #[test]
    fn what_attempts_without_an_answer_count_as_stands_beside_what_was_paid() {
        use crate::model::ModelRole;
        let lost = |calls, dollars| {
            let amount = Amount { calls, money: Money::from_dollars(dollars), ..Amount::default() };
            paid(&Spent { lost: [(ModelRole::Task, amount), (ModelRole::Judge, amount)].into(), ..Spent::default() })
        };
        assert_eq!(lost(0, 0.0), "$0.0000");
        assert_eq!(lost(3, 0.01), "$0.0000, and up to $0.0200 for 6 attempts without an answer");
        assert_eq!(lost(1, 0.0), "$0.0000, and 2 attempts without an answer");
    }
}
