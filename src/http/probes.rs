//! What watches the program asks: `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Router};
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::backend::Backend;
use super::message::{self, Response};
use super::metrics::Metrics;
use super::mount::Measure;
use super::owner::OfOwner;

pub struct Probes {
    pub backend: Arc<dyn Backend>,
    pub measures: Vec<Measure>,
    /// One of each wing.
    pub stopping: Vec<CancellationToken>,
}

pub fn routes(probes: Probes) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(probes))
}

async fn ready(State(probes): State<Arc<Probes>>, Extension(of_owner): Extension<OfOwner>) -> Response {
    if let Some(why) = probes.backend.failure() {
        // Words about the disk and its folders are for the owner alone.
        let why = if of_owner.0 { format!(": {why}") } else { String::new() };
        return message::text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the store takes nothing any more{why}\n"),
        );
    }
    if probes.stopping.iter().any(CancellationToken::is_cancelled) {
        return message::text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    if probes.backend.is_loading() {
        return message::text(StatusCode::SERVICE_UNAVAILABLE, "loading components\n");
    }
    message::text(StatusCode::OK, "ready\n")
}

async fn metrics(State(probes): State<Arc<Probes>>) -> Response {
    let mut page = Metrics::default();
    probes.backend.measure(&mut page);
    for measure in &probes.measures {
        measure(&mut page);
    }
    message::content(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page.into_text())
}
