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

/// Reads secrets when they are used, and keeps for a moment what came of it.
#[derive(Clone, Default)]
pub struct Secrets {
    outside: Option<ReadOutside>,
    kept: Arc<Mutex<BTreeMap<SecretSource, Kept>>>,
}

/// One at a time reads a source: requests that want it at the same moment wait for that.
type Kept = Arc<tokio::sync::Mutex<Option<(Instant, Read)>>>;

type Read = Result<Secret, SecretError>;

impl Secrets {
    /// Files and keyrings are read by another process; the environment is this one's own.
    pub fn outside(read: ReadOutside) -> Self {
        Self { outside: Some(read), ..Self::default() }
    }

    /// A source that was read within the last [`limits::SECRET_KEPT_SECONDS`] is not read again, also where there was
    /// nothing: a guest that asks and asks starts no process each time.
    pub async fn read(&self, source: &SecretSource) -> Read {
        if matches!(source, SecretSource::Env(_)) {
            return read_here(source);
        }
        let kept = self.kept.lock().entry(source.clone()).or_default().clone();
        let mut kept = kept.lock().await;
        if let Some((read_at, read)) = &*kept
            && read_at.elapsed() < Duration::from_secs(limits::SECRET_KEPT_SECONDS)
        {
            return read.clone();
        }
        let read = self.read_now(source).await;
        *kept = Some((Instant::now(), read.clone()));
        read
    }

    async fn read_now(&self, source: &SecretSource) -> Read {
        if let Some(read) = &self.outside {
            return read(source.clone()).await;
        }
        let here = source.clone();
        let reading = tokio::task::spawn_blocking(move || read_here(&here));
        reading.await.unwrap_or_else(|_| Err(SecretError::new(source, "was not read: the server is ending")))
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

    /// Where nothing is there yet, and then a secret.
    fn counting() -> (Secrets, Arc<AtomicUsize>) {
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = reads.clone();
        let secrets = Secrets::outside(Arc::new(move |source| {
            let counted = counted.clone();
            Box::pin(async move {
                tokio::task::yield_now().await;
                let at = counted.fetch_add(1, Ordering::SeqCst);
                match source.to_string().as_str() {
                    "file:/none" => Err(SecretError::new(&source, "is not there")),
                    _ => Ok(Secret::new(format!("secret-{at}"))),
                }
            })
        }));
        (secrets, reads)
    }

    #[tokio::test]
    async fn what_was_just_read_is_not_read_again_and_neither_is_what_is_not_there() {
        let (secrets, reads) = counting();
        let (there, none): (SecretSource, SecretSource) =
            ("file:/key".parse().expect("a source"), "file:/none".parse().expect("a source"));
        let at_once = futures::future::join_all((0..8).map(|_| secrets.read(&there))).await;
        assert!(at_once.iter().all(|read| read.as_ref().is_ok_and(|secret| secret.expose() == "secret-0")));
        for _ in 0..3 {
            secrets.read(&none).await.expect_err("there is nothing");
        }
        assert_eq!(reads.load(Ordering::SeqCst), 2);
        let shown = format!("{secrets:?} {:?}", secrets.read(&there).await);
        assert!(!shown.contains("secret-0"), "{shown}");
    }
}
