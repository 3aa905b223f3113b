//! Hostile and damaged input: messages, and published files that stay.

use std::fs;

use crate::kit::mesh::{Mesh, published_files};
use crate::kit::program::{good, meshtraced, said};

/// Checks that an extra file of that text beside good policies ends with a message that has all these parts.
#[track_caller]
fn check_file(text: &[u8], parts: &[&str]) {
    let dir = good();
    fs::write(dir.path().join("policies/zz.yaml"), text).expect("a file");
    let (code, message) = said(&meshtraced(dir.path(), &["run", "--once"]));
    assert_eq!(code, Some(1), "{message}");
    for part in parts.iter().chain(&["policies/zz.yaml", "nothing was written"]) {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert!(!dir.path().join("envoy/default").exists(), "something was published");
}

#[test]
fn sixty_thousand_brackets() {
    let text = format!("type: Mesh\nname: {}", "[".repeat(60_000));
    check_file(text.as_bytes(), &["error[limit-exceeded]", "deep"]);
}

#[test]
fn an_alias_bomb() {
    let mut text = "type: Mesh\nname: bomb\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    check_file(text.as_bytes(), &["error[limit-exceeded]", "aliases"]);
}

#[test]
fn a_hundred_megabytes() {
    let mut text = b"type: Mesh\nname: big\n".to_vec();
    text.resize(100 << 20, b'#');
    check_file(&text, &["error[unreadable-file]", "104857600 bytes", "limit"]);
}

#[test]
fn a_file_that_is_no_text() {
    let mut text = b"type: Mesh\nname: x\n".to_vec();
    text.extend((0..=255).cycle().take(4096));
    check_file(&text, &["error[unreadable-file]", "not UTF-8"]);
}

#[test]
fn a_file_that_becomes_empty_holds_what_it_was_about_until_it_goes() {
    let mesh = Mesh::start();
    mesh.publish();
    let before = published_files(&mesh.published("web-01"));
    // One that never was anything else is nobody's business.
    mesh.write("other.yaml", "");
    mesh.write("web.yaml", "");
    for _ in 0..2 {
        let (code, message) = mesh.run_once();
        assert_eq!(code, Some(1), "{message}");
        for words in [
            "web.yaml",
            "the file is empty",
            "remove the file",
            "nothing was written for mesh default",
        ] {
            assert!(message.contains(words), "{message}");
        }
        assert!(!message.contains("other.yaml"), "{message}");
        assert_eq!(published_files(&mesh.published("web-01")), before);
    }
    fs::remove_file(mesh.dir().join("policies/web.yaml")).expect("ours");
    let (code, message) = mesh.run_once();
    assert_eq!(code, Some(0), "{message}");
    assert!(!mesh.published("web-01").exists(), "the dataplane is gone");
}

#[test]
fn a_file_that_turns_into_garbage_holds_what_it_was_about() {
    let mesh = Mesh::start();
    mesh.publish();
    let before = published_files(&mesh.published("web-01"));
    // Nothing in it tells what it was, and the program has ended in between.
    mesh.write("web.yaml", "networking: {address: [\n");
    for _ in 0..2 {
        let (code, message) = mesh.run_once();
        assert_eq!(code, Some(1), "{message}");
        assert!(message.contains("nothing was written for mesh default"), "{message}");
        assert_eq!(published_files(&mesh.published("web-01")), before);
    }
    // The same text in a file that never was about anything holds nobody.
    mesh.write("other.yaml", "networking: {address: [\n");
    mesh.write("web.yaml", "# gone\n");
    let (code, message) = mesh.run_once();
    assert_eq!(code, Some(0), "{message}");
    assert!(!mesh.published("web-01").exists(), "the dataplane is gone");
    // Nor does it in the file that was about something once, and could be read since.
    mesh.write("web.yaml", "networking: {address: [\n");
    let (code, message) = mesh.run_once();
    assert_eq!(code, Some(0), "{message}");
}
