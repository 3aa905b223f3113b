//! The formats of `check`: one file for each, over findings that [`limit`] has counted.

pub mod limit;

pub mod text;

pub mod json;

pub mod github;

pub mod junit;

pub mod sarif;
