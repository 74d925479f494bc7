//! Models of the configuration, `[models.NAME]`: each an endpoint that the server itself asks.

mod anthropic;
mod chat;
mod fault;
mod masked;
mod message;
mod responses;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use self::fault::{Fault, cause};
use self::message::Answer;
use super::secrets::secrets;
use crate::authority::Secret;
use crate::cli::config::{ModelApi, ModelSettings};
use crate::cli::context::Context;
use crate::cli::exit::{CliError, Result};
use crate::engine::BoxFuture;
use crate::engine::questions::{ModelAnswer, ModelFault, ModelFlow, ModelTerms, Models, not_configured};
use crate::secrets::Secrets;
use crate::task::Price;
use crate::{clock, limits};

/// Waits before each further try, where the endpoint names none.
const TRY_AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// All that are configured.
pub struct Endpoints {
    by_name: BTreeMap<String, Arc<Endpoint>>,
}

struct Endpoint {
    name: String,
    settings: ModelSettings,
    url: String,
    http: reqwest::Client,
    secrets: Secrets,
    /// It has said that it takes `max_completion_tokens` and not `max_tokens`.
    completion_tokens: AtomicBool,
}

impl Endpoints {
    pub fn new(
        models: &BTreeMap<String, ModelSettings>,
        certificates: &[reqwest::Certificate],
        secrets: &Secrets,
    ) -> Result<Self> {
        let endpoint = |(name, settings): (&String, &ModelSettings)| {
            let endpoint = Endpoint::new(name, settings, certificates, secrets.clone())?;
            Ok((name.clone(), Arc::new(endpoint)))
        };
        Ok(Self { by_name: models.iter().map(endpoint).collect::<Result<_>>()? })
    }
}

/// Those of the configuration; `None` where it has none.
pub fn configured(context: &Context) -> Result<Option<Arc<dyn Models>>> {
    let models = &context.settings.models;
    if models.is_empty() {
        return Ok(None);
    }
    let endpoints = Endpoints::new(models, &context.certificates, &secrets(context))?;
    Ok(Some(Arc::new(endpoints)))
}

impl Models for Endpoints {
    fn terms(&self, model: &str) -> Option<ModelTerms> {
        let settings = &self.by_name.get(model)?.settings;
        // A thousandth of a unit for a million tokens is a billionth for one.
        let price = Price { input: settings.input_price_millis, output: settings.output_price_millis };
        Some(ModelTerms { price, max_tokens: settings.max_tokens })
    }

    fn ask(
        &self,
        model: String,
        request: Value,
        idempotency_key: String,
        flow: Arc<dyn ModelFlow>,
    ) -> BoxFuture<Result<ModelAnswer, ModelFault>> {
        let endpoint = self.by_name.get(&model).cloned();
        Box::pin(async move {
            match endpoint {
                Some(endpoint) => endpoint.ask(&request, &idempotency_key, &flow).await,
                None => Err(ModelFault::Unavailable { why: not_configured(&model), may_be_paid: false }),
            }
        })
    }
}

