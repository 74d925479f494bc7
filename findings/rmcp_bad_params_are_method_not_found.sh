#!/usr/bin/env bash
# rmcp 3.9.0 (crates.io), server side, over stdio.
#
# A request of a method that the server implements, with parameters that do not fit, is answered -32601 "method not
# found" with the method's own name: the request is parsed by trying one variant after another, and what fits none of
# them falls through to the variant for unknown methods. JSON-RPC 2.0 has -32602 for it, and clients read -32601 as "this
# server cannot do that". Seen: logging/setLevel with the level "loud", and with none, while "info" is taken.
#
# Needs cargo and a network to crates.io. Ends with 0 while this holds, with 1 once it does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2024"
[dependencies]
rmcp = { version = "=3.9.0", default-features = false, features = ["server", "transport-io"] }
tokio = { version = "1", features = ["rt", "macros", "io-std"] }
TOML
cat > src/main.rs <<'RUST'
#![allow(deprecated)]
use rmcp::model::{ServerCapabilities, ServerConfig, SetLevelRequestParams};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};

struct Probe;

impl ServerHandler for Probe {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_logging().build())
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let running = Probe.serve(rmcp::transport::stdio()).await.expect("a handshake");
    running.waiting().await.expect("an orderly end");
}
RUST
cargo build --quiet 2>&1
python3 - "$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')/debug/probe" <<'PYTHON'
import json, subprocess, sys

probe = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(id, method, params):
    probe.stdin.write(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\n")
    probe.stdin.flush()
    return json.loads(probe.stdout.readline())


ask(0, "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "p", "version": "1"}})
probe.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
fits = ask(1, "logging/setLevel", {"level": "info"})
wrong = ask(2, "logging/setLevel", {"level": "loud"})
none = ask(3, "logging/setLevel", {})
probe.stdin.close()
for answer in (fits, wrong, none):
    print(json.dumps(answer))
sys.exit(not ("result" in fits and [a.get("error", {}).get("code") for a in (wrong, none)] == [-32601, -32601]))
PYTHON
echo "as described: bad parameters are answered -32601"
