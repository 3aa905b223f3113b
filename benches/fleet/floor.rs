//! The work that nobody can do without.

use std::fs;
use std::io::Write;
use std::path::Path;

use granit_parser::{Event, Parser};
use walkdir::{DirEntry, WalkDir};

fn files(dir: &Path) -> impl Iterator<Item = DirEntry> {
    let entries = WalkDir::new(dir).sort_by_file_name().into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file())
}

/// Walks a directory, reads all files and parses them to events, on one core; gives the number of documents.
pub(crate) fn parse(dir: &Path) -> usize {
    let texts = files(dir).map(|entry| fs::read_to_string(entry.path()).expect("a text"));
    let documents = |text: String| {
        let mut parser = Parser::new_from_str(&text);
        let events = std::iter::from_fn(|| parser.next_event());
        let starts = events.filter(|event| matches!(event, Ok((Event::DocumentStart(..), _))));
        starts.count()
    };
    texts.map(documents).sum()
}

/// Reads all files below a directory; gives their size.
pub(crate) fn read(dir: &Path) -> usize {
    files(dir)
        .map(|entry| fs::read(entry.path()).expect("a file").len())
        .sum()
}

/// Asks for the metadata of all files below a directory; gives their number.
pub(crate) fn stat(dir: &Path) -> usize {
    files(dir).filter(|entry| entry.metadata().is_ok()).count()
}

/// Puts a small file in place as a publication has to: synced before it can be seen.
pub(crate) fn publish(dir: &Path) {
    let (aside, place) = (dir.join("aside"), dir.join("place"));
    fs::write(&aside, "a: 1\n").expect("a file");
    let root = fs::File::open(dir).expect("a directory");
    rustix::fs::syncfs(&root).expect("a sync");
    fs::rename(aside, place).expect("a file");
}

/// Writes copies of all files below a directory to another, and syncs them once.
pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in files(from) {
        let path = to.join(entry.path().strip_prefix(from).expect("below"));
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        let mut file = fs::File::create(path).expect("a file");
        file.write_all(&fs::read(entry.path()).expect("a file")).expect("space");
    }
    rustix::fs::syncfs(fs::File::open(to).expect("a directory")).expect("a sync");
}
