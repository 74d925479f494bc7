//! Ordinary programs, without any SDK, killed at every record of their journals. What was published before
//! is a prefix of what is published in the end, and the end agrees with itself.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::support::{Client, Dice, Server, copy_folder, guest, on_disk, scale};

/// A data folder in which the component is compiled already, to be copied for each kill.
struct Template {
    root: tempfile::TempDir,
    tools: Vec<PathBuf>,
    tool: &'static str,
    copies: u64,
}

/// What an undisturbed or resumed run came to.
struct Run {
    log: String,
    result: String,
    records: u64,
    attempt: u64,
}

impl Template {
    fn new(tool: &'static str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let tools = vec![guest(tool)];
        let server = Server::start(&root.path().join("template"), &tools);
        assert!(server.stop().success());
        Self { root, tools, tool, copies: 0 }
    }

    fn copy(&mut self) -> PathBuf {
        self.copies += 1;
        let data = self.root.path().join(format!("run-{}", self.copies));
        copy_folder(&self.root.path().join("template"), &data);
        data
    }

    async fn undisturbed(&mut self) -> Run {
        let data = self.copy();
        let server = Server::start(&data, &self.tools);
        let client = server.client();
        let id = client.start(self.tool, json!({}), None).await.expect("a task");
        self.finish(&client, &id).await
    }

    /// Killed by `plan` on the way, then started again. `None` where it ended first: how many records there
    /// are depends a little on how fast time went by.
    async fn killed(&mut self, plan: Plan) -> Option<Run> {
        let data = self.copy();
        match plan {
            Plan::AtRecord(number) => {
                let crash = format!("record:{number}");
                let variables = [("LONGHAUL_CRASH", crash.as_str())];
                let mut server = Server::start_with(&data, &self.tools, &variables).expect("a server");
                let client = server.client();
                if let Ok(id) = client.start(self.tool, json!({}), None).await
                    && client.ended(&id).await.is_ok()
                {
                    return None;
                }
                let status = server.died().expect("it is dying");
                assert_eq!(status.code(), None, "killed, not ended: {}", server.said());
            }
            Plan::After(pause) => {
                let server = Server::start(&data, &self.tools);
                server.client().start(self.tool, json!({}), None).await.expect("a task");
                // The moment itself is under test here.
                std::thread::sleep(Duration::from_millis(pause));
                server.kill();
            }
        }
        // It is there even where the server died before its link was out.
        let (there, before) = on_disk(&data).await;
        let server = Server::start(&data, &self.tools);
        let run = self.finish(&server.client(), &there.id).await;
        assert!(
            run.log.starts_with(&before),
            "published before the kill:\n{before}\nin the end:\n{}\n{}",
            run.log,
            server.said()
        );
        Some(run)
    }

    async fn finish(&self, client: &Client, id: &str) -> Run {
        let document = client.ended(id).await.expect("an end");
        assert_eq!(document["state"], "completed", "{document}");
        Run {
            log: client.read(&format!("task://{id}/log")).await.expect("a log"),
            result: client.read(&format!("task://{id}/result")).await.expect("a result"),
            records: document["steps"].as_u64().expect("a number"),
            attempt: document["attempt"].as_u64().expect("a number"),
        }
    }
}

#[derive(Clone, Copy)]
enum Plan {
    AtRecord(u64),
    After(u64),
}

/// FNV-1a over little-endian numbers: the programs' hash chain.
fn chain(values: impl IntoIterator<Item = u64>) -> u64 {
    values
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn numbers(line: &str) -> Vec<u64> {
    line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

/// Every record of `std_program`: a map with random hash keys, both clocks, sleeps.
#[tokio::test(flavor = "multi_thread")]
async fn a_std_program_survives_a_kill_at_every_record() {
    let mut template = Template::new("std_program");
    let undisturbed = template.undisturbed().await;
    assert_eq!(undisturbed.attempt, 1);
    let (mut kills, mut resumed) = (0, 0);
    for number in 1..=undisturbed.records {
        let Some(run) = template.killed(Plan::AtRecord(number)).await else { break };
        kills += 1;
        resumed += u64::from(run.attempt > 1);
        assert_eq!(run.log.lines().count(), undisturbed.log.lines().count(), "killed at record {number}");
        assert_eq!(last_line(&run.log), last_line(&run.result), "killed at record {number}");
    }
    println!("std_program: {kills} kills at {} records, {resumed} resumed", undisturbed.records);
    assert!(kills * 10 >= undisturbed.records * 8, "too few records were reached: {kills}");
    assert!(
        resumed * 10 >= kills * 8,
        "most kills must have hit a task that had begun: {resumed} of {kills}"
    );
}

/// Both clocks read twice in a row: the second reading mostly leaves no record of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_reads_the_clock_twice_survives_kills() {
    let mut template = Template::new("clock_twice");
    let undisturbed = template.undisturbed().await;
    let mut plans: Vec<Plan> = (1..=undisturbed.records).step_by(7).map(Plan::AtRecord).collect();
    let mut dice = Dice::new(7);
    plans.extend((0..scale("LONGHAUL_RANDOM_KILLS", 10)).map(|_| Plan::After(dice.roll(150))));
    for plan in plans {
        let Some(run) = template.killed(plan).await else { continue };
        let mut seen = Vec::new();
        for line in run.log.lines().filter(|line| line.starts_with("round ")) {
            let (readings, got) = line.rsplit_once(" | ").expect("a line of readings");
            seen.extend(&numbers(readings)[1..]);
            assert_eq!(got, format!("{:016x}", chain(seen.iter().copied())), "{line}");
        }
        assert_eq!(last_line(&run.log), format!("result {:016x} after 200 rounds", chain(seen)));
    }
}

/// A loop of sleeps: no sleep is shorter than asked for, however often the process dies in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_sleeps_survives_kills() {
    let mut template = Template::new("sleep_loop");
    let undisturbed = template.undisturbed().await;
    let mut plans: Vec<Plan> = (1..=undisturbed.records).step_by(5).map(Plan::AtRecord).collect();
    let mut dice = Dice::new(11);
    plans.extend((0..scale("LONGHAUL_RANDOM_KILLS", 10)).map(|_| Plan::After(dice.roll(250))));
    for plan in plans {
        let Some(run) = template.killed(plan).await else { continue };
        let sleeps: Vec<Vec<u64>> =
            run.log.lines().filter(|l| l.starts_with("sleep ")).map(numbers).collect();
        assert_eq!(sleeps.len(), 40);
        assert!(sleeps.iter().all(|sleep| sleep[1] >= sleep[2]), "{}", run.log);
        let got = format!("result {:016x} after 40 sleeps", chain(sleeps.iter().map(|sleep| sleep[1])));
        assert_eq!(last_line(&run.log), got);
    }
}
