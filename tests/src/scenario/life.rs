//! A small world with the reference model: everything that happens in it is passed to the model, and judged by it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox::demo::Bot;
use sandbox::faults::Faults;
use serde_json::Value;
use shared::clock::Timestamp;
use tokio::task::JoinSet;

use super::bot_side::{ASKING, BotSide};
use super::stage::doubts;
use crate::checker::{self, Doubt, Expectations, Finding};
use crate::model::{Excused, Model, delivery_of};
use crate::{ANNA, World};

/// The interval between two ticks of the schedule.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// A world, its users, and the model of both.
pub(super) struct Life {
    pub world: Arc<World>,
    pub side: BotSide,
    pub people: Vec<String>,
    pub model: Model,
    /// Every webhook that was delivered, by number.
    pub deliveries: BTreeSet<u64>,
    /// Every message that the bot platform has delivered.
    pub messages: Vec<String>,
    /// How many items may be parked.
    pub may_be_parked: usize,
    /// Whether calls for one user were limited for longer than an end waits for earlier texts: those are then parked.
    pub limits_one_for_long: bool,
    /// Texts that no user may see.
    pub private: Vec<String>,
    running: JoinSet<()>,
    /// The position from which the journal is read next.
    read: usize,
    texts: usize,
    /// Users whom the bot is about to hand over; it hands each over only once at a time.
    escalating: Arc<Mutex<BTreeSet<String>>>,
    /// Whether the killed instances have been replaced.
    is_replaced: bool,
    /// The time since which an instance may be killed.
    armed_at: Timestamp,
    /// When an instance was killed.
    kills: Vec<Doubt>,
}

impl Life {
    /// A new world with this many users, all of them with the bot, and optionally with a table that can be spoiled.
    pub(crate) async fn begin(bot: Bot, people: usize, table_proxy: bool) -> Self {
        let world = Arc::new(World::of_instances(1, table_proxy).await);
        let side = BotSide::new(bot, &world);
        Self {
            people: (0..people).map(|number| side.new_person(number)).collect(),
            side,
            armed_at: world.now(),
            kills: Vec::new(),
            world,
            model: Model::default(),
            deliveries: BTreeSet::new(),
            messages: Vec::new(),
            may_be_parked: 0,
            limits_one_for_long: false,
            private: Vec::new(),
            running: JoinSet::new(),
            read: 0,
            texts: 0,
            escalating: Arc::default(),
            is_replaced: false,
        }
    }

    /// A text that is written only once.
    pub(crate) fn text(&mut self, who: &str) -> String {
        self.texts += 1;
        format!("{who} {}", self.texts)
    }

    /// A unique text that asks for a person.
    pub(crate) fn asking(&mut self) -> String {
        self.text(ASKING)
    }

    /// The number of texts so far.
    pub(crate) const fn texts(&self) -> usize {
        self.texts
    }

    /// The user's chat and the agent in it; an empty chat and Anna if there is none.
    pub(crate) fn chat_of(&self, person: &str) -> (String, String) {
        let chat_id = self.model.session_of(person).map(|session| session.chat_id.clone()).unwrap_or_default();
        let agent = self.agent_of(&chat_id);
        (chat_id, agent)
    }

    fn agent_of(&self, chat_id: &str) -> String {
        let chats = self.world.stack.livechat.open_chats();
        let chat = chats.iter().find(|chat| chat.id == chat_id);
        chat.and_then(|chat| chat.public_agent()).unwrap_or(ANNA).to_owned()
    }

