use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use super::*;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
}

fn refused(folder: &Path) -> NotPrivate {
    let error = make_folder(folder).expect_err("refused");
    NotPrivate::of(&error).unwrap_or_else(|| panic!("{error}")).clone()
}

/// Another user's, where this is root; without that there is nothing to test.
fn give_away(path: &Path) -> bool {
    me() == ROOT && chown(path, Some(12_345), None).is_ok()
}

#[test]
fn a_folder_is_made_for_its_owner_alone_whatever_is_missing() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("a/b c/d");
    assert!(!check_folder(&folder, Purpose::Read).expect("nothing wrong"));
    assert_eq!(make_folder(&folder).expect("made"), Made::New);
    assert_eq!(make_folder(&folder).expect("there"), Made::WasThere);
    for part in ["a", "a/b c", "a/b c/d"] {
        assert_eq!(fs::metadata(root.path().join(part)).expect("there").mode() & 0o7777, 0o700, "{part}");
    }
    let file = root.path().join("file");
    fs::write(&file, "").expect("written");
    assert!(make_folder(&file).is_err() && make_folder(&file.join("below")).is_err());
}

#[test]
fn a_folder_that_others_may_write_is_refused_with_its_mode_and_what_mends_it() {
    for mode in [0o777, 0o770, 0o702, 0o1777, 0o2775] {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("it's data");
        fs::create_dir(&folder).expect("made");
        set_mode(&folder, mode);
        for purpose in [Purpose::Read, Purpose::Write] {
            assert!(check_folder(&folder, purpose).is_err(), "{mode:o}");
        }
        let seen = refused(&folder);
        assert!(seen.what.contains("it\\'s data") && seen.what.contains(&format!("mode {mode:o}")), "{seen}");
        assert!(seen.next.contains(r"data'") && seen.next.starts_with("chmod go-w "), "{seen}");
    }
    for mode in [0o700, 0o755, 0o500, 0o750] {
        let root = tempfile::tempdir().expect("a folder");
        set_mode(root.path(), mode);
        assert!(check_folder(root.path(), Purpose::Write).is_ok(), "{mode:o}");
    }
}

#[test]
fn a_folder_that_others_may_swap_is_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("open/below/data");
    make_folder(&folder).expect("made");
    let open = root.path().join("open");
    for (mode, safe) in [(0o777, false), (0o703, false), (0o1777, true), (0o775, true)] {
        set_mode(&open, mode);
        assert_eq!(check_folder(&folder, Purpose::Write).is_ok(), safe, "{mode:o}");
    }
    set_mode(&open, 0o777);
    let seen = refused(&folder);
    assert!(seen.what.contains("open (mode 777)") && seen.next.contains("chmod o-w"), "{seen}");
}

#[test]
fn what_belongs_to_another_user_is_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("parent/data");
    make_folder(&folder).expect("made");
    let file = folder.join("file");
    fs::write(&file, "").expect("written");
    if !give_away(&file) {
        return;
    }
    let error = open(&file, OpenOptions::new().read(true)).expect_err("another's");
    assert!(error.to_string().contains("user 12345"), "{error}");
    assert!(give_away(&folder));
    let seen = refused(&folder);
    assert!(seen.what.contains("belongs to user 12345 (mode 700), and this is root"), "{seen}");
    assert!(check_folder(&folder, Purpose::Read).is_err());
    chown(&folder, Some(ROOT), None).expect("back");
    assert!(give_away(&root.path().join("parent")), "who can put another folder in its place");
    assert!(refused(&folder).what.contains("parent belongs to user 12345"));
}

#[test]
fn what_another_user_can_change_is_no_file_of_an_installed_program() {
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("share/file");
    assert!(!check_installed(&file).expect("nothing there"));
    fs::create_dir(root.path().join("share")).expect("made");
    fs::write(&file, "").expect("written");
    set_mode(&file, 0o664);
    assert!(check_installed(&file).expect("of this user and its group"));
    assert!(check_installed(&root.path().join("share")).is_err(), "a folder");
    set_mode(&file, 0o646);
    assert!(check_installed(&file).is_err(), "every user may write it");
    set_mode(&file, 0o644);
    if give_away(&file) {
        let error = check_installed(&file).expect_err("another's");
        assert!(error.to_string().contains("belongs to user 12345"), "{error}");
    }
}

#[test]
fn a_path_may_lead_over_links_that_no_one_else_can_turn() {
    let root = tempfile::tempdir().expect("a folder");
    let disk = root.path().join("disk/data");
    make_folder(&disk).expect("made");
    for (name, target) in [("absolute", disk.as_path()), ("relative", Path::new("./disk/../disk/data"))] {
        let link = root.path().join(name);
        symlink(target, &link).expect("linked");
        assert!(check_folder(&link, Purpose::Write).expect(name));
    }
    set_mode(&disk, 0o777);
    assert!(check_folder(&root.path().join("relative"), Purpose::Write).is_err(), "what it leads to counts");
    set_mode(&disk, 0o700);
    symlink("circle", root.path().join("circle")).expect("linked");
    assert!(check_folder(&root.path().join("circle"), Purpose::Write).is_err());
    symlink("nowhere", root.path().join("loose")).expect("linked");
    assert!(!check_folder(&root.path().join("loose"), Purpose::Read).expect("nothing there"));
    let link = root.path().join("absolute");
    if me() == ROOT && std::os::unix::fs::lchown(&link, Some(12_345), None).is_ok() {
        assert!(refused(&link).what.contains("is a link of user 12345"));
    }
    // In a folder that everybody may write, anybody may have made it.
    let open = root.path().join("open");
    fs::create_dir(&open).expect("made");
    symlink(&disk, open.join("link")).expect("linked");
    set_mode(&open, 0o777);
    assert!(check_folder(&open.join("link"), Purpose::Write).is_err());
}

#[test]
fn only_plain_files_of_this_user_are_opened_and_never_through_a_link() {
    let root = tempfile::tempdir().expect("a folder");
    let path = |name: &str| root.path().join(name);
    fs::write(path("target"), "secret").expect("written");
    let reads = |name: &str| open(&path(name), OpenOptions::new().read(true));
    symlink("target", path("near")).expect("linked");
    symlink("/etc/passwd", path("far")).expect("linked");
    symlink("nowhere", path("loose")).expect("linked");
    for name in ["near", "far", "loose"] {
        let error = reads(name).expect_err("a link").to_string();
        assert!(error.contains(&format!("{name} is a link to ")) && error.contains("rm "), "{error}");
        assert!(open(&path(name), OpenOptions::new().append(true).create(true)).is_err());
        assert!(create(&path(name)).is_err());
        assert!(path(name).symlink_metadata().expect("still there").is_symlink());
        assert!(only_socket(&path(name)).is_err());
    }
    fs::create_dir(path("folder")).expect("made");
    let made = std::process::Command::new("mkfifo").arg(path("pipe")).status();
    assert!(made.expect("mkfifo runs").success());
    for name in ["folder", "pipe"] {
        assert!(reads(name).expect_err("no file").to_string().contains("no plain file"));
    }
    set_mode(&path("target"), 0o666);
    assert!(reads("target").expect_err("others write it").to_string().contains("chmod go-w"));
    set_mode(&path("target"), 0o644);
    assert!(reads("target").is_ok());
    assert_eq!(reads("missing").expect_err("nothing").kind(), io::ErrorKind::NotFound);
    assert!(only_socket(&path("target")).is_err() && only_socket(&path("missing")).is_ok());
    drop(create(&path("target")).expect("made anew"));
    assert_eq!(fs::metadata(path("target")).expect("there").mode() & 0o7777, 0o600);
}
