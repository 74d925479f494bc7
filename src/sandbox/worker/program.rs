//! What runs in a worker's process: guests of one component. It bounds itself before it runs any of them, and ends when its
//! server does.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use crate::engine::{InspectError, Outcome};
use crate::limits;
use crate::sandbox::artifact::Code;
use crate::sandbox::attempt::{self, Job, Means};
use crate::sandbox::config;
use crate::sandbox::describe::describe;
use crate::sandbox::prepared::Prepared;
use crate::sandbox::task_host::{MemoryAccount, TaskHost};
use crate::sandbox::threads::GuestThreads;
use crate::sandbox::wire::EndWire;
use crate::sandbox::wire::protocol::{self, Begin, Hello, ToServer, ToWorker};
use crate::sandbox::wire::{Link, Remote};
use crate::sandbox::world::files::FolderPort;
use crate::sandbox::world::http::{Egress, WayOut};
use crate::sandbox::world::{World, linker};
use crate::walls;

/// Where this runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Process,
    /// Of a test's process, which is not to be bounded.
    #[cfg(test)]
    Thread,
}

/// Runs guests of the one component that comes on stdin, as the server at the other end of the pipes says.
pub fn run() -> ExitCode {
    if let Err(error) = wall_in() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let pipes = || {
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok::<_, io::Error>((stdin, stdout))
    };
    let served = pipes().and_then(|(stdin, stdout)| serve(stdin, Box::new(stdout), Place::Process));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Its server says so in the log.
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Before the first thread. Which walls this system has, the server says in its log and by `doctor`.
fn wall_in() -> io::Result<()> {
    // The first runtime of a process makes a pair of sockets, for signals, which later ones share.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _ = walls::raise_around_nothing();
    Ok(())
}

pub fn serve(from: impl Read, to: Box<dyn Write + Send>, place: Place) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let link = Arc::new(Link::new(to));
    let Some(first) = protocol::read(&mut from)? else { return Ok(()) };
    let hello: Hello = protocol::parse(&first)?;
    if place == Place::Process {
        bound(&hello)?;
    }
    let worker = match Worker::begin(&hello, &mut from, link.clone()) {
        Ok(worker) => worker,
        Err(why) => {
            link.send(&ToServer::Unfit(why));
            return Ok(());
        }
    };
    if place == Place::Process {
        close_off()?;
    }
    link.send(&ToServer::Ready);
    while let Some(message) = protocol::read(&mut from)? {
        worker.take(protocol::parse(&message)?);
    }
    if place == Place::Process {
        // Whatever its guests are at.
        std::process::exit(0);
    }
    link.close();
    Ok(())
}

struct Worker {
    link: Arc<Link>,
    prepared: Arc<Prepared<World>>,
    threads: GuestThreads,
    /// Exchanges run there and not on the guests' threads, whose timers it has.
    exchanges: Runtime,
    guests: Arc<Mutex<HashMap<u64, Guest>>>,
}

struct Guest {
    news: Arc<watch::Sender<u64>>,
    /// Dropped, the guest is stopped.
    _runs: oneshot::Sender<()>,
}

