//! Text in Markdown, for comments on pull requests.

use std::fmt::Write as _;

use crate::words::{plural, printable};

/// Adds lines as long as they fit into the limit, with a line for the number of the others.
pub(super) fn add_within(out: &mut String, lines: impl Iterator<Item = String>, limit: usize, what: &str) {
    /// Room for that line.
    const REST: usize = 80;
    let mut left_out = 0;
    for line in lines {
        if left_out > 0 || out.len() + line.len() + REST > limit {
            left_out += 1;
        } else {
            out.push_str(&line);
        }
    }
    if left_out > 0 {
        let _ = writeln!(out, "\n... and {} more\n", plural(left_out, what));
    }
}

/// A text that is nothing but text in Markdown, in HTML and in a table.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in printable(text).chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' | '#' => {
                // Neither a person nor an issue is meant.
                out.push_str(&format!("&#{};", u32::from(letter)));
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
    out
}

/// A name in code font.
pub(super) fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_and_nothing_else() {
        for (name, expected) in [
            ("a|b", "a\\|b"),
            ("<img src=x>", "&lt;img src=x&gt;"),
            ("*bold* _it_ `code`", "\\*bold\\* \\_it\\_ \\`code\\`"),
            ("@all #1", "&#64;all &#35;1"),
            ("![x](y)", "\\!\\[x\\](y)"),
        ] {
            assert_eq!(escaped(name), expected);
        }
    }

    #[test]
    fn lines_beyond_the_limit_are_counted() {
        let mut out = String::new();
        let lines = (0..100).map(|i| format!("line {i}\n"));
        add_within(&mut out, lines, 200, "line");
        assert!(out.len() <= 200 && out.ends_with("more\n\n"), "{out}");
        let shown = out.lines().filter(|line| line.starts_with("line ")).count();
        assert!(out.contains(&format!("... and {} lines more", 100 - shown)), "{out}");
    }
}
