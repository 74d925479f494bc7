//! The process that holds a folder dies in the middle of what it does there: the guest does not hear of it, and what became of
//! the call is said as far as the folder shows it.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use super::{House, Left, files};
use crate::support::launcher_of;

/// The kernel kills what would make a file longer than this, of all that a server's launcher starts from now on.
fn die_behind(launcher: u32, bytes: Option<u64>) {
    let launcher = Pid::from_raw(launcher.cast_signed());
    prlimit(launcher, Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("a bound");
}

/// How a task ends, and what it leaves, whose process dies where `/out/log`, to which `line 0` and `line 1` are appended with
/// seven bytes each, would be longer than this.
async fn dies_behind(house: &mut House, bytes: u64) -> (Value, Left) {
    let room = house.next_room();
    let server = house.start(&room, &[]);
    let client = server.client();
    let launcher = launcher_of(server.pid());
    die_behind(launcher, Some(bytes));
    let id = client.start("files_program", json!({}), None).await.expect("a task");
    // It is tried again at once some times, and then by another attempt.
    let is_over = |document: &Value| document["attempt"].as_u64() > Some(1) || document["state"] == "failed";
    client.until(&id, is_over).await;
    die_behind(launcher, None);
    let document = client.ended(&id).await.expect("an end");
    let log = client.read(&format!("task://{id}/log")).await.expect("a log");
    (document, Left { log, files: files(&room.out) })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_a_folder_and_dies_before_it_writes_is_followed_by_one_that_does_it_once() {
    let mut house = House::new("none");
    let (undisturbed, _) = house.undisturbed().await;
    let (document, left) = dies_behind(&mut house, 7).await;
    assert_eq!(document["state"], "completed", "{document}");
    assert_eq!(left, undisturbed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_of_which_a_part_is_there_ends_as_one_of_unknown_outcome() {
    let (document, left) = dies_behind(&mut House::new("none"), 10).await;
    let ended = (&document["state"], &document["reason"]);
    assert_eq!(ended, (&json!("failed"), &json!("unknown_outcome")), "{document}");
    assert!(document.to_string().contains("append to /out/log was begun"), "{document}");
    assert_eq!(left.files["log"], b"line 0\nlin", "what is there is left to who settles it");
}
