//! Guests that talk to servers with TLS: the name of the URL is what a certificate must prove, to whichever address
//! it led, and only authorities of the machine and of the operator can prove it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_rustls::rustls::ServerConfig;

use crate::http::{Place, words};
use crate::support::{Authority, EXPIRED, Server, Tls, VALID, Web};

fn web(config: Arc<ServerConfig>) -> Web {
    Web::with_tls(Tls { config, late: Duration::ZERO })
}

fn url(host: &str, web: &Web, path: &str) -> String {
    format!("https://{host}:{}{path}", web.port)
}

fn get(url: &str) -> Value {
    json!({"op": "http", "request": {"method": "GET", "url": url}})
}

/// The interpreter, granted all that these servers serve; `trusted` is the operator's own authority.
fn place(webs: &[&Web], trusted: &Authority) -> Place {
    let grants: Vec<_> =
        webs.iter().flat_map(|web| ["localhost", "127.0.0.1"].map(|host| url(host, web, ""))).collect();
    let place = Place::with_grants(&grants, "");
    // Next to the file that names it.
    place.configure("ca_file = \"../../ca.pem\"\n");
    place.write("ca.pem", &trusted.pem());
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_certificate_for_the_name_of_the_url_is_trusted() {
    let (ours, unknown) = (Authority::new("ours"), Authority::new("unknown"));
    let right = web(ours.server("localhost", VALID));
    let other_name = web(ours.server("other.example", VALID));
    let expired = web(ours.server("localhost", EXPIRED));
    let foreign = web(unknown.server("localhost", VALID));
    let wrong = [&other_name, &expired, &foreign];
    let mut place = place(&[&right, &other_name, &expired, &foreign], &ours);
    let mut program: Vec<_> =
        wrong.iter().map(|web| get(&url("localhost", web, "/secret?key=hidden"))).collect();
    // The address that it leads to is no name of the server.
    program.push(get(&url("127.0.0.1", &right, "/secret")));
    let post = json!({"method": "POST", "url": url("localhost", &foreign, "/pay"), "body": "100"});
    program.push(json!({"op": "http", "request": post}));
    program.push(get(&url("localhost", &right, "/yes")));
    program.push(json!({"op": "step", "name": "end"}));

    let run = place.undisturbed(&program).await;
    let mut got = vec!["error TlsCertificateError".to_owned(); 5];
    got.push(Web::answer("GET", "/yes", ""));
    assert_eq!(words(&run, "http"), got, "{}", run.document);
    assert_eq!(right.seen().len(), 1);
    assert_eq!(right.hosts(), [None, Some("localhost".to_owned())], "an address is not asked for by name");
    for web in wrong {
        assert_eq!(web.seen(), [], "no request goes to who proved nothing");
        assert!(web.hosts().iter().all(|host| host.as_deref() == Some("localhost")), "{:?}", web.hosts());
    }

    // The operator sees what the guest does not, without the query.
    let said = place.said();
    for why in ["only valid for DnsName(\"other.example\")", "certificate expired", "UnknownIssuer"] {
        assert!(said.contains(why) && !said.contains("hidden"), "{why}: {said}");
    }

    // What failed is on disk like what was answered: a resume gives it again and sends no request.
    let records = run.document["steps"].as_u64().expect("a number");
    let crashed = place.crashed(&program, &format!("record:{records}")).await;
    let (data, id) = crashed.expect("it died at its last record");
    let connections = || [&right, &other_name, &expired, &foreign].map(Web::connections);
    let before = connections();
    assert_eq!(words(&place.resumed(&data, &id, &program).await, "http"), got);
    assert_eq!(connections(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_an_answer_begins_when_the_connection_is_there() {
    let ours = Authority::new("ours");
    let late = Duration::from_millis(1_500);
    let web = Web::with_tls(Tls { config: ours.server("localhost", VALID), late });
    let mut place = place(&[&web], &ours);
    let request =
        |path| json!({"method": "GET", "url": url("localhost", &web, path), "first_byte_ms": 1_000});
    let program = [
        json!({"op": "http", "request": request("/late")}),
        json!({"op": "http", "request": request("/never")}),
    ];
    let run = place.undisturbed(&program).await;
    let answer = Web::answer("GET", "/late", "");
    assert_eq!(words(&run, "http"), [&answer, "error HttpResponseTimeout"], "{}", run.document);
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_stops_the_start() {
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("ca.pem");
    let start = |data: &str| {
        let variables = [("LONGHAUL_CA_FILE", file.to_str().expect("text"))];
        Server::start_with(&root.path().join(data), &[], &variables).err().expect("it does not start")
    };
    assert!(start("a").contains("cannot be read"));
    std::fs::write(&file, "no certificate").expect("written");
    let said = start("b");
    assert!(said.contains("BEGIN CERTIFICATE") && said.contains("ca.pem"), "{said}");
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
    assert!(start("c").contains("cannot be trusted"));
}

/// The same list holds for other MCP servers.
#[test]
fn another_mcp_server_is_asked_where_its_certificate_is_trusted() {
    let ours = Authority::new("ours");
    for (of, is_asked) in [("ours", true), ("unknown", false)] {
        let web = web(Authority::new(of).server("localhost", VALID));
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("longhaul.toml");
        let text =
            format!("ca_file = 'ca.pem'\n[servers.docs]\nurl = '{}'\n", url("localhost", &web, "/mcp"));
        std::fs::write(&file, text).expect("written");
        std::fs::write(root.path().join("ca.pem"), ours.pem()).expect("written");
        let variables = [("LONGHAUL_CONFIG", file.to_str().expect("text"))];
        let server = Server::start_with(&root.path().join("data"), &[], &variables).expect("a server");
        assert_eq!(!web.seen().is_empty(), is_asked, "{of}: {}", server.said());
        assert!(web.connections() > 0, "{}", server.said());
    }
}