    /// Starts work that continues while other things happen.
    pub(crate) fn spawn<F>(&mut self, work: impl FnOnce(Arc<World>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.running.spawn(work(Arc::clone(&self.world)));
    }

    /// The user asks for a person, and the bot hands them over; returns whether the bot was free to do so.
    pub(crate) fn escalate(&mut self, person: String, text: String) -> bool {
        let escalating = Arc::clone(&self.escalating);
        let of = |list: &Mutex<BTreeSet<String>>, change: fn(&mut BTreeSet<String>, String) -> bool, person| {
            change(&mut list.lock().expect("nobody panics with the list in hand"), person)
        };
        let is_free = of(&escalating, BTreeSet::insert, person.clone());
        if is_free {
            let side = self.side.clone();
            self.spawn(async move |_| {
                drop(side.asks(&person, &text).await);
                of(&escalating, |list, person| list.remove(&person), person);
            });
        }
        is_free
    }

    /// Waits until everything in flight has ended. Killed instances are then replaced; returns whether one was killed.
    pub(crate) async fn settle(&mut self) -> Result<bool, String> {
        let (world, running) = (&self.world, &mut self.running);
        let ends = async {
            while running.join_next().await.is_some() {}
            world.stack.settled().await;
        };
        world.drive(ends).await;
        let has_killed = world.fail_points.has_killed();
        if has_killed && !std::mem::replace(&mut self.is_replaced, has_killed) {
            world.stack.restart_functions().map_err(|error| error.to_string())?;
            self.kills.push(Doubt { from: self.armed_at, until: world.now() });
        }
        self.armed_at = self.world.now();
        self.is_replaced = has_killed;
        self.observe()?;
        Ok(has_killed)
    }

    /// Another instance may be killed from now on.
    pub(crate) const fn expect_another_death(&mut self) {
        self.is_replaced = false;
    }

    /// Passes the new journal entries to the model.
    pub(crate) fn observe(&mut self) -> Result<(), String> {
        let entries = self.world.stack.journal.since(self.read);
        self.read += entries.len();
        self.deliveries.extend(entries.iter().filter_map(delivery_of));
        let messages = entries.iter().filter(|entry| entry.text("/direction") == "outgoing");
        self.messages.extend(messages.map(|entry| entry.text("/message_id").to_owned()));
        self.model.observe(&entries).into_iter().next().map_or(Ok(()), Err)
    }

    /// The fault scripts of both vendors.
    pub(crate) fn vendors(&self) -> [&Faults; 2] {
        [self.world.stack.livechat.faults(), self.side.faults()]
    }

    /// Clears every fault.
    pub(crate) fn heal(&self) {
        let stack = &self.world.stack;
        self.vendors().into_iter().for_each(Faults::clear);
        stack.gateway_faults.clear();
        stack.table_proxy.iter().for_each(|proxy| proxy.faults().clear());
    }

    /// Lets time pass with a tick of the schedule after each pause, until nothing is left to happen.
    pub(crate) async fn rest(&mut self, pauses: &[Duration]) -> Result<Excused, String> {
        self.settle().await?;
        for pause in pauses {
            self.world.advance(*pause);
            self.spawn(async |world| drop(world.stack.sweep().await));
            self.settle().await?;
        }
        let doubts: Vec<_> = doubts(&self.world).chain(self.kills.iter().copied()).collect();
        let (wrong, excused) = self.model.rest(&self.unreadable(), &doubts);
        wrong.into_iter().chain(self.left_over()).chain(self.unrecorded()).next().map_or(Ok(excused), Err)
    }

    /// The times at which LiveChat refused to let a thread be read.
    fn unreadable(&self) -> Vec<Timestamp> {
        let spoiled = self.world.stack.livechat.faults().spoiled();
        spoiled.into_iter().filter(|one| one.call.contains("get_chat")).map(|one| one.at).collect()
    }

    fn left_over(&self) -> Option<String> {
        let mut parked = self.world.items("parked");
        let is_limited = |item: &Value| crate::text(item, "cause").contains("429");
        parked.retain(|item| !(self.limits_one_for_long && is_limited(item) && self.is_over(item)));
        let too_many = if parked.len() > self.may_be_parked { parked } else { Vec::new() };
        let left = self.world.items("waiting").into_iter().chain(too_many).next()?;
        Some(format!("{} of {} is left", crate::text(&left, "sk"), crate::text(&left, "pk")))
    }

    /// Returns a session that is over but has no record, or a record of a session that is not over.
    fn unrecorded(&self) -> Option<String> {
        let ids = |items: Vec<Value>| items.iter().map(|item| crate::text(item, "session_id").to_owned()).collect();
        let mut sessions = self.world.items("session");
        sessions.retain(|session| crate::text(session, "session_state") == "closed");
        let (over, recorded): (BTreeSet<String>, BTreeSet<String>) = (ids(sessions), ids(self.world.items("record")));
        let wrong = over.symmetric_difference(&recorded).next()?;
        Some(format!("session {wrong} is over or has a record, and not both"))
    }

    /// Returns whether the session that an item belongs to has ended.
    fn is_over(&self, item: &Value) -> bool {
        let sessions = self.world.items("session");
        let session = sessions.iter().find(|one| crate::text(one, "pk") == crate::text(item, "pk"));
        session.is_none_or(|session| crate::text(session, "session_state") == "closed")
    }

    /// From any state, every user returns to the bot, can be handed over again, and returns again.
    pub(crate) async fn lead_back(&mut self, pauses: &[Duration]) -> Result<(), String> {
        self.end_everything(pauses).await?;
        for person in self.people.clone() {
            let text = self.asking();
            let asked = self.side.asks(&person, &text);
            self.world.drive(asked).await.map_err(|error| format!("no new start: {error}"))?;
        }
        self.settle().await?;
        if self.model.open().count() != self.people.len() {
            return Err(format!("{} threads are open for {} users", self.model.open().count(), self.people.len()));
        }
        self.end_everything(pauses).await
    }

    async fn end_everything(&mut self, pauses: &[Duration]) -> Result<(), String> {
        let open: Vec<_> = self.model.open().map(|(_, session)| session.chat_id.clone()).collect();
        for chat_id in open {
            drop(self.world.stack.livechat.agent_closes(&chat_id, &self.agent_of(&chat_id)));
        }
        self.rest(pauses).await?;
        match self.model.is_anybody_with_agents() || self.model.open().next().is_some() {
            true => Err(format!("not everybody is back: {:?}", self.model.open().collect::<Vec<_>>())),
            false => Ok(()),
        }
    }

    /// The journal's entries about the text or the conversation that a finding quotes.
    pub(crate) fn journal_about(&self, finding: &str) -> Vec<String> {
        let Some(quoted) = finding.split('"').nth(1) else { return Vec::new() };
        let entries = self.world.stack.journal.entries();
        let told = entries.iter().filter(|entry| {
            // Texts as whole values, ids wherever they occur.
            entry.detail.to_string().contains(&format!("\"{quoted}\""))
        });
        told.map(|entry| format!("{} {} {} {}", entry.number, entry.at, entry.effect, entry.detail)).collect()
    }

    /// Returns the checker's findings; lost texts and open ends are left to the model, which knows what was legitimately lost.
    pub(crate) fn judge(&self) -> Result<(), String> {
        let expectations = Expectations { private: self.private.clone(), ..Expectations::default() };
        let wrong =
            checker::check(&self.world.stack.journal.entries(), &expectations).into_iter().find(
                |finding| match finding {
                    Finding::AssignedAgain { conversation, .. } => !self.was_transferred(conversation),
                    Finding::Leaked(_) | Finding::TextAfterClosure(_) => true,
                    _ => false,
                },
            );
        wrong.map_or(Ok(()), |finding| Err(format!("{finding:?}")))
    }

    /// Returns whether agents transferred the chat of a conversation: the notification about another agent in between may have been lost.
    fn was_transferred(&self, conversation: &str) -> bool {
        let Some(thread) = self.model.thread_of(conversation) else { return false };
        self.world.entries("chat_transferred", "/reason", "manual").iter().any(|one| one.text("/thread_id") == thread)
    }
}
