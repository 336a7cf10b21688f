//! `ratchet.toml` as the user wrote it.
