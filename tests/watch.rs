//! `serve --watch`: what an author builds is served as soon as it is there, and what is half there is not.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Client, Server, export, guest, install};

/// A folder of tools that a server watches.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { root: tempfile::tempdir().expect("a folder") };
        fs::create_dir(place.tools()).expect("made");
        place
    }

    fn tools(&self) -> PathBuf {
        self.root.path().join("tools")
    }

    fn start(&self, flags: &[&str]) -> Server {
        Server::start_flagged(&self.root.path().join("data"), &[self.tools()], flags)
    }

    /// Written elsewhere, then moved into its place, as builders do.
    fn replace(&self, number: u32) {
        let made = self.write(self.root.path(), number);
        for ending in ["toml", "wasm"] {
            let made = made.with_extension(ending);
            fs::rename(&made, self.tools().join(made.file_name().expect("a name"))).expect("moved");
        }
    }

    fn write(&self, folder: &Path, number: u32) -> PathBuf {
        let core = format!(r#"(func (export "run") (result i32) i32.const {number})"#);
        let manifest = format!("[tools.number]\nreply = \"inline\"\ndescription = \"Gives {number}.\"");
        install(folder, "number", &export("number", "(result u32)", &core), &manifest)
    }
}

/// What a client hears of changes of the list.
struct News(reqwest::Response);

impl News {
    async fn of(client: &Client) -> Self {
        let filter = json!({ "toolsListChanged": true });
        let mut news = Self(client.listen(filter).await);
        news.next("acknowledged").await;
        news
    }

    /// Waits until this is among the words.
    async fn next(&mut self, words: &str) {
        let mut seen = String::new();
        while !seen.contains(words) {
            let piece = self.0.chunk().await.expect("the stream goes on").expect("it has not ended");
            seen.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    async fn list_changed(&mut self) {
        let at_most = std::time::Duration::from_secs(60);
        tokio::time::timeout(at_most, self.next("list_changed")).await.expect("the list changes");
    }
}

async fn number(client: &Client) -> Value {
    client.structured("number", json!({})).await["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_is_served_and_one_that_is_half_there_is_not() {
    let place = Place::new();
    place.replace(7);
    let server = place.start(&["--watch", "--trust"]);
    let client = server.client();
    let mut news = News::of(&client).await;
    assert_eq!(number(&client).await, 7);
    place.replace(8);
    news.list_changed().await;
    assert_eq!(number(&client).await, 8);

    // Half of it stays half until the rest comes; it is reported once.
    let whole = fs::read(place.write(place.root.path(), 9)).expect("a component");
    fs::write(place.tools().join("number.wasm"), &whole[..whole.len() / 2]).expect("written");
    server.says("number: the change is not served, and what was served before is: ").await;
    assert_eq!(number(&client).await, 8);
    fs::write(place.tools().join("number.toml"), "name = \"number\"\nversoin = \"1\"\n").expect("written");
    server.says("number.toml, line 2").await;
    assert_eq!(number(&client).await, 8);
    place.replace(9);
    news.list_changed().await;
    assert_eq!(number(&client).await, 9);
    // A new one is served too.
    let other = export("other", "(result u32)", r#"(func (export "run") (result i32) i32.const 1)"#);
    install(&place.tools(), "other", &other, "[tools.other]\nreply = \"inline\"");
    news.list_changed().await;
    assert_eq!(client.structured("other", json!({})).await["result"], 1);
    let told = server.said().matches("the change is not served").count();
    assert_eq!(told, 2, "{}", server.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_ends_on_the_component_that_it_began_with_and_the_next_begins_with_the_new_one() {
    let place = Place::new();
    let path = place.tools().join("interpreter.wasm");
    fs::copy(guest("interpreter"), &path).expect("a copy");
    let manifest = "name = \"interpreter\"\n[capabilities]\nstate = [\"vault\"]\n";
    fs::write(path.with_extension("toml"), manifest).expect("written");
    let server = place.start(&["--watch", "--trust"]);
    let client = server.client();
    let watch = json!({"op": "state_watch", "namespace": "vault", "key": "go", "version": 0});
    let old = client.start("run_program", json!({ "program": [watch] }), None).await.expect("a task");
    let before = client.until(&old, |document| document["state"] != "queued").await["component"].clone();

    let mut news = News::of(&client).await;
    let mut bytes = fs::read(&path).expect("a component");
    bytes.extend_from_slice(b"\x00\x05\x04more");
    fs::write(path.with_extension("draft"), bytes).expect("written");
    let manifest = format!("{manifest}[tools.run_program]\ndescription = \"Another one.\"\n");
    fs::write(path.with_extension("toml"), manifest).expect("written");
    fs::rename(path.with_extension("draft"), &path).expect("moved");
    news.list_changed().await;
    let put = json!({"op": "state_put", "namespace": "vault", "entries": [{"key": "go", "value": 1}]});
    let new = client.start("run_program", json!({ "program": [put] }), None).await.expect("a task");
    let (new, old) = (client.ended(&new).await.expect("an end"), client.ended(&old).await.expect("an end"));
    assert_eq!((&old["state"], &new["state"]), (&json!("completed"), &json!("completed")), "{old} {new}");
    assert_eq!(old["component"], before);
    assert_ne!(new["component"], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_what_is_not_trusted_waits_for_a_person() {
    let place = Place::new();
    place.replace(7);
    let config = place.root.path().join("longhaul.toml");
    fs::write(&config, "").expect("written");
    let server = place.start(&["--watch", "--config", config.to_str().expect("text")]);
    let client = server.client();
    assert_eq!(number(&client).await, 7);
    let mut news = News::of(&client).await;
    place.replace(8);
    news.list_changed().await;
    let waits = client.call("number", json!({}), json!({})).await.expect("an answer");
    assert!(waits.to_string().contains("longhaul tool approve number"), "{waits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_built_again_and_what_does_not_build_leaves_what_there_was() {
    let place = Place::new();
    let at = |name: &str| place.tools().join(name);
    let write = |code: &str, number: u32| {
        let manifest =
            format!("[tools.watched_number]\nreply = \"inline\"\ndescription = \"Prints {number}.\"\n");
        fs::write(at("watched_number.toml"), manifest).expect("written");
        fs::write(at("src/main.rs"), code).expect("written");
    };
    let prints = |number: u32| write(&format!("fn main() {{ print!(\"{number}\"); }}"), number);
    fs::create_dir(at("src")).expect("made");
    let package = "[package]\nname = \"watched_number\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(at("Cargo.toml"), package).expect("written");
    prints(7);
    let server = place.start(&["--watch"]);
    let client = server.client();
    let printed = async || {
        let answer = client.call("watched_number", json!({}), json!({})).await.expect("an answer");
        answer["content"][0]["text"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(printed().await, "7");
    let mut news = News::of(&client).await;
    write("fn main() { print!(\"8\" }", 8);
    server.says("what was served before is: ").await;
    assert_eq!(printed().await, "7");
    prints(9);
    news.list_changed().await;
    assert_eq!(printed().await, "9");
}
