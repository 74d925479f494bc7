use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::read::{SecretError, read_here};
use super::source::SecretSource;
use crate::authority::Secret;
use crate::limits;

/// Reads what the server's walls keep from it.
pub type ReadOutside =
    Arc<dyn Fn(SecretSource) -> BoxFuture<'static, Result<Secret, SecretError>> + Send + Sync>;

/// Reads secrets when they are used, and keeps what it has read for a moment.
#[derive(Clone, Default)]
pub struct Secrets {
    outside: Option<ReadOutside>,
    kept: Arc<Mutex<BTreeMap<SecretSource, (Instant, Secret)>>>,
}

impl Secrets {
    /// Files and keyrings are read by another process; the environment is this one's own.
    pub fn outside(read: ReadOutside) -> Self {
        Self { outside: Some(read), ..Self::default() }
    }

    /// A source that was read within the last [`limits::SECRET_KEPT_SECONDS`] is not read again. One that cannot be read
    /// any more has no secret, whatever was there before.
    pub async fn read(&self, source: &SecretSource) -> Result<Secret, SecretError> {
        if matches!(source, SecretSource::Env(_)) {
            return read_here(source);
        }
        if let Some(secret) = self.fresh(source) {
            return Ok(secret);
        }
        let read = match &self.outside {
            Some(read) => read(source.clone()).await,
            None => {
                let here = source.clone();
                let reading = tokio::task::spawn_blocking(move || read_here(&here));
                reading
                    .await
                    .unwrap_or_else(|_| Err(SecretError::new(source, "was not read: the server is ending")))
            }
        };
        let mut kept = self.kept.lock();
        match &read {
            Ok(secret) => drop(kept.insert(source.clone(), (Instant::now(), secret.clone()))),
            Err(_) => drop(kept.remove(source)),
        }
        read
    }

    fn fresh(&self, source: &SecretSource) -> Option<Secret> {
        let kept = self.kept.lock();
        let (read_at, secret) = kept.get(source)?;
        let is_fresh = read_at.elapsed() < Duration::from_secs(limits::SECRET_KEPT_SECONDS);
        is_fresh.then(|| secret.clone())
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_was_just_read_is_not_read_again_and_a_failure_is_not_kept() {
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = reads.clone();
        let secrets = Secrets::outside(Arc::new(move |source| {
            let at = counted.fetch_add(1, Ordering::SeqCst);
            let read = match at {
                0 => Err(SecretError::new(&source, "is not there yet")),
                _ => Ok(Secret::new(format!("secret-{at}"))),
            };
            Box::pin(async move { read })
        }));
        let source: SecretSource = "file:/key".parse().expect("a source");
        secrets.read(&source).await.expect_err("not there yet");
        for _ in 0..3 {
            assert_eq!(secrets.read(&source).await.expect("read").expose(), "secret-1");
        }
        assert_eq!(reads.load(Ordering::SeqCst), 2);
        let shown = format!("{secrets:?} {:?}", secrets.read(&source).await);
        assert!(!shown.contains("secret-1"), "{shown}");
    }
}
