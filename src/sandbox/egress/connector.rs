//! One exchange from its name to its answer: looked up once, every address judged, and only those dialled.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::sync::Notify;

use super::address::is_public;
use super::answer::{Head, Timer, within, within_moves};
use super::failure::Failure;
use super::machine::Listeners;
use super::opened::{Opened, opened};
use super::target::Target;
use super::upload::Sending;
use crate::engine::BoxFuture;
use crate::limits;
use crate::secrets::Secrets;

/// A request that is ready to go.
#[derive(Debug)]
pub struct Outgoing {
    pub method: Method,
    pub target: Target,
    pub headers: HeaderMap,
    /// `None` where the guest gave it none, not even an empty one.
    pub body: Option<Sending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the name lookup and the connection (TLS included), each.
    pub connect: Duration,
    /// From the connection to the answer's head; of a body that streams, from the last piece that was taken of it.
    pub first_byte: Duration,
    /// Between two pieces of its body.
    pub between_bytes: Duration,
}

/// Where one exchange may go.
#[derive(Clone)]
pub struct Route {
    /// They were judged.
    pub addresses: Vec<SocketAddr>,
    /// Sent by the dialler once there is a connection on which the request can leave.
    pub connected: Arc<Notify>,
}

/// Looks names up and talks to addresses. Tests put one in its place that only takes notes.
pub trait Dialler: Send + Sync + 'static {
    fn resolve(&self, host: &str) -> BoxFuture<Result<Vec<IpAddr>, Failure>>;

    /// Whether the address is one of this machine's own.
    fn is_own(&self, address: IpAddr) -> std::io::Result<bool>;

    /// Sends the request to one of `route.addresses`, and to nothing else.
    fn send(&self, request: Outgoing, route: Route) -> BoxFuture<Result<Head, Failure>>;
}

#[derive(Clone)]
pub struct Connector {
    dialler: Arc<dyn Dialler>,
    /// Of this process.
    listeners: Listeners,
    /// `None` puts none in: where nothing leaves, none is wanted.
    secrets: Option<Secrets>,
}

impl Connector {
    pub fn new(dialler: Arc<dyn Dialler>) -> Self {
        Self { dialler, listeners: Listeners::default(), secrets: None }
    }

    /// The same, for requests that want secrets.
    pub fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets: Some(secrets), ..self }
    }

    pub fn secrets(&self) -> Option<&Secrets> {
        self.secrets.as_ref()
    }

    /// Where this process listens: guests are not let in there.
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Until there is an answer's head. The request must be granted. Redirects are left to the guest.
    pub async fn head(
        &self,
        request: Outgoing,
        timeouts: Timeouts,
        timer: &dyn Timer,
    ) -> Result<Head, Failure> {
        let resolving = self.addresses(&request.target);
        let addresses = within(timer, timeouts.connect, resolving, Failure::ConnectTimeout).await?;
        let moves = request.body.as_ref().and_then(Sending::moves);
        let connected = Arc::new(Notify::new());
        let route = Route { addresses, connected: connected.clone() };
        let mut sending = self.dialler.send(request, route);
        let connecting = async {
            tokio::select! {
                biased;
                head = &mut sending => head.map(Some),
                () = connected.notified() => Ok(None),
            }
        };
        let head = within(timer, timeouts.connect, connecting, Failure::ConnectTimeout).await?;
        let head = match head {
            Some(head) => head,
            None => within_moves(timer, timeouts.first_byte, sending, moves, Failure::AnswerTimeout).await?,
        };
        let lines = head.headers.iter();
        let header_bytes: usize = lines.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if header_bytes > limits::MAX_ANSWER_HEADER_BYTES {
            return Err(Failure::HeadersTooLarge);
        }
        Ok(head)
    }

    /// The answer: whole where it is short and comes at once.
    pub async fn open(
        &self,
        request: Outgoing,
        timeouts: Timeouts,
        timer: &dyn Timer,
    ) -> Result<Opened, Failure> {
        opened(self.head(request, timeouts, timer).await?, timeouts.between_bytes, timer).await
    }

    /// Looked up once, and judged all together: a name that leads to one wrong address is not dialled at all.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Failure> {
        let found = match target.literal() {
            // The grant names it as it is.
            Some(address) => vec![address],
            None => {
                let found = self.dialler.resolve(target.host()).await?;
                for address in &found {
                    let is_allowed = match target.host() {
                        "localhost" => address.is_loopback(),
                        // An address of this machine wants to be granted as it is, also a public one.
                        _ => is_public(*address) && !self.is_own(*address)?,
                    };
                    if !is_allowed {
                        return Err(Failure::AddressProhibited);
                    }
                }
                found
            }
        };
        if found.is_empty() {
            return Err(Failure::Name("it has no address".to_owned()));
        }
        let addresses: Vec<_> =
            found.into_iter().map(|address| SocketAddr::new(address, target.port())).collect();
        for address in &addresses {
            let is_ours = self.listeners.include(*address, |address| self.dialler.is_own(address));
            if is_ours.map_err(unknown_machine)? {
                return Err(Failure::AddressProhibited);
            }
        }
        Ok(addresses)
    }

    fn is_own(&self, address: IpAddr) -> Result<bool, Failure> {
        self.dialler.is_own(address).map_err(unknown_machine)
    }
}

