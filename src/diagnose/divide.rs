//! Dividing a large group by similarity of text: [`divide`].
//!
//! Hierarchical clustering (average linkage on cosine distance) of a sample, a cut chosen by silhouette, all other
//! texts to the nearest centroid. A group without clear structure stays whole: two names for one failure only make a
//! proposer's work harder.

use kodama::{Dendrogram, Method, linkage};

use crate::digest::Digest;
use crate::text::{SparseVector, Tfidf};

/// Largest group that is never divided.
const NEVER_DIVIDED: usize = 12;
/// Largest group that is clustered as a whole; of a larger one, so many members are.
const SAMPLE: usize = 500;
/// Most parts, as many as a person keeps apart.
const MOST_PARTS: usize = 6;
/// The dendrogram is cut into at most so many clusters; what is smaller than a part counts as stray.
const MOST_CLUSTERS: usize = 30;
/// Fewest members of a part: this many, and this share of the sample.
const SMALLEST_PART: usize = 4;
const SMALLEST_SHARE: f64 = 0.1;
/// Least mean silhouette of a division, whatever the size. Cosine distances of texts lie close together, so that even
/// plainly different topics stay far below the 0.25 that Kaufman and Rousseeuw (1990) ask of measurements: on customer
/// messages of six intents mixed, the cut that finds the intents has 0.07.
const CLEAR: f64 = 0.07;
/// In a small group some texts are alike by chance: messages of one intent reach 0.12 to 0.3 in groups of 33, as much as
/// two intents mixed do in groups of 67. So the silhouette has to be at least this number by the group's size.
const CHANCE: f64 = 7.0;

/// Divides a group into its parts, as indices, ascending in each; the largest part first, of equal ones the one with the
/// earliest member. One part where the group is small or has no clear structure.
///
/// `ids` (the same length as `texts`) decide who is in the sample of a large group: by their hash, so that the sample
/// is random yet hardly changes when a row joins or leaves.
///
/// The rule: cut into 2 to [`MOST_CLUSTERS`] clusters; those large enough are cores, the rest goes to the nearest core.
/// A cut counts if it has 2 to [`MOST_PARTS`] cores that hold half the sample. The one with the best mean silhouette
/// (Rousseeuw 1987) divides the group if that is at least [`CLEAR`], and [`CHANCE`] by the size of the sample.
pub(super) fn divide(ids: &[&str], texts: &[String]) -> Vec<Vec<usize>> {
    divide_sampled(ids, texts, SAMPLE)
}

/// [`divide`] with a sample of at most `most`.
fn divide_sampled(ids: &[&str], texts: &[String], most: usize) -> Vec<Vec<usize>> {
    let whole = || vec![(0..texts.len()).collect()];
    if texts.len() <= NEVER_DIVIDED {
        return whole();
    }
    let sampled = sample(ids, most);
    let chosen: Vec<&String> = sampled.iter().map(|at| &texts[*at]).collect();
    let (space, vectors) = Space::of(&chosen);
    let distances = Distances::of(&vectors, space.dimensions());
    let Some(parts) = best_cut(&distances, &vectors, space.dimensions()) else { return whole() };

    let centroids = Centroids::of(&parts.part_of, parts.count, &vectors, space.dimensions());
    let mut members = vec![Vec::new(); parts.count];
    let mut in_sample = sampled.iter().zip(&parts.part_of).peekable();
    for (at, text) in texts.iter().enumerate() {
        let part = match in_sample.next_if(|(sampled, _)| **sampled == at) {
            Some((_, part)) => *part,
            None => centroids.nearest(&space.vector(text)),
        };
        members[part].push(at);
    }
    members.sort_by_key(|part| (std::cmp::Reverse(part.len()), part.first().copied()));
    members
}

/// At most `most` indices, ascending: those whose ids have the smallest digests.
fn sample(ids: &[&str], most: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..ids.len()).collect();
    if all.len() > most {
        all.sort_by_cached_key(|at| (Digest::of(ids[*at].as_bytes()), *at));
        all.truncate(most);
        all.sort_unstable();
    }
    all
}

