//! Which text belongs to whom: visitors who share addresses and texts, second conversations, double clicks, lost
//! answers. Judged by each visitor's identity, independent of the product: their chat has their name, and no two names are equal.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use sandbox::botpress::{Escalation, UpstreamUser};
use sandbox::faults::Fault;
use sandbox::livechat::Chat;

use crate::scenario::side_by_side::side_by_side;
use crate::{ANNA, BEN, World};

/// The user's address as bots fill it in.
const ADDRESSES: [Option<&str>; 7] = [
    Some("office@example.com"),
    Some("OFFICE@example.com "),
    Some("undefined"),
    Some("N/A"),
    Some("-"),
    Some(" "),
    None,
];

/// The texts that all visitors write.
const WORDS: [&str; 3] = ["hello", "I need help", "human please"];

/// The number of events in one world.
const LENGTH: usize = 60;

/// The maximum number of conversations in one world.
const MOST: usize = 10;

/// Longer than texts are held back after a start.
const SETTLED: Duration = Duration::from_secs(7);

/// The totals of all worlds.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub events: usize,
    pub conversations: usize,
    pub words: usize,
    pub findings: Vec<String>,
}

/// Plays this many events, in separate worlds.
pub(super) async fn conversations(random: &mut Rng, events: usize) -> Tally {
    let seeds: Vec<_> = (0..events.div_ceil(LENGTH)).map(|_| random.u64(..)).collect();
    let tallies = side_by_side(seeds, |seed| async move { Street::new(seed).await.live().await }).await;
    tallies.into_iter().fold(Tally::default(), |mut all, one| {
        all.events += one.events;
        all.conversations += one.conversations;
        all.words += one.words;
        all.findings.extend(one.findings);
        all
    })
}

/// A visitor, by name, with all their open conversations with the bot.
#[derive(Debug)]
struct Visitor {
    name: String,
    address: Option<&'static str>,
    conversations: Vec<UpstreamUser>,
}

/// A world full of visitors.
struct Street {
    world: World,
    random: Rng,
    seed: u64,
    visitors: Vec<Visitor>,
    tally: Tally,
}

impl Street {
    async fn new(seed: u64) -> Self {
        let world = World::in_process().await;
        Self { world, random: Rng::with_seed(seed), seed, visitors: Vec::new(), tally: Tally::default() }
    }

    async fn live(mut self) -> Tally {
        for _ in 0..LENGTH {
            self.tally.events += 1;
            // Events at one instant are in flight at the same time, and people take longer.
            self.world.advance(Duration::from_millis(1));
            let answered = match self.random.u8(..12) {
                0 | 1 => self.somebody_comes().await,
                2 => self.somebody_begins_anew().await,
                3..6 => self.somebody_is_handed_over().await,
                6 => self.a_click_comes_twice().await,
                7 => self.an_answer_is_lost().await,
                8 => self.an_agent_speaks().await,
                9 => self.a_user_speaks().await,
                10 => self.a_chat_changes_hands().await,
                _ => self.something_ends().await,
            };
            // A refused start or a failed message is not a finding here, only who sees what.
            drop(answered);
            self.world.settle().await;
            self.look_for_shared_chats();
        }
        self.end().await;
        self.tally
    }

    fn find(&mut self, what: String) {
        let seed = self.seed;
        self.tally.findings.push(format!("seed {seed}: {what}"));
    }

    async fn somebody_comes(&mut self) -> Result<(), String> {
        if self.tally.conversations >= MOST {
            return self.somebody_is_handed_over().await;
        }
        let name = format!("Visitor {}", self.visitors.len());
        let address = ADDRESSES[self.random.usize(..ADDRESSES.len())];
        let user = self.world.stack.botpress.new_user(&name, address, None);
        self.visitors.push(Visitor { name, address, conversations: vec![user.clone()] });
        self.tally.conversations += 1;
        self.greet(&user).await
    }

    /// The same person in another window, with the same text half of the time.
    async fn somebody_begins_anew(&mut self) -> Result<(), String> {
        if self.visitors.is_empty() || self.tally.conversations >= MOST {
            return self.somebody_comes().await;
        }
        let visitor = self.random.usize(..self.visitors.len());
        let known = self.visitors[visitor].conversations[0].conversation_id.clone();
        let user = self.world.stack.botpress.new_conversation(&known)?;
        self.visitors[visitor].conversations.push(user.clone());
        self.tally.conversations += 1;
        self.greet(&user).await?;
        let takes_its_time = self.random.u8(..4) == 0;
        self.hand_over(&user, takes_its_time).await
    }

