//! The plan: a value that says what to change, which `diff` prints and `run` carries out.
//!
//! [`plan`] compares what is applied with what is desired. How a step is carried out is not known here.

pub mod change;

pub mod steps;

pub mod held;

pub mod drift;

pub mod observed;

pub mod repair;

pub mod guard;

mod pairs;

mod proxy;

pub mod planner;

pub mod summary;

pub use change::{Action, Change, Plan};
pub use drift::Drift;
pub use held::Held;
pub use observed::{Applied, Observed};
pub use pairs::pairs;
pub use planner::{Constraints, Desired, Planned, plan};
pub use repair::DriftRepair;
pub use steps::{Step, steps};
