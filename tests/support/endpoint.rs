use std::fs;
use std::path::Path;

use serde_json::json;

use super::models::{Reply, Request, Script};

/// A stand-in for the OpenAI-compatible endpoint of `[sampling]`.
pub struct Endpoint {
    script: Script,
}

/// How it answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// It begins, and goes no further: the connection stays open.
    Nothing,
    /// That it is to be asked again.
    Busy,
    /// What a model says.
    Words,
}

impl Endpoint {
    /// What a server that uses it must have in its environment.
    pub const ENVIRONMENT: [(&str, &str); 3] =
        [("TEST_MODEL_KEY", "k-1"), ("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")];
    pub const MODEL: &str = "stand-in-1";
    pub const WORDS: &str = "It is fine.";

    /// `first` are its answers to the first requests; from then on it answers in words.
    pub fn start(first: &'static [Says]) -> Self {
        let says = move |_: &Request, number: usize| Some(first.get(number).unwrap_or(&Says::Words).reply());
        Self { script: Script::saying(says) }
    }

    /// Makes it the endpoint of the server that has this data folder.
    pub fn configure(&self, data: &Path) {
        let config = format!(
            "[sampling]\nurl = \"http://127.0.0.1:{}/v1\"\nmodel = \"stand-in\"\nkey = \"env:TEST_MODEL_KEY\"\n",
            self.script.port
        );
        fs::create_dir_all(data.join("longhaul")).expect("a folder");
        fs::write(data.join("longhaul/longhaul.toml"), config).expect("written");
    }

    /// All requests so far, in the order of their arrival.
    pub fn seen(&self) -> Vec<Request> {
        self.script.seen()
    }

    /// Waits until it was asked so often.
    pub async fn asked(&self, times: usize) {
        self.script.asked(times).await;
    }
}

impl Says {
    fn reply(self) -> Reply {
        match self {
            Self::Nothing => Reply::status("200 OK", "", "").held(),
            Self::Busy => {
                let body = json!({"error": {"message": "slower"}}).to_string();
                Reply::status("429 Too Many Requests", "", &body)
            }
            Self::Words => {
                let body = json!({
                    "model": Endpoint::MODEL, "usage": {"total_tokens": 21},
                    "choices": [{"finish_reason": "stop", "message": {"content": Endpoint::WORDS}}],
                });
                Reply::status("200 OK", "", &body.to_string())
            }
        }
    }
}
