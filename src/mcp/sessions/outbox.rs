//! What a session is sent besides the answers to its requests: changed resources, each once however often it
//! changed, changed lists, and the few messages that belong to no request.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rmcp::model::*;

use crate::engine::{Feed, ResourceKey, Signal};
use crate::limits;
use crate::mcp::watch::watched::Watched;

pub struct Outbox {
    state: Mutex<State>,
}

struct State {
    watched: Option<Watched>,
    /// Gets a sign as soon as there is a reader.
    pending: BTreeSet<Item>,
    /// The last event that reported each.
    sent_at: HashMap<Item, u64>,
    /// Messages that are sent once, each with its event.
    messages: VecDeque<(u64, Arc<ServerJsonRpcMessage>)>,
    last_event: u64,
    /// Lists change with every task: before this they are not sent again.
    lists_rest_until: Option<Instant>,
    /// The newest reader; older ones get nothing.
    reader: u64,
    /// Nothing is known of what was sent before: the session was restored.
    is_restored: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Item {
    Tools,
    Resources,
    Updated(String),
}

/// What a reader is to do next.
pub enum Next {
    Event(u64, Arc<ServerJsonRpcMessage>),
    /// Wait for the signal, or for this moment.
    Wait(Option<Signal>, Option<Instant>),
    /// There is another reader.
    Mute,
}

impl Outbox {
    pub fn new(is_restored: bool) -> Self {
        let state = State {
            watched: None,
            pending: BTreeSet::new(),
            sent_at: HashMap::new(),
            messages: VecDeque::new(),
            last_event: 0,
            lists_rest_until: None,
            reader: 0,
            is_restored,
        };
        Self { state: Mutex::new(state) }
    }

    /// A message that belongs to no request.
    pub fn push(&self, message: ServerJsonRpcMessage) {
        let mut state = self.state();
        if state.messages.len() == limits::MAX_SESSION_MESSAGES {
            state.messages.pop_front();
        }
        state.last_event += 1;
        let event = state.last_event;
        state.messages.push_back((event, Arc::new(message)));
        if let Some(watched) = &state.watched {
            watched.signal().pass_on();
        }
    }

    /// False where the server or the session has as many subscriptions as it takes.
    pub fn watch(&self, feed: &Feed, key: ResourceKey, uri: String) -> bool {
        let mut state = self.state();
        if state.watched.is_none() {
            state.watched = feed.watch().map(Watched::new);
        }
        state.watched.as_mut().is_some_and(|watched| watched.add(key, uri))
    }

    pub fn unwatch(&self, key: &ResourceKey, uri: &str) {
        let mut state = self.state();
        if let Some(watched) = &mut state.watched {
            watched.remove(key, uri);
        }
        let item = Item::Updated(uri.to_owned());
        state.pending.remove(&item);
        state.sent_at.remove(&item);
    }

    /// Begins to read behind an event of this life of the session, if one is named. Says who reads, and whether the
    /// session was restored and it had no reader since.
    pub fn begin(&self, feed: &Feed, lists: [ResourceKey; 2], after: Option<u64>) -> (u64, bool) {
        for key in lists {
            self.watch(feed, key, String::new());
        }
        let mut state = self.state();
        state.reader += 1;
        if let Some(after) = after {
            let missed: Vec<Item> = state
                .sent_at
                .iter()
                .filter(|(_, event)| **event > after)
                .map(|(item, _)| item.clone())
                .collect();
            state.pending.extend(missed);
        }
        if let Some(watched) = &state.watched {
            // The one before is to see that it is not the newest.
            watched.signal().pass_on();
        }
        (state.reader, std::mem::take(&mut state.is_restored))
    }

    /// To be sent without having been seen to change.
    pub fn mark(&self, uris: impl IntoIterator<Item = String>) {
        let mut state = self.state();
        state.pending.extend([Item::Tools, Item::Resources]);
        state.pending.extend(uris.into_iter().map(Item::Updated));
    }