/// Dimensions ascending, with their weights: of unit length, or empty.
type Vector = Vec<(u32, f32)>;

/// TF-IDF without the features that only one text of the sample has: they can't make two alike, and most features are
/// such, so that everything would look equally far from everything.
struct Space {
    tfidf: Tfidf,
    is_shared: Vec<bool>,
}

impl Space {
    /// The space of these texts, and their vectors in it.
    fn of(texts: &[&String]) -> (Self, Vec<Vector>) {
        let tfidf = Tfidf::fit(texts);
        let vectors: Vec<SparseVector> = texts.iter().map(|text| tfidf.vector(text)).collect();
        let mut frequency = vec![0_u32; tfidf.features()];
        for (feature, _) in vectors.iter().flat_map(SparseVector::entries) {
            frequency[*feature as usize] += 1;
        }
        let space = Self { tfidf, is_shared: frequency.into_iter().map(|texts| texts >= 2).collect() };
        let vectors = vectors.iter().map(|vector| space.restricted(vector)).collect();
        (space, vectors)
    }

    fn dimensions(&self) -> usize {
        self.is_shared.len()
    }

    fn vector(&self, text: &str) -> Vector {
        self.restricted(&self.tfidf.vector(text))
    }

    fn restricted(&self, whole: &SparseVector) -> Vector {
        let shared = whole.entries().iter().filter(|(feature, _)| self.is_shared[*feature as usize]);
        let mut vector: Vector = shared.copied().collect();
        let length = vector.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|(_, weight)| *weight /= length);
        vector
    }
}

/// Cosine distances of all pairs: the rows of the upper triangle one after the other, as kodama takes them.
struct Distances {
    size: usize,
    condensed: Vec<f32>,
}

impl Distances {
    fn of(vectors: &[Vector], dimensions: usize) -> Self {
        let size = vectors.len();
        let mut condensed = Vec::with_capacity(size * size.saturating_sub(1) / 2);
        let mut dense = vec![0.0_f32; dimensions];
        for (at, vector) in vectors.iter().enumerate() {
            spread(vector, &mut dense);
            condensed.extend(vectors[at + 1..].iter().map(|other| (1.0 - dot(&dense, other)).max(0.0)));
            for (dimension, _) in vector {
                dense[*dimension as usize] = 0.0;
            }
        }
        Self { size, condensed }
    }

    /// Calls `visit` with each pair and its distance.
    fn for_each_pair(&self, mut visit: impl FnMut(usize, usize, f64)) {
        let pairs = (0..self.size).flat_map(|left| (left + 1..self.size).map(move |right| (left, right)));
        for ((left, right), distance) in pairs.zip(&self.condensed) {
            visit(left, right, f64::from(*distance));
        }
    }
}

fn spread(vector: &Vector, dense: &mut [f32]) {
    for (dimension, weight) in vector {
        dense[*dimension as usize] += weight;
    }
}

fn dot(dense: &[f32], vector: &Vector) -> f32 {
    vector.iter().map(|(dimension, weight)| dense[*dimension as usize] * weight).sum()
}

/// Which part each member of the sample is in.
struct Parts {
    count: usize,
    part_of: Vec<usize>,
}

/// The cut with the best silhouette, if that is clear; of equal ones the one with the fewest clusters.
fn best_cut(distances: &Distances, vectors: &[Vector], dimensions: usize) -> Option<Parts> {
    let dendrogram = linkage(&mut distances.condensed.clone(), distances.size, Method::Average);
    let clear = CLEAR.max(CHANCE / distances.size as f64);
    let mut best: Option<(f64, Parts)> = None;
    for clusters in 2..=MOST_CLUSTERS.min(distances.size) {
        let Some(parts) = cut(&dendrogram, clusters, vectors, dimensions) else { continue };
        let silhouette = silhouette(distances, &parts);
        if silhouette >= clear && best.as_ref().is_none_or(|(score, _)| silhouette > *score) {
            best = Some((silhouette, parts));
        }
    }
    best.map(|(_, parts)| parts)
}

