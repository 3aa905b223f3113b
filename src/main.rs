//! The program: see [`meshtraced::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    meshtraced::cli::main(std::env::args_os())
}
