//! What a person selects of what a component requests, and until when.

use serde_json::{Value, json};

use super::{Place, is_refused, is_served, waiting_for_go, writing};

const REQUESTING: &str =
    "name = \"interpreter\"\n[capabilities]\nstate = [\"vault\", \"notes:read\"]\nelicit = true\n";

/// The interpreter, which requests what its manifest says, and nothing that the configuration has granted it.
pub fn requesting() -> Place {
    let place = Place::new();
    place.write_manifest(REQUESTING);
    place.write_config("");
    place
}

pub fn digest_of(waiting: &[Value]) -> String {
    waiting[0]["digest"].as_str().expect("a digest").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_gives_what_was_selected_of_what_is_requested() {
    let place = requesting();
    let server = place.start();
    let client = server.client();
    is_refused(&client, "it was never approved").await;
    let waiting = place.waiting();
    assert_eq!(waiting[0]["offered"], json!(["elicit", "state:notes:read", "state:vault"]));
    let digest = digest_of(&waiting);
    for (words, why) in [
        (&["--only", "http:https://a.example"][..], "nothing that it may be given"),
        (&["--without", "state:vault/a"], "a part of 'state:vault'"),
        (&["--only", "sockets"], "no scope"),
        (&["--expires", "soon"], "no end of an approval"),
        (&["--bind", "docs=/"], "it has no slot 'docs': it requests none"),
        (&["--secret", "key=env:KEY"], "it has no secret 'key': it requests none"),
        (&["--secret", "key=sk-1"], "a secret comes from"),
    ] {
        let words = [&["interpreter", "--digest", &digest], words].concat();
        let (done, _, said) = place.approve(&words);
        assert!(!done && said.contains(why), "{words:?}: {said}");
    }
    is_refused(&client, "it was never approved").await;
    let only = ["interpreter", "--digest", &digest, "--only", "state", "--without", "state:notes:read"];
    let (done, approved, said) = place.approve(&only);
    assert!(done && approved["capabilities"] == json!(["state:vault"]), "{approved} {said}");
    assert!(said.contains("it may use: state:vault") && said.contains("and not: elicit"), "{said}");
    is_served(&client).await;
    let listed = server.longhaul(&["tool", "list"]);
    assert_eq!(listed["approved"][0]["capabilities"], json!(["state:vault"]), "{listed}");
    let inspected = server.longhaul(&["tool", "inspect", "run_program"]);
    assert_eq!(inspected["approval"]["name"], "interpreter", "{inspected}");

    // A task that waits, and less for it while it does.
    let task = client.start("run_program", waiting_for_go("by-the-old"), None).await.expect("a task");
    client.until(&task, |task| task["state"] == "waiting").await;
    server.kill();
    let server = place.start();
    assert!(server.said().contains("granted state vault"), "{}", server.said());
    is_served(&server.client()).await;
    let less = ["interpreter", "--digest", &digest, "--without", "state:vault"];
    let (done, _, said) = place.approve(&less);
    assert!(done, "{said}");
    server.longhaul(&["state", "put", "vault", "go", "1"]);
    server.client().ended(&task).await.expect("a task");
    let kept = server.longhaul(&["state", "list", "vault"]).to_string();
    assert!(!kept.contains("by-the-old"), "{kept}");
    let audit = server.longhaul(&["audit", "list"]).to_string();
    assert!(audit.contains("component_approve") && audit.contains("grant_narrowed"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_grant_is_the_most_that_an_approval_gives() {
    let place = requesting();
    place.write_config("[grants.interpreter]\nstate = [\"vault:read\"]\n");
    let server = place.start();
    server.stop();
    // It was granted something when approvals began to count; from here on a person says so.
    place.write_config("[grants.interpreter]\nstate = [\"vault:read\", \"other\"]\n");
    let server = place.start();
    let waiting = place.waiting();
    assert_eq!(waiting[0]["offered"], json!(["state:other", "state:vault:read"]));
    let digest = digest_of(&waiting);
    let (done, _, said) = place.approve(&["interpreter", "--digest", &digest, "--only", "elicit"]);
    assert!(!done && said.contains("nothing that it may be given"), "{said}");
    let (done, approved, said) =
        place.approve(&["interpreter", "--digest", &digest, "--without", "state:other"]);
    assert!(done && approved["capabilities"] == json!(["state:vault:read"]), "{approved} {said}");
    let task = server.client().start("run_program", writing("k"), None).await.expect("it is served");
    server.client().ended(&task).await.expect("a task");
    let kept = server.longhaul(&["state", "list", "vault"]).to_string();
    assert!(!kept.contains("\"k\""), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_has_ended_is_none_also_after_a_kill() {
    let place = requesting();
    let mut server = place.start_with(&[("LONGHAUL_CRASH", "approval-expired:1")]);
    let digest = digest_of(&place.waiting());
    let (done, approved, said) = place.approve(&["interpreter", "--digest", &digest, "--expires", "5s"]);
    assert!(done && approved["expires_at"].is_string(), "{approved} {said}");
    // It dies when it has ended the approval in memory, and before the disk says so.
    assert!(server.died().is_some());
    let server = place.start();
    is_refused(&server.client(), "its approval has expired").await;
    let waiting = place.waiting();
    assert_eq!(waiting[0]["since"], "expired");
    let (done, ..) = place.approve(&["interpreter", "--digest", &digest]);
    assert!(done);
    is_served(&server.client()).await;
}
