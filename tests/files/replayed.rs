//! A task that has read more at once than its journal keeps, replayed where its folder is, where it is not, and with another
//! version of its component.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{House, Room};
use crate::move_tasks::{alike, count, done};
use crate::support::{answer_of, command};

/// A task that a crash cut off behind its long read, and its id. No server runs.
async fn cut_off_behind_its_long_read(house: &mut House) -> (Room, String) {
    let room = house.next_room();
    let mut server = house.start(&room, &[("LONGHAUL_CRASH", "record:20")]);
    // The server may die before its answer is out.
    let _ = server.client().start("files_program", json!({}), None).await;
    server.died().expect("it is dying");
    let listed = answer_of(command(&room.data, &["task", "list"]));
    let id = listed["tasks"][0]["id"].as_str().unwrap_or_else(|| panic!("{listed}")).to_owned();
    (room, id)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// On a machine that has nothing of the first one but what is named.
fn replay(file: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
    let elsewhere = tempfile::tempdir().expect("a folder");
    done(command(elsewhere.path(), &[&["replay", text(file)], more].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_task_reads_again_where_its_folder_is_named_and_says_so_where_it_is_not() {
    let mut house = House::new("none");
    let (room, id) = cut_off_behind_its_long_read(&mut house).await;
    let file = house.path("cut.task");
    answer_of(command(&room.data, &["task", "export", &id, "-o", text(&file)]));
    let bind = format!("in={}", room.input.display());

    let (exit, without, said) = replay(&file, &[]);
    assert_eq!((exit, &without["end"]), (Some(1), &json!("refused")), "{without} {said}");
    let message = without["message"].as_str().unwrap_or_default();
    assert!(message.contains("/in/big") && message.contains("--bind in=FOLDER"), "{without}");

    let (exit, with, said) = replay(&file, &["--bind", &bind]);
    assert_eq!((exit, &with["end"]), (Some(0), &json!("live")), "{with} {said}");

    let (exit, _, said) = replay(&file, &["--bind", &format!("docs={}", room.input.display())]);
    assert!(exit == Some(2) && said.contains("no slot 'docs'") && said.contains("in, out"), "{said}");

    let big = room.input.join("big");
    let mut changed = fs::read(&big).expect("a file");
    changed[0] ^= 1;
    fs::write(&big, changed).expect("written");
    let (exit, other, said) = replay(&file, &["--bind", &bind]);
    assert_eq!((exit, &other["end"]), (Some(1), &json!("differs")), "{other} {said}");
    assert!(other["message"].to_string().contains("/in/big reads otherwise"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_read_much_is_tried_and_moved_where_its_folder_is() {
    let mut house = House::new("none");
    let (room, _) = cut_off_behind_its_long_read(&mut house).await;
    let next = house.path("next");
    fs::create_dir(&next).expect("a folder");
    let component = fs::read(house.path("tools/files_program.wasm")).expect("read");
    fs::write(next.join("files_program.wasm"), alike(&component)).expect("written");
    let update = |words: &[&str]| {
        let mut command = command(
            &room.data,
            &[&["tool", "update", "files_program", "--tools", text(&next)], words].concat(),
        );
        command.env("LONGHAUL_CONFIG", &room.config).env("LONGHAUL_TRUST", "true");
        done(command)
    };

    let away = house.path("away");
    fs::rename(&room.input, &away).expect("moved");
    let (exit, tried, said) = update(&["--try"]);
    assert_eq!((exit, count(&tried, "not_tried")), (Some(1), 1), "{tried} {said}");
    assert!(tried.to_string().contains("the folder of the slot in cannot be held"), "{tried}");

    fs::rename(&away, &room.input).expect("moved back");
    let (exit, tried, said) = update(&["--try"]);
    assert_eq!((exit, count(&tried, "goes_on")), (Some(0), 1), "{tried} {said}");
    let (exit, moved, said) = update(&["--move-tasks"]);
    assert_eq!((exit, count(&moved, "moved")), (Some(0), 1), "{moved} {said}");
}