/// Cuts the dendrogram into `clusters`, takes the large ones as cores, and gives each stray to the nearest of them.
/// `None` unless there are 2 to [`MOST_PARTS`] cores that hold half the sample.
fn cut(dendrogram: &Dendrogram<f32>, clusters: usize, vectors: &[Vector], dimensions: usize) -> Option<Parts> {
    let size = vectors.len();
    let cluster_of = cluster_of(dendrogram, clusters, size);
    let mut sizes = vec![0_usize; 2 * size];
    for cluster in &cluster_of {
        sizes[*cluster] += 1;
    }
    let smallest = SMALLEST_PART.max((size as f64 * SMALLEST_SHARE).ceil() as usize);
    let cores: Vec<usize> = (0..sizes.len()).filter(|cluster| sizes[*cluster] >= smallest).collect();
    let held: usize = cores.iter().map(|core| sizes[*core]).sum();
    if !(2..=MOST_PARTS).contains(&cores.len()) || held * 2 < size {
        return None;
    }
    let core_of: Vec<usize> =
        cluster_of.iter().map(|cluster| cores.binary_search(cluster).unwrap_or(cores.len())).collect();
    let centroids = Centroids::of(&core_of, cores.len(), vectors, dimensions);
    let part_of = core_of
        .into_iter()
        .zip(vectors)
        .map(|(core, vector)| if core < cores.len() { core } else { centroids.nearest(vector) })
        .collect();
    Some(Parts { count: cores.len(), part_of })
}

/// The cluster of each member once all but the last `clusters - 1` merges are done. Merge number `s` of a dendrogram
/// makes the cluster `size + s`.
fn cluster_of(dendrogram: &Dendrogram<f32>, clusters: usize, size: usize) -> Vec<usize> {
    let merges = size.saturating_sub(clusters);
    let mut parent: Vec<usize> = (0..size + merges).collect();
    for (step, merge) in dendrogram.steps().iter().take(merges).enumerate() {
        parent[merge.cluster1] = size + step;
        parent[merge.cluster2] = size + step;
    }
    // A parent always has the higher number, so that one pass from the top finds every root.
    for at in (0..parent.len()).rev() {
        parent[at] = parent[parent[at]];
    }
    parent.truncate(size);
    parent
}

/// Mean silhouette: for each member, how much nearer its own part is than the next one, in [-1, 1].
fn silhouette(distances: &Distances, parts: &Parts) -> f64 {
    let mut sums = vec![0.0_f64; distances.size * parts.count];
    distances.for_each_pair(|left, right, distance| {
        sums[left * parts.count + parts.part_of[right]] += distance;
        sums[right * parts.count + parts.part_of[left]] += distance;
    });
    let mut sizes = vec![0.0_f64; parts.count];
    for part in &parts.part_of {
        sizes[*part] += 1.0;
    }
    let of_member = |(sums, own): (&[f64], &usize)| {
        let inside = sums[*own] / (sizes[*own] - 1.0).max(1.0);
        let outside = (0..parts.count)
            .filter(|part| part != own)
            .map(|part| sums[part] / sizes[part].max(1.0))
            .fold(f64::INFINITY, f64::min);
        let larger = inside.max(outside);
        if larger > 0.0 { (outside - inside) / larger } else { 0.0 }
    };
    let total: f64 = sums.chunks(parts.count).zip(&parts.part_of).map(of_member).sum();
    total / distances.size as f64
}

/// The mean direction of each part.
struct Centroids(Vec<Vec<f32>>);

