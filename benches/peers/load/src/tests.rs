use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::{Open, Request, Work, drained, run};
use crate::connection::Connection;

/// A server that gives these answers, one a request, on one connection, and hands back what it was sent.
fn server(answers: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        answers
            .iter()
            .map(|answer| {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8_lossy(&buffer[..read]).into_owned()
            })
            .collect()
    });
    (address, serving)
}

#[tokio::test(flavor = "current_thread")]
async fn answers_of_a_length_and_in_chunks_are_read_whole() {
    let (address, serving) = server(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nin \r\na\r\ntwo pieces\r\n0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
    ]);
    let mut connection = Connection::open(&address).await.unwrap();
    assert_eq!(connection.exchange(b"one").await.unwrap(), "whole");
    assert_eq!(connection.exchange(b"two").await.unwrap(), "in two pieces");
    let refused = connection.exchange(b"three").await.unwrap_err().to_string();
    assert!(refused.contains("503") && refused.contains("busy"), "{refused}");
    assert_eq!(serving.join().unwrap(), ["one", "two", "three"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_is_drained_once_nothing_is_open_in_any_state() {
    let (address, serving) = server(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\nopen{a} 0\nopen{b} 2\nclosed 7\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\nopen{a} 0\nopen{b} 0\nclosed 9\n",
    ]);
    let open = Open { address, path: "/open".into(), prefix: "open".into() };
    drained(Some(&open)).await.unwrap();
    assert_eq!(serving.join().unwrap().len(), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn a_page_that_does_not_say_what_is_open_is_an_error() {
    let (address, _) = server(&["HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nnothing"]);
    let open = Open { address, path: "/open".into(), prefix: "open".into() };
    assert!(drained(Some(&open)).await.is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn a_wrong_answer_ends_the_run() {
    let (address, _) = server(&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"]);
    let measured = tokio::task::LocalSet::new().run_until(run(work(address))).await;
    let error = measured.err().expect("a run that fails").to_string();
    assert!(error.contains("no right in wrong"), "{error}");
}

#[test]
fn each_request_has_a_number_of_its_own_and_the_same_length() {
    let mut request = Request::new(&work("127.0.0.1:1".into()));
    let first = request.numbered(7).to_vec();
    let second = request.numbered(123_456_789_012).to_vec();
    assert!(first.ends_with(b"id 000000000007."), "{}", String::from_utf8_lossy(&first));
    assert!(second.ends_with(b"id 123456789012."), "{}", String::from_utf8_lossy(&second));
    assert!(first.starts_with(b"POST /path HTTP/1.1\r\n"));
}

fn work(address: String) -> Work {
    let work = serde_json::json!({
        "address": address, "path": "/path", "body": "id $NNNNNNNNNNN.", "expect": "right",
        "clients": 1, "seconds": 0.05, "warm_up_seconds": 0.05,
    });
    serde_json::from_value(work).unwrap()
}
