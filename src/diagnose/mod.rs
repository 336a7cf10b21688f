//! Failure clusters: failing outcomes that fail alike, found without a model, followed from generation to generation.

mod cluster;

pub use cluster::{FailureCluster, FailureKind};