    async fn greet(&mut self, user: &UpstreamUser) -> Result<(), String> {
        let words = WORDS[self.random.usize(..WORDS.len())];
        self.world.drive(self.world.stack.botpress.user_says(&user.conversation_id, words)).await.map(drop)
    }

    fn somebody(&mut self) -> Option<UpstreamUser> {
        let all: Vec<_> = self.visitors.iter().flat_map(|visitor| &visitor.conversations).cloned().collect();
        self.random.choice(all)
    }

    async fn somebody_is_handed_over(&mut self) -> Result<(), String> {
        let Some(user) = self.somebody() else { return Ok(()) };
        self.greet(&user).await?;
        let takes_its_time = self.random.bool();
        self.hand_over(&user, takes_its_time).await
    }

    /// Hands a conversation over, and either waits for all effects, or lets the next event follow immediately.
    async fn hand_over(&self, user: &UpstreamUser, takes_its_time: bool) -> Result<(), String> {
        let escalate = self.world.stack.botpress.escalate(&user.conversation_id, Escalation::default());
        let started = self.world.drive(escalate).await;
        if takes_its_time {
            self.world.sweep_after(SETTLED).await;
        }
        started
    }

    async fn a_click_comes_twice(&mut self) -> Result<(), String> {
        let Some(user) = self.somebody().filter(|user| self.is_recognisable(user)) else { return Ok(()) };
        self.greet(&user).await?;
        let click = || self.world.stack.botpress.escalate(&user.conversation_id, Escalation::default());
        self.world.all([click(), click()]).await.into_iter().collect()
    }

    /// Returns whether two simultaneous calls for a user can return the same user: a text that is not an address
    /// identifies no user, and the plugin links a user only after the first call.
    fn is_recognisable(&self, user: &UpstreamUser) -> bool {
        let has_address = |visitor: &&Visitor| visitor.address.is_none_or(|address| address.contains('@'));
        self.visitors
            .iter()
            .filter(has_address)
            .flat_map(|visitor| &visitor.conversations)
            .any(|own| own.user_id == user.user_id)
    }

    async fn an_answer_is_lost(&mut self) -> Result<(), String> {
        let Some(user) = self.somebody() else { return Ok(()) };
        self.world.stack.gateway_faults.next(1, "/botpress/", Fault::LoseAnswer);
        let started = self.hand_over(&user, false).await;
        self.world.stack.gateway_faults.clear();
        started
    }

    fn a_chat(&mut self) -> Option<(Chat, String)> {
        let chat = self.random.choice(self.world.stack.livechat.open_chats())?;
        let name = self.name_of(&chat)?;
        Some((chat, name))
    }

    fn name_of(&self, chat: &Chat) -> Option<String> {
        let customers = self.world.stack.livechat.customers();
        customers.into_iter().find(|customer| Some(&customer.id) == chat.customer_id.as_ref())?.name
    }

    /// An agent's text is shown only to the visitor whose name the chat has, once.
    async fn an_agent_speaks(&mut self) -> Result<(), String> {
        let Some((chat, name)) = self.a_chat() else { return Ok(()) };
        self.tally.words += 1;
        let text = format!("for {name}, {}", self.tally.events);
        let agent = chat.public_agent().unwrap_or(ANNA).to_owned();
        if self.world.stack.livechat.agent_sends_text(&chat.id, &agent, &text).is_err() {
            return Ok(());
        }
        self.world.settle().await;
        self.world.sweep_after(SETTLED).await;
        let theirs = self.conversations_of(&name);
        let shown: Vec<_> = self
            .world
            .entries("shown_to_user", "/text", &text)
            .iter()
            .map(|entry| entry.text("/conversation_id").to_owned())
            .collect();
        if shown.iter().any(|conversation| !theirs.contains(conversation)) {
            self.find(format!("\"{text}\" was shown in {shown:?}, {name} has {theirs:?}"));
        }
        let is_there = theirs.iter().any(|conversation| self.world.stack.botpress.is_escalated(conversation));
        if shown.len() > 1 || (shown.is_empty() && is_there) {
            self.find(format!("\"{text}\" was shown {} times", shown.len()));
        }
        Ok(())
    }

    fn conversations_of(&self, name: &str) -> BTreeSet<String> {
        let theirs = self.visitors.iter().filter(|visitor| visitor.name == name);
        theirs.flat_map(|visitor| &visitor.conversations).map(|user| user.conversation_id.clone()).collect()
    }

