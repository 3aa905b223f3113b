//! The grammars of names.

/// Whether a mesh name is valid in a resource. The rule is older, and more lenient, than that for names.
#[must_use]
pub fn is_mesh_name(mesh: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    !mesh.is_empty() && mesh.bytes().all(fits)
}

/// Whether a name is a DNS subdomain in lowercase.
pub(in crate::resource) fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|&b| plain(b))
            && bytes.last().is_some_and(|&b| plain(b))
            && bytes.iter().all(|&b| plain(b) || b == b'-')
    };
    name.split('.').all(label)
}

/// Whether a name is a DNS label that begins with a letter.
#[must_use]
pub fn is_dns_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let fits = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|b| *b != b'-')
        && bytes.iter().all(fits)
}

/// Whether Kuma accepts a text as a DNS name: labels of letters, digits, `-` and `_`, up to 63 characters each and
/// 255 in all.
pub(in crate::resource) fn is_dns_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
    };
    text.len() <= 255 && text.split('.').all(label)
}

/// Whether Kubernetes accepts a text as the value of a label.
#[must_use]
pub fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let ends_well = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_subdomains() {
        for name in ["a", "web-01", "a.b", "0"] {
            assert!(is_subdomain(name), "{name}");
        }
        for name in ["", "-a", "a-", "a..b", "A", "a_b", "../x", "a/b", "ä"] {
            assert!(!is_subdomain(name), "{name}");
        }
    }
}
