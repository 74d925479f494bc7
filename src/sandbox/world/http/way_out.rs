//! The way out of an attempt's exchanges: judged by what the task may do at the moment, and then through the connector.

use crate::authority::{Lost, Powers};
use crate::engine::{BoxFuture, Recorder, RecorderError};
use crate::sandbox::egress::{Answer, Connector, Failure, Outgoing, Target, Timeouts, Timer, put_in};
use crate::sandbox::wire::{ExchangeWire, Remote, Request};

/// Where exchanges leave.
#[derive(Clone)]
pub enum WayOut {
    /// From this process.
    Here { recorder: Recorder, connector: Connector },
    /// From the server's.
    There(Remote),
}

impl WayOut {
    /// Whether the task may still go there. What it was given was asked when the guest began the exchange. The inner
    /// error is the exchange's outcome, and reaches the task.
    pub async fn check(&self, target: &Target) -> Result<Result<(), Failure>, RecorderError> {
        match self {
            Self::Here { recorder, .. } => check(recorder, target),
            Self::There(remote) => remote.call(Request::MayReach { url: target.url().as_str() }).await,
        }
    }

    /// Sends what [`Self::check`] let pass, and waits for what comes back.
    pub async fn exchange(
        &self,
        outgoing: Outgoing,
        timeouts: Timeouts,
    ) -> Result<Result<Answer, Failure>, RecorderError> {
        match self {
            Self::Here { recorder, connector } => exchange(recorder, connector, outgoing, timeouts).await,
            Self::There(remote) => {
                let outcome: Vec<u8> =
                    remote.call(Request::Exchange(Box::new(wire(&outgoing, timeouts)))).await?;
                super::outcome::decode(&outcome)
                    .ok_or_else(|| RecorderError::Fault("the server's answer is unreadable".to_owned()))
            }
        }
    }
}

fn wire(outgoing: &Outgoing, timeouts: Timeouts) -> ExchangeWire<'_> {
    let headers = outgoing.headers.iter();
    ExchangeWire {
        method: outgoing.method.as_str(),
        url: outgoing.target.url().as_str(),
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
        body: outgoing.body.as_deref(),
        connect: timeouts.connect,
        first_byte: timeouts.first_byte,
        between_bytes: timeouts.between_bytes,
    }
}

pub fn check(recorder: &Recorder, target: &Target) -> Result<Result<(), Failure>, RecorderError> {
    match recorder.checked(|powers| may_reach(powers, target)) {
        Ok(()) => Ok(Ok(())),
        Err(lost) => Ok(Err(refused(recorder, target, lost)?)),
    }
}

pub async fn exchange(
    recorder: &Recorder,
    connector: &Connector,
    mut outgoing: Outgoing,
    timeouts: Timeouts,
) -> Result<Result<Answer, Failure>, RecorderError> {
    let (target, is_safe) = (outgoing.target.clone(), outgoing.method.is_safe());
    let what = format!("{} {}", outgoing.method, target.describe());
    let timer = TaskTime(recorder.clone());
    // Behind all that is hashed and recorded of the request.
    let secrets = match put_in(connector.secrets(), &recorder.secrets(), &mut outgoing).await {
        Ok(secrets) => secrets,
        Err(failure) => return Ok(Err(failure)),
    };
    let exchanging = connector.exchange(outgoing, timeouts, &timer);
    let outcome = tokio::select! {
        biased;
        outcome = exchanging => outcome,
        // What changes something may have arrived: only its answer says so, and it is left to come.
        lost = recorder.lost(|powers| may_reach(powers, &target)), if is_safe => {
            Err(refused(recorder, &target, lost)?)
        }
    };
    if matches!(outcome, Err(Failure::AddressProhibited)) {
        recorder.refused_by_address(&target.pattern());
    }
    if let Err(failure @ (Failure::Certificate(_) | Failure::Tls)) = &outcome {
        // The guest gets no reason, and it is the operator who can do something about it.
        tracing::info!(what, "{failure}");
    }
    Ok(outcome.map(|answer| secrets.masked(answer)))
}

fn refused(recorder: &Recorder, target: &Target, lost: Lost) -> Result<Failure, RecorderError> {
    recorder.refused_by_power(&target.pattern(), lost)?;
    Ok(Failure::NotAllowed(lost.to_string()))
}

fn may_reach(powers: &Powers, target: &Target) -> Result<(), Lost> {
    powers.standing.check_any()?;
    match &powers.component {
        Some(granted) if !target.is_granted(&granted.now) => Err(Lost::OfComponent),
        _ => Ok(()),
    }
}

struct TaskTime(Recorder);

impl Timer for TaskTime {
    fn sleep(&self, time: std::time::Duration) -> BoxFuture<()> {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Box::pin(self.0.sleep_until(self.0.raw_now().saturating_add(nanos)))
    }
}
