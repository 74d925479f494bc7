//! Tokens and the audit.

use super::*;
use crate::engine::audit::{AuditRow, old_rejected_key};
use crate::engine::rows::encode;
use crate::shares::{Narrowed, Pool};

async fn rows(engine: &TaskEngine) -> Vec<AuditView> {
    engine.audit(AuditQuery::default()).await.expect("a page").rows
}

/// Deed, verdict, reason and count of each, oldest first.
async fn audited_rows(engine: &TaskEngine) -> Vec<(AuditAction, Verdict, Option<String>, u64)> {
    let rows = rows(engine).await.into_iter().rev();
    rows.map(|row| (row.action, row.verdict, row.reason, row.count)).collect()
}

/// The number of a batch that is committed for that.
async fn number(engine: &TaskEngine) -> u64 {
    let commit = commit::Commit::new().put(Space::Setting, "a test", Vec::new());
    engine.shared.commit(commit).expect("queued").await.expect("a commit")
}

fn call(tool: &str, principal: &Principal, key: Option<&str>) -> Submission {
    Submission {
        tool: tool.into(),
        arguments: json!({}),
        principal: principal.clone(),
        idempotency_key: key.map(str::to_owned),
        trace: None,
    }
}

fn grant(name: &str, tools: &[&str]) -> TokenGrant {
    let tools = tools.iter().map(|glob| (*glob).to_owned()).collect();
    TokenGrant { name: name.to_owned(), tools, state: vec!["trips:read".to_owned()], ..TokenGrant::default() }
}

#[tokio::test]
async fn a_token_narrows_its_principals_share_also_across_restarts_until_there_is_another() {
    let world = World::new();
    let local = Principal::local();
    let engine = world.start(two_steps(&Arc::default())).await;
    let narrowed = Narrowed { rate: Some(3), memory_mib: Some(64), tasks: Some(7), store_mib: Some(9) };
    for (name, narrowed) in [("ann", narrowed), ("bob", Narrowed::default())] {
        let grant = TokenGrant { narrowed, ..grant(name, &["*"]) };
        engine.new_token(&local, grant).await.expect("a token");
    }
    let by_itself = engine.shares().share(Pool::OpenTasks, "bob");
    let seen = |engine: &TaskEngine| {
        let shares = ["ann", "bob"].map(|name| engine.shares().share(Pool::OpenTasks, name));
        let listed: Vec<Narrowed> = engine.tokens().into_iter().map(|token| token.narrowed).collect();
        (shares, listed)
    };
    let as_made = ([7, by_itself], vec![narrowed, Narrowed::default()]);
    assert_eq!(seen(&engine), as_made);
    engine.shutdown().await;

    let engine = world.start(two_steps(&Arc::default())).await;
    assert_eq!(seen(&engine), as_made);
    engine.revoke_token(&local, "ann").await.expect("revoked");
    engine.shutdown().await;

    let engine = world.start(two_steps(&Arc::default())).await;
    assert_eq!(engine.shares().narrowed("ann"), narrowed, "its tasks go on");
    engine.new_token(&local, grant("ann", &["*"])).await.expect("a token");
    assert_eq!(engine.shares().narrowed("ann"), Narrowed::default());
    engine.shutdown().await;

    let engine = world.start(two_steps(&Arc::default())).await;
    assert_eq!(seen(&engine), ([by_itself; 2], vec![Narrowed::default(); 2]));
    engine.shutdown().await;
}

