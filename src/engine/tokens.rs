//! Bearer tokens: who calls from where it cannot be known otherwise. The store holds a token's hash, never the
//! token; all of them are held in memory, so that every request can ask again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::watch;

use crate::authority::{Principal, StatePattern};
use crate::clock::UnixNanos;
use crate::engine::audit::{AuditAction, Subject};
use crate::engine::commit::Commit;
use crate::engine::effect::Effect;
use crate::engine::error::{EngineError, TokenError};
use crate::engine::handle::TaskEngine;
use crate::engine::memory::tokens::Held;
use crate::engine::narrowed;
use crate::engine::random::random;
use crate::engine::rows;
use crate::engine::rows::TokenRow;
use crate::limits;
use crate::shares::{Account, Narrowed};
use crate::store::{Guard, Need, Snapshot, Space, StoreError};

/// What a token begins with, so that scanners for leaked secrets know one.
const PREFIX: &str = "lh_";

/// What a new token's principal is called and may do. `Default` may do nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenGrant {
    pub name: String,
    /// Tools that it may call and see; globs.
    pub tools: Vec<String>,
    /// `NAMESPACE` or `NAMESPACE/KEY-GLOB`, either with `:read`.
    pub state: Vec<String>,
    /// Less than what every principal has.
    pub narrowed: Narrowed,
}

/// A token as it may be shown: the secret itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenView {
    /// What its principal is called.
    pub name: String,
    /// Tools that it may call and see; globs.
    pub tools: Vec<String>,
    /// Shared state that it may touch.
    pub state: Vec<StatePattern>,
    /// What its principal has less of than every other one.
    pub narrowed: Narrowed,
    pub created_at: UnixNanos,
}

/// Who a valid token stands for.
#[derive(Clone, Debug)]
pub struct Bearer {
    pub principal: Principal,
    /// Names the token, without being of use as one; the same across restarts.
    pub fingerprint: [u8; 8],
    revoked: watch::Receiver<bool>,
}

impl Bearer {
    /// Ends when the token has been revoked.
    pub async fn revoked(&mut self) {
        // Without a sender the token is gone too.
        let _ = self.revoked.wait_for(|revoked| *revoked).await;
    }

    pub fn is_revoked(&self) -> bool {
        *self.revoked.borrow()
    }
}

impl TaskEngine {
    /// Makes a token and returns it, this once.
    pub async fn new_token(&self, by: &Principal, grant: TokenGrant) -> Result<String, EngineError> {
        let named = by_name(AuditAction::TokenNew, &grant.name);
        let done = self.make_token(by, grant.clone()).await;
        self.shared.audit.record_error(by, named, done)
    }

    async fn make_token(&self, by: &Principal, grant: TokenGrant) -> Result<String, EngineError> {
        let TokenGrant { name, tools, state, narrowed } = grant;
        Principal::check_name(&name).map_err(TokenError::from)?;
        let state: Vec<StatePattern> = state
            .iter()
            .map(|text| StatePattern::parse(text))
            .collect::<Result<_, _>>()
            .map_err(TokenError::from)?;
        check_globs(&tools, state.len())?;
        if self.shared.memory.tokens.len() >= limits::MAX_TOKENS {
            return Err(TokenError::TooMany(limits::MAX_TOKENS).into());
        }
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
        let row = TokenRow { hash: hash(&token), tools, state, created_at: self.shared.clock.wall() };
        let key = name.as_bytes().to_vec();
        let guard = Guard::Absent { space: Space::Token, key: key.clone() };
        let mut commit = Commit::new().guard(guard).put(Space::Token, key, rows::encode(&row)?);
        commit.add_delete(Space::Setting, rows::revoked_key(&name));
        narrowed::add(&mut commit, &name, &narrowed)?;
        commit.add_effect(Effect::TokenAdded { name: name.clone(), row });
        self.shared.audit.record_admitted(&mut commit, by, by_name(AuditAction::TokenNew, &name))?;
        self.shared.commit(commit)?.await.map_err(|error| match error {
            StoreError::Refused(_) => EngineError::Token(TokenError::Exists(name.clone())),
            error => error.into(),
        })?;
        // Its holder does not have it yet.
        self.shared.shares.narrow(&name, narrowed);
        Ok(token)
    }

