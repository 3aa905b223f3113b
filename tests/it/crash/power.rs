//! The power is cut right before every system call by which a run changes the output directory, and after the last.

use super::arena::Arena;
use super::{accidents, creates};
use crate::kit::disk::Disk;

#[test]
#[ignore = "needs root and a loop device"]
fn cut_at_every_call() {
    let disk = Disk::new();
    let arena = Arena::in_directory(&disk.path());
    let all = accidents(&arena, |_, call| {
        if creates(call) {
            vec!["signal=SIGKILL"]
        } else {
            Vec::new()
        }
    });
    for (group, call, how, number) in &all {
        arena.reset();
        disk.sync();
        let run = arena.injure(*group, call, how, *number);
        for remains in disk.cut() {
            let at = format!("{call} {number}, {}", remains.what);
            disk.boot(remains);
            let is_finished = arena.check(&at);
            assert!(run.was_hit || is_finished, "{at}: it said that all is published");
        }
    }
}
