//! What to change: a [`Plan`] is a value that `diff` prints and `run` carries out.
//!
//! [`plan`] compares what is applied with what is desired. How a step is carried out is not known here.

pub mod digest;

pub mod change;

pub mod steps;

pub mod held;

pub mod observed;

pub mod drift;

pub mod repair;

pub mod guard;

pub mod planner;

pub mod summary;

pub use change::{Action, Change, Plan};
pub use drift::{Drift, forget_equal, leave_edited};
pub use guard::guard;
pub use held::Held;
pub use observed::Applied;
pub use planner::plan;
pub use steps::{Step, steps};
