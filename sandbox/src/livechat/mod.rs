//! A stand-in for LiveChat v3.6: it keeps state, refuses what the vendor refuses, sends real webhooks, and keeps a journal.
//!
//! One listener serves every host: `/v3.6/{agent,customer,configuration}/action/<action>`, `/v2/customer/…` (the
//! accounts service) and `/api/file/…` (the file CDN). It uses none of the product's wire types: a simulator that
//! shared them would repeat every mistake in them.
//!
//! Left out: bots, OAuth for agents, per-group identities, and the customer actions that serve the vendor's own widget
//! (`get_configuration`, `get_localization`, `get_url_info`, welcome messages, e-mail verification and the like), which
//! are `not_found`.
//!
//! # Journal
//!
//! Effects of vendor `live_chat`, with the keys of their details:
//!
//! | Effect | Keys |
//! |---|---|
//! | `call_answered` | `call` (such as `customer/send_event`, `accounts/token`), `status`, `error_type`; not for scripted answers |
//! | `customer_created`, `customer_deleted` | `customer_id` |
//! | `chat_deleted` | `chat_id`, `refused_as` |
//! | `thread_deleted` | `chat_id`, `thread_id` |
//! | `token_issued` | `customer_id`, `renewed` (whether for a customer who existed) |
//! | `customer_updated` | `customer_id`, `name`, `email`, `avatar`, `session_fields` |
//! | `customer_banned` | `customer_id`, `until` |
//! | `chat_started`, `chat_resumed` | `chat_id`, `thread_id`, `customer_id`, `group_ids`, `continuous`, `active` |
//! | `event_sent`, `event_updated` | `chat_id`, `thread_id`, `event_id`, `author_id`, `author_type` (`customer`, `agent`, `system`), `visibility`, `custom_id`, `type`, `text`, `url`, `name`, `alternative_text`, `elements`, `file` (`name`, `content_type`, `size`, `sha256`), `properties`, `system_message_type` |
//! | `event_deleted` | `chat_id`, `thread_id`, `event_id` |
//! | `chat_deactivated` | `chat_id`, `thread_id`, `by` (a user id, or null for the router) |
//! | `chat_transferred` | `chat_id`, `thread_id`, `reason`, `transferred_to`, `requester_id`?, `queue`? |
//! | `user_added` | `chat_id`, `thread_id`, `user_id`, `reason`, `visibility` |
//! | `user_removed` | `chat_id`, `thread_id`, `user_id`, `reason`, `user_type`, `requester_id`? |
//! | `properties_updated`, `properties_deleted` | `chat_id`, `thread_id`?, `event_id`?, `properties` |
//! | `thread_tagged`, `thread_untagged` | `chat_id`, `thread_id`, `tag` |
//! | `events_seen` | `user_id`, `chat_id`, `seen_up_to` |
//! | `postback_sent` | `user_id`, `chat_id`, `thread_id`, `event_id`, `postback` |
//! | `sneak_peek_sent` | `chat_id`, `text` |
//! | `file_uploaded` | `url`, `name`, `content_type`, `size`, `sha256` |
//! | `webhook_registered` | `id`, `action`, `url`, `owner_client_id`, `type`, `filters` |
//! | `webhook_unregistered`, `webhooks_enabled` | `id`; `enabled` |
//! | `webhook_delivered` | `delivery` (a number for [`Simulator::replay`]), `action`, `url`, `attempt` from 1, `status` (null without an answer) |
//!
//! # Where the vendor's documentation is silent
//!
//! - A customer who names a chat of another customer, existing or not, gets `authorization`.
//! - A thread or event that is not in the chat is `not_found` to customers, too.
//! - A wrong `organization_id` gets `license_not_found`.
//! - Cookies with a wrong secret are treated as absent: a new customer is created.
//! - Calls with a personal access token count as `other_clients` for the filter `source_type`.
//! - `session_fields` are replaced, not merged.
//! - Event times are strictly increasing, even while the clock stands still, unless [`Behaviour::equal_times`] is set.
//! - What was deleted or anonymized is refused as [`Gone`] says; no webhook reports it.
//! - Webhook retries come 5, 20 and 50 seconds after the first try.

mod account;
mod accounts;
mod actions;
mod agent;
mod call;
mod configuration;
mod customer;
mod delivery;
mod errors;
mod ids;
mod paging;
mod params;
mod people;
mod router;
mod scopes;
mod state;
#[cfg(test)]
mod tests;
mod upload;
mod vanishing;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::Clock;

pub use self::account::{Account, Agent, Group, GroupStatus};
use self::delivery::Deliveries;
pub use self::errors::{Error, Kind};
use self::state::webhooks::Registration;
pub use self::state::{
    Author, Chat, Customer, Event, Member, Properties, RoutingStatus, Target, Thread, UserKind, Visibility,
};
use self::state::{Source, State, Step};
pub use self::vanishing::Gone;
use crate::faults::Faults;
use crate::journal::{Journal, Vendor};
use crate::server::{Inside, Server};
use crate::underway::Underway;

