//! Dividing a large group by similarity of text: [`divide`].
//!
//! Hierarchical clustering (average linkage on cosine distance) of a sample, a cut chosen by silhouette, all other
//! texts to the nearest centroid. A group without clear structure stays whole: two names for one failure only make a
//! proposer's work harder.

use kodama::{Dendrogram, Method, linkage};

use super::vectors::{Vector, Vectoriser};
use crate::digest::Digest;

/// Largest group that is never divided.
const NEVER_DIVIDED: usize = 12;
/// Largest group that is clustered as a whole; of a larger one, so many members are.
const SAMPLE: usize = 1_000;
/// Most parts, as many as a person keeps apart.
const MOST_PARTS: usize = 6;
/// The dendrogram is cut into at most so many clusters; what is smaller than a part counts as stray.
const MOST_CLUSTERS: usize = 30;
/// Fewest members of a part: this many, and this share of the sample.
const SMALLEST_PART: usize = 4;
const SMALLEST_SHARE: f64 = 0.1;
/// Least mean silhouette of a division. Cosine distances of short texts lie close together, so that even plainly
/// different topics stay far below the 0.25 that Kaufman and Rousseeuw (1990) ask of measurements.
const CLEAR: f64 = 0.08;

/// Divides a group into its parts, as indices, ascending in each; the largest part first, of equal ones the one with the
/// earliest member. One part where the group is small or has no clear structure.
///
/// `ids` (the same length as `texts`) decide who is in the sample of a large group: by their hash, so that the sample
/// is random yet hardly changes when a row joins or leaves.
///
/// The rule: cut into 2 to [`MOST_CLUSTERS`] clusters; those large enough are cores, the rest goes to the nearest core.
/// A cut counts if it has 2 to [`MOST_PARTS`] cores that hold half the sample. The one with the best mean silhouette
/// (Rousseeuw 1987) divides the group if that is at least [`CLEAR`].
pub(super) fn divide(ids: &[&str], texts: &[String]) -> Vec<Vec<usize>> {
    let whole = || vec![(0..texts.len()).collect()];
    if texts.len() <= NEVER_DIVIDED {
        return whole();
    }
    let sampled = sample(ids, SAMPLE);
    let vectoriser = Vectoriser::fit(sampled.iter().map(|at| texts[*at].as_str()));
    let vectors: Vec<Vector> = sampled.iter().map(|at| vectoriser.vector(&texts[*at])).collect();
    let distances = Distances::of(&vectors, vectoriser.dimensions());
    let Some(parts) = best_cut(&distances, &vectors, vectoriser.dimensions()) else { return whole() };

    let centroids = Centroids::of(&parts.part_of, parts.count, &vectors, vectoriser.dimensions());
    let mut members = vec![Vec::new(); parts.count];
    let mut in_sample = sampled.iter().zip(&parts.part_of).peekable();
    for (at, text) in texts.iter().enumerate() {
        let part = match in_sample.next_if(|(sampled, _)| **sampled == at) {
            Some((_, part)) => *part,
            None => centroids.nearest(&vectoriser.vector(text)),
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
    let mut best: Option<(f64, Parts)> = None;
    for clusters in 2..=MOST_CLUSTERS.min(distances.size) {
        let Some(parts) = cut(&dendrogram, clusters, vectors, dimensions) else { continue };
        let silhouette = silhouette(distances, &parts);
        if silhouette >= CLEAR && best.as_ref().is_none_or(|(score, _)| silhouette > *score) {
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
