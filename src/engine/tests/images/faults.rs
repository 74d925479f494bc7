//! A disk that fails at any one call of the engine's work, or from it on.

use super::*;

/// Operations whose work is done on the failing disk: tasks with steps, children, questions, messages, state, large
/// values, and what is folded and deleted meanwhile.
const ROWS: [&str; 7] = [
    "records",
    "a checkpoint",
    "a child",
    "an answer",
    "a message to a task that waits for it",
    "a write",
    "a component",
];

/// Does the work until the store refuses it; gives the store's refusal.
async fn work(drive: &Drive) -> Result<(), EngineError> {
    let mut bench = Bench::on(drive.clone(), small(), START).await?;
    for row in TABLE.iter().filter(|row| ROWS.contains(&row.name)) {
        for act in row.before.iter().chain([&row.act]).chain(row.after) {
            bench.act(*act).await?;
            bench.rest().await.unwrap_or_else(|error| panic!("{}: {act:?}: {error}", row.name));
            if let Some(why) = bench.engine.latched() {
                // The operation was over already, or is one that a crash takes up.
                return Err(crate::store::StoreError::Latched(why).into());
            }
        }
        bench.called.clear();
    }
    let closing = bench.store().clone();
    bench.engine.shutdown().await;
    Ok(closing.close().await?)
}

/// What is wrong where this call fails; otherwise whether it was made at all, which hangs on what shared a commit.
fn fail_at(call: u64, fault: fn(u64) -> Fault) -> Result<bool, String> {
    let drive = Drive::recording().map_err(|error| error.to_string())?;
    drive.fail(fault(call));
    match alone(async || work(&drive).await)? {
        Ok(()) if !drive.has_failed() => return Ok(false),
        Ok(()) => return Err("no caller was told".to_owned()),
        Err(error) if error.to_string().contains("the disk failed") => {}
        Err(error) => return Err(format!("the caller is told: {error}")),
    }
    // The machine goes on, or its power goes with the disk.
    let (mut past, mut dice) = (Past::of(&drive), Dice(call));
    for image in [past.as_it_is(&drive), past.cut_now(&mut dice)] {
        past.verify(&image, small(), &mut dice).map_err(|why| format!("opened again: {why}"))?;
    }
    Ok(true)
}

#[test]
fn a_disk_that_fails_at_any_call_is_named_and_loses_nothing_acknowledged() {
    let begun = std::time::Instant::now();
    let calls = {
        let drive = Drive::recording().expect("a file");
        alone(async || work(&drive).await).expect("no panic").expect("no refusal");
        drive.calls()
    };
    let (next, made, wrong) = (AtomicU64::new(1), AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let call = next.fetch_add(1, Ordering::SeqCst);
                    if call > calls {
                        break;
                    }
                    match fail_at(call, if call % 2 == 0 { Fault::Once } else { Fault::From }) {
                        Ok(was_made) => drop(made.fetch_add(was_made.into(), Ordering::SeqCst)),
                        Err(why) => wrong.lock().push(format!("call {call}: {why}")),
                    }
                }
            });
        }
    });
    let made = made.into_inner();
    println!("{made} calls of the disk, each failed in a run of its own, in {:?}", begun.elapsed());
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(made > 200 && made > calls / 4 * 3, "{made} calls of {calls}");
}