/// What cannot be judged is not dialled.
fn unknown_machine(error: std::io::Error) -> Failure {
    Failure::Other(format!("this machine does not tell its own addresses: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use futures::{FutureExt, StreamExt};
    use http::StatusCode;
    use parking_lot::Mutex;

    use super::super::answer::Answer;
    use super::*;

    /// Answers each lookup with the next list, and notes what it would have dialled.
    #[derive(Default)]
    struct Notes {
        lookups: AtomicUsize,
        lists: Vec<Vec<&'static str>>,
        dialled: Mutex<Vec<SocketAddr>>,
        gets: Stage,
        /// The machine has none.
        unknown: bool,
    }

    /// How far an exchange gets.
    #[derive(Clone, Copy, Debug, Default)]
    enum Stage {
        Nowhere,
        Connected,
        #[default]
        Answered,
    }

    impl Dialler for Notes {
        fn resolve(&self, _host: &str) -> BoxFuture<Result<Vec<IpAddr>, Failure>> {
            let at = self.lookups.fetch_add(1, Ordering::SeqCst);
            let list = self.lists[at % self.lists.len()].iter().map(|text| text.parse().unwrap()).collect();
            Box::pin(async move { Ok(list) })
        }

        fn is_own(&self, address: IpAddr) -> std::io::Result<bool> {
            if self.unknown {
                return Err(std::io::ErrorKind::PermissionDenied.into());
            }
            Ok(["45.33.32.156", "2a01:4f8::77", "127.0.0.1"].iter().any(|own| own.parse() == Ok(address)))
        }

        fn send(&self, _request: Outgoing, route: Route) -> BoxFuture<Result<Head, Failure>> {
            self.dialled.lock().extend(route.addresses);
            let gets = self.gets;
            Box::pin(async move {
                match gets {
                    Stage::Nowhere => std::future::pending().await,
                    Stage::Connected => {
                        route.connected.notify_one();
                        std::future::pending().await
                    }
                    Stage::Answered => {}
                }
                let body = futures::stream::iter([Ok(Bytes::from_static(b"ok"))]).boxed();
                Ok(Head { status: StatusCode::OK, headers: HeaderMap::new(), body })
            })
        }
    }

    /// Only waits as long as this are over.
    struct Elapsed(Duration);

    impl Timer for Elapsed {
        fn sleep(&self, time: Duration) -> BoxFuture<()> {
            let is_over = time == self.0;
            Box::pin(async move {
                if !is_over {
                    std::future::pending::<()>().await;
                }
            })
        }
    }

    const TIMEOUTS: Timeouts = Timeouts {
        connect: Duration::from_secs(1),
        first_byte: Duration::from_secs(2),
        between_bytes: Duration::from_secs(3),
    };

    async fn dialled(
        authority: &str,
        lists: Vec<Vec<&'static str>>,
    ) -> (Vec<String>, Result<Answer, Failure>) {
        let notes = Arc::new(Notes { lists, ..Notes::default() });
        let answer = exchange(&notes, authority).await;
        let dialled = notes.dialled.lock().iter().map(ToString::to_string).collect();
        (dialled, answer)
    }

    async fn exchange(notes: &Arc<Notes>, authority: &str) -> Result<Answer, Failure> {
        exchange_in(notes, authority, &Elapsed(Duration::ZERO)).await
    }

    fn whole(opened: Result<Opened, Failure>) -> Result<Answer, Failure> {
        match opened? {
            Opened::Whole(answer) => Ok(answer),
            Opened::Streams { .. } => panic!("a short answer streams"),
        }
    }

    async fn exchange_in(notes: &Arc<Notes>, authority: &str, time: &Elapsed) -> Result<Answer, Failure> {
        let target = Target::of("http", authority, "/").unwrap();
        let request = Outgoing { method: Method::GET, target, headers: HeaderMap::new(), body: None };
        whole(Connector::new(notes.clone()).open(request, TIMEOUTS, time).await)
    }

    #[tokio::test]
    async fn a_name_that_leads_to_one_wrong_address_is_not_dialled() {
        for list in [
            vec!["127.0.0.1"],
            vec!["1.1.1.1", "10.0.0.1"],
            vec!["169.254.169.254"],
            vec!["::1"],
            vec!["::ffff:127.0.0.1"],
            vec!["64:ff9b::7f00:1"],
            vec!["2606:4700::1111", "fe80::1"],
            // Public, and this machine's own.
            vec!["45.33.32.156"],
            vec!["1.1.1.1", "45.33.32.156"],
            vec!["2a01:4f8::77"],
        ] {
            let (dialled, answer) = dialled("a.example", vec![list.clone()]).await;
            assert_eq!(answer, Err(Failure::AddressProhibited), "{list:?}");
            assert!(dialled.is_empty(), "{list:?} was dialled: {dialled:?}");
        }
    }

    #[tokio::test]
    async fn what_is_dialled_is_what_was_judged() {
        let (seen, answer) = dialled("a.example:81", vec![vec!["1.1.1.1", "2606:4700::1111"]]).await;
        assert_eq!(answer.unwrap().body, "ok");
        assert_eq!(seen, ["1.1.1.1:81", "[2606:4700::1111]:81"]);

        // A name that is something else at each lookup: one lookup an exchange, and that one is judged.
        let notes = Arc::new(Notes { lists: vec![vec!["1.1.1.1"], vec!["127.0.0.1"]], ..Notes::default() });
        for turn in 0..4 {
            assert_eq!(exchange(&notes, "a.example").await.is_ok(), turn % 2 == 0);
        }
        assert_eq!(notes.lookups.load(Ordering::SeqCst), 4);
        assert!(notes.dialled.lock().iter().all(|address| !address.ip().is_loopback()));
    }

    #[test]
    fn the_wait_for_an_answer_begins_with_the_connection() {
        use Stage::*;
        for (gets, elapsed, end) in [
            (Nowhere, TIMEOUTS.connect, Some(Err(Failure::ConnectTimeout))),
            (Nowhere, TIMEOUTS.first_byte, None),
            (Connected, TIMEOUTS.connect, None),
            (Connected, TIMEOUTS.first_byte, Some(Err(Failure::AnswerTimeout))),
            (Answered, TIMEOUTS.first_byte, Some(Ok(()))),
        ] {
            let notes = Arc::new(Notes { lists: vec![vec!["1.1.1.1"]], gets, ..Notes::default() });
            let answer = exchange_in(&notes, "a.example", &Elapsed(elapsed)).now_or_never();
            assert_eq!(answer.map(|answer| answer.map(drop)), end, "{gets:?} {elapsed:?}");
        }
    }

    #[tokio::test]
    async fn localhost_and_addresses_are_dialled_as_they_are_named() {
        assert_eq!(
            dialled("localhost", vec![vec!["127.0.0.1", "::1"]]).await.0,
            ["127.0.0.1:80", "[::1]:80"]
        );
        assert!(dialled("localhost", vec![vec!["1.1.1.1"]]).await.0.is_empty());
        assert!(dialled("x.localhost", vec![vec!["127.0.0.1"]]).await.0.is_empty());
        assert_eq!(dialled("127.1:8080", vec![vec![]]).await.0, ["127.0.0.1:8080"]);
    }

    #[tokio::test]
    async fn a_machine_that_does_not_know_itself_dials_no_name() {
        let notes = Arc::new(Notes { lists: vec![vec!["1.1.1.1"]], unknown: true, ..Notes::default() });
        assert!(matches!(exchange(&notes, "a.example").await, Err(Failure::Other(_))));
        assert!(notes.dialled.lock().is_empty());
    }

    #[tokio::test]
    async fn no_grant_leads_to_the_servers_own_listener() {
        for (listener, authority, list, reached) in [
            ("127.0.0.1:1919", "127.0.0.1:1919", vec![], false),
            ("127.0.0.1:1919", "[::ffff:127.0.0.1]:1919", vec![], false),
            ("127.0.0.1:1919", "0.0.0.0:1919", vec![], false),
            ("127.0.0.1:1919", "localhost:1919", vec!["127.0.0.1"], false),
            ("0.0.0.0:1919", "45.33.32.156:1919", vec![], false),
            ("[::]:1919", "[2a01:4f8::77]:1919", vec![], false),
            ("127.0.0.1:1919", "127.0.0.1:1920", vec![], true),
            ("127.0.0.1:1919", "45.33.32.156:1919", vec![], true),
        ] {
            let notes = Arc::new(Notes { lists: vec![list], ..Notes::default() });
            let target = Target::of("http", authority, "/").unwrap();
            let request = Outgoing { method: Method::GET, target, headers: HeaderMap::new(), body: None };
            let connector = Connector::new(notes.clone());
            connector.listeners().add(listener.parse().unwrap());
            let answer = whole(connector.open(request, TIMEOUTS, &Elapsed(Duration::ZERO)).await);
            assert_eq!(answer.is_ok(), reached, "{listener} by {authority}");
            assert_eq!(notes.dialled.lock().is_empty(), !reached, "{listener} by {authority}");
        }
    }
}