#[tokio::test]
async fn a_token_stands_for_its_principal_until_it_is_revoked_also_across_restarts() {
    let world = World::new();
    let local = Principal::local();
    let engine = world.start(two_steps(&Arc::default())).await;
    assert!(!engine.has_tokens());
    let token = engine.new_token(&local, grant("ann", &["two_*"])).await.expect("a token");
    assert!(token.starts_with("lh_") && token.len() > 40, "{token}");
    let again = engine.new_token(&local, grant("ann", &["*"])).await;
    assert!(matches!(again, Err(EngineError::Token(TokenError::Exists(_)))), "{again:?}");
    for (name, glob) in [("local", "*"), ("", "*"), ("a b", "*"), ("bob", ""), ("bob", "a b"), ("bob", "ä")]
    {
        assert!(engine.new_token(&local, grant(name, &[glob])).await.is_err(), "{name} {glob}");
    }
    engine.shutdown().await;

    let engine = world.start(two_steps(&Arc::default())).await;
    let mut bearer = engine.bearer(&token).expect("valid");
    assert!(bearer.principal.may_call("two_steps") && !bearer.principal.may_call("other"));
    assert!(
        bearer.principal.may_state("trips", "a", false) && !bearer.principal.may_state("trips", "a", true)
    );
    for other in [&token[..token.len() - 1], "", "lh_", "local", &token.to_uppercase()] {
        assert!(engine.bearer(other).is_none(), "{other}");
    }
    let listed = format!("{:?}", engine.tokens());
    assert!(listed.contains("ann") && !listed.contains(&token), "{listed}");
    engine.revoke_token(&local, "ann").await.expect("revoked");
    bearer.revoked().await;
    assert!(engine.bearer(&token).is_none() && engine.tokens().is_empty());
    assert!(matches!(
        engine.revoke_token(&local, "ann").await,
        Err(EngineError::Token(TokenError::Missing(_)))
    ));
    engine.shutdown().await;

    let engine = world.start(two_steps(&Arc::default())).await;
    assert!(engine.bearer(&token).is_none());
    engine.shutdown().await;
    let file = std::fs::read(world.path().join("longhaul.redb")).expect("the store");
    let secret = token.as_bytes();
    assert!(!file.windows(secret.len()).any(|bytes| bytes == secret), "only its hash is stored");
}

#[tokio::test]
async fn what_is_done_stands_in_the_audit_by_the_same_commit() {
    let world = World::new();
    let engine = world.open(two_steps(&Arc::default())).await;
    let ann = Principal::new("ann", vec!["*".to_owned()]).through(Some("a-client/1".into()));
    let before = number(&engine).await;
    let id = engine.submit(call("two_steps", &ann, None)).await.expect("a task").id;
    assert_eq!(number(&engine).await, before + 2, "one batch for the task and its row");
    let row = rows(&engine).await.remove(0);
    assert_eq!((row.principal.as_str(), row.client.as_deref()), ("ann", Some("a-client/1")));
    assert_eq!((row.action, row.verdict, row.count), (AuditAction::Call, Verdict::Admitted, 1));
    assert_eq!((row.tool.as_deref(), row.task), (Some("two_steps"), Some(id)));
    assert_eq!(row.component.as_ref().map(ComponentId::as_str), Some("two_steps@1"));
    assert_eq!(row.hash, Some(*blake3::hash(b"{}").as_bytes()));
    let before = number(&engine).await;
    engine.cancel(&ann, id, None).await.expect("cancelled");
    engine.retry(&ann, id, None).await.expect("retried");
    assert_eq!(number(&engine).await, before + 3);
    let actions: Vec<AuditAction> = rows(&engine).await.iter().map(|row| row.action).collect();
    assert_eq!(actions, [AuditAction::Retry, AuditAction::Cancel, AuditAction::Call]);
    engine.shutdown().await;
}

#[tokio::test]
async fn what_is_refused_or_repeated_stands_there_too() {
    let world = World::new();
    let engine = world.open(two_steps(&Arc::default())).await;
    let ann = Principal::new("ann", vec!["two_*".to_owned()]);
    let id = engine.submit(call("two_steps", &ann, Some("k"))).await.expect("a task").id;
    assert!(engine.submit(call("two_steps", &ann, Some("k"))).await.expect("the same").existing);
    for _ in 0..3 {
        engine.submit(call("secret", &ann, None)).await.map(|_| ()).expect_err("no such tool");
    }
    let bob = Principal::new("bob", vec!["*".to_owned()]);
    engine.cancel(&bob, id, None).await.expect_err("ann's");
    engine.retry(&ann, id, None).await.expect_err("it runs");
    engine.audit_unauthenticated("bad_token");
    let of = |action, verdict, reason: &str, count| (action, verdict, Some(reason.to_owned()), count);
    let mut expected = vec![
        (AuditAction::Call, Verdict::Admitted, None, 1),
        of(AuditAction::Call, Verdict::Repeated, "same_call", 1),
        of(AuditAction::Call, Verdict::Refused, "no_such_tool", 3),
        of(AuditAction::Cancel, Verdict::Refused, "no_such_task", 1),
        of(AuditAction::Retry, Verdict::Refused, "wrong_state", 1),
        of(AuditAction::Authenticate, Verdict::Refused, "bad_token", 1),
    ];
    let mut found = audited_rows(&engine).await;
    let by_name = |row: &(AuditAction, Verdict, Option<String>, u64)| format!("{row:?}");
    expected.sort_by_key(by_name);
    found.sort_by_key(by_name);
    assert_eq!(found, expected);
    let query = AuditQuery { principal: Some("bob".to_owned()), ..AuditQuery::default() };
    assert_eq!(engine.audit(query).await.expect("a page").rows.len(), 1);
    let query = AuditQuery {
        verdict: Some(Verdict::Refused),
        tool: Some("secret".to_owned()),
        ..AuditQuery::default()
    };
    assert_eq!(engine.audit(query).await.expect("a page").rows.len(), 1);
    engine.shutdown().await;
    let engine = world.open(two_steps(&Arc::default())).await;
    assert_eq!(audited_rows(&engine).await.len(), expected.len(), "it is on disk");
    engine.shutdown().await;
}

