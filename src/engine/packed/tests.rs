//! Replays with a runner that does what a test says, in the place of a guest.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::file::tests::exported;
use super::task::{Exported, PackedState};
use super::{ReplayEnd, Replayed};
use crate::catalog::Inspection;
use crate::engine::journal::records::{Next, put_varint};
use crate::engine::ports::{BoxFuture, InspectError, Outcome};
use crate::engine::record::error::RecorderError;
use crate::engine::runner::{Attempt, Runner};
use crate::task::ToolResult;

/// Makes so many calls with this hash, and ends so.
#[derive(Clone)]
struct Script {
    calls: usize,
    hash: u64,
    end: fn() -> Outcome,
}

impl Runner for Script {
    fn inspect(&self, _: Arc<[u8]>) -> BoxFuture<Result<Inspection, InspectError>> {
        Box::pin(async { Err(InspectError::Unsupported("a test".to_owned())) })
    }

    fn run(&self, attempt: Attempt) -> BoxFuture<Outcome> {
        let script = self.clone();
        Box::pin(async move {
            let recorder = attempt.recorder;
            let calls = || -> Result<(), RecorderError> {
                for _ in 0..script.calls {
                    recorder.log(b"line\n")?;
                    if recorder.next(1, script.hash, "a call")? == Next::Live {
                        recorder.record(1, script.hash, b"new")?;
                    }
                }
                recorder.finish()
            };
            match calls() {
                Ok(()) => (script.end)(),
                Err(RecorderError::Diverged(divergence)) => Outcome::Diverged(divergence),
                Err(error) => Outcome::HostFault { message: error.to_string() },
            }
        })
    }
}

const DONE: fn() -> Outcome = || Outcome::Completed(ToolResult::text("done"));
const TRAP: fn() -> Outcome =
    || Outcome::Trap { message: "unreachable".into(), backtrace: Some("0: guest!main".into()) };
const FAULT: fn() -> Outcome = || Outcome::HostFault { message: "no answer is there".into() };

fn journal(calls: usize) -> Exported {
    let mut records = Vec::new();
    for _ in 0..calls {
        records.push(1);
        records.extend_from_slice(&7u64.to_le_bytes());
        put_varint(&mut records, 2);
        records.extend_from_slice(b"ok");
    }
    let mut whole = exported();
    whole.head.records = calls as u64;
    Exported { records, ..whole }
}

async fn replay(exported: &Exported, script: Script, until: Option<u64>) -> Replayed {
    let folder = tempfile::tempdir().expect("a folder");
    exported.replay(folder.path(), Arc::new(script), until).await.expect("a replay")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_says_how_far_the_guest_came_and_how_it_ended() {
    let exported = journal(3);
    let script = |calls, hash, end| Script { calls, hash, end };
    let live = replay(&exported, script(4, 7, DONE), None).await;
    assert_eq!((live.end, live.passed, live.records.len()), (ReplayEnd::Live, 3, 3));
    assert_eq!(live.log, b"line\n".repeat(4));
    let stopped = replay(&exported, script(4, 7, DONE), Some(2)).await;
    assert_eq!((stopped.end, stopped.passed), (ReplayEnd::Stopped, 2));
    let trapped = replay(&exported, script(3, 7, TRAP), None).await;
    let ReplayEnd::Trapped { message, detail } = &trapped.end else { panic!("{trapped:?}") };
    assert!(
        message.contains("unreachable")
            && detail.as_ref().is_some_and(|detail| detail.contains("guest!main"))
    );
    let completed = replay(&exported, script(3, 7, DONE), None).await;
    assert_eq!(completed.end, ReplayEnd::Completed(ToolResult::text("done")));
    for (calls, hash, faithful) in [(3, 8, false), (2, 7, false), (0, 7, false)] {
        let other = replay(&exported, script(calls, hash, DONE), None).await;
        assert!(matches!(other.end, ReplayEnd::Differs { .. }), "{other:?}");
        assert_eq!(other.end.is_faithful(), faithful);
    }
    // A fault is tried again elsewhere; here nothing would mend it.
    let fault = replay(&exported, script(3, 7, FAULT), None).await;
    assert!(
        matches!(&fault.end, ReplayEnd::Failed { reason: "host_fault", message } if message.contains("no answer"))
    );
    assert!(!fault.end.is_faithful());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A file that says anything at all in all its parts leads to an end, and never to a panic.
    #[test]
    fn no_file_leads_astray(
        records in prop::collection::vec(any::<u8>(), 0..40),
        calls in 0usize..4,
        number in prop_oneof![0u64..100, 0u64..1 << 59, any::<u64>()],
        small in 0u64..5,
        outcome in prop::collection::vec(any::<u8>(), 0..20),
        is_journal in any::<bool>(),
    ) {
        let mut whole = if is_journal { journal(calls) } else { Exported { records, ..exported() } };
        whole.ops[0].number = small;
        whole.ops[0].at = number;
        whole.ops[0].state = PackedState::Done(outcome);
        (whole.head.first_record, whole.head.records, whole.head.created_at) = (number, number, number);
        (whole.task.asked, whole.task.reports, whole.task.logical_nanos) = (small, number, number);
        whole.task.limits.memory_mib = number;
        whole.task.limits.total_seconds = number;
        whole.task.arguments = String::from_utf8_lossy(&number.to_le_bytes()).into_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
        let folder = tempfile::tempdir().expect("a folder");
        let script = Script { calls: 3, hash: 7, end: DONE };
        let replaying = whole.replay(folder.path(), Arc::new(script), None);
        let replayed = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), replaying).await });
        prop_assert!(replayed.is_ok(), "it hangs");
    }
}