impl Worker {
    fn begin(hello: &Hello, from: &mut impl Read, link: Arc<Link>) -> Result<Self, String> {
        let engine = config::unpooled_engine().map_err(|error| format!("{error:#}"))?;
        if config::fingerprint(&engine).to_hex().as_str() != hello.fingerprint {
            return Err("the worker is of another build than the server".to_owned());
        }
        if hello.code_bytes > limits::MAX_COMPILED_BYTES {
            return Err("the worker is given more code than MAX_COMPILED_BYTES".to_owned());
        }
        let mut code = Vec::new();
        let read = from.take(hello.code_bytes).read_to_end(&mut code).map_err(|error| error.to_string())?;
        if read as u64 != hello.code_bytes {
            return Err("the worker is given less code than was announced".to_owned());
        }
        let component = Code::of_server(code).load(&engine).map_err(|error| format!("{error:#}"))?;
        // It takes descriptors, of which there are none later.
        component.initialize_copy_on_write_image().map_err(|error| format!("{error:#}"))?;
        let linker = linker::linker(&engine).map_err(|error| format!("{error:#}"))?;
        let pre = linker.instantiate_pre(&component).map_err(|error| format!("{error:#}"))?;
        let threads = GuestThreads::start(&engine, hello.threads).map_err(|error| error.to_string())?;
        let exchanges = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("exchanges")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { link, prepared: Arc::new(Prepared::new(pre)), threads, exchanges, guests: Arc::default() })
    }

    fn take(&self, message: ToWorker<'_>) {
        match message {
            ToWorker::Begin(begin) => self.play(&begin),
            ToWorker::Describe { guest } => self.describe(guest),
            ToWorker::Answer { call, answer } => self.link.answered(call, answer.map(<[u8]>::to_vec)),
            ToWorker::News { guest } => {
                if let Some(guest) = self.guests.lock().get(&guest) {
                    guest.news.send_modify(|count| *count += 1);
                }
            }
            ToWorker::Stop { guest } => {
                drop(self.guests.lock().remove(&guest));
                self.link.stop(guest);
            }
        }
    }

    fn play(&self, begin: &Begin<'_>) {
        let Begin { guest, binding, arguments, limits, grant, environment, effects, suspend_grace } = begin;
        let (guest, suspend_grace) = (*guest, *suspend_grace);
        let (binding, arguments) = (binding.clone().into_owned(), arguments.clone().into_owned());
        let (limits, grant) = (limits.clone().into_owned(), grant.clone().into_owned());
        let environment = environment.clone().into_owned();
        let news = Arc::new(watch::Sender::new(0));
        let remote = Remote::new(self.link.clone(), guest, news.clone());
        let means = Means {
            host: TaskHost::There(remote.clone()),
            memory: MemoryAccount::There(remote.clone()),
            egress: Egress {
                way_out: WayOut::There(remote.clone()),
                runtime: self.exchanges.handle().clone(),
                effects: effects.clone().into_owned(),
            },
            folders: FolderPort::There(remote),
            suspend_grace,
        };
        let (prepared, ticker) = (self.prepared.clone(), self.threads.ticker().clone());
        self.run(guest, news, async move {
            let binding = match binding.parse() {
                Ok(binding) => binding,
                Err(error) => return Outcome::MissingComponent { message: format!("{error}") },
            };
            let job = Job {
                binding: &binding,
                arguments: &arguments,
                limits: &limits,
                grant: &grant,
                environment: &environment,
            };
            attempt::run(&ticker, &prepared, job, means).await
        });
    }

    /// Until its end, of which the server hears once the instance is gone.
    fn run(
        &self,
        number: u64,
        news: Arc<watch::Sender<u64>>,
        playing: impl Future<Output = Outcome> + Send + 'static,
    ) {
        let (runs, stopped) = oneshot::channel();
        self.guests.lock().insert(number, Guest { news, _runs: runs });
        let farewell = Farewell { link: self.link.clone(), guests: self.guests.clone(), number, end: None };
        let running = self.threads.executor.spawn(self.exchanges.handle(), async move {
            let mut farewell = farewell;
            let outcome = playing.await;
            farewell.end = Some(outcome.into());
        });
        self.exchanges.spawn(async move {
            tokio::select! {
                _ = running => {}
                _ = stopped => {}
            }
        });
    }

    fn describe(&self, guest: u64) {
        let (prepared, ticker, link) =
            (self.prepared.clone(), self.threads.ticker().clone(), self.link.clone());
        let describing = async move { describe(&ticker, &prepared.pre).await };
        let described = self.threads.executor.spawn(self.exchanges.handle(), describing);
        self.exchanges.spawn(async move {
            let described = described.await.unwrap_or_else(|fault| Err(InspectError::HostFault(fault)));
            let tools = described.and_then(|tools| {
                serde_json::to_string(&tools).map_err(|error| InspectError::HostFault(error.to_string()))
            });
            link.send(&ToServer::Described { guest, tools });
        });
    }
}

/// Says that a guest's instance is gone, once it is.
struct Farewell {
    link: Arc<Link>,
    guests: Arc<Mutex<HashMap<u64, Guest>>>,
    number: u64,
    end: Option<EndWire>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let guest = self.guests.lock().remove(&self.number);
        let end = self.end.take();
        if !self.link.send(&ToServer::Ended { guest: self.number, end }) {
            self.link.send(&ToServer::Ended { guest: self.number, end: Some(too_long()) });
        }
        drop(guest);
    }
}

fn too_long() -> EndWire {
    EndWire::Trap {
        message: "the tool's result is longer than what a worker may say (MAX_WORKER_FRAME_BYTES)".to_owned(),
        backtrace: None,
    }
}

/// From here on it opens nothing, no file, no socket and no pipe. What it has open it keeps: that is its pipes, and the
/// images of its component's memories.
fn close_off() -> io::Result<()> {
    set(Resource::Nofile, 0)?;
    set(Resource::Fsize, 0)
}

/// No more memory than this, and no file of what was in memory when it dies.
fn bound(hello: &Hello) -> io::Result<()> {
    set(Resource::Core, 0)?;
    set(Resource::Data, hello.memory_mib.saturating_mul(1 << 20))
}

/// Never above what the machine's owner allows.
fn set(resource: Resource, most: u64) -> io::Result<()> {
    let allowed = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let most = Some(most.min(allowed));
    Ok(setrlimit(resource, Rlimit { current: most, maximum: most })?)
}
