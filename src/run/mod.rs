//! A run's events and the folder they leave behind: journal, files, snapshot; and reading them again.

mod allotted;
mod calibrations;
mod change;
mod ended;
mod event;
mod files;
mod folder;
mod journal;
mod ledger;
mod live;
mod notice;
mod pulls;
mod sink;
mod spent;
mod under_way;
mod uses;

pub use allotted::Allotted;
pub use calibrations::{Calibrated, Calibrations};
pub use change::{FellBack, IncumbentMeasured, Successor};
pub use ended::{RunEnded, Stopped, Unusable};
pub use event::{
    Ablated, AskFailed, AttemptsLost, BaselineMeasured, Decision, Diagnosed, Dropped, During, Event, FORMAT,
    GenerationEnded, GenerationStarted, Judged, LimitReached, Measured, Merged, NoiseMeasured, Progress, Proposed,
    Raced, RowFailed, RunStarted, Screened, Shortened, TestOpened, Verdict, Widened,
};
pub use files::Files;
pub use folder::{Claim, Listing, Manifest, RunFolder, RunState, short_id, state, unique_length};
pub use journal::{Journal, read_events};
pub use live::{Held, LastEvent, Live, Outage};
pub use notice::ProviderNotice;
pub use pulls::{Pulls, PullsLedger, Tally, WHOLE};
pub use sink::{Break, FailedRows, Recorded, RunError, Sink};
pub use spent::Spent;
pub use under_way::UnderWay;
pub use uses::{SplitUses, UseCount};
