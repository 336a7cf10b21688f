//! What people read of a run, all from its events.
