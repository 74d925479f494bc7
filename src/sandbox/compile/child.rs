//! Compiling in a child process: what a component can do to the compiler stays there, and ends there.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::port::{Compiler, CompilerBounds};
use super::protocol::{self, Request};
use crate::engine::{BoxFuture, InspectError};
use crate::launch::{End, Launch, LaunchError, Role, Started};
use crate::limits;
use crate::sandbox::admit;
use crate::sandbox::artifact::Code;

/// What is last said before a process ends that finds no memory.
const NO_MEMORY: &str = "memory allocation of ";
/// A signal of the processor's time, as `signal(7)` numbers it on every Linux but MIPS, and macOS.
const SIGXCPU: i32 = 24;
const SIGKILL: i32 = 9;

pub struct Child {
    launch: Launch,
    bounds: CompilerBounds,
    fingerprint: String,
    /// One at a time: it is what nothing waits for that should have a core.
    room: Arc<Semaphore>,
}

impl Child {
    /// It is what `launch` has as [`Role::Compiler`].
    pub fn new(launch: Launch, bounds: CompilerBounds, fingerprint: blake3::Hash) -> Self {
        let fingerprint = fingerprint.to_hex().to_string();
        Self { launch, bounds, fingerprint, room: Arc::new(Semaphore::new(1)) }
    }
}

impl Compiler for Child {
    fn compile(&self, component: Arc<[u8]>) -> BoxFuture<Result<Code, InspectError>> {
        let (launch, bounds, room) = (self.launch.clone(), self.bounds, self.room.clone());
        let request = Request {
            fingerprint: self.fingerprint.clone(),
            component_bytes: component.len(),
            memory_mib: bounds.memory_mib,
            processor_seconds: bounds.processor_seconds,
        };
        Box::pin(async move {
            let _place = room.acquire().await.map_err(|error| InspectError::HostFault(error.to_string()))?;
            let at_most = Duration::from_secs(bounds.seconds);
            // Dropped, the child is killed.
            let compiled = tokio::time::timeout(at_most, ask(&launch, bounds, &request, &component)).await;
            // The machine may have had no time for it: that is not the component's fault.
            compiled.map_err(|_| InspectError::HostFault(admit::too_slow(bounds.seconds)))?
        })
    }
}

/// What a child did until it ended.
struct Done {
    said: Vec<u8>,
    complained: String,
    end: End,
}

async fn ask(
    launch: &Launch,
    bounds: CompilerBounds,
    request: &Request,
    component: &[u8],
) -> Result<Code, InspectError> {
    let done = converse(launch, request, component)
        .await
        .map_err(|error| InspectError::HostFault(format!("the compiler cannot be run: {error}")))?;
    if !done.end.is_success() {
        return Err(fault_of(&done, &bounds));
    }
    match protocol::parse_reply(done.said) {
        Ok(Ok(code)) => Ok(Code::of_compiler(code)),
        Ok(Err(refused)) => Err(refused.into()),
        Err(why) => Err(InspectError::HostFault(format!("the compiler's answer cannot be read: {why}"))),
    }
}

async fn converse(launch: &Launch, request: &Request, component: &[u8]) -> Result<Done, LaunchError> {
    let Started { mut stdin, stdout, stderr, mut running } = launch.start(&Role::Compiler).await?;
    let stderr = stderr.ok_or_else(|| LaunchError::Refused("it has no pipe for its words".to_owned()))?;
    let head = protocol::line(request)?;
    let send = async {
        // One that refuses early reads no more: its answer says why.
        let _ = async {
            stdin.write_all(&head).await?;
            stdin.write_all(component).await
        }
        .await;
    };
    let ((), said, complained) = tokio::join!(
        send,
        read_at_most(stdout, limits::MAX_COMPILED_BYTES),
        read_at_most(stderr, limits::MAX_COMPILER_WORDS_BYTES)
    );
    // It takes the end of this pipe for the end of its parent, so it is open until here.
    drop(stdin);
    let end = running.ended().await?;
    let complained = String::from_utf8_lossy(&complained?).trim().to_owned();
    Ok(Done { said: said?, complained, end })
}

/// What is behind the bound is read and dropped, so that the writer comes to its end.
async fn read_at_most(mut from: impl AsyncRead + Unpin, most: u64) -> std::io::Result<Vec<u8>> {
    let mut read = Vec::new();
    (&mut from).take(most).read_to_end(&mut read).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(read)
}

