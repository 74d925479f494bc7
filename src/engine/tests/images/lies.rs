//! A disk that says that it has synced, and has not: a power cut takes what it said was safe. Where the file itself shows
//! that something is gone, opening it is an error; where it does not, docs/operators.md says so.

use super::*;

const IMAGES: usize = 2_000;

/// How often a store said what, of the images of one kind of lie.
#[derive(Default)]
struct Count {
    whole: usize,
    errors: usize,
    silent: usize,
    /// Of the silent ones, those that lack more than one commit.
    silent_many: usize,
    /// Those in which rows of several commits stand together.
    mixed: usize,
}

fn lie(story: &Story, images: usize, seed: u64, counts: &Mutex<BTreeMap<(Lie, &'static str), Count>>) {
    for lie in [Lie::All, Lie::Sectors, Lie::Writes, Lie::Headers, Lie::AllButHeaders] {
        let (mut past, mut dice, mut count) = (Past::of(&story.drive), Dice(seed), Count::default());
        for moment in past.lies(images / 5, &mut dice) {
            let image = past.lied(moment, lie, &mut dice);
            match past.after_a_lie(&image, story.options) {
                AfterLie::Whole => count.whole += 1,
                AfterLie::Error(error) => {
                    assert!(error.contains("damaged"), "{}, seed {seed}, {lie:?}: {error}", story.name);
                    count.errors += 1;
                }
                AfterLie::Silent { lost } => {
                    count.silent += 1;
                    count.silent_many += usize::from(lost > 1);
                }
                AfterLie::Mixed { check } => {
                    println!("{}, seed {seed}, {lie:?} {moment:?}: rows of several commits", story.name);
                    check.expect_err("`doctor --check` finds what an opening does not");
                    count.mixed += 1;
                }
            }
        }
        counts.lock().insert((lie, story.name), count);
    }
}

#[test]
fn a_disk_that_lies_is_an_error_wherever_the_file_shows_it() {
    let (begun, counts) = (std::time::Instant::now(), Mutex::default());
    of_each_story(|number, story| lie(&story, IMAGES / ways().len(), number as u64 + 11, &counts));
    let counts = counts.into_inner();
    for ((lie, name), Count { whole, errors, silent, silent_many, mixed }) in &counts {
        println!(
            "{lie:?}, {name}: {whole} whole, {errors} errors, {silent} silent ({silent_many} of many), {mixed} mixed"
        );
    }
    println!("in {:?}", begun.elapsed());
    for ((lie, name), Count { errors, silent, mixed, .. }) in counts {
        let unseen = silent + mixed;
        match lie {
            // The file is as it was at an earlier moment: nothing in it can say that there was a later one.
            Lie::All => assert_eq!((errors, mixed), (0, 0), "{name}"),
            // Sometimes next to nothing of it is there.
            Lie::Sectors | Lie::Writes => assert!(unseen * 2 < errors, "{lie:?}, {name}"),
            Lie::Headers => assert!(unseen * 10 < errors, "{lie:?}, {name}"),
            // Most commits go into the ring: where no header was written meanwhile, all of it is gone together.
            Lie::AllButHeaders => assert!(unseen * 3 < errors, "{lie:?}, {name}"),
        }
    }
}
