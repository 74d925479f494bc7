//! What runs in the compiler's process: it bounds itself before it compiles a byte of the component, and ends when its parent
//! does.

use std::io::{self, BufReader, Read, Stdin, Write};
use std::process::ExitCode;
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::protocol::{self, Refused, Request};
use crate::engine::InspectError;
use crate::limits;
use crate::sandbox::artifact::Code;
use crate::sandbox::config;
use crate::walls;

/// Compiles the one component that comes on stdin and writes its machine code to stdout.
pub fn run() -> ExitCode {
    match answer(BufReader::new(io::stdin()), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Its parent says so in the server's log.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(mut from: BufReader<Stdin>, to: &mut impl Write) -> io::Result<()> {
    give_way();
    // What this system has of them; its server says which that is.
    let _ = walls::raise_around_nothing();
    let (request, component) = protocol::read_request(&mut from)?;
    // Before the bound: a thread that cannot be had is an error of the system's, memory that cannot is a bound's.
    thread::Builder::new().name("parent".to_owned()).spawn(move || end_with_parent(from))?;
    bound(&request)?;
    let compiled = compile(&request, &component);
    match compiled {
        Ok(code) => protocol::write_reply(to, Ok(code.as_bytes())),
        Err(refused) => protocol::write_reply(to, Err(refused)),
    }
}

fn compile(request: &Request, component: &[u8]) -> Result<Code, Refused> {
    let fault = |words: String| Refused::from(InspectError::HostFault(words));
    let engine = config::unpooled_engine().map_err(|error| fault(format!("{error:#}")))?;
    if config::fingerprint(&engine).to_hex().as_str() != request.fingerprint {
        return Err(fault("the compiler is of another build than the server".to_owned()));
    }
    Code::compile(&engine, component).map_err(Refused::from)
}

/// The parent writes nothing more. It closes the pipe when it ends, however it ends.
fn end_with_parent(mut from: BufReader<Stdin>) {
    let mut rest = [0; 64];
    while from.read(&mut rest).is_ok_and(|read| read > 0) {}
    std::process::exit(1);
}

/// What serves goes before what compiles.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(limits::COMPILER_NICENESS) {
        eprintln!("the compiler keeps its priority: {error}");
    }
}

/// No more memory and time of the processor than this, and no file of what was in memory when one of them ran out.
fn bound(request: &Request) -> io::Result<()> {
    set(Resource::Core, 0, 0)?;
    let bytes = request.memory_mib.saturating_mul(1 << 20);
    set(Resource::As, bytes, bytes)?;
    // At the first bound a signal says which one it was; at the second the process is gone in any case.
    let seconds = request.processor_seconds;
    set(Resource::Cpu, seconds, seconds.saturating_add(1))
}

/// Never above what the machine's owner allows.
fn set(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let allowed = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let (current, maximum) = (Some(current.min(allowed)), Some(maximum.min(allowed)));
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}
