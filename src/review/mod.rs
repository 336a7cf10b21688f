//! Stepping through kept revisions, and applying what was accepted.
