//! Failure clusters: failing outcomes that fail alike, found without a model, followed from generation to generation.
//!
//! Three steps, all pure: structure decides each row's [`FailureKind`] (`kind`, `reason`); a large group that its texts
//! divide clearly is divided (`divide`); ids, the prompt that it is about and labels are given (`identity`, `blame`, `label`). Everything is worked out on the
//! rows sorted by id, so that the order of the outcomes changes nothing but the order of a cluster's members.

mod blame;
mod cluster;
mod diagnosis;
mod divide;
mod identity;
mod kind;
mod label;
mod neighbours;
mod reason;
#[cfg(test)]
mod samples;

pub use cluster::{FailureCluster, FailureKind};
pub use diagnosis::diagnose;
pub use neighbours::neighbours;