impl Endpoint {
    fn new(
        name: &str,
        settings: &ModelSettings,
        certificates: &[reqwest::Certificate],
        secrets: Secrets,
    ) -> Result<Self> {
        let builder = match settings.url.starts_with("https:") {
            true => reqwest::Client::builder().tls_certs_merge(certificates.to_vec()),
            // It is this machine's own: no proxy, and no authority, is asked.
            false => reqwest::Client::builder().tls_certs_only([]).no_proxy(),
        };
        let http = builder
            .connect_timeout(Duration::from_millis(limits::HTTP_CONNECT_MS))
            // The key is for this address alone.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| {
                CliError::failed(format_args!("the client of [models.{name}] cannot be set up: {error}"))
            })?;
        let path = match settings.api {
            ModelApi::OpenAiChat => "chat/completions",
            ModelApi::OpenAiResponses => "responses",
            ModelApi::Anthropic => "messages",
        };
        let url = format!("{}/{path}", settings.url.trim_end_matches('/'));
        let completion_tokens = AtomicBool::new(false);
        Ok(Self { name: name.to_owned(), settings: settings.clone(), url, http, secrets, completion_tokens })
    }

    async fn ask(
        &self,
        request: &Value,
        key: &str,
        flow: &Arc<dyn ModelFlow>,
    ) -> Result<ModelAnswer, ModelFault> {
        let unavailable = |fault: Fault| {
            let why = format!("the model '{}': {}", self.name, fault.why);
            ModelFault::Unavailable { why, may_be_paid: fault.may_be_paid }
        };
        let most = Duration::from_secs(self.settings.timeout_seconds);
        let mut waits = TRY_AGAIN_AFTER.into_iter();
        loop {
            let has_said = self.completion_tokens.load(Ordering::Relaxed);
            let body = self.body(request, has_said).map_err(unavailable)?;
            let tried = clock::timeout(most, self.send(&body, key, &**flow)).await;
            let fault = match tried {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(fault)) => fault,
                None => Fault::cut(format!("it did not answer within {} s", most.as_secs())),
            };
            if fault.wants_completion_tokens && !has_said {
                self.completion_tokens.store(true, Ordering::Relaxed);
                flow.clone().again(fault.may_be_paid).await?;
                continue;
            }
            let (Some(named), Some(wait)) = (fault.again, waits.next()) else {
                return Err(unavailable(fault));
            };
            let wait = named.unwrap_or(wait);
            if wait > Duration::from_secs(limits::MAX_RETRY_AFTER_SECONDS) {
                let why = format!("{}; it wants to be left alone for {} s", fault.why, wait.as_secs());
                return Err(unavailable(Fault { why, ..fault }));
            }
            tracing::info!(model = %self.name, why = %fault.why, "a model is asked again");
            clock::sleep(wait).await;
            flow.clone().again(fault.may_be_paid).await?;
        }
    }

    fn body(&self, request: &Value, wants_completion_tokens: bool) -> Result<String, Fault> {
        let model = &self.settings.model;
        let body = match self.settings.api {
            ModelApi::OpenAiChat => chat::request(model, request, wants_completion_tokens),
            ModelApi::OpenAiResponses => responses::request(model, request)?,
            ModelApi::Anthropic => anthropic::request(model, request)?,
        };
        Ok(body.to_string())
    }

    /// One try.
    async fn send(&self, body: &str, idempotency_key: &str, flow: &dyn ModelFlow) -> Result<Answer, Fault> {
        let key = match &self.settings.key {
            None => None,
            Some(source) => {
                let read = self.secrets.read(source).await;
                Some(read.map_err(|error| Fault::request(format!("its key: {error}")))?)
            }
        };
        let mut post = self.http.post(&self.url).header("content-type", "application/json");
        for (name, value) in &self.settings.headers {
            post = post.header(name, value);
        }
        // Endpoints and gateways that know it answer a repeated request with what they answered before.
        post = post.header("idempotency-key", idempotency_key).body(body.to_owned());
        post = match (self.settings.api, &key) {
            (ModelApi::Anthropic, _) => {
                let post = post.header("anthropic-version", "2023-06-01");
                match &key {
                    Some(key) => post.header("x-api-key", sensitive(key)?),
                    None => post,
                }
            }
            (_, Some(key)) => post.bearer_auth(key.expose()),
            (_, None) => post,
        };
        let answer = post.send().await.map_err(|error| {
            let may_be_paid = !error.is_connect();
            // The URL may hold a secret.
            Fault { may_be_paid, ..Fault::cut(cause(error)) }
        })?;
        stream::read(self.settings.api, &self.settings.model, answer, key.as_ref(), flow).await
    }
}

fn sensitive(key: &Secret) -> Result<reqwest::header::HeaderValue, Fault> {
    let value = reqwest::header::HeaderValue::from_str(key.expose());
    let mut value = value.map_err(|_| Fault::request("its key is no text that a header takes"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
