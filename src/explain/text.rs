//! Explanations as aligned text.

use std::fmt::Write as _;

use super::explanation::{DestinationOf, Explanation};
use super::policies::{Candidate, Outcome};

/// An explanation as text.
#[must_use]
pub fn explanation(explanation: &Explanation) -> String {
    let mut out = format!(
        "{}/{}   {}\n\n",
        explanation.mesh,
        explanation.name,
        headline(explanation)
    );
    out.push_str(&table(listeners(explanation), "  "));
    let values = explanation.values.iter().map(|value| {
        let at = match (&value.at, &value.path) {
            (Some(at), _) => at.to_string(),
            (None, Some(key)) => key.clone(),
            (None, None) => String::new(),
        };
        vec![value.name.clone(), value.value.clone(), value.from.clone(), at]
    });
    part(&mut out, &table(values.collect(), "  "));
    part(
        &mut out,
        &table(explanation.policies.iter().map(policy).collect(), "  "),
    );
    let left_out = explanation.left_out.iter().map(|left_out| {
        let (name, at) = (left_out.feature.as_str().to_owned(), left_out.at.to_string());
        vec!["without".to_owned(), name, left_out.resource.clone(), at]
    });
    part(&mut out, &table(left_out.collect(), "  "));
    part(&mut out, &headers(explanation));
    out
}

fn headline(explanation: &Explanation) -> String {
    match (&explanation.policy, &explanation.not_traced) {
        (_, Some(why)) => format!("not traced: {why}"),
        (Some(policy), None) => format!("traced by {policy}"),
        (None, None) => "traced".to_owned(),
    }
}

fn listeners(explanation: &Explanation) -> Vec<Vec<String>> {
    let value = |name: &str| explanation.values.iter().find(|value| value.name == name);
    let backend = explanation.backend.clone().unwrap_or_default();
    let sampling = value("sampling").map_or(String::new(), |share| {
        share.value.split(',').next().unwrap_or("").to_owned()
    });
    explanation
        .listeners
        .iter()
        .map(|listener| {
            let head = vec![listener.name.clone(), listener.protocol.clone()];
            let rest = match (&listener.reports_as, &listener.not_traced) {
                (Some(name), _) => {
                    let to = listener.to.as_deref().map_or(String::new(), destinations);
                    vec![backend.clone(), sampling.clone(), format!("as `{name}`{to}")]
                }
                (None, why) => {
                    let why = why.clone().unwrap_or_default();
                    let by_protocol = !matches!(listener.protocol.as_str(), "http" | "http2" | "grpc");
                    let at = listener.protocol_from.as_ref().filter(|_| by_protocol);
                    let at = at.map_or(String::new(), |at| format!(" ({at})"));
                    // The destination as declared needs no mention beside the reason.
                    let is_split =
                        |to: &&[DestinationOf]| to.iter().any(|to| !to.tags.is_empty() || to.percent < 100.0);
                    let to = listener
                        .to
                        .as_deref()
                        .filter(is_split)
                        .map_or(String::new(), destinations);
                    vec!["not traced".to_owned(), String::new(), format!("{why}{at}{to}")]
                }
            };
            [head, rest].concat()
        })
        .collect()
}

/// `, to 90 % backend, 10 % backend with version: 2`.
fn destinations(to: &[DestinationOf]) -> String {
    let named = |to: &DestinationOf| {
        let share = if to.percent < 100.0 {
            format!("{} % ", to.percent)
        } else {
            String::new()
        };
        let tags: Vec<String> = to.tags.iter().map(|(tag, value)| format!("{tag}: {value}")).collect();
        let with = if tags.is_empty() { "" } else { " with " };
        format!("{share}{}{with}{}", to.service, tags.join(" and "))
    };
    let all: Vec<String> = to.iter().map(named).collect();
    if all.is_empty() {
        return String::new();
    }
    format!(", to {}", all.join(", "))
}

fn policy(candidate: &Candidate) -> Vec<String> {
    let advice = candidate
        .would_win
        .as_ref()
        .map_or(String::new(), |advice| format!("would win {advice}"));
    let why = match candidate.outcome {
        Outcome::NotForIt => candidate.why.clone(),
        Outcome::Won | Outcome::Merged | Outcome::Displaced | Outcome::Lost => {
            [candidate.why.as_str(), &advice].join("   ").trim_end().to_owned()
        }
    };
    let name = format!("{} {}", candidate.kind, candidate.name);
    vec![
        candidate.outcome.as_str().to_owned(),
        name,
        candidate.at.to_string(),
        why,
    ]
}

fn headers(explanation: &Explanation) -> String {
    if explanation.reads.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "  reads   {}\n  writes  {}\n",
        explanation.reads.join(", "),
        explanation.writes.join(", ")
    );
    for neighbour in &explanation.breaks {
        let (name, provider) = (&neighbour.dataplane, &neighbour.provider);
        let relation = if neighbour.called { "it calls" } else { "calls it" };
        let _ = writeln!(
            out,
            "  breaks  {name}, which {relation}, sends spans to {provider}: every trace ends between them"
        );
    }
    out
}

/// Appends a part, separated from earlier parts by an empty line.
pub(super) fn part(out: &mut String, text: &str) {
    if !text.is_empty() {
        if !out.is_empty() && !out.ends_with("\n\n") {
            out.push('\n');
        }
        out.push_str(text);
    }
}

/// Rows in aligned columns; the last column is not padded.
pub(super) fn table(rows: Vec<Vec<String>>, indent: &str) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| {
        rows.iter()
            .filter_map(|row| row.get(i))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|i| width(i).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = indent.to_owned();
        for (cell, &width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            let cell = crate::words::printable(cell);
            let _ = write!(line, "{cell:width$}   ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