#[tokio::test]
async fn a_flood_of_refusals_is_folded_and_the_oldest_go() {
    let world = World::new();
    let engine = world.open(two_steps(&Arc::default())).await;
    let ann = Principal::new("ann", vec!["two_*".to_owned()]);
    let flood = async || {
        for number in 0..1_000 {
            engine.submit(call(&format!("tool_{number}"), &ann, None)).await.map(|_| ()).expect_err("none");
        }
    };
    let before = number(&engine).await;
    flood().await;
    let found = rows(&engine).await;
    assert_eq!(number(&engine).await, before + 2, "one commit for all of them");
    assert_eq!(
        found.len(),
        limits::AUDIT_SINGLE_ROWS as usize + 1,
        "some as they were, and one for the others"
    );
    assert_eq!(found.iter().map(|row| row.count).sum::<u64>(), 1_000, "and none is lost");
    let folded = found.iter().find(|row| row.tool.is_none()).expect("a folded one");
    assert_eq!((folded.principal.as_str(), folded.reason.as_deref()), ("ann", Some("no_such_tool")));
    // Another principal's are as they were.
    let bob = Principal::new("bob", vec!["two_*".to_owned()]);
    engine.submit(call("tool_1", &bob, None)).await.map(|_| ()).expect_err("none");
    let newest = rows(&engine).await.remove(0);
    assert_eq!((newest.principal.as_str(), newest.tool.as_deref()), ("bob", Some("tool_1")));
    engine.shutdown().await;
}

#[tokio::test]
async fn a_flood_that_goes_on_makes_few_rows_and_pushes_no_others_out() {
    let world = World::new();
    let engine = world.open(two_steps(&Arc::default())).await;
    let (ann, eve) = (Principal::new("ann", Vec::new()), Principal::new("eve", Vec::new()));
    engine.audit_unauthenticated("bad_token");
    engine.submit(call("hers", &ann, None)).await.map(|_| ()).expect_err("none");
    let (store, shared) = (&engine.shared.store, engine.shared.clone());
    const MINUTES: u64 = 10;
    for second in 0..MINUTES * 60 {
        for number in 0..20 {
            let tool = format!("tool_{second}_{number}");
            engine.submit(call(&tool, &eve, None)).await.map(|_| ()).expect_err("none");
        }
        // As the writer does once a second.
        shared.audit.flush_due(store, |commit| shared.commit(commit)).await.expect("written");
        world.clock.advance(Duration::from_secs(1));
    }
    let found = rows(&engine).await;
    let of = |name: &str| found.iter().filter(|row| row.principal == name).collect::<Vec<_>>();
    let hers = of("eve");
    assert_eq!(hers.iter().map(|row| row.count).sum::<u64>(), MINUTES * 60 * 20, "none is lost");
    assert!(hers.len() as u64 <= 12 + 5 * MINUTES + 1, "{} rows", hers.len());
    assert_eq!((of("ann").len(), of("").len()), (1, 1));
    engine.shutdown().await;

    // Her sequence goes on where it was, and the rows of an earlier version are read with the others.
    let engine = world.open(two_steps(&Arc::default())).await;
    let row = AuditRow { principal: "old".to_owned(), ..earlier(START) };
    let commit = commit::Commit::new().put(Space::Audit, old_rejected_key(3), encode(&row).expect("a row"));
    engine.shared.commit(commit).expect("queued").await.expect("a commit");
    engine.submit(call("one_more", &eve, None)).await.map(|_| ()).expect_err("none");
    let again = rows(&engine).await;
    assert_eq!(again.len(), found.len() + 2);
    let (first, last) = (&again[0], &again[again.len() - 1]);
    assert_eq!((first.tool.as_deref(), first.count), (Some("one_more"), 1));
    assert!(last.at <= again[0].at && again.iter().any(|row| row.principal == "old"));
    engine.shutdown().await;
}

