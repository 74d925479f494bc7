//! The connections that there are, each with a place of the account's. Where there is none, those that have been idle
//! longest make some.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::arrivals::Arrivals;
use super::owner::Peer;
use crate::authority::LOCAL;
use crate::limits;
use crate::shares::{Account, Held, Pool, Refusal, RefusalKind};

/// What a request has to do with its connection.
#[derive(Clone)]
pub struct OnConnection {
    pub activity: Arc<Activity>,
    pub place: Arc<Place>,
}

pub struct Places {
    account: Arc<Account>,
    arrivals: Arrivals,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    next: u64,
    taken: HashMap<u64, Seat>,
    /// Connections that were closed to make room.
    closed: u64,
}

struct Seat {
    who: Arc<str>,
    /// None once its caller has too many, until it is closed.
    held: Option<Held>,
    activity: Arc<Activity>,
    leave: CancellationToken,
}

/// A connection's place; dropped, it is free.
pub struct Place {
    places: Arc<Places>,
    number: u64,
    leave: CancellationToken,
    /// Whose it is.
    holder: Mutex<String>,
}

impl Place {
    /// Ends when the connection is to be closed to make room, if it is idle then.
    pub async fn wanted(&self) {
        self.leave.cancelled().await;
    }

    /// Counts the connection as the caller's whose request has arrived on it, or says that the caller has too many.
    pub fn hand_to(&self, who: &str) -> Result<(), Refusal> {
        let mut holder = self.holder.lock();
        if *holder != who {
            self.places.hand(self.number, who)?;
            who.clone_into(&mut holder);
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.places.seats.lock().taken.remove(&self.number));
    }
}

impl Places {
    pub fn new(account: Arc<Account>) -> Arc<Self> {
        Arc::new(Self { arrivals: Arrivals::new(&account), account, seats: Mutex::default() })
    }

    pub fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// A place for one more connection, or why there is none for this peer.
    pub fn admit(self: &Arc<Self>, peer: Peer, activity: Arc<Activity>) -> Result<Place, Refusal> {
        let who = peer.name();
        let share = self.account.bound(Pool::Connections).process.div_ceil(limits::PEERS_CONNECTIONS_PART);
        let mut seats = self.seats.lock();
        let held =
            self.take(&mut seats, &who, || self.account.take_within(Pool::Connections, &who, 1, share))?;
        let (number, leave) = (seats.next, CancellationToken::new());
        seats.next += 1;
        let seat = Seat { who: Arc::from(held.who()), held: Some(held), activity, leave: leave.clone() };
        seats.taken.insert(number, seat);
        Ok(Place { places: self.clone(), number, leave, holder: Mutex::new(who) })
    }

    fn hand(&self, number: u64, who: &str) -> Result<(), Refusal> {
        let mut seats = self.seats.lock();
        // One that is to leave has no place any more.
        let Some(seat) = seats.taken.get_mut(&number) else { return Ok(()) };
        // Its place is free before it is taken again: where all are taken, it needs no other one.
        drop(seat.held.take());
        let held = self.take(&mut seats, who, || self.account.take(Pool::Connections, who, 1))?;
        if let Some(seat) = seats.taken.get_mut(&number) {
            (seat.who, seat.held) = (Arc::from(held.who()), Some(held));
        }
        Ok(())
    }

    /// Takes one, after idle ones have made room where there is none.
    fn take(
        &self,
        seats: &mut Seats,
        who: &str,
        take: impl Fn() -> Result<Held, Refusal>,
    ) -> Result<Held, Refusal> {
        take().or_else(|refused| {
            match refused.kind() {
                RefusalKind::Share => seats.close_idle(self.batch(), |other| other == who),
                // Others take no place from the owner.
                RefusalKind::Process => {
                    seats.close_idle(self.batch(), |other| who == LOCAL || other != LOCAL)
                }
            }
            take()
        })
    }

    /// Many at once, so that a flood does not have all of them looked through for each.
    fn batch(&self) -> usize {
        let bound = usize::try_from(self.account.bound(Pool::Connections).process).unwrap_or(usize::MAX);
        (bound / limits::CLOSED_CONNECTIONS_PART).max(1)
    }

    /// Connections that were closed to make room, since the start.
    pub fn closed(&self) -> u64 {
        self.seats.lock().closed
    }
}