/// The options with which a simulator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// TCP port on the loopback interface; 0 picks a free one.
    pub port: u16,
    /// The source of the time.
    pub clock: Clock,
    /// The journal of its effects.
    pub journal: Journal,
    /// The organization it represents.
    pub account: Account,
    /// Its behaviour where the vendor's varies or is unknown.
    pub behaviour: Behaviour,
    /// Counts the webhooks in flight.
    pub underway: Underway,
}

impl Options {
    /// The default organization and behaviour, on a free port.
    pub fn new(clock: Clock, journal: Journal) -> Self {
        let (account, behaviour, underway) = (Account::default(), Behaviour::default(), Underway::default());
        Self { port: 0, clock, journal, account, behaviour, underway }
    }
}

/// What differs between organizations, or is uncertain from the vendor's documentation.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// The `error.type` of a second `start_chat` and of resuming an active chat.
    pub second_chat: SecondChat,
    /// When the router hands a new thread to an agent.
    pub assignment: Assignment,
    /// Whether each token call with cookies changes the value of `__lc_cst` and invalidates the old one.
    pub rotate_cookie_secret: bool,
    /// Lifetime of customer tokens that do not request another one by `expires_in`.
    pub token_lifetime: Duration,
    /// Whether events get the clock's own time, so that several can have the same one.
    pub equal_times: bool,
    /// How many milliseconds the clock that dates threads and events runs ahead of all others; behind, if negative.
    pub ahead_ms: i64,
    /// The organization's region; calls to the other region are misdirected.
    pub region: Region,
    /// The stage of v3.6 and the date on which it ends (`YYYY-MM-DD`), once it is no longer stable.
    pub version_ends: Option<(Stage, String)>,
    /// Whether `list_chats` answers customers as the developer preview 3.7 does.
    pub lists_chats_as_next_version: bool,
    /// Whether a chat that an agent resumes loses the property `source.client_id`, by which `only_my_chats` recognises an app's chats.
    pub resuming_agents_take_chats: bool,
    /// The uncertain assumptions of the contracts that do not hold.
    pub turned: BTreeSet<Turned>,
    /// Whether the licence includes summaries: a thread has one from the time it is requested.
    pub summaries: bool,
}

/// Second chats are refused as `validation`, chats assigned at once, tokens live 8 hours, and v3.6 is stable.
impl Default for Behaviour {
    fn default() -> Self {
        Self {
            second_chat: SecondChat::Validation,
            assignment: Assignment::Immediate,
            rotate_cookie_secret: false,
            token_lifetime: Duration::from_secs(8 * 3_600),
            equal_times: false,
            ahead_ms: 0,
            region: Region::Dal,
            version_ends: None,
            lists_chats_as_next_version: false,
            resuming_agents_take_chats: false,
            turned: BTreeSet::new(),
            summaries: false,
        }
    }
}

/// An uncertain statement about LiveChat, inverted: the vendor's behaviour if the statement were wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turned {
    /// A second `start_chat` is refused as `authorization`.
    SecondStart,
    /// A `resume_chat` of an active chat is refused as `authorization`.
    ActiveResume,
    /// An event for a closed chat is refused as `validation`.
    ClosedSend,
    /// Closing a closed chat is refused as `validation`.
    ClosedClose,
    /// An agent who is not in the chat is refused as `validation`.
    Outsider,
    /// Cookies are ignored: each token belongs to a new customer.
    Cookies,
    /// A second event with the `custom_id` of another one is treated as the same event.
    CustomId,
    /// 16 KB are 16,000 bytes.
    TextLimit,
    /// Files are served only with a credential.
    Files,
    /// A closed thread takes no rating.
    ClosedRating,
    /// A chat does not carry the client id of the app that started it.
    SourceClient,
    /// A resumed chat goes to another group than the given one.
    NamedGroup,
    /// Properties of a namespace are removed unless they are given again.
    Merging,
    /// No webhook reports that a chat was assigned to an agent.
    Handing,
    /// The filter `author_type` is not offered for `incoming_event`.
    AuthorFilter,
}

/// How a second chat is refused; the vendor's documentation allows either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondChat {
    /// As `validation`.
    Validation,
    /// As `limit_reached`.
    LimitReached,
}

/// When the router assigns chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// As soon as the thread opens, if an agent takes chats.
    Immediate,
    /// On [`Simulator::router_assigns`]; until then chats are queued.
    Manual,
}

/// A data centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// US, the default of calls that give none.
    Dal,
    /// EU.
    Fra,
}

impl Region {
    /// `dal` or `fra`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dal => "dal",
            Self::Fra => "fra",
        }
    }
}

/// Late stages of an API version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Answers carry `Legacy: <date>`.
    Legacy,
    /// Answers carry `Deprecation: <date>`.
    Deprecated,
}

