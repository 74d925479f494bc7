//! Requests of the server's that travel past rmcp, which would number them and take the answers itself: out within a
//! notification that is opened at the transport.

use rmcp::RoleServer;
use rmcp::model::*;
use rmcp::service::{Peer, ServiceError};

/// What is sent in the place of the notification that bears it.
#[derive(Clone)]
struct InPlace(RequestId, ServerRequest);

pub async fn ask(peer: &Peer<RoleServer>, id: RequestId, request: ServerRequest) -> Result<(), ServiceError> {
    let mut bearer = CustomNotification::new("longhaul/question", None);
    bearer.extensions.insert(InPlace(id, request));
    peer.send_notification(ServerNotification::CustomNotification(bearer)).await
}

/// What a transport is to send for what rmcp gave it.
pub fn opened(message: ServerJsonRpcMessage) -> ServerJsonRpcMessage {
    match &message {
        ServerJsonRpcMessage::Notification(JsonRpcNotification {
            notification: ServerNotification::CustomNotification(bearer),
            ..
        }) => match bearer.extensions.get::<InPlace>() {
            Some(InPlace(id, request)) => ServerJsonRpcMessage::request(request.clone(), id.clone()),
            None => message,
        },
        _ => message,
    }
}
