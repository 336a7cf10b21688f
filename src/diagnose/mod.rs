//! Failure clusters.
