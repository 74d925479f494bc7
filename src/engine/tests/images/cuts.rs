//! Power cuts at any moment. Of what was written and not synced then, any sectors are there and any are not, and so is a
//! new length of the file. Each image is checked, opened, read and written to by the store; some are taken up by the
//! engine.

use super::*;

const IMAGES: usize = 10_000;
const MANY_IMAGES: usize = 100_000;
/// One image in so many is taken up by the engine.
const ENGINES: usize = 20;

/// What one drive has shown.
struct Shown {
    images: usize,
    /// Of them, those that the engine took up.
    engines: usize,
    /// What was written to.
    spaces: Vec<Space>,
}

fn cut(story: &Story, images: usize, seed: u64) -> Shown {
    let (mut past, mut dice, mut engines) = (Past::of(&story.drive), Dice(seed), 0);
    for cut in past.cuts(images, &mut dice) {
        let at = || format!("{}, seed {seed}, cut after {cut} changes", story.name);
        let image = past.image(cut, &mut dice);
        let taken_up = image.drive.again();
        let verified = past.verify(&image, story.options, &mut dice);
        verified.unwrap_or_else(|why| panic!("{}: {why}", at()));
        if dice.below(ENGINES) == 0 {
            engines += 1;
            // Mostly the clock is as it was; now and then it was set back to the beginning.
            let wall = if dice.below(4) == 0 { START } else { story.wall };
            let went_on = alone(async || goes_on(story, taken_up, wall).await).and_then(|went_on| went_on);
            went_on.unwrap_or_else(|why| panic!("{}, taken up: {why}", at()));
        }
    }
    Shown { images, engines, spaces: past.spaces }
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_and_halves_nothing() {
    let many = std::env::var("LONGHAUL_LONG").is_ok_and(|long| long == "1");
    let images = if many { MANY_IMAGES } else { IMAGES };
    let begun = std::time::Instant::now();
    let shown = of_each_story(|number, story| {
        let seed = number as u64 + 1;
        let shown = cut(&story, images / ways().len(), seed);
        println!("{}, seed {seed}: {} images, by {:?}", story.name, shown.images, begun.elapsed());
        shown
    });
    let engines: usize = shown.iter().map(|shown| shown.engines).sum();
    let count: usize = shown.iter().map(|shown| shown.images).sum();
    println!("{count} images, {engines} of them taken up by the engine, in {:?}", begun.elapsed());
    assert!(count == images && engines > count / ENGINES / 2);
    let spaces: BTreeSet<Space> = shown.into_iter().flat_map(|shown| shown.spaces).collect();
    let never: Vec<_> = Space::ALL.iter().filter(|space| !spaces.contains(space)).collect();
    // Nothing writes the first one any more, and sessions are a wing's.
    assert_eq!(never, [&Space::Wake, &Space::Session], "rows of these spaces were never written");
}

/// A writer that did otherwise would be seen: what a test can say of one that is right hangs on that.
#[test]
fn a_skipped_sync_and_an_acknowledgement_before_the_sync_are_seen() {
    let story = Story::new(0);
    let sees = |mut past: Past| {
        let mut dice = Dice(5);
        past.cuts(IMAGES / 10, &mut dice).into_iter().any(|cut| {
            let image = past.image(cut, &mut dice);
            past.verify(&image, story.options, &mut dice).is_err_and(|why| why.contains("were acknowledged"))
        })
    };
    assert!(!sees(Past::of(&story.drive)));
    assert!(sees(Past::of(&story.drive).acknowledging_early()));
    assert!(sees(Past::of(&story.drive).skipping_syncs(7)));
}
