//! A run's events and the folder they leave behind.

mod event;
mod sink;

pub use event::{
    AskFailed, BaselineMeasured, Decision, Diagnosed, Dropped, Event, FORMAT, GenerationEnded, GenerationStarted,
    Judged, Measured, Merged, NoiseMeasured, Progress, Proposed, Raced, RowFailed, RunEnded, RunStarted, Screened,
    Stopped, TestOpened, Verdict,
};
pub use sink::{Recorded, RunError, Sink};
