use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;

use super::*;

/// Takes what is said, and lets nothing be asked again.
struct Once;

impl ModelFlow for Once {
    fn again(self: Arc<Self>, _: bool) -> BoxFuture<Result<(), ModelFault>> {
        Box::pin(async { Err(ModelFault::Limit("once".to_owned())) })
    }

    fn said(&self, _: String) -> BoxFuture<()> {
        Box::pin(async {})
    }
}

async fn fault_of(url: &str) -> Fault {
    let lines = format!("api = \"openai-chat\"\nurl = \"{url}\"\nmodel = \"m\"");
    let settings: ModelSettings = toml::from_str(&lines).expect("settings");
    let endpoint = Endpoint::new("fast", &settings, &[], Secrets::default()).expect("an endpoint");
    endpoint.send("{}", "a-key", &Once).await.expect_err("there is no endpoint")
}

#[tokio::test]
async fn why_an_endpoint_is_not_reached_is_said_with_its_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let fault = fault_of(&format!("https://127.0.0.1:{port}/v1")).await;
    assert!(fault.why.contains("corrupt message"), "{}", fault.why);
    assert!(!fault.may_be_paid, "nothing was asked: {}", fault.why);

    // Bound and not listened on: nothing else gets the port.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let port = socket.local_addr().expect("an address").port();
    let fault = fault_of(&format!("http://127.0.0.1:{port}/v1/secret-path")).await;
    assert!(fault.why.contains("Connection refused"), "{}", fault.why);
    assert!(!fault.may_be_paid && !fault.why.contains("secret-path"), "{}", fault.why);
}
