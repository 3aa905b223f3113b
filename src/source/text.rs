//! The text of a file from its bytes, or the reason why it has none.

use super::file::{Link, LinkFault, LinkKind, UnreadableReason};

/// The limit for the kept begin of an unreadable file, in bytes.
const BEGINNING: usize = 64 << 10;

/// The starts of files that stand for a content which is stored elsewhere or encrypted, each with the reason.
const PLACEHOLDERS: [(&[u8], &str); 6] = [
    (
        b"version https://git-lfs.github.com/spec/",
        "it is a Git LFS pointer without its content; keep policies in Git itself",
    ),
    (
        b"/annex/objects/",
        "it is a git-annex pointer without its content; keep policies in Git itself",
    ),
    (
        b"\0GITCRYPT\0",
        "it is encrypted with git-crypt; decrypt it first: `git-crypt unlock`",
    ),
    (
        b"$ANSIBLE_VAULT;",
        "it is encrypted with Ansible Vault; decrypt it first: `ansible-vault decrypt`",
    ),
    (
        b"-----BEGIN AGE ENCRYPTED FILE-----",
        "it is encrypted with age; decrypt it first: `age --decrypt`",
    ),
    (
        b"-----BEGIN PGP MESSAGE-----",
        "it is encrypted with PGP; decrypt it first: `gpg --decrypt`",
    ),
];

/// The reason why a text is unavailable, with the begin of the file.
pub(super) type Unavailable = (UnreadableReason, Option<String>);

/// The text of a file of `size` bytes. `bytes` has all of them up to the limit, and the first ones beyond.
pub(super) fn text(bytes: Vec<u8>, size: u64, limit: u64) -> Result<String, Unavailable> {
    let beginning = |bytes: &[u8]| Some(String::from_utf8_lossy(&bytes[..bytes.len().min(BEGINNING)]).into_owned());
    if size > limit {
        return Err((UnreadableReason::TooLarge { size, limit }, beginning(&bytes)));
    }
    if let Some(text) = utf_16(&bytes) {
        let beginning = text.chars().take(BEGINNING).collect();
        let why = "it is UTF-16, which some editors and shells on Windows write; save it as UTF-8";
        return Err((UnreadableReason::Failed(why.to_owned()), Some(beginning)));
    }
    if let Some((_, why)) = PLACEHOLDERS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Err((UnreadableReason::Failed((*why).to_owned()), beginning(&bytes)));
    }
    if let Some(target) = link_as_text(&bytes) {
        let link = Link {
            target: target.to_owned(),
            fault: LinkFault::Text,
            kind: LinkKind::Policy,
        };
        return Err((UnreadableReason::Link(link), None));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..offset];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        (UnreadableReason::NotUtf8 { offset, line }, beginning(error.as_bytes()))
    })
}

/// The target of a link that Git wrote as a text file: one line without an end, and with the path of a policy.
fn link_as_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(4096))?).ok()?;
    let is_path = text.contains('/') && !text.contains([' ', ':', '"', '\'', '{', '\n']) && text.len() == bytes.len();
    let is_policy = [".yaml", ".yml", ".json"]
        .iter()
        .any(|end| text.trim_end().ends_with(end));
    (is_path && is_policy).then_some(text)
}

/// The text of bytes that begin with a byte order mark of UTF-16.
fn utf_16(bytes: &[u8]) -> Option<String> {
    let (mark, rest) = bytes.split_at_checked(2)?;
    let unit: fn([u8; 2]) -> u16 = match mark {
        [0xff, 0xfe] => u16::from_le_bytes,
        [0xfe, 0xff] => u16::from_be_bytes,
        _ => return None,
    };
    let units: Vec<u16> = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_windows_is_told_by_its_mark() {
        assert_eq!(utf_16(&[0xff, 0xfe, b't', 0, b'y', 0]).as_deref(), Some("ty"));
        assert_eq!(utf_16(&[0xfe, 0xff, 0, b't']).as_deref(), Some("t"));
        assert_eq!(utf_16(b"type: Mesh"), None);
        assert_eq!(utf_16(&[0xff]), None);
    }

    #[test]
    fn a_link_may_be_a_text() {
        assert_eq!(link_as_text(b"../shared/mesh.yaml"), Some("../shared/mesh.yaml"));
        for text in [
            "mesh.yaml",
            "../shared/mesh.yaml\n",
            "a: /b.yaml",
            "- ../mesh.yaml",
            "../shared",
            "",
        ] {
            assert_eq!(link_as_text(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_text_says_why() {
        let why = |bytes: &[u8]| text(bytes.to_vec(), bytes.len() as u64, 100).expect_err("no text").0;
        assert_eq!(why(&[b'x'; 101]), UnreadableReason::TooLarge { size: 101, limit: 100 });
        assert_eq!(
            why(b"a: 1\nb: \xe9\n"),
            UnreadableReason::NotUtf8 { offset: 8, line: 2 }
        );
        assert!(
            why(b"version https://git-lfs.github.com/spec/v1\n")
                .to_string()
                .contains("LFS")
        );
    }
}
