//! Stores that earlier builds left, with tasks in every situation: today's build opens each, has every row, and brings
//! every task to the end that an undisturbed run comes to. tests/corpus/README.md says how they are made.

pub mod check;
pub mod frozen;
mod rows;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Client, Clocks, Server, Session, Web, answer_of, command, copy_folder};
use frozen::{Set, Situation, Store};

/// So long before the store was frozen it is opened: nothing is due then that was not.
const BEFORE_SECONDS: i64 = 300;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// So many days a task may take that waits for one thing after the other.
const MOST_DAYS: i64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_of_1527bc9_go_on() {
    goes_on("1527bc9").await;
}

/// Their servers died at a chosen call of the system: in the middle of a commit, and between what is written and what is
/// done or said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_of_1527bc9_that_were_cut_at_a_chosen_point_go_on() {
    goes_on("1527bc9-points").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_other_toolchains_in_stores_of_1527bc9_go_on() {
    goes_on("1527bc9-toolchains").await;
}

/// All sets have the same address in their journals.
static ADDRESS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn goes_on(name: &str) {
    let _turn = ADDRESS.lock().await;
    let root = tempfile::tempdir().expect("a folder");
    let set = Set::unpack(name, root.path());
    let web = Web::at(&set.web);
    let mut compiled = None;
    for (name, store) in &set.stores {
        let mut opened = Opened::new(&set, name, store);
        opened.untouched();
        if let Some(folder) = compiled.replace(opened.data.join("compiled")) {
            copy_folder(&folder, &opened.data.join("compiled"));
        }
        opened.first_life().await;
        opened.later_life().await;
        opened.only_once(&web);
        check::counts_at_the_end(name, store, &opened.file());
        web.forget();
    }
}

/// One store and its clock.
struct Opened<'a> {
    set: &'a Set,
    name: &'a str,
    store: &'a Store,
    data: PathBuf,
    clocks: Clocks,
}

impl<'a> Opened<'a> {
    fn new(set: &'a Set, name: &'a str, store: &'a Store) -> Self {
        let data = set.folder.join(name);
        let folder = set.folder.join(format!("{name}-clock"));
        fs::create_dir(&folder).expect("a folder");
        let mut clocks = Clocks::new(&folder);
        clocks.set_wall(store.frozen_at - BEFORE_SECONDS);
        Self { set, name, store, data, clocks }
    }

    fn file(&self) -> PathBuf {
        self.data.join("longhaul.redb")
    }

    fn start(&self) -> Server {
        Server::start_with(&self.data, &self.set.tools(), &self.clocks.environment())
            .unwrap_or_else(|words| panic!("{}: {words}", self.name))
    }

    /// Opened, written to and closed by today's build, which runs nothing.
    fn untouched(&self) {
        let copy = self.set.folder.join(format!("{}-copy", self.name));
        copy_folder(&self.data, &copy);
        let mut put = command(&copy, &["state", "put", "s", "opened", "1"]);
        put.envs(self.clocks.environment());
        answer_of(put);
        check::counts_after_opening(self.name, self.store, &copy.join("longhaul.redb"));
    }

    fn situations(&self) -> impl Iterator<Item = (&'a str, &'a Situation)> {
        self.store.tasks.iter().filter_map(|task| Some((task.task.as_str(), task.situation.as_ref()?)))
    }

    /// All is there; then people, clients and agents do what the tasks wait for.
    async fn first_life(&mut self) {
        let server = self.start();
        let client = server.owner();
        check::none_is_lost(self.name, self.store, &tasks(&client).await);
        for task in &self.store.tasks {
            check::as_frozen(&client, task).await;
        }
        check::lists(&server, self.store);
        self.by_token(&server).await;
        for (id, situation) in self.situations() {
            let again =
                client.start(&situation.tool, situation.arguments.clone(), Some(&situation.key)).await;
            assert_eq!(again.expect("a link"), id, "{}: the same key, another task", situation.key);
            for number in 0..situation.moves.len() {
                make_move(&server, &client, id, &situation.moves[number]).await;
            }
        }
        self.session_goes_on(&server).await;
        assert!(server.stop().success(), "{}", self.name);
    }

    async fn by_token(&self, server: &Server) {
        let Some(token) = &self.store.token else { return };
        let token = token["token"].as_str().expect("a token");
        let listed = server.client().with_key(token).structured("task_list", json!({})).await;
        assert_eq!(listed["tasks"], json!([]), "it is known, and owns nothing");
    }

