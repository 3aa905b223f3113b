//! Mistakes in a text of lines with keys and values.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::nasty;

/// One thing that goes wrong with a text.
#[derive(Debug, Clone)]
pub(super) enum Mistake {
    RemoveLine(Index),
    RepeatLine(Index),
    Indent(Index, usize),
    Value(Index, String),
    Key(Index, String),
    Cut(Index),
}

/// Any of them.
pub(super) fn mistake() -> impl Strategy<Value = Mistake> {
    let values = [
        "",
        "~",
        "-1",
        "1e400",
        "[]",
        "{}",
        "[{}]",
        "*x",
        "&x y",
        "on",
        "'*'",
        "101",
        "65536",
        "http://:0",
        "../..",
        "\u{0}",
        "::",
    ];
    let value = prop_oneof![3 => select(values.to_vec()).prop_map(str::to_owned), 1 => nasty::text()];
    let keys = [
        "name",
        "tags",
        "mesh",
        "type",
        "port",
        "conf",
        "match",
        "networking",
        "kuma.io/service",
    ];
    let key = prop_oneof![3 => select(keys.to_vec()).prop_map(str::to_owned), 1 => nasty::text()];
    let line = any::<Index>;
    prop_oneof![
        line().prop_map(Mistake::RemoveLine),
        line().prop_map(Mistake::RepeatLine),
        (line(), 0..9_usize).prop_map(|(line, indent)| Mistake::Indent(line, indent)),
        (line(), value).prop_map(|(line, value)| Mistake::Value(line, value)),
        (line(), key).prop_map(|(line, key)| Mistake::Key(line, key)),
        line().prop_map(Mistake::Cut),
    ]
}

/// Makes it in the lines of a text.
pub(super) fn make(mistake: &Mistake, lines: &mut Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let at = |index: &Index, lines: &Vec<String>| index.index(lines.len());
    match mistake {
        Mistake::RemoveLine(index) => drop(lines.remove(at(index, lines))),
        Mistake::RepeatLine(index) => {
            let i = at(index, lines);
            lines.insert(i, lines[i].clone());
        }
        Mistake::Indent(index, indent) => {
            let i = at(index, lines);
            lines[i] = format!("{}{}", " ".repeat(*indent), lines[i].trim_start());
        }
        Mistake::Value(index, value) => {
            let i = at(index, lines);
            let key = lines[i].split(": ").next().unwrap_or("").to_owned();
            lines[i] = format!("{key}: {value}");
        }
        Mistake::Key(index, key) => {
            let i = at(index, lines);
            let value = lines[i].split_once(':').map_or("", |(_, value)| value).to_owned();
            let indent = lines[i].len() - lines[i].trim_start().len();
            lines[i] = format!("{}{key}:{value}", " ".repeat(indent));
        }
        Mistake::Cut(index) => lines.truncate(at(index, lines)),
    }
}
