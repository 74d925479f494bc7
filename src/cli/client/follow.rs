//! Following a task over MCP to its end, across restarts of its server.

use std::time::{Duration, Instant};

use super::form::{Form, Reply};
use super::prompt::Asked;
use super::remote::{Remote, RemoteError};
use crate::api::{TaskAnswer, TaskDocument};
use crate::cli::exit::{CliError, Result};
use crate::cli::show::render::escape_text;
use crate::mcp::Updates;
use crate::task::TaskId;

/// How long a server may be away before following gives up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// Waits between two tries to reach it.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// A task is read at least this often, should a notification be lost on the way, unless its server says that it need not.
const READ_AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// Hears how a task goes on.
pub trait Audience: Send {
    /// Where the task stands.
    fn show(&mut self, task: &TaskDocument);
    /// A note along with it, such as a lost connection.
    fn note(&mut self, text: &str);

    /// A question of the task that can be answered here and now.
    fn to_ask(&mut self, _task: &TaskDocument) -> Option<Form> {
        None
    }

    /// Asks them. Safe to drop.
    fn ask(&mut self, _form: &mut Form) -> impl Future<Output = Asked> + Send {
        std::future::pending()
    }

    /// That question is not asked any more: why, in words. One that was put off is not asked again.
    fn asked(&mut self, _form: &Form, _put_off: bool, _why: &str) {}
}

/// Tells how the task goes on until it has ended, or its server has been away for a minute.
pub async fn to_the_end(
    remote: &mut Remote,
    id: TaskId,
    audience: &mut impl Audience,
) -> Result<TaskDocument> {
    patiently(remote, id, audience, GIVE_UP_AFTER).await
}

/// The same, however long that may be.
pub async fn patiently(
    remote: &mut Remote,
    id: TaskId,
    audience: &mut impl Audience,
    patience: Duration,
) -> Result<TaskDocument> {
    let mut failing_since = None;
    loop {
        let error = match read_on(remote, id, audience, &mut failing_since).await {
            Ok(task) => return Ok(task),
            Err(error @ RemoteError::NotFound(_)) => return Err(error.into()),
            // A server that is going down says all kinds of things.
            Err(error) => error,
        };
        let failing = failing_since.get_or_insert_with(Instant::now).elapsed();
        if failing > patience {
            let next =
                format!("start the server again (longhaul serve), then {}{}", watch_command(id), remote.at());
            return Err(CliError::from(error).next(next));
        }
        tracing::info!(%error, "following is interrupted");
        audience.note("the server is away; the task is safe, and goes on when the server is back");
        tokio::time::sleep((failing / 2).clamp(FIRST_BACKOFF, MAX_BACKOFF)).await;
        if let Err(error) = remote.reconnect().await {
            tracing::debug!(%error, "not back yet");
        }
    }
}

/// Tries something that needs the server until it is back, or away for too long.
pub async fn again<T>(mut attempt: impl AsyncFnMut() -> Result<T, RemoteError>) -> Result<T> {
    let began = Instant::now();
    let mut backoff = FIRST_BACKOFF;
    loop {
        match attempt().await {
            Err(RemoteError::Lost(why)) if began.elapsed() + backoff < GIVE_UP_AFTER => {
                if backoff == FIRST_BACKOFF {
                    eprintln!("{}; trying again for a minute", escape_text(&why));
                }
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
            other => return other.map_err(CliError::from),
        }
    }
}

/// The command that takes a task up again.
pub fn watch_command(id: impl std::fmt::Display) -> String {
    format!("longhaul task watch {id}")
}

async fn read_on(
    remote: &mut Remote,
    id: TaskId,
    audience: &mut impl Audience,
    failing_since: &mut Option<Instant>,
) -> Result<TaskDocument, RemoteError> {
    // Subscribed before it is read: a change in between is reported.
    let mut changes = remote.watch(id).await?;
    loop {
        let task = remote.task(id).await?;
        *failing_since = None;
        audience.show(&task);
        if task.is_terminal() {
            return Ok(task);
        }
        if let Some(mut form) = audience.to_ask(&task) {
            ask(remote, &mut form, audience, &mut changes).await?;
            continue;
        }
        // A timeout is no fault: read again.
        if let Ok(changed) = tokio::time::timeout(until_next_look(&task), changes.next()).await {
            changed?;
        }
    }
}

/// Notifications say what changes; this is for those that are lost.
fn until_next_look(task: &TaskDocument) -> Duration {
    task.poll_interval_ms.map_or(READ_AT_LEAST_EVERY, Duration::from_millis).max(READ_AT_LEAST_EVERY)
}

/// Asks the person at the terminal, until they have answered or another client has.
async fn ask(
    remote: &Remote,
    form: &mut Form,
    audience: &mut impl Audience,
    changes: &mut Updates,
) -> Result<(), RemoteError> {
    let (id, key) = (form.id, form.key.clone());
    let asked = tokio::select! {
        asked = audience.ask(form) => asked,
        over = answered_elsewhere(remote, id, &key, changes) => {
            let why = if over.is_ok() { "\nthe question is answered elsewhere, or over" } else { "" };
            audience.asked(form, false, why);
            return over;
        }
    };
    match asked {
        Asked::Later => {
            let why = format!("\nit stays open: {}", answer_command(id, &key));
            audience.asked(form, true, &why);
        }
        // Who is asked sits at the terminal.
        Asked::Given(Reply { action, content }) => {
            match remote
                .answer(TaskAnswer { task_id: id, key: Some(key.clone()), action, content }, true)
                .await
            {
                // What is wrong with it, or that another client was faster; the task says what is still open.
                Err(RemoteError::Refused(why)) => audience.asked(form, false, &why),
                other => {
                    audience.asked(form, false, "");
                    other?;
                }
            }
        }
    }
    Ok(())
}

async fn answered_elsewhere(
    remote: &Remote,
    id: TaskId,
    key: &str,
    changes: &mut Updates,
) -> Result<(), RemoteError> {
    loop {
        changes.next().await?;
        if !remote.task(id).await?.input_requests.contains_key(key) {
            return Ok(());
        }
    }
}

/// The command that answers a question.
pub fn answer_command(id: impl std::fmt::Display, key: &str) -> String {
    format!("longhaul task answer {id} --key {key} FIELD=VALUE…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_whose_server_says_so_is_read_less_often() {
        let look = |interval: Option<u64>| {
            let mut task = json!({
                "id": "1", "uri": "task://1", "tool": "t", "component": "t@1", "state": "waiting", "attempt": 1,
                "steps": 0, "created_at": "", "updated_at": "", "log_uri": "task://1/log",
            });
            if let Some(interval) = interval {
                task["poll_interval_ms"] = interval.into();
            }
            until_next_look(&serde_json::from_value(task).expect("a document")).as_secs()
        };
        assert_eq!([look(None), look(Some(1_000)), look(Some(60_000))], [5, 5, 60]);
    }

    #[tokio::test]
    async fn a_server_that_comes_back_is_found_again_and_a_refusal_is_not_repeated() {
        let mut tries = 0;
        let answer = again(async || {
            tries += 1;
            if tries < 3 { Err(RemoteError::Lost("away".into())) } else { Ok(tries) }
        });
        assert_eq!(answer.await, Ok(3));
        let mut tries = 0;
        let refused = again(async || {
            tries += 1;
            Err::<(), _>(RemoteError::Refused("no".into()))
        });
        assert!(refused.await.is_err());
        assert_eq!(tries, 1);
    }
}