    pub fn next(&self, reader: u64, message_after: u64) -> Next {
        let mut state = self.state();
        if state.reader != reader {
            if let Some(watched) = &state.watched {
                watched.signal().pass_on();
            }
            return Next::Mute;
        }
        let message = state.messages.iter().find(|(event, _)| *event > message_after);
        if let Some((event, message)) = message {
            return Next::Event(*event, message.clone());
        }
        state.collect();
        let rest = state.lists_rest_until.filter(|until| *until > Instant::now());
        match state.pending.iter().find(|item| rest.is_none() || item.is_resource()).cloned() {
            Some(item) => {
                state.pending.remove(&item);
                state.last_event += 1;
                let event = state.last_event;
                if !item.is_resource() {
                    let interval = Duration::from_millis(limits::LIST_CHANGE_INTERVAL_MS);
                    state.lists_rest_until = Some(Instant::now() + interval);
                }
                let message = ServerJsonRpcMessage::notification(item.notification());
                state.sent_at.insert(item, event);
                Next::Event(event, Arc::new(message))
            }
            None => {
                let rest = rest.filter(|_| !state.pending.is_empty());
                Next::Wait(state.watched.as_ref().map(Watched::signal), rest)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Takes what the feed has to tell.
    fn collect(&mut self) {
        let Some(watched) = &self.watched else { return };
        while let Some((key, uris)) = watched.try_next() {
            match key {
                ResourceKey::Tools => drop(self.pending.insert(Item::Tools)),
                ResourceKey::Tasks(_) => drop(self.pending.insert(Item::Resources)),
                _ => self.pending.extend(uris.into_iter().map(Item::Updated)),
            }
        }
    }
}

impl Item {
    fn is_resource(&self) -> bool {
        matches!(self, Self::Updated(_))
    }

    fn notification(&self) -> ServerNotification {
        match self {
            Self::Tools => ServerNotification::ToolListChangedNotification(Default::default()),
            Self::Resources => ServerNotification::ResourceListChangedNotification(Default::default()),
            Self::Updated(uri) => {
                let params = ResourceUpdatedNotificationParam::new(uri);
                ServerNotification::ResourceUpdatedNotification(ResourceUpdatedNotification::new(params))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TaskId;

    fn uri_of(message: &ServerJsonRpcMessage) -> String {
        let value = serde_json::to_value(message).expect("JSON");
        value["params"]["uri"].as_str().unwrap_or_default().to_owned()
    }

    fn lists() -> [ResourceKey; 2] {
        [ResourceKey::Tools, ResourceKey::Tasks("local".to_owned())]
    }

    fn read_all(outbox: &Outbox, reader: u64) -> Vec<(u64, String)> {
        let mut seen = Vec::new();
        while let Next::Event(event, message) = outbox.next(reader, u64::MAX) {
            seen.push((event, uri_of(&message)));
        }
        seen
    }

    #[test]
    fn a_reader_that_comes_back_is_told_what_came_behind_its_event_and_each_resource_once() {
        let (feed, outbox) = (Feed::default(), Outbox::new(false));
        let keys = [1, 2].map(|n| ResourceKey::Task(TaskId::from_bytes([n; 16])));
        assert!(outbox.watch(&feed, keys[0].clone(), "a".to_owned()));
        assert!(outbox.watch(&feed, keys[1].clone(), "b".to_owned()));
        let (reader, _) = outbox.begin(&feed, lists(), None);
        feed.changed(&keys);
        feed.changed(&keys);
        assert_eq!(read_all(&outbox, reader), [(1, "a".to_owned()), (2, "b".to_owned())]);
        feed.changed(&keys[..1]);
        assert_eq!(read_all(&outbox, reader), [(3, "a".to_owned())]);
        // It saw the first event alone.
        let (again, restored) = outbox.begin(&feed, lists(), Some(1));
        assert!(!restored && matches!(outbox.next(reader, 0), Next::Mute));
        assert_eq!(read_all(&outbox, again), [(4, "a".to_owned()), (5, "b".to_owned())]);
        outbox.unwatch(&keys[0], "a");
        feed.changed(&keys);
        assert_eq!(read_all(&outbox, again), [(6, "b".to_owned())]);
    }

    #[test]
    fn lists_are_told_once_in_a_while_and_a_message_to_each_reader_once() {
        let (feed, outbox) = (Feed::default(), Outbox::new(false));
        let (reader, _) = outbox.begin(&feed, lists(), None);
        feed.changed(&lists());
        assert!(matches!(outbox.next(reader, 0), Next::Event(1, _)));
        assert!(matches!(outbox.next(reader, 0), Next::Wait(Some(_), Some(_))), "the other list can wait");
        outbox.push(ServerJsonRpcMessage::notification(Item::Tools.notification()));
        assert!(matches!(outbox.next(reader, 1), Next::Event(2, _)));
        assert!(matches!(outbox.next(reader, 2), Next::Wait(..)));
    }
}
