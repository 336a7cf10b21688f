//! The passing rows next to a cluster: [`neighbours`].

use crate::dataset::Example;
use crate::text::Tfidf;

/// The passing rows most like the failing rows of a cluster, as indices into `passing`, the most alike first, at most
/// `limit`: what an edit for the cluster is most likely to break. Alike by the mean cosine similarity to the failing
/// rows over TF-IDF of the inputs; of equals the smaller id comes first.
pub fn neighbours(failing: &[&Example], passing: &[&Example], limit: usize) -> Vec<usize> {
    // Sums are taken in one order, so that their last digits don't depend on the caller's.
    let mut failing = failing.to_vec();
    failing.sort_by(|left, right| left.id.cmp(&right.id));
    let texts: Vec<String> = failing.iter().chain(passing).map(|example| example.input_text()).collect();
    let (failing_texts, passing_texts) = texts.split_at(failing.len());
    let tfidf = Tfidf::fit(&texts);
    // The mean of the similarities is, but for a factor, the similarity to the sum.
    let mut sum = vec![0.0_f64; tfidf.features()];
    for text in failing_texts {
        for (feature, weight) in tfidf.vector(text).entries() {
            sum[*feature as usize] += f64::from(*weight);
        }
    }
    let similarity = |text: &String| {
        tfidf.vector(text).entries().iter().map(|(feature, weight)| sum[*feature as usize] * f64::from(*weight)).sum()
    };
    let mut ranked: Vec<(f64, usize)> = passing_texts.iter().map(similarity).zip(0..).collect();
    ranked.sort_by(|(left, left_at), (right, right_at)| {
        right.total_cmp(left).then_with(|| passing[*left_at].id.cmp(&passing[*right_at].id))
    });
    ranked.into_iter().take(limit).map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::samples::example;
    use super::*;

    fn rows(texts: &[&str]) -> Vec<Example> {
        texts.iter().enumerate().map(|(at, text)| example(&format!("row{at}"), text, Value::Null)).collect()
    }

    fn nearest(failing: &[&str], passing: &[&str], limit: usize) -> Vec<usize> {
        let (failing, passing) = (rows(failing), rows(passing));
        neighbours(&failing.iter().collect::<Vec<_>>(), &passing.iter().collect::<Vec<_>>(), limit)
    }

    #[test]
    fn the_most_alike_come_first_and_no_more_than_asked_for() {
        let failing = ["refund the double charge", "charged twice, refund one charge"];
        let passing = ["the app crashes", "a refund for a charge, please", "charge my phone"];
        assert_eq!(nearest(&failing, &passing, 2), [1, 2]);
        assert_eq!(nearest(&failing, &passing, 9).len(), 3);
        assert!(nearest(&failing, &[], 3).is_empty());
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_equals_come_by_id() {
        let failing = ["refund the double charge", "charged twice", "twice refunded"];
        let mut reversed = rows(&failing);
        reversed.reverse();
        let passing = rows(&["charge", "same words here", "same words here", "refund twice"]);
        let passing: Vec<&Example> = passing.iter().collect();
        let forward = nearest(&failing, &["charge", "same words here", "same words here", "refund twice"], 4);
        assert_eq!(neighbours(&reversed.iter().collect::<Vec<_>>(), &passing, 4), forward);
        assert_eq!(forward[2..], [1, 2]);
    }
}
