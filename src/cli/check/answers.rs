//! The file of answers: what plays children, people, models and servers while a component is tried.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::catalog::{FileError, parse_toml, read_file};
use crate::cli::exit::{CliError, Result};
use crate::engine::questions::Given;
use crate::limits;
use crate::sandbox::check_answer;

/// In TOML, or in JSON where the file's name ends so.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answers {
    /// What tools come to that the component calls, by their names.
    pub tools: BTreeMap<String, ToolAnswer>,
    pub questions: Vec<QuestionAnswer>,
    pub samples: Vec<SampleAnswer>,
    /// Sent before the task begins, in this order.
    pub messages: Vec<MessageAnswer>,
    pub http: Vec<HttpAnswer>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolAnswer {
    /// Its structured result.
    pub result: Option<Value>,
    /// Its result as text.
    pub text: Option<String>,
    /// It reports an error of its own.
    pub error: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionAnswer {
    pub key: String,
    /// The form's content.
    pub accept: Option<Value>,
    #[serde(default)]
    pub decline: bool,
    #[serde(default)]
    pub cancel: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleAnswer {
    /// Only of the operator's model of this name.
    pub model: Option<String>,
    /// Only of a request with these words in it.
    pub contains: Option<String>,
    pub text: Option<String>,
    /// The whole result of `sampling/createMessage`.
    pub message: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageAnswer {
    pub name: String,
    #[serde(default)]
    pub payload: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpAnswer {
    /// `METHOD URL`; a `*` at the end stands for any rest.
    pub request: String,
    /// `{status, headers, body}`, or `body_base64`.
    pub answer: Option<Value>,
    /// One after the other; the last of them again and again.
    pub answers: Option<Vec<Value>>,
    /// The connection fails, for this reason.
    pub fails: Option<String>,
}

impl Answers {
    pub fn read(path: &Path) -> Result<Self> {
        let of_file = |error: FileError| CliError::usage(error);
        let bytes = read_file(path, limits::MAX_ANSWERS_BYTES).map_err(of_file)?;
        let wrong = |why: String| CliError::usage(FileError::new(path, why));
        let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".to_owned()))?;
        let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let mut answers: Self = match is_json {
            true => serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?,
            false => parse_toml(path, &text).map_err(of_file)?,
        };
        answers.check().map_err(wrong)?;
        Ok(answers)
    }

    /// Each entry says one thing, and URLs are spelt as they leave.
    fn check(&mut self) -> std::result::Result<(), String> {
        for (name, tool) in &self.tools {
            let given = [tool.result.is_some(), tool.text.is_some(), tool.error.is_some()];
            one_of(given, || format!("[tools.{name}]"), "result, text or error")?;
        }
        for question in &self.questions {
            let given = [question.accept.is_some(), question.decline, question.cancel];
            one_of(given, || format!("[[questions]] '{}'", question.key), "accept, decline or cancel")?;
        }
        for (number, sample) in self.samples.iter().enumerate() {
            let given = [sample.text.is_some(), sample.message.is_some()];
            one_of(given, || format!("[[samples]] number {}", number + 1), "text or message")?;
        }
        for http in &mut self.http {
            let of = |request: &str| format!("[[http]] '{request}'");
            let given = [http.answer.is_some(), http.answers.is_some(), http.fails.is_some()];
            one_of(given, || of(&http.request), "answer, answers or fails")?;
            if http.answers.as_ref().is_some_and(Vec::is_empty) {
                return Err(format!("{}: answers is empty", of(&http.request)));
            }
            for answer in http.answer.iter().chain(http.answers.iter().flatten()) {
                check_answer(answer).map_err(|why| format!("{}: {why}", of(&http.request)))?;
            }
            http.request = spelt(&http.request).ok_or_else(|| {
                format!("{}: it is no METHOD URL, such as GET https://example.com/page", of(&http.request))
            })?;
        }
        Ok(())
    }

    /// The answers to this request, with their place in the file.
    pub fn http(&self, request: &str) -> Option<(usize, &HttpAnswer)> {
        self.http.iter().enumerate().find(|(_, http)| match http.request.strip_suffix('*') {
            Some(begin) => request.starts_with(begin),
            None => request == http.request,
        })
    }

    pub fn question(&self, key: &str) -> Option<Given> {
        let answer = self.questions.iter().find(|answer| answer.key == key)?;
        Some(match &answer.accept {
            Some(content) => Given::Accept(content.clone()),
            None if answer.decline => Given::Decline,
            None => Given::Cancel,
        })
    }

    /// Of a client's model, or of the operator's of this name.
    pub fn sample(&self, model: Option<&str>, request: &str) -> Option<&SampleAnswer> {
        let is_meant = |sample: &&SampleAnswer| {
            sample.model.as_deref().is_none_or(|meant| model == Some(meant))
                && sample.contains.as_ref().is_none_or(|words| request.contains(words))
        };
        self.samples.iter().find(is_meant)
    }
}

fn one_of<const N: usize>(
    given: [bool; N],
    entry: impl Fn() -> String,
    names: &str,
) -> std::result::Result<(), String> {
    match given.into_iter().filter(|given| *given).count() {
        1 => Ok(()),
        _ => Err(format!("{} says one of {names}", entry())),
    }
}

/// As requests leave: the method in capitals, the URL as clients write it.
fn spelt(request: &str) -> Option<String> {
    let (method, url) = request.split_once(' ')?;
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic());
    let url = match url.strip_suffix('*') {
        Some(begin) if begin.contains("://") => url.to_owned(),
        _ => reqwest::Url::parse(url).ok()?.to_string(),
    };
    is_method.then(|| format!("{} {url}", method.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Answers> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        Answers::read(&path)
    }

    #[test]
    fn both_forms_say_the_same() {
        let toml = "[tools.child]\nresult = {n = 1}\n[[questions]]\nkey = \"price\"\naccept = {confirm = true}\n\
                    [[samples]]\ncontains = \"tides\"\ntext = \"wet\"\n[[messages]]\nname = \"redirect\"\npayload = [1]\n\
                    [[http]]\nrequest = \"get https://Example.com\"\nanswer = {status = 200}\n";
        let json = r#"{"tools": {"child": {"result": {"n": 1}}},
            "questions": [{"key": "price", "accept": {"confirm": true}}],
            "samples": [{"contains": "tides", "text": "wet"}], "messages": [{"name": "redirect", "payload": [1]}],
            "http": [{"request": "get https://Example.com", "answer": {"status": 200}}]}"#;
        for answers in [read("a.toml", toml).expect("TOML"), read("a.json", json).expect("JSON")] {
            assert!(answers.http("GET https://example.com/").is_some());
            assert!(answers.http("GET https://example.com/other").is_none());
            assert!(
                answers.sample(None, "about tides").is_some()
                    && answers.sample(None, "about moons").is_none()
            );
            assert!(matches!(answers.question("price"), Some(Given::Accept(_))));
            assert!(answers.tools.contains_key("child") && answers.messages.len() == 1);
        }
    }

    #[test]
    fn a_star_stands_for_any_rest() {
        let text = "[[http]]\nrequest = \"GET https://example.com/p*\"\nfails = \"no route\"\n";
        let answers = read("a.toml", text).expect("answers");
        assert!(answers.http("GET https://example.com/page?x=1").is_some());
        assert!(answers.http("POST https://example.com/page").is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("[tool.x]\ntext = \"a\"\n", "tool"),
            ("[tools.x]\ntext = \"a\"\nerror = \"b\"\n", "[tools.x] says one of result, text or error"),
            ("[[questions]]\nkey = \"k\"\n", "'k'"),
            ("[[samples]]\n", "number 1"),
            ("[[http]]\nrequest = \"GET nowhere\"\nanswer = {status = 200}\n", "no METHOD URL"),
            ("[[http]]\nrequest = \"GET http://a/\"\nanswer = {status = 9}\n", "no HTTP status"),
            ("[[http]]\nrequest = \"GET http://a/\"\nanswers = []\n", "answers is empty"),
        ] {
            let error = read("a.toml", text).expect_err(text);
            assert!(error.message.contains(words), "{text}: {error}");
        }
        assert!(read("a.json", "{\"http\": {}}").is_err());
    }
}
