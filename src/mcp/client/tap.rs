//! A transport that hands a call's notifications to its caller in the order of their arrival. rmcp runs
//! its handlers side by side, so that a later report may overtake an earlier one.
#![expect(deprecated, reason = "servers before 2026-07-28 log by what it deprecates")]

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use rmcp::RoleClient;
use rmcp::model::*;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::mpsc;

use super::event::CallEvent;
use crate::mcp::wire::convert::TASK_META;

pub struct Tap<T> {
    inner: T,
    routes: Arc<Routes>,
}

impl<T> Tap<T> {
    pub fn new(inner: T, routes: Arc<Routes>) -> Self {
        Self { inner, routes }
    }
}

/// Marks an outgoing call with where its reports go.
#[derive(Clone)]
pub struct ReportTo(pub mpsc::Sender<CallEvent>);

/// Who gets what arrives.
#[derive(Default)]
pub struct Routes {
    calls: Mutex<Vec<Route>>,
    updates: Mutex<Vec<mpsc::Sender<String>>>,
}

struct Route {
    token: ProgressToken,
    report: mpsc::Sender<CallEvent>,
}

impl Routes {
    /// URIs of a legacy session that were updated.
    pub fn updates(&self, sender: mpsc::Sender<String>) {
        let mut updates = self.updates.lock();
        updates.retain(|there| !there.is_closed());
        updates.push(sender);
    }

    /// Nothing arrives any more: what waits is to know.
    fn close(&self) {
        self.calls.lock().clear();
        self.updates.lock().clear();
    }

    fn begin(&self, request: &ClientRequest) {
        let Some(ReportTo(report)) = request.extensions().get::<ReportTo>() else { return };
        let Some(token) = request.get_meta().get_progress_token() else { return };
        let mut calls = self.calls.lock();
        calls.retain(|call| !call.report.is_closed());
        calls.push(Route { token, report: report.clone() });
    }

    fn arrived(&self, notification: &ServerNotification) {
        let meta = notification.get_meta();
        let task_of = |own: Option<&NotificationMetaObject>| {
            let named = |meta: &NotificationMetaObject| meta.get(TASK_META)?.as_str().map(str::to_owned);
            own.and_then(named).or_else(|| named(meta))
        };
        match notification {
            ServerNotification::ProgressNotification(progress) => {
                let report = &progress.params;
                let event = CallEvent::Progress {
                    progress: report.progress,
                    total: report.total,
                    message: report.message.clone(),
                    task: task_of(report.meta.as_ref()),
                };
                self.tell(|call| call.token == report.progress_token, event);
            }
            ServerNotification::LoggingMessageNotification(log) => {
                let entry = &log.params;
                let text = match entry.data.as_str() {
                    Some(text) => text.to_owned(),
                    None => entry.data.to_string(),
                };
                let level = serde_json::to_value(entry.level).ok();
                let event = CallEvent::Log {
                    level: level.and_then(|level| level.as_str().map(str::to_owned)).unwrap_or_default(),
                    logger: entry.logger.clone(),
                    text,
                    task: task_of(entry.meta.as_ref()),
                };
                // It does not say which call it belongs to.
                self.tell(|_| true, event);
            }
            ServerNotification::ResourceUpdatedNotification(updated) => {
                for sender in self.updates.lock().iter() {
                    // A reader that lags behind has the same URI before it, or reads again anyway.
                    let _ = sender.try_send(updated.params.uri.clone());
                }
            }
            _ => {}
        }
    }

    fn tell(&self, is_it: impl Fn(&Route) -> bool, event: CallEvent) {
        for call in self.calls.lock().iter().filter(|call| is_it(call)) {
            // Reports are worth nothing to a caller that does not read them.
            let _ = call.report.try_send(event.clone());
        }
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Tap<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        if let ClientJsonRpcMessage::Request(request) = &item {
            self.routes.begin(&request.request);
        }
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let Some(message) = self.inner.receive().await else {
            self.routes.close();
            return None;
        };
        if let ServerJsonRpcMessage::Notification(notification) = &message {
            self.routes.arrived(&notification.notification);
        }
        Some(message)
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.inner.close()
    }
}
