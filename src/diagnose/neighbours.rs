//! The passing rows next to a cluster: [`neighbours`].

use super::vectors::Vectoriser;
use crate::dataset::Example;

/// The passing rows most like the failing rows of a cluster, as indices into `passing`, the most alike first, at most
/// `limit`: what an edit for the cluster is most likely to break. Alike by the mean cosine similarity to the failing
/// rows over TF-IDF of the inputs; of equals the smaller id comes first.
pub fn neighbours(failing: &[&Example], passing: &[&Example], limit: usize) -> Vec<usize> {
    // Sums are taken in one order, so that their last digits don't depend on the caller's.
    let mut failing = failing.to_vec();
    failing.sort_by(|left, right| left.id.cmp(&right.id));
    let texts: Vec<String> = failing.iter().chain(passing).map(|example| example.input_text()).collect();
    let (failing_texts, passing_texts) = texts.split_at(failing.len());
    let vectoriser = Vectoriser::fit(texts.iter().map(String::as_str));
    // The mean of the similarities is, but for a factor, the similarity to the sum.
    let mut sum = vec![0.0_f64; vectoriser.dimensions()];
    for text in failing_texts {
        for (dimension, weight) in vectoriser.vector(text) {
            sum[dimension as usize] += f64::from(weight);
        }
    }
    let similarity = |text: &String| {
        vectoriser.vector(text).iter().map(|(dimension, weight)| sum[*dimension as usize] * f64::from(*weight)).sum()
    };
    let mut ranked: Vec<(f64, usize)> = passing_texts.iter().map(similarity).zip(0..).collect();
    ranked.sort_by(|(left, left_at), (right, right_at)| {
        right.total_cmp(left).then_with(|| passing[*left_at].id.cmp(&passing[*right_at].id))
    });
    ranked.into_iter().take(limit).map(|(_, at)| at).collect()
}