impl Seats {
    /// Asks idle connections to leave, and counts their places as free: the owner's last, then of those who have most,
    /// then those that have been idle longest.
    fn close_idle(&mut self, how_many: usize, of: impl Fn(&str) -> bool) {
        let mut has: HashMap<&str, usize> = HashMap::new();
        self.taken.values().for_each(|seat| *has.entry(&seat.who).or_default() += 1);
        let mut idle: Vec<(bool, Reverse<usize>, Instant, u64)> = self
            .taken
            .iter()
            .filter(|(_, seat)| of(&seat.who))
            .filter_map(|(number, seat)| {
                let has = has.get(&*seat.who).copied().unwrap_or_default();
                Some((*seat.who == *LOCAL, Reverse(has), seat.activity.idle_since()?, *number))
            })
            .collect();
        idle.sort_unstable();
        for (.., number) in idle.into_iter().take(how_many) {
            if let Some(seat) = self.taken.remove(&number) {
                seat.leave.cancel();
                self.closed += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::super::activity::Patience;
    use super::*;

    use crate::shares::{Bound, Bounds};

    struct World(Arc<Places>);

    impl World {
        fn new(connections: u64) -> Self {
            let mut bounds = Bounds::default();
            bounds[Pool::Connections] = Bound::divided(connections);
            Self(Places::new(Account::new(bounds)))
        }

        fn open(&self) -> u64 {
            self.0.account.used(Pool::Connections)
        }

        fn admit(&self, peer: Peer) -> Option<(Place, Arc<Activity>)> {
            self.admit_at(peer, Instant::now())
        }

        fn admit_at(&self, peer: Peer, now: Instant) -> Option<(Place, Arc<Activity>)> {
            let activity = Arc::new(Activity::new(self.0.account.clone(), peer, Patience::default(), now));
            Some((self.0.admit(peer, activity.clone()).ok()?, activity))
        }

        fn busy(&self, peer: Peer) -> Option<Place> {
            let (place, activity) = self.admit(peer)?;
            activity.begin_answer(Instant::now());
            Some(place)
        }
    }

    fn peer(last: u8, is_owner: bool) -> Peer {
        Peer::new(IpAddr::from([127, 0, 0, last]), is_owner)
    }

    #[test]
    fn strangers_leave_room_for_the_owner_and_one_of_them_for_the_others() {
        let world = World::new(64);
        let fill = |peer| std::iter::from_fn(|| world.busy(peer)).collect::<Vec<_>>();
        let one = fill(peer(2, false));
        assert_eq!(one.len(), 32);
        let others = fill(peer(3, false));
        assert_eq!(others.len(), 24, "an eighth is the owner's");
        assert!(world.busy(peer(4, false)).is_none());
        let owners = fill(peer(1, true));
        assert_eq!(owners.len(), 8);
        assert_eq!((world.open(), world.0.closed()), (64, 0));
        drop(one);
        assert_eq!((world.open(), fill(peer(4, false)).len()), (32, 32));
    }

    #[test]
    fn idle_connections_make_room_the_oldest_of_the_largest_first() {
        let world = World::new(16);
        let small = world.admit(peer(2, false)).expect("room");
        let mut large = Vec::new();
        let begin = Instant::now();
        for second in 1..=7 {
            large.extend(world.admit_at(peer(3, false), begin + Duration::from_secs(second)));
        }
        let others: Vec<_> = (4..10).filter_map(|last| world.admit(peer(last, false))).collect();
        assert_eq!((large.len(), others.len()), (7, 6), "two are the owner's");
        let busy = world.busy(peer(1, true)).expect("room");
        let owner = world.admit(peer(1, true)).expect("room");
        let another = world.admit(peer(1, true)).expect("one leaves");
        let left: Vec<usize> = large
            .iter()
            .enumerate()
            .filter(|(_, (place, _))| place.leave.is_cancelled())
            .map(|(at, _)| at)
            .collect();
        assert_eq!(left, [0], "the oldest of those that have most");
        for kept in [&small.0, &busy, &owner.0, &another.0] {
            assert!(!kept.leave.is_cancelled());
        }
        // No stranger takes the owner's place, idle or not.
        while world
            .busy(peer(5, false))
            .or_else(|| world.busy(peer(6, false)))
            .map(std::mem::forget)
            .is_some()
        {}
        assert!(!owner.0.leave.is_cancelled());
    }

    #[test]
    fn a_connection_is_its_callers_once_that_is_known() {
        let world = World::new(64);
        let peer = peer(1, true);
        let mut anns = Vec::new();
        let refused = loop {
            let place = world.busy(peer).expect("room");
            match place.hand_to("ann") {
                Ok(()) => anns.push(place),
                Err(refused) => break refused,
            }
        };
        assert_eq!((anns.len(), refused.bound, refused.kind()), (8, 8, RefusalKind::Share));
        assert_eq!(world.0.account.used_by(Pool::Connections, LOCAL), 0);
        anns[0].hand_to("ann").expect("it is hers already");
        anns[0].hand_to("bob").expect("the same connection brings another's request");
        assert!(world.busy(peer).is_some_and(|place| place.hand_to("ann").is_ok()));
        let (idle, _) = world.admit(peer).expect("room");
        idle.hand_to("ann").expect("room");
        let another = world.busy(peer).expect("room");
        another.hand_to("ann").expect("one of hers is idle");
        assert!(idle.leave.is_cancelled() && !anns[1].leave.is_cancelled());
    }
}