/// Why it ended without an answer.
fn fault_of(done: &Done, bounds: &CompilerBounds) -> InspectError {
    let over = |what: String, bound: &str| {
        InspectError::Unsupported(format!(
            "compiling the component takes more than {what} ({bound}): build it smaller, such as optimised for size, or \
             split it into several components"
        ))
    };
    let words = if done.complained.is_empty() { "nothing" } else { &done.complained };
    match done.end.signal() {
        Some(SIGXCPU) => {
            over(format!("{} s of the processor", bounds.processor_seconds), "MAX_COMPILE_PROCESSOR_SECONDS")
        }
        _ if done.complained.contains(NO_MEMORY) => {
            over(format!("{} MiB of memory", bounds.memory_mib), "MAX_COMPILE_MEMORY_MIB")
        }
        Some(SIGKILL) => InspectError::HostFault(format!(
            "the compiler was killed from outside, as a machine does that has no memory left; it said {words}"
        )),
        Some(signal) => {
            InspectError::HostFault(format!("the compiler died of signal {signal}; it said {words}"))
        }
        None => InspectError::HostFault(format!("the compiler ended with {}; it said {words}", done.end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::compile::compiler_program;

    /// A shell in the place of the compiler; `{}` in the script takes all that comes.
    fn compiler(script: &str, seconds: u64) -> Child {
        let program = compiler_program("/bin/sh".into(), vec!["-c".into(), script.into()]);
        let bounds = CompilerBounds { seconds, ..CompilerBounds::default() };
        Child::new(Launch::here([(Role::Compiler, program)].into()), bounds, blake3::hash(b"engine"))
    }

    async fn fault(script: &str, seconds: u64) -> InspectError {
        let compiled = compiler(script, seconds).compile(Arc::from(&b"component"[..])).await;
        match compiled {
            Ok(_) => panic!("{script} compiles"),
            Err(error) => error,
        }
    }

    #[tokio::test]
    async fn what_the_compiler_says_is_told_from_how_it_dies() {
        let is_fault = |error: &InspectError| matches!(error, InspectError::HostFault(_));
        let refused = fault(r#"echo '{"refused":{"kind":"unsupported","message":"too odd"}}'"#, 60).await;
        assert_eq!(refused, InspectError::Unsupported("too odd".into()));
        for (script, is_machines, words) in [
            ("kill -XCPU $$", false, "MAX_COMPILE_PROCESSOR_SECONDS"),
            ("echo memory allocation of 9 bytes failed >&2; kill -ABRT $$", false, "MAX_COMPILE_MEMORY_MIB"),
            ("kill -KILL $$", true, "killed from outside"),
            ("echo oh >&2; kill -SEGV $$", true, "signal 11; it said oh"),
            ("exit 3", true, "exit status: 3; it said nothing"),
            ("exit 0", true, "before it answered"),
            (r#"echo '{"compiled":{"code_bytes":7}}'; echo six"#, true, "4 bytes of code out of 7"),
        ] {
            let seen = fault(script, 60).await;
            assert_eq!(is_fault(&seen), is_machines, "{script}: {seen}");
            assert!(seen.to_string().contains(words), "{script}: {seen}");
        }
        let seen = fault("exec cat > /dev/null", 0).await;
        assert!(is_fault(&seen) && seen.to_string().contains("MAX_COMPILE_SECONDS"), "{seen}");
    }

    #[tokio::test]
    async fn it_is_given_the_request_and_nothing_of_the_environment() {
        // Not even those that a shell sets by itself are exported. Its allocator's bounds are the launcher's own.
        let script = r#"
            read -r head; component=$(head -c 9)
            words="$head $component $(env | grep -c -v -e '^PWD=' -e '^SHLVL=' -e '^_=' -e '^MIMALLOC_ARENA_')"
            words=$(printf %s "$words" | tr -d '"')
            echo "{\"refused\":{\"kind\":\"unsupported\",\"message\":\"$words\"}}""#;
        let seen = fault(script, 60).await.to_string();
        assert!(seen.ends_with(" component 0"), "{seen}");
        assert!(seen.contains(&blake3::hash(b"engine").to_hex()[..]), "{seen}");
    }

    #[tokio::test]
    async fn one_that_nothing_waits_for_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let compiler = compiler(&format!("echo began > {0}; exec cat {0}", fifo.display()), 600);
        let component: Arc<[u8]> = Arc::from(&b"component"[..]);
        let compiling = tokio::spawn(compiler.compile(component.clone()));
        let open = tokio::fs::File::open(&fifo);
        let mut began = String::new();
        open.await.unwrap().read_to_string(&mut began).await.unwrap();
        assert_eq!(began, "began\n");
        // It waits for a writer now. Once it is gone, there is no reader.
        compiling.abort();
        let _ = compiling.await;
        while rustix::fs::open(&fifo, rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK, 0o600.into())
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
        // Its place is free again.
        assert_eq!(compiler.room.available_permits(), 1);
    }
}