fn earlier(at: u64) -> AuditRow {
    AuditRow {
        at,
        until: at,
        principal: String::new(),
        client: None,
        action: AuditAction::Call,
        tool: None,
        component: None,
        hash: None,
        task: None,
        verdict: Verdict::Refused,
        reason: Some("no_such_tool".to_owned()),
        count: 1,
    }
}

#[tokio::test]
async fn a_long_audit_is_read_in_pages_and_swept_by_its_own_retention() {
    let world = World::new();
    let engine = world.open(two_steps(&Arc::default())).await;
    let local = Principal::local();
    let mut ids = Vec::new();
    for number in 0..20 {
        let id = engine.submit(call("two_steps", &local, None)).await.expect("a task").id;
        ids.push(id);
        if number % 5 == 0 {
            engine.submit(call("none", &local, None)).await.map(|_| ()).expect_err("none");
            engine.shared.flush_audit().await.expect("written");
        }
        world.clock.advance(Duration::from_secs(1));
    }
    let (mut query, mut found) = (AuditQuery { limit: 3, ..AuditQuery::default() }, Vec::new());
    loop {
        let page = engine.audit(query.clone()).await.expect("a page");
        assert!(page.rows.len() <= 3);
        found.extend(page.rows);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 24);
    assert!(found.windows(2).all(|two| two[0].at >= two[1].at), "newest first: {found:?}");
    let tasks: Vec<TaskId> = found.iter().rev().filter_map(|row| row.task).collect();
    assert_eq!(tasks, ids);
    let since = START + 10_000_000_000;
    let query = AuditQuery { since: Some(since), verdict: Some(Verdict::Admitted), ..AuditQuery::default() };
    assert_eq!(engine.audit(query).await.expect("a page").rows.len(), 10);

    let kept = Duration::from_secs(limits::DEFAULT_AUDIT_RETENTION_SECONDS);
    world.clock.advance(kept - Duration::from_secs(10));
    let swept = engine.sweep().await.expect("a sweep");
    assert_eq!(swept.audit, 12, "ten calls, and the two refusals among them");
    world.clock.advance(kept);
    assert_eq!(engine.sweep().await.expect("a sweep").audit, 12);
    assert_eq!(rows(&engine).await, []);
    engine.shutdown().await;
}

#[tokio::test]
async fn an_answer_to_anothers_task_is_noted_with_and_without_a_key() {
    use crate::engine::questions::answer::AnsweredVia;
    use crate::engine::questions::answer::Given;
    let world = World::new();
    let engine = world.start(two_steps(&Arc::default())).await;
    let id = submit(&engine, "two_steps", json!({})).await;
    let (bob, via) =
        (Principal::new("bob", vec!["*".to_owned()]), AnsweredVia { channel: "test", is_person: true });
    let of_child = format!("{}:price", TaskId::from_bytes([7; 16]));
    for key in [None, Some("price"), Some(of_child.as_str())] {
        let refused = engine.answer(&bob, id, key, Given::Decline, via).await;
        assert!(matches!(refused, Err(EngineError::NoSuchTask(seen)) if seen == id), "{refused:?}");
    }
    engine.shared.flush_audit().await.expect("flushed");
    let answers: u64 = rows(&engine)
        .await
        .iter()
        .filter(|row| {
            row.action == AuditAction::Answer && row.verdict == Verdict::Refused && row.principal == "bob"
        })
        .map(|row| row.count)
        .sum();
    assert_eq!(answers, 3);
    engine.shutdown().await;
}
