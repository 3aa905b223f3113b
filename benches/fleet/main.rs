//! The cost of a fleet: what people wait for, beside its floor and beside the script that they would write instead.
//!
//! `cargo bench --bench fleet -- 1000 10000 100000` takes other numbers of dataplanes. The table goes to standard output,
//! and the plot to `docs/cost.svg`.

mod tree;

mod floor;

mod live;

mod tasks;

mod plot;

use std::path::Path;
use std::time::Duration;

use tasks::Measured;

const POLICIES: usize = 1_000;

fn main() {
    let numbers = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let mut sizes: Vec<usize> = numbers.collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000];
    }
    let mut columns = Vec::new();
    for &dataplanes in &sizes {
        let dir = tempfile::tempdir().expect("a directory");
        tree::write(&dir.path().join("policies"), dataplanes, POLICIES);
        columns.push(tasks::measure(dir.path(), dataplanes, POLICIES));
    }
    println!(
        "| | {} |",
        sizes.iter().map(|size| grouped(*size)).collect::<Vec<_>>().join(" | ")
    );
    println!("|---|{}", "--:|".repeat(sizes.len()));
    for (row, (task, _)) in columns[0].iter().enumerate() {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| column.get(row).map_or("-".to_owned(), |(_, measured)| cell(measured)))
            .collect();
        println!("| {task} | {} |", cells.join(" | "));
    }
    println!("\n{}", growth_with_policies(20_000));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cost.svg");
    plot::draw(&path, &sizes, &columns);
    println!("{}", path.display());
}

fn cell(measured: &Measured) -> String {
    match measured {
        Measured::Nothing => "-".to_owned(),
        Measured::Time { took, floor: None } => time(*took),
        Measured::Time {
            took,
            floor: Some(floor),
        } => {
            format!(
                "{} ({:.1} × floor)",
                time(*took),
                took.as_secs_f64() / floor.as_secs_f64()
            )
        }
        Measured::Memory(bytes) => format!("{} MB", bytes / 1_000_000),
    }
}

fn time(took: Duration) -> String {
    match took.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}

/// A number with a comma between thousands.
fn grouped(number: usize) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1_000), number % 1_000),
    }
}

/// The growth of the time for findings with the number of policies.
fn growth_with_policies(dataplanes: usize) -> String {
    let took = [10, 10_000].map(|policies| {
        let dir = tempfile::tempdir().expect("a directory");
        tree::write(&dir.path().join("policies"), dataplanes, policies);
        tasks::check(dir.path())
    });
    let ratio = took[1].as_secs_f64() / took[0].as_secs_f64();
    format!(
        "With 10,000 policies instead of 10, `check` of {} dataplanes takes {ratio:.1} times as long.",
        grouped(dataplanes)
    )
}
