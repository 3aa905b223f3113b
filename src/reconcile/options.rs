//! What a turn is to do beside what it always does.

use std::time::Duration;

use crate::plan::drift::Fights;

/// What a turn is to do beside what it always does.
#[derive(Debug, Default)]
pub struct Wishes<'f> {
    /// Which published files that somebody edited are restored.
    pub healing: Healing<'f>,
    /// Look at every Envoy, also at those whose files do not change.
    pub survey: bool,
}

/// Which published files that somebody edited are restored.
#[derive(Debug, Default)]
pub enum Healing<'f> {
    /// None: they stay until something else is desired in their place.
    #[default]
    None,
    /// All.
    All,
    /// All but those that were healed too often lately; with the time that has gone by since some fixed moment.
    Unless(&'f mut Fights, Duration),
}