    /// The tokens that are valid, by name.
    pub fn tokens(&self) -> Vec<TokenView> {
        let held = self.shared.memory.tokens.by_hash.read();
        let mut tokens: Vec<TokenView> = held.values().map(|held| view(held, &self.shared.shares)).collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        tokens
    }

    /// From its commit on the token is void; what it holds open ends. Its principal's tasks go on, but nothing more is
    /// done in its name, and they are there for a new token of that name.
    pub async fn revoke_token(&self, by: &Principal, name: &str) -> Result<(), EngineError> {
        let done = self.remove_token(by, name).await;
        self.shared.audit.record_error(by, by_name(AuditAction::TokenRevoke, name), done)
    }

    async fn remove_token(&self, by: &Principal, name: &str) -> Result<(), EngineError> {
        let missing = || -> EngineError {
            TokenError::Missing(name.chars().take(limits::MAX_PRINCIPAL_BYTES).collect()).into()
        };
        if name.len() > limits::MAX_PRINCIPAL_BYTES {
            return Err(missing());
        }
        let key = name.as_bytes().to_vec();
        let looked_up = key.clone();
        let read = move |snapshot: &Snapshot<'_>| rows::read_row(snapshot, Space::Token, &looked_up);
        let row: Option<TokenRow> = self.shared.store.read(read).await?;
        let hash = row.ok_or_else(missing)?.hash;
        let mut commit = Commit::new()
            .guard(Guard::Present { space: Space::Token, key: key.clone() })
            .delete(Space::Token, key)
            .put(Space::Setting, rows::revoked_key(name), []);
        commit.add_effect(Effect::TokenRevoked(hash));
        commit.add_need(Need::Relief);
        self.shared.audit.record_admitted(&mut commit, by, by_name(AuditAction::TokenRevoke, name))?;
        self.shared.commit(commit)?.await.map_err(|error| match error {
            StoreError::Refused(_) => missing(),
            error => error.into(),
        })?;
        // A task that asked what it may do before has handed its step over once its lock is free.
        let open = self.shared.open_tasks().entries();
        open.iter().filter(|entry| entry.principal == name).for_each(|entry| drop(entry.lock()));
        Ok(())
    }

    /// Who this token stands for, if it is valid now.
    pub fn bearer(&self, token: &str) -> Option<Bearer> {
        let hash = hash(token);
        let held = self.shared.memory.tokens.by_hash.read();
        let found = held.get(&hash)?;
        let mut fingerprint = [0; 8];
        // Of the hash's hash: what is shown of a token is of no help to forge a row.
        fingerprint.copy_from_slice(&blake3::hash(&hash).as_bytes()[..8]);
        Some(Bearer { principal: found.principal.clone(), fingerprint, revoked: found.revoked.subscribe() })
    }

    /// Whether anybody has a token.
    pub fn has_tokens(&self) -> bool {
        self.shared.memory.tokens.len() > 0
    }
}

/// A change of a token, with its name where that is one.
fn by_name(action: AuditAction, name: &str) -> Subject<'_> {
    Subject { note: Some(name).filter(|name| Principal::check_name(name).is_ok()), ..Subject::new(action) }
}

fn view(held: &Held, account: &Account) -> TokenView {
    TokenView {
        name: held.principal.name().to_owned(),
        tools: held.principal.tools().to_vec(),
        state: held.principal.state().to_vec(),
        narrowed: account.narrowed(held.principal.name()),
        created_at: held.created_at,
    }
}

fn check_globs(tools: &[String], states: usize) -> Result<(), TokenError> {
    let most = limits::MAX_TOKEN_GLOBS;
    if tools.len() > most || states > most {
        return Err(TokenError::BadTools(format!("a token has at most {most} globs of each kind")));
    }
    let is_plain = |glob: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-*/.".contains(&byte);
        !glob.is_empty() && glob.len() <= limits::MAX_TOOL_NAME_CHARS && glob.bytes().all(plain)
    };
    match tools.iter().find(|glob| !is_plain(glob)) {
        Some(glob) => {
            let shown = glob.chars().take(80).collect::<String>().escape_debug().to_string();
            Err(TokenError::BadTools(format!(
                "'{shown}' names no tool: it is a name, or part of one with '*'"
            )))
        }
        None => Ok(()),
    }
}

/// 256 random bits need no salt and no slow hash.
fn hash(token: &str) -> [u8; 32] {
    *blake3::hash(token.as_bytes()).as_bytes()
}