    /// A user's text reaches the chat with the user's name, or none.
    async fn a_user_speaks(&mut self) -> Result<(), String> {
        let Some(user) = self.somebody() else { return Ok(()) };
        let Some(name) =
            self.visitors.iter().find(|one| one.conversations.iter().any(|own| own.user_id == user.user_id))
        else {
            return Ok(());
        };
        let name = name.name.clone();
        self.tally.words += 1;
        let text = format!("from {name}, {}", self.tally.events);
        self.world.drive(self.world.stack.botpress.user_says(&user.conversation_id, &text)).await?;
        self.world.settle().await;
        for entry in self.world.entries("event_sent", "/text", &text) {
            let chats = self.world.stack.livechat.chats();
            let chat = chats.iter().find(|chat| chat.id == entry.text("/chat_id"));
            let bears = chat.and_then(|chat| self.name_of(chat));
            if bears.as_ref() != Some(&name) {
                self.find(format!("\"{text}\" reached the chat of {bears:?}"));
            }
        }
        Ok(())
    }

    async fn a_chat_changes_hands(&mut self) -> Result<(), String> {
        let Some((chat, _)) = self.a_chat() else { return Ok(()) };
        let from = chat.public_agent().unwrap_or(ANNA).to_owned();
        let to = if from == ANNA { BEN } else { ANNA };
        let transfer = sandbox::livechat::Target::Agent(to.to_owned());
        drop(self.world.stack.livechat.agent_transfers(&chat.id, &from, transfer));
        Ok(())
    }

    async fn something_ends(&mut self) -> Result<(), String> {
        match self.random.u8(..3) {
            0 => {
                let Some((chat, _)) = self.a_chat() else { return Ok(()) };
                let agent = chat.public_agent().unwrap_or(ANNA).to_owned();
                drop(self.world.stack.livechat.agent_closes(&chat.id, &agent));
                Ok(())
            }
            1 => {
                let Some(user) = self.somebody() else { return Ok(()) };
                self.world.drive(self.world.stack.botpress.user_ends(&user.conversation_id)).await.map(drop)
            }
            _ => {
                let Some(user) = self.somebody() else { return Ok(()) };
                self.world.drive(self.world.stack.botpress.stop(&user.conversation_id)).await
            }
        }
    }

    /// No visitor has two chats, and none has another visitor's.
    fn look_for_shared_chats(&mut self) {
        let names: Vec<_> =
            self.world.stack.livechat.open_chats().iter().filter_map(|chat| self.name_of(chat)).collect();
        let distinct: BTreeSet<_> = names.iter().collect();
        if distinct.len() != names.len() {
            self.find(format!("somebody has two open chats: {names:?}"));
        }
    }

    /// When nothing is left to happen, each handed-over conversation has a chat, and each visitor at most one; when all
    /// chats are closed, no conversation is handed over.
    async fn end(&mut self) {
        self.world.catch_up().await;
        let open: BTreeSet<_> =
            self.world.stack.livechat.open_chats().iter().filter_map(|chat| self.name_of(chat)).collect();
        let wrong: Vec<_> = self
            .visitors
            .iter()
            .filter_map(|visitor| {
                let handed_over = self.handed_over(visitor);
                let is_wrong = handed_over > 1 || (handed_over == 1 && !open.contains(&visitor.name));
                is_wrong.then(|| format!("{} conversations of {} are handed over", handed_over, visitor.name))
            })
            .collect();
        wrong.into_iter().for_each(|wrong| self.find(wrong));
        for chat in self.world.stack.livechat.open_chats() {
            let agent = chat.public_agent().unwrap_or(ANNA).to_owned();
            drop(self.world.stack.livechat.agent_closes(&chat.id, &agent));
        }
        self.world.settle().await;
        self.world.catch_up().await;
        let left: usize = self.visitors.iter().map(|visitor| self.handed_over(visitor)).sum();
        if left > 0 {
            self.find(format!("{left} conversations are handed over with nobody behind them"));
        }
        for entity in ["waiting", "parked"] {
            let left = self.world.items(entity).len();
            if left > 0 {
                self.find(format!("{left} items are left {entity}"));
            }
        }
    }

    fn handed_over(&self, visitor: &Visitor) -> usize {
        let is_handed_over = |user: &&UpstreamUser| self.world.stack.botpress.is_escalated(&user.conversation_id);
        visitor.conversations.iter().filter(is_handed_over).count()
    }
}
