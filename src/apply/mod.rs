//! Carries out a plan.
mod error; mod tree; mod inventory; pub use error::ApplyError;
/// stub
pub struct Target;
/// stub
pub fn observe(_: &Target) -> Result<crate::plan::Applied, std::io::Error> {
    Ok(Default::default())
}