impl Centroids {
    /// Of `vectors`, whose parts are `part_of`; those beyond `count` are in none.
    fn of(part_of: &[usize], count: usize, vectors: &[Vector], dimensions: usize) -> Self {
        let mut centroids = vec![vec![0.0_f32; dimensions]; count];
        for (part, vector) in part_of.iter().zip(vectors) {
            if let Some(centroid) = centroids.get_mut(*part) {
                spread(vector, centroid);
            }
        }
        for centroid in &mut centroids {
            let length = centroid.iter().map(|weight| weight * weight).sum::<f32>().sqrt();
            if length > 0.0 {
                centroid.iter_mut().for_each(|weight| *weight /= length);
            }
        }
        Self(centroids)
    }

    /// The nearest centroid, of equally near ones the first.
    fn nearest(&self, vector: &Vector) -> usize {
        let mut best = (f32::NEG_INFINITY, 0);
        for (part, centroid) in self.0.iter().enumerate() {
            let similarity = dot(centroid, vector);
            if similarity > best.0 {
                best = (similarity, part);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    const TOPICS: [[&str; 5]; 2] =
        [["parcel", "damaged", "courier", "box", "wet"], ["password", "reset", "link", "expired", "email"]];

    /// `count` texts on two topics in turn: three of a topic's words and one of their own.
    fn texts(count: usize) -> (Vec<String>, Vec<String>) {
        let text = |at: usize| {
            let (topic, left_out) = (TOPICS[at % 2], at / 2 % 10);
            let left_out = [left_out % 5, (left_out % 5 + 1 + left_out / 5) % 5];
            let words: Vec<&str> = (0..5).filter(|word| !left_out.contains(word)).map(|word| topic[word]).collect();
            format!("{} unique{at}", words.join(" "))
        };
        ((0..count).map(|at| format!("row{at}")).collect(), (0..count).map(text).collect())
    }

    fn divided(ids: &[String], texts: &[String], most: usize) -> Vec<Vec<usize>> {
        divide_sampled(&ids.iter().map(String::as_str).collect::<Vec<_>>(), texts, most)
    }

    #[test]
    fn two_topics_are_two_parts() {
        let (ids, texts) = texts(40);
        let parts = divided(&ids, &texts, SAMPLE);
        assert_eq!(parts, [(0..40).step_by(2).collect::<Vec<_>>(), (1..40).step_by(2).collect()]);
    }

    #[test]
    fn texts_outside_the_sample_go_to_the_nearest_part() {
        let (ids, texts) = texts(160);
        let parts = divided(&ids, &texts, 60);
        assert_eq!(parts, [(0..160).step_by(2).collect::<Vec<_>>(), (1..160).step_by(2).collect()]);
    }

    #[test]
    fn a_group_without_structure_stays_whole() {
        let mut random = crate::seed::generator(1, 0, "texts");
        let vocabulary: Vec<String> = (0..40_u8).map(|at| Digest::of(&[at]).short()).collect();
        let mut text = |_| {
            let words: Vec<&str> = (0..8).map(|_| vocabulary[random.random_range(0..40)].as_str()).collect();
            words.join(" ")
        };
        let unlike: Vec<String> = (0..60).map(&mut text).collect();
        let alike = vec!["the same text".to_string(); 60];
        let blank = vec![String::new(); 60];
        let (ids, _) = texts(60);
        for texts in [unlike, alike, blank] {
            assert_eq!(divided(&ids, &texts, SAMPLE).len(), 1, "{:?}", texts[0]);
        }
    }

    #[test]
    fn a_small_group_stays_whole() {
        let (ids, texts) = texts(NEVER_DIVIDED);
        assert_eq!(divided(&ids, &texts, SAMPLE).len(), 1);
    }

    #[test]
    fn a_sample_hardly_changes_when_a_row_joins() {
        let ids: Vec<String> = (0..100).map(|at| format!("row{at}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (before, after) = (sample(&ids[..99], 50), sample(&ids, 50));
        assert_eq!(before.len(), 50);
        assert!(before.iter().filter(|at| !after.contains(at)).count() <= 1);
    }
}