impl Stage {
    const fn header(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Deprecated => "deprecation",
        }
    }
}

/// The state shared by the listener and the simulator's owner.
#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    clock: Clock,
    journal: Journal,
    deliveries: Deliveries,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` at one moment, then journals its effects and sends its webhooks.
    fn act<T>(&self, source: Source, change: impl FnOnce(&mut State, &mut Step) -> T) -> T {
        let mut state = self.state();
        let mut step = Step::new(self.clock.now(), source);
        let outcome = change(&mut state, &mut step);
        for (effect, detail) in step.effects {
            self.journal.record(step.now, Vendor::LiveChat, effect, detail);
        }
        let organization_id = &state.account.organization_id;
        let letters = step.webhooks.iter().flat_map(|webhook| state.registrations.letters(webhook, organization_id));
        self.deliveries.send(letters.collect());
        outcome
    }
}

/// A running simulator; it stops when this value is dropped.
///
/// Every method that has effects sends webhooks and must be called inside a Tokio runtime.
#[derive(Debug)]
pub struct Simulator {
    inner: Arc<Inner>,
    server: Server,
    faults: Faults,
    account: Account,
}

impl Simulator {
    /// Starts a simulator.
    ///
    /// # Errors
    ///
    /// When the port is taken, or the HTTP client for webhooks cannot be created.
    pub async fn start(options: Options) -> io::Result<Self> {
        let Options { port, clock, journal, account, behaviour, underway } = options;
        let faults = Faults::default();
        let deliveries = Deliveries::new(clock.clone(), journal.clone(), underway, faults.clone())?;
        let state = Mutex::new(State::new(account.clone(), behaviour, clock.now()));
        let inner = Arc::new(Inner { state, clock: clock.clone(), journal, deliveries });
        let server = Server::start(port, router::routes(Arc::clone(&inner)), faults.clone(), clock).await?;
        inner.state().cdn_url = server.url();
        Ok(Self { inner, server, faults, account })
    }

    /// The base URL of every simulated host: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The server behind its port.
    pub(crate) fn inside(&self) -> Inside {
        self.server.inside()
    }

    /// The fault script of its listener.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The organization as it was at the start; later status changes are not included.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// Changes the behaviour from now on.
    pub fn set_behaviour(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.inner.state().behaviour);
    }

    /// Registers webhooks for the licence as in the developer console: no filters, no additional data.
    ///
    /// # Errors
    ///
    /// `limit_reached` for the fourth of an action.
    pub fn register_webhooks(&self, url: &str, secret_key: &str, actions: &[&str]) -> Result<(), Error> {
        self.inner.act(Source::System, |state, step| {
            let client_id = state.account.client_id.clone();
            let registrations = actions.iter().map(|action| Registration::plain(action, url, secret_key, &client_id));
            registrations.into_iter().try_for_each(|one| state.register(step, one).map(|_id| ()))
        })
    }

    /// Waits until no webhook delivery is in flight, and no retry is due by the clock.
    pub async fn settled(&self) {
        self.inner.deliveries.settled().await;
    }

    /// Sends the last delivery of `action` once more; returns false if there was none.
    pub fn deliver_again(&self, action: &str) -> bool {
        self.inner.deliveries.replay_last(action)
    }

    /// Sends the delivery with this number (`delivery` in the journal) once more; returns false if there is none.
    pub fn replay(&self, delivery: u64) -> bool {
        self.inner.deliveries.replay(delivery)
    }

    /// Every chat of the organization, in the order of their start.
    pub fn chats(&self) -> Vec<Chat> {
        self.inner.state().chats().to_vec()
    }

    /// The chats with an active thread.
    pub fn open_chats(&self) -> Vec<Chat> {
        let state = self.inner.state();
        state.chats().iter().filter(|chat| chat.active_thread().is_some()).cloned().collect()
    }

    /// Every agent, with the present routing status.
    pub fn agents(&self) -> Vec<(Agent, RoutingStatus)> {
        let state = self.inner.state();
        state.account.agents.iter().map(|agent| (agent.clone(), state.agent_status(&agent.id))).collect()
    }

    /// The groups as they are now.
    pub fn groups(&self) -> Vec<Group> {
        self.inner.state().account.groups.clone()
    }

    /// Returns whether the personal access token is valid, and whether its scopes are limited.
    pub fn agent_token_state(&self) -> (bool, bool) {
        let state = self.inner.state();
        (state.agent_token_valid, state.agent_token_scopes.is_some())
    }

    /// The number of webhooks in flight or waiting for a retry.
    pub fn open_deliveries(&self) -> usize {
        self.inner.deliveries.open()
    }

    /// The last thread of a chat.
    pub fn thread(&self, chat_id: &str) -> Option<Thread> {
        self.inner.state().chat(chat_id)?.threads.last().cloned()
    }

    /// Every customer to whom a token was ever issued.
    pub fn customers(&self) -> Vec<Customer> {
        self.inner.state().customers.values().cloned().collect()
    }
}
