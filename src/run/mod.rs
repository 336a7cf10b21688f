//! The run folder: events, journal, replay.
