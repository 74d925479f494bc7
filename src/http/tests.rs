//! Two wings on one listener.

mod shares;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::authority::Principal;
use crate::shares::{Account, Bounds};

const TOKEN: &str = "lht_of-this-test";

/// One token, which can be revoked, and what was recorded of requests without one.
struct OneToken {
    revoked: watch::Sender<bool>,
    failure: Option<Arc<str>>,
    unauthenticated: Mutex<Vec<&'static str>>,
    shares: Arc<Account>,
}

impl Backend for OneToken {
    fn bearer(&self, token: &str) -> Option<Bearer> {
        let revoked = self.revoked.subscribe();
        let valid = token == TOKEN && !*revoked.borrow();
        valid.then(|| {
            Bearer::new(Principal::new("ann", Vec::new()), [1; 8], move || {
                let mut revoked = revoked.clone();
                async move { drop(revoked.wait_for(|revoked| *revoked).await) }
            })
        })
    }

    fn has_tokens(&self) -> bool {
        true
    }

    fn shares(&self) -> &Arc<Account> {
        &self.shares
    }

    fn audit_unauthenticated(&self, why: &'static str) {
        self.unauthenticated.lock().push(why);
    }

    fn failure(&self) -> Option<Arc<str>> {
        self.failure.clone()
    }

    fn measure(&self, metrics: &mut Metrics) {
        metrics.gauge("of_program", "Of the program.", &[("", 7)]);
    }
}

struct World {
    backend: Arc<OneToken>,
    server: Server,
    /// Of the two wings.
    stopping: [CancellationToken; 2],
}

impl World {
    async fn new(failure: Option<&str>) -> Self {
        Self::with(failure, Bounds::default()).await
    }

    async fn with(failure: Option<&str>, bounds: Bounds) -> Self {
        let shares = Account::new(bounds);
        let (revoked, _) = watch::channel(false);
        let failure = failure.map(Arc::from);
        let backend = Arc::new(OneToken { revoked, failure, unauthenticated: Mutex::default(), shares });
        let stopping = [CancellationToken::new(), CancellationToken::new()];
        let mounts = vec![
            wing("One", "/one", &stopping[0])
                .measured(|metrics| metrics.gauge("of_one", "Of one.", &[("", 1)])),
            wing("Two", "/two", &stopping[1]).single_headers("two-"),
        ];
        let server = Server::bind(Options::new(([127, 0, 0, 1], 0).into()), backend.clone(), mounts);
        Self { server: server.await.expect("listens"), backend, stopping }
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        client.get(format!("http://{}{path}", self.server.address()))
    }

    async fn text(&self, path: &str) -> (u16, String) {
        answer(self.get(path)).await
    }
}

/// Answers with its name and its caller's.
fn wing(name: &'static str, path: &str, stopping: &CancellationToken) -> Mount {
    let answer = move |_: Request| async move {
        let caller = Caller::of_this_request().expect("a caller");
        text(http::StatusCode::OK, format!("{name} for {}", caller.principal.name()))
    };
    Mount::new(name, path, answer).stopped_by(stopping.clone(), CancellationToken::new())
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

#[tokio::test]
async fn wings_on_one_listener_share_what_says_who_calls() {
    let world = World::new(None).await;
    for (path, name) in [("/one", "One"), ("/two", "Two"), ("/two/", "Two")] {
        let with = |token: &str| answer(world.get(path).bearer_auth(token));
        assert_eq!(with(TOKEN).await, (200, format!("{name} for ann")));
        assert_eq!(with("lht_wrong").await.0, 401);
        // What a proxy passed on is not the owner's, though its connection may be.
        assert_eq!(answer(world.get(path).header("via", "1.1 proxy")).await.0, 401);
        assert_eq!(answer(world.get(path).header("host", "evil.example")).await.0, 403);
        assert_eq!(answer(world.get(path).header("origin", "https://evil.example")).await.0, 403);
    }
    assert_eq!(*world.backend.unauthenticated.lock(), ["bad_token", "no_token"].repeat(3));
    world.backend.revoked.send_replace(true);
    assert_eq!(answer(world.get("/one").bearer_auth(TOKEN)).await.0, 401);
}

#[tokio::test]
async fn a_header_of_one_wing_is_single_on_the_whole_listener() {
    let world = World::new(None).await;
    let twice = |one, other| world.get("/one").bearer_auth(TOKEN).header("two-a", one).header("two-a", other);
    assert_eq!(
        answer(twice("1", "2")).await,
        (400, "the request has two different headers two-a\n".to_owned())
    );
    assert_eq!(answer(twice("1", "1")).await.0, 200);
}

#[tokio::test]
async fn what_stands_beside_the_wings_speaks_for_all_of_them() {
    let world = World::new(None).await;
    let (status, words) = world.text("/three").await;
    assert_eq!(status, 404);
    assert!(words.contains("One is at /one, Two is at /two"), "{words}");
    let (_, metrics) = world.text("/metrics").await;
    assert!(
        metrics.contains("\nlonghaul_of_program 7\n") && metrics.contains("\nlonghaul_of_one 1\n"),
        "{metrics}"
    );
    assert_eq!(world.text("/readyz").await, (200, "ready\n".to_owned()));
    world.stopping[1].cancel();
    assert_eq!(world.text("/readyz").await, (503, "stopping\n".to_owned()));
    assert!(!world.stopping[0].is_cancelled());
    world.server.shutdown().await;
    assert!(world.stopping[0].is_cancelled(), "the server stops its wings");
}

#[tokio::test]
async fn a_program_that_takes_nothing_is_not_ready() {
    let world = World::new(Some("the disk is full")).await;
    let (status, words) = world.text("/readyz").await;
    assert_eq!(status, 503);
    assert!(words.starts_with("the store takes nothing any more"), "{words}");
}
