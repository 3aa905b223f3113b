use super::{Context, Exit, Outcome};
use clap::Args;
#[derive(Debug, Args)]
pub(super) struct Arguments {}
pub(super) fn run(_: &Context, _: &Arguments) -> Outcome {
    Ok(Exit::Done)
}
