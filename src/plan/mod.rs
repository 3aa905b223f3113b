//! What to change: a [`Plan`] is a value that `diff` prints and `run` carries out.