    /// A client of the older protocol reads on behind the last event that it has seen.
    async fn session_goes_on(&mut self, server: &Server) {
        let Some(session) = &self.store.session else { return };
        let mut client = Session::resumed(&server.url, &session.id, &session.last_event);
        client.call(Value::Null).await.expect("the stream goes on");
        self.clocks.pass(2 * HOUR);
        loop {
            let message = client.next().await.expect("a message");
            if message.get("result").is_some() {
                assert_eq!(message["result"]["structuredContent"]["ops"], 3, "{message}");
                return;
            }
            assert_eq!(message["params"]["message"], "two", "the first report was read before: {message}");
        }
    }

    /// Days later; each task comes to its end.
    async fn later_life(&mut self) {
        self.clocks.pass(4 * DAY);
        let server = self.start();
        let client = server.owner();
        for task in tasks(&client).await {
            self.await_end(&client, task["id"].as_str().expect("an id")).await;
        }
        let all = tasks(&client).await;
        check::none_is_lost(self.name, self.store, &all);
        for (id, situation) in self.situations() {
            check::end(&client, id, situation).await;
        }
        for task in self.store.tasks.iter().filter(|task| !task.is_tried_again()) {
            check::published(&client, task, false).await;
        }
        assert!(server.stop().success(), "{}", self.name);
    }

    async fn await_end(&mut self, client: &Client, id: &str) {
        for _ in 0..MOST_DAYS {
            // It is an error's answer where the task has failed.
            let waited = client.call("task_wait", json!({"task_id": id, "seconds": 3}), json!({})).await;
            let state = waited.expect("an answer")["structuredContent"]["state"].clone();
            if matches!(state.as_str(), Some("completed" | "failed" | "cancelled")) {
                return;
            }
            self.clocks.pass(DAY);
        }
        panic!("{}: {}", self.name, client.task(id).await.expect("a task"));
    }

    fn only_once(&self, web: &Web) {
        for (_, situation) in self.situations() {
            for path in &situation.once {
                let most = usize::from(path == "/after");
                assert_eq!(web.count(path), most, "{}: {path}", self.name);
            }
        }
    }
}

/// All of them, of all callers.
pub async fn tasks(client: &Client) -> Vec<Value> {
    let (mut all, mut query) = (Vec::new(), json!({"limit": 100}));
    loop {
        let page = client.structured("task_list", query.clone()).await;
        all.extend(page["tasks"].as_array().expect("tasks").iter().cloned());
        match page.get("next_cursor").filter(|cursor| cursor.is_string()) {
            Some(cursor) => query["cursor"] = cursor.clone(),
            None => return all,
        }
    }
}

pub async fn make_move(server: &Server, client: &Client, id: &str, action: &Value) {
    let field = |name: &str| action[name].as_str();
    let step = async |tool: &str, more: Value| {
        let mut arguments = more;
        arguments["task_id"] = json!(id);
        client.structured(tool, arguments).await;
    };
    if let Some(reason) = field("after") {
        client.until(id, |task| task["reason"] == reason).await;
    }
    if let Some(key) = field("answer") {
        server.answer(id, &["--key", key, &format!("n={}", action["n"])]);
    } else if let Some(key) = field("decline") {
        server.answer(id, &["--key", key, "--decline"]);
    } else if let Some(key) = field("answer_child") {
        let children = client.structured("task_list", json!({"parent": id})).await;
        let child = children["tasks"][0]["id"].as_str().expect("a child");
        server.answer(child, &["--key", key, &format!("n={}", action["n"])]);
    } else if let Some(text) = field("sample") {
        server.answer(id, &["--args", &json!({"content": text}).to_string()]);
    } else if let Some(name) = field("send") {
        step("task_send", json!({"name": name, "payload": action["payload"]})).await;
    } else if let Some(key) = field("put") {
        server.longhaul(&["state", "put", "s", key, &action["value"].to_string()]);
    } else if action["cancel"] == true {
        step("task_cancel", json!({})).await;
    } else if action["retry"] == true {
        let from = action.get("from_step").map_or(json!({}), |from| json!({"from_step": from}));
        step("task_retry", from).await;
    } else if let Some(resolution) = action.get("resolve") {
        resolve(server, client, id, resolution).await;
    } else {
        panic!("no move: {action}");
    }
}

/// What its owner says became of the request whose outcome is unknown.
async fn resolve(server: &Server, client: &Client, id: &str, resolution: &Value) {
    client.until(id, |task| task["reason"] == "unknown_outcome").await;
    let words = match resolution.as_str() {
        Some(word) => vec![format!("--{word}")],
        None => vec!["--done".to_owned(), resolution.to_string()],
    };
    let step = client.task(id).await.expect("a task")["error"]["step"].to_string();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    server.longhaul(&[&["task", "resolve", id, "--step", &step], &words[..]].concat());
    // A stop while a request is under way would leave its outcome unknown again.
    client.until(id, |task| task["state"] == "completed" || task["state"] == "waiting").await;
}
