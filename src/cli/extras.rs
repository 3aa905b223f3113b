//! `completions` and `man`.

use clap::Args;
use clap_complete::Shell;

use super::{Exit, Outcome, print, program};

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(arguments: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program(), "meshtraced", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Page of one command: `run`, `diff` and so on
    command: Option<String>,
}

pub(super) fn man(arguments: &Man) -> Outcome {
    let mut program = program();
    // Gives the commands their full names and the options that all of them have.
    program.build();
    let page_of = match &arguments.command {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(command) => command.clone(),
            None => return Err(format!("there is no command {name}").into()),
        },
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(page_of).render(&mut page)?;
    print(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}
