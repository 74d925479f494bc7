//! Components in WAT, run by a whole engine on a store in a scratch folder.

/// A memory, and an allocator that frees nothing.
macro_rules! libc {
    () => {
        r#"    (core module $libc
        (memory (export "memory") 2)
        (global $next (mut i32) (i32.const 4096))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $libc (instantiate $libc))
"#
    };
}

/// Each of these tests with its guests in the engine's process, and once more with them in a worker.
macro_rules! in_both_places {
    ($($name:ident,)*) => {
        mod here {
            $(#[tokio::test] async fn $name() { super::$name().await; })*
        }
        mod apart {
            $(#[tokio::test] async fn $name() {
                crate::sandbox::tests::APART.set(true);
                super::$name().await;
            })*
        }
    };
}

mod admission;
mod bounds;
mod durable;
mod memory;
mod messages;
mod synchronous;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Isolate, Sandbox, SandboxOptions};
use crate::api::TaskDocument;
use crate::authority::{Grant, Principal};
use crate::catalog::{Catalog, Component, Tool, ToolDefinition};
use crate::engine::{EngineOptions, Submission, TaskEnd, TaskEngine};
use crate::task::{Effects, RetryPolicy, TaskError, TaskId, TaskLimits, ToolResult};

/// Long enough for a machine that does many other things; nothing waits this long that goes well.
const PATIENCE: Duration = Duration::from_secs(60);

struct House {
    folder: TempDir,
    engine: TaskEngine,
}

thread_local! {
    /// The guests of this test, which has a thread of its own, run in a worker.
    static APART: Cell<bool> = const { Cell::new(false) };
}

fn sandbox(suspend_grace: Duration) -> Arc<Sandbox> {
    let isolate = if APART.get() { Isolate::Thread } else { Isolate::None };
    let options = SandboxOptions { threads: 2, suspend_grace, isolate, ..SandboxOptions::default() };
    Arc::new(Sandbox::new(options).unwrap())
}

/// A grace that no test reaches.
const NEVER_SUSPENDED: Duration = Duration::from_secs(3600);

impl House {
    async fn open(suspend_grace: Duration) -> Self {
        Self::with(suspend_grace, EngineOptions::default()).await
    }

    async fn with(suspend_grace: Duration, options: EngineOptions) -> Self {
        let folder = TempDir::new().unwrap();
        let engine = TaskEngine::open(folder.path(), sandbox(suspend_grace), options).await.unwrap();
        engine.start().await.unwrap();
        Self { folder, engine }
    }

    /// Makes `name` a tool that calls `binding` of the component.
    async fn install(&self, name: &str, wat: &str, binding: &str, limits: TaskLimits) {
        let bytes: Arc<[u8]> = wat::parse_str(wat).unwrap().into();
        let component = self.engine.store_component(bytes, name).await.unwrap();
        let tool = Tool {
            definition: ToolDefinition::new(name, "A tool for tests.", json!({"type": "object"})),
            component: component.clone(),
            component_name: name.to_owned(),
            binding: binding.to_owned(),
            limits,
            grant: Grant::default(),
            retry: RetryPolicy { attempts: 0, ..RetryPolicy::default() },
            effects: Effects::default(),
        };
        let component = Component::of_tools(name, component, vec![tool]).unwrap();
        let catalog: Catalog = self.engine.catalog().with(component).unwrap();
        self.engine.set_catalog(Arc::new(catalog));
    }

    async fn submit(&self, tool: &str, arguments: Value) -> TaskId {
        self.submit_as(&Principal::local(), tool, arguments).await
    }

    async fn submit_as(&self, principal: &Principal, tool: &str, arguments: Value) -> TaskId {
        let submission = Submission {
            tool: tool.to_owned(),
            arguments,
            principal: principal.clone(),
            idempotency_key: None,
            trace: None,
        };
        self.engine.submit(submission).await.unwrap().id
    }

    async fn end(&self, id: TaskId) -> TaskEnd {
        self.engine.wait(&Principal::local(), id, PATIENCE).await.unwrap();
        self.engine.result(&Principal::local(), id).await.unwrap()
    }

    async fn call(&self, tool: &str, arguments: Value) -> TaskEnd {
        let id = self.submit(tool, arguments).await;
        self.end(id).await
    }

    async fn document(&self, id: TaskId) -> TaskDocument {
        self.engine.task(&Principal::local(), id).await.unwrap().into()
    }

    /// Waits until the document is as asked for; changes are published after each commit.
    async fn until(&self, id: TaskId, wanted: impl Fn(&TaskDocument) -> bool) -> TaskDocument {
        let follower = self.engine.feed().follow(id).unwrap();
        loop {
            let document = self.document(id).await;
            if wanted(&document) {
                return document;
            }
            tokio::time::timeout(PATIENCE, follower.next()).await.expect("nothing happens any more");
        }
    }

    async fn log(&self, id: TaskId) -> String {
        let log = self.engine.log(&Principal::local(), id, 0, 1 << 20).await.unwrap();
        String::from_utf8(log.bytes).unwrap()
    }

    /// Stops the engine and takes its tasks up again with another one.
    async fn restart(self, suspend_grace: Duration) -> Self {
        let catalog = self.engine.catalog();
        self.engine.shutdown().await;
        drop(self.engine);
        let engine = open(&self.folder, suspend_grace).await;
        engine.set_catalog(catalog);
        engine.start().await.unwrap();
        Self { folder: self.folder, engine }
    }
}

async fn open(folder: &TempDir, suspend_grace: Duration) -> TaskEngine {
    TaskEngine::open(folder.path(), sandbox(suspend_grace), EngineOptions::default()).await.unwrap()
}

#[track_caller]
fn completed(end: TaskEnd) -> ToolResult {
    match end {
        TaskEnd::Completed(result) => result,
        other => panic!("not completed but {other:?}"),
    }
}

#[track_caller]
fn failed(end: TaskEnd) -> TaskError {
    match end {
        TaskEnd::Failed(_, error) => error,
        other => panic!("not failed but {other:?}"),
    }
}

/// The `result` of a typed export that returns no object.
#[track_caller]
fn value(end: TaskEnd) -> Value {
    let result = completed(end);
    let structured: Value = serde_json::from_str(result.structured.as_deref().expect("structured")).unwrap();
    structured["result"].clone()
}
