//! 20,000 components through all that judges one before it is served: admission, validation, compiling and inspection, in
//! the process of the test, so that a crash of any part is the test's own. What a server does besides is in `whole`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use longhaul::catalog::RequestText;
use longhaul::engine::{InspectError, Runner};
use longhaul::sandbox::{Sandbox, SandboxOptions};

use super::{good, mutated, random, scaled};
use crate::support::Dice;

/// Each is small: no machine is this slow.
const AT_MOST: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Judged {
    taken: usize,
    refused: usize,
    longest: Duration,
    /// How each refusal begins.
    reasons: BTreeMap<String, usize>,
}

impl Judged {
    async fn judge(&mut self, sandbox: &Sandbox, what: &str, bytes: Vec<u8>) {
        let began = Instant::now();
        let judged = tokio::time::timeout(AT_MOST, sandbox.inspect(bytes.into())).await;
        self.longest = self.longest.max(began.elapsed());
        let why = match judged.unwrap_or_else(|_| panic!("{what} takes more than {AT_MOST:?}")) {
            Ok(_) => return self.taken += 1,
            Err(InspectError::HostFault(fault)) => panic!("{what} is a fault of the host: {fault}"),
            Err(refused) => refused.to_string(),
        };
        assert!(why.len() > 20, "{what} is refused without words: {why:?}");
        self.refused += 1;
        *self.reasons.entry(why.chars().take(70).collect()).or_default() += 1;
    }

    fn report(&self, what: &str) {
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        println!(
            "{what}: {} taken, {} refused for {} reasons, the longest took {:?}; most often: {:?}",
            self.taken,
            self.refused,
            reasons.len(),
            self.longest,
            &reasons[..reasons.len().min(3)]
        );
    }
}

#[tokio::test]
async fn twenty_thousand_components_are_taken_or_refused_with_a_reason() {
    let sandbox = Sandbox::new(SandboxOptions::default()).expect("a sandbox");
    let before = resident_mib();
    let mut count = 0;
    for (kind, seeds, least) in [("module", 8_000, 1_000), ("component", 4_000, 500)] {
        let mut judged = Judged::default();
        for (seed, bytes) in random::components(kind, 1, scaled(seeds)) {
            judged.judge(&sandbox, &format!("{kind} {seed}"), bytes).await;
        }
        judged.report(kind);
        // Else the generator makes what nothing is learned from.
        assert!(judged.taken > least && judged.refused > least, "{kind}: {} taken", judged.taken);
        count += judged.taken + judged.refused;
    }
    let goods: Vec<Vec<u8>> = (0..good::COUNT).map(|number| good::good(number, "x")).collect();
    let (mut judged, mut dice) = (Judged::default(), Dice::new(0x6d75_7461_7465));
    let rest = scaled(20_000) - count as u64;
    for number in 0..rest {
        let mut one = || &goods[dice.roll(goods.len() as u64) as usize];
        let (good, other) = (one(), one());
        let bytes = mutated::mutated(&mut dice, good, other);
        judged.judge(&sandbox, &format!("mutation {number}"), bytes).await;
    }
    judged.report("mutated");
    assert!(judged.taken > 300 && judged.refused > 3_000, "{} of {rest} taken", judged.taken);
    let grown = resident_mib().saturating_sub(before);
    println!("grown by {grown} MiB");
    assert!(grown < super::GROWTH_MIB, "{grown} MiB");
}

/// The good ones are good: what is refused of a mutation is refused for what was changed.
#[tokio::test]
async fn the_components_that_are_mutated_are_good() {
    let sandbox = Sandbox::new(SandboxOptions::default()).expect("a sandbox");
    for number in 0..good::COUNT {
        let found = sandbox.inspect(good::good(number, "x").into()).await.expect("a component");
        assert!(found.tools.iter().any(|tool| tool.definition.name == "go_x"), "{number}: {found:?}");
    }
}

const MANIFEST: &str = "name = \"a\"\nversion = \"0.1.0\"\n[tools.go]\ndescription = \"Does it.\"\nreply = \"inline\"\n\
    inline_wait_seconds = 5\n[tools.go.annotations]\nread_only = true\n[capabilities]\nhttp = [\"https://a.example\"]\n\
    files = [{ slot = \"docs\", at = \"/docs\", access = \"read\" }]\nenv = [\"LANG\"]\nstate = [\"trips/*:read\"]\n\
    secrets = [{ name = \"key\", host = \"a.example\", header = \"authorization\" }]\ntools = [\"x_*\"]\nelicit = true\n\
    [limits]\nmemory_mib = 32\nrun_seconds = 3\n[retry]\nattempts = 3\nbackoff = \"2s\"\n\
    [effects]\nunknown_outcome = \"ask\"\nidempotent_hosts = [\"a.example\"]\n";

#[test]
fn mutated_manifests_and_policies_are_read_or_refused_with_their_place() {
    const POLICY: &str = "version: \"1.0\"\npermissions:\n  network:\n    allow:\n    - host: https://a.example/\n  storage:\n    \
        allow:\n    - uri: fs://docs/**\n      access: [read, write]\n  environment:\n    allow:\n    - key: LANG\n  resources:\n    \
        limits: {memory: 64Mi}\n";
    let mut dice = Dice::new(0x746f_6d6c);
    let (mut read, mut refused) = (0, 0);
    for number in 0..scaled(6_000) {
        let is_policy = number % 3 == 0;
        let text = if is_policy { POLICY } else { MANIFEST };
        let bytes = mutated::mutated(&mut dice, text.as_bytes(), MANIFEST.as_bytes());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let requests = match is_policy {
            true => RequestText::policy("a.policy.yaml".into(), text),
            false => RequestText::manifest("a.toml".into(), text),
        };
        match requests.parse() {
            Ok(_) => read += 1,
            Err(error) => {
                assert_eq!(error.path, requests.path);
                assert!(error.message.len() > 5, "{error}");
                refused += 1;
            }
        }
    }
    println!("{read} read, {refused} refused");
    assert!(read > 300 && refused > 1_000, "{read} read, {refused} refused");
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() >> 10
}
