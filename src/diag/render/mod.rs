//! The formats of `check`, one file for each. All but JSON and text take findings that [`limit`] has cut to a number.

pub mod limit;

pub mod text;

pub mod json;

pub mod github;

pub mod junit;

pub mod sarif;
