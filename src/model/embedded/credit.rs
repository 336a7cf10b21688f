//! Which field of an answer a word tells about. Where answers have several fields, a word of the input that goes with the
//! value of one (`und` with a language) goes with the values of the others by chance, and in few examples chance looks
//! like evidence. So a word counts for a field by how much it tells about it beside what it tells about the others.

use std::collections::BTreeMap;

/// How much a word that stands in the examples `with` (as places) counts for the field whose values are `own`, in [0, 1]:
/// the square of the information that it gives about the field over the most that it gives about any field. 1 where there
/// are no `rivals`, the values of the other fields, example by example.
pub(super) fn share(with: &[usize], own: &[usize], rivals: &[Vec<usize>]) -> f64 {
    let most = rivals.iter().map(|values| information(with, values)).fold(0.0, f64::max);
    if most <= 0.0 {
        return 1.0;
    }
    (information(with, own) / most).clamp(0.0, 1.0).powi(2)
}

/// Mutual information, in nats, of "the example has the word" and a field's value (Shannon 1948).
fn information(with: &[usize], values: &[usize]) -> f64 {
    let mut counts: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for value in values {
        counts.entry(*value).or_default().1 += 1.0;
    }
    for value in with.iter().filter_map(|at| values.get(*at)) {
        counts.entry(*value).or_default().0 += 1.0;
    }
    let (total, present) = (values.len() as f64, with.len() as f64);
    let term = |both: f64, of_word: f64, of_value: f64| {
        if both > 0.0 { both / total * (both * total / (of_word * of_value)).ln() } else { 0.0 }
    };
    counts
        .values()
        .map(|(both, of_value)| term(*both, present, *of_value) + term(of_value - both, total - present, *of_value))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_is_none_of_independent_things_and_all_of_the_same() {
        assert!(information(&[0, 2], &[0, 0, 1, 1]).abs() < 1e-12);
        assert!((information(&[0, 1], &[0, 0, 1, 1]) - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(information(&[], &[]), 0.0);
    }

    #[test]
    fn a_word_counts_for_the_field_that_it_tells_about() {
        let (tongue, topic) = (vec![0, 0, 0, 1, 1, 1], vec![0, 0, 1, 0, 1, 1]);
        let und = [0, 1, 2];
        assert_eq!(share(&und, &tongue, std::slice::from_ref(&topic)), 1.0);
        assert!(share(&und, &topic, std::slice::from_ref(&tongue)) < 0.01);
        assert_eq!(share(&und, &topic, &[]), 1.0);
    }
}
