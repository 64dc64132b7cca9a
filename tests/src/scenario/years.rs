//! A stack that runs for two years: users who return after months, sessions that never end, secrets that are rotated,
//! an install that is removed and restored, users who are erased; and TTL that deletes early, late or never.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sandbox::demo::Bot;
use serde_json::Value;
use shared::aws;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::store::Table;

use super::bot_side::{ASKING, BotSide};
use super::{Report, Size};
use crate::checker::{self, Expectations, Finding};
use crate::{ANNA, World, text};

const DAY: Duration = Duration::from_secs(86_400);

/// The interval of the simulated ticks of the schedule; nothing that falls due between two of them is urgent.
const TICK: Duration = Duration::from_secs(43_200);

/// The interval for a bot whose pause lasts no longer than a day: the second tick renews the pause a minute before it lapses.
const TICK_OF_PAUSES: Duration = Duration::from_secs(43_080);

/// After at most so many days a message is sent in every session: at Botcopy, a session is over after thirty days of silence.
const LONGEST_SILENCE: usize = 20;

/// How many sessions stay open all the time.
const NEVER_ENDING: usize = 2;

/// The average number of sessions per user.
const SESSIONS_EACH: usize = 2;

/// The maximum number of findings for one stack.
const MOST_FINDINGS: usize = 10;

/// When TTL deletes expired items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ttl {
    /// Its clock is ten minutes ahead.
    Early,
    /// Two days after the time, and each day half of the items, in no order.
    Late,
    Never,
}

/// An open session of a user.
struct Open {
    person: String,
    chat_id: String,
    agent: String,
    /// The day of the last message.
    spoke_on: usize,
    /// The day on which an agent closes it, if one does.
    ends_on: Option<usize>,
}

/// One stack, and its history.
struct Years {
    world: Arc<World>,
    bot: BotSide,
    table: Table,
    random: fastrand::Rng,
    retention: Duration,
    ttl: Ttl,
    days: usize,
    people: Vec<String>,
    open: Vec<Open>,
    by_agents: BTreeSet<String>,
    by_users: BTreeSet<String>,
    sessions: usize,
    erased: usize,
    most_items: usize,
    findings: Vec<String>,
}

/// Runs three stacks of all users, which differ in their retention and in TTL's behaviour.
pub(super) async fn lived(size: Size, bot: Bot) -> Report {
    let (users, days) = (size.of(1_000, 4), size.of(730, 16));
    let (mut figures, mut findings) = (Vec::new(), Vec::new());
    for (retention, ttl) in [(1, Ttl::Early), (30, Ttl::Late), (365, Ttl::Never)] {
        let mut years = Years::begin(size, bot, (users, days), retention, ttl).await;
        for day in 0..days {
            years.day(day).await;
        }
        years.end().await;
        figures.push(format!(
            "{retention} days, TTL {ttl:?}: {} sessions, {} messages, {} erasures, at most {} items",
            years.sessions,
            years.by_agents.len() + years.by_users.len(),
            years.erased,
            years.most_items,
        ));
        years.findings.truncate(MOST_FINDINGS);
        findings.extend(years.findings.into_iter().map(|finding| format!("{retention} days: {finding}")));
    }
    Report { figure: format!("{users} users, {days} days; {}", figures.join("; ")), findings }
}

impl Years {
    async fn begin(size: Size, bot: Bot, (users, days): (usize, usize), retention_days: u64, ttl: Ttl) -> Self {
        let environment = [
            ("RETENTION_DAYS", &*retention_days.to_string()),
            ("BOTCOPY_PAUSE_MINUTES", "1440"),
            ("BOTCOPY_SILENCE_HOURS", "720"),
        ];
        let world = World::in_process_with(&environment).await;
        let world = Arc::new(world);
        let url = world.stack.table.url();
        let (dynamodb, _) = aws::stand_ins(&url, &url).expect("clients of the sandbox can be built");
        let table = Table::new(dynamodb, world.stack.table.name().to_owned(), world.clock());
        let bot = BotSide::new(bot, &world);
        Self {
            people: (0..users).map(|number| bot.new_person(number)).collect(),
            bot,
            table,
            world,
            random: fastrand::Rng::with_seed(size.seed ^ retention_days),
            retention: DAY * u32::try_from(retention_days).unwrap_or(u32::MAX),
            ttl,
            days,
            open: Vec::new(),
            by_agents: BTreeSet::new(),
            by_users: BTreeSet::new(),
            sessions: 0,
            erased: 0,
            most_items: 0,
            findings: Vec::new(),
        }
    }

    /// Plays one day.
    async fn day(&mut self, day: usize) {
        let starts = self.people.len() * SESSIONS_EACH;
        // The remainder of the division is distributed at random.
        let rest = usize::from(self.random.usize(..self.days) < starts % self.days);
        let today = starts / self.days + rest + usize::from(day < NEVER_ENDING);
        for _ in 0..today {
            self.hand_over(day).await;
        }
        self.talk(day).await;
        self.close(day).await;
        match day % 60 {
            10 => self.rotate(day).await,
            12 => self.reinstall().await,
            _ => {}
        }
        if day % 15 == 14 {
            self.erase().await;
        }
        for _ in 0..2 {
            self.tick(if self.bot.bot == Bot::Botcopy { TICK_OF_PAUSES } else { TICK }).await;
        }
        if day % 30 == 29 {
            self.look_at_table();
        }
    }

    /// Hands over a user who is not with an agent.
    async fn hand_over(&mut self, day: usize) {
        let person = self.random.choice(&self.people).cloned().unwrap_or_default();
        if self.open.iter().any(|open| open.person == person) {
            return;
        }
        let before: BTreeSet<_> = self.open_chats().into_keys().collect();
        let asking = format!("user asks for a {ASKING} {}", self.sessions);
        let asked = self.world.drive(self.bot.asks(&person, &asking)).await;
        self.world.settle().await;
        self.sessions += 1;
        let opened = self.open_chats().into_iter().find(|(chat_id, _)| !before.contains(chat_id));
        let Some((chat_id, agent)) = opened.filter(|_| asked.is_ok()) else {
            return self.findings.push(format!("day {day}: a user was not handed over: {asked:?}"));
        };
        let ends_on = match self.random.u8(..10) {
            _ if self.open.len() < NEVER_ENDING => None,
            0..=6 => Some(day),
            _ => Some(day + self.random.usize(1..60)),
        };
        self.open.push(Open { person, chat_id, agent, spoke_on: day, ends_on });
        self.speak(self.open.len() - 1).await;
    }

    /// The open chats, each with its agent.
    fn open_chats(&self) -> BTreeMap<String, String> {
        let chats = self.world.stack.livechat.open_chats();
        chats.iter().map(|chat| (chat.id.clone(), chat.public_agent().unwrap_or(ANNA).to_owned())).collect()
    }

    /// Both sides of an open session write.
    async fn speak(&mut self, index: usize) {
        let Some(open) = self.open.get(index) else { return };
        let number = self.by_agents.len();
        let (by_agent, by_user) = (format!("agent says {number}"), format!("user says {number}"));
        if let Err(error) = self.world.stack.livechat.agent_sends_text(&open.chat_id, &open.agent, &by_agent) {
            return self.findings.push(format!("a chat is not open: {error}"));
        }
        self.world.settle().await;
        self.world.drive(self.bot.says(&open.person, &by_user)).await.ok();
        self.world.settle().await;
        self.by_agents.insert(by_agent);
        self.by_users.insert(by_user);
    }

    /// Sends messages now and then in sessions that last.
    async fn talk(&mut self, day: usize) {
        for index in 0..self.open.len() {
            let Some(open) = self.open.get_mut(index) else { return };
            if self.random.u8(..20) == 0 || day - open.spoke_on >= LONGEST_SILENCE {
                open.spoke_on = day;
                self.speak(index).await;
            }
        }
    }

    /// Agents close the sessions that end today.
    async fn close(&mut self, day: usize) {
        let (over, open) = std::mem::take(&mut self.open).into_iter().partition(|open| open.ends_on == Some(day));
        self.open = open;
        for Open { person, chat_id, agent, .. } in over {
            // The user of a widget cannot end a session.
            match self.random.bool() || self.bot.bot == Bot::Botcopy {
                true => drop(self.world.stack.livechat.agent_closes(&chat_id, &agent)),
                false => drop(self.world.drive(self.world.stack.botpress.user_ends(&person)).await),
            }
            self.world.settle().await;
        }
    }

    /// The webhooks' secret is replaced; the integration is registered again, which updates the webhooks.
    async fn rotate(&self, day: usize) {
        self.world.rotate_secret("webhookSecret", &format!("the webhooks' secret of day {day}"));
        drop(self.world.drive(self.world.stack.botpress.register()).await);
    }

    /// The only install is removed and installed again.
    async fn reinstall(&mut self) {
        drop(self.world.drive(self.world.stack.botpress.uninstall()).await);
        if let Err(error) = self.world.install().await {
            self.findings.push(format!("the integration could not be installed again: {error}"));
        }
    }

    /// Erases a user whose session has ended.
    async fn erase(&mut self) {
        let open = self.open_sessions();
        let mut users = self.world.items("user");
        users.retain(|user| !text(user, "session_id").is_empty() && !open.contains(text(user, "session_id")));
        let Some(user) = self.random.choice(&users) else { return };
        let id = text(user, "user_id").to_owned();
        let now = self.world.now();
        let erased = self.table.erase(&UserId::from(id.as_str()), &BTreeSet::new(), now, &mut |_| ()).await;
        let kept = self.table.mentions(&BTreeSet::from([id]), &mut |_| ()).await;
        self.erased += 1;
        if !matches!((&erased, &kept), (Ok(_), Ok(kept)) if kept.is_empty()) {
            self.findings.push(format!("an erased user is still there: {erased:?}, {kept:?}"));
        }
    }

    /// Lets time pass, runs the schedule, and lets TTL delete as configured here.
    async fn tick(&mut self, time: Duration) {
        self.world.advance(time);
        drop(self.world.drive(self.world.stack.sweep()).await);
        self.world.settle().await;
        let (now, table) = (self.world.now(), &self.world.stack.table);
        let deleted = match self.ttl {
            Ttl::Early => table.delete_expired(now + Duration::from_secs(600), |_| true),
            Ttl::Late => table.delete_expired(now - DAY * 2, |_| self.random.bool()),
            Ttl::Never => Ok(0),
        };
        if let Err(error) = deleted {
            self.findings.push(format!("TTL could not delete: {error}"));
        }
    }

    fn open_sessions(&self) -> BTreeSet<String> {
        let sessions = self.world.items("session").into_iter().filter(|one| text(one, "session_state") != "closed");
        sessions.map(|one| text(&one, "session_id").to_owned()).collect()
    }

    /// Only the items of open sessions live for ever, and nothing else is due.
    fn look_at_table(&mut self) {
        let (now, open) = (self.world.now(), self.open_sessions());
        let items = self.world.stack.table.items().unwrap_or_default();
        self.most_items = self.most_items.max(items.len());
        for item in &items {
            if let Some(wrong) = self.judge(item, &open, now) {
                self.findings.push(format!("{} {} {wrong} at {now}", text(item, "pk"), text(item, "sk")));
            }
        }
        if open.len() != self.open.len() {
            self.findings.push(format!("{} sessions are open instead of {} at {now}", open.len(), self.open.len()));
        }
    }

    /// Returns what is wrong with an item.
    fn judge(&self, item: &Value, open: &BTreeSet<String>, now: Timestamp) -> Option<&'static str> {
        let session_id = text(item, "pk").strip_prefix("SESSION#").unwrap_or_else(|| text(item, "session_id"));
        let is_open = open.contains(session_id);
        // The sweep ends a timer when it is due.
        if text(item, "sk").starts_with("TIMER#") && Timestamp::parse(text(item, "due_at")).is_some_and(|at| now < at) {
            return None;
        }
        let Some(expires_at) = item.get("expires_at").and_then(Value::as_i64) else {
            return (!is_open && !is_lasting(item)).then_some("never expires");
        };
        if !is_open && item.get("due_at").is_some() {
            return Some("is due although its session is over");
        }
        // Each tick deletes half of the items that are more than two days too late.
        let latest = match self.ttl {
            Ttl::Early => now,
            Ttl::Late => now - DAY * 30,
            Ttl::Never => return None,
        };
        (expires_at < latest.unix_seconds()).then_some("has expired and is still there")
    }

    /// Ends everything, and lets the last of it expire.
    async fn end(&mut self) {
        for open in std::mem::take(&mut self.open) {
            drop(self.world.stack.livechat.agent_closes(&open.chat_id, &open.agent));
            self.world.settle().await;
        }
        self.look_at_table();
        for _ in 0..8 {
            self.tick((self.retention + DAY * 2) / 8).await;
        }
        drop(self.world.stack.table.delete_expired(self.world.now(), |_| true));
        let left = self.world.stack.table.items().unwrap_or_default();
        let left: Vec<_> = left.iter().filter(|item| !is_lasting(item)).collect();
        let due = self.world.stack.table.due().unwrap_or_default();
        if !left.is_empty() || !due.is_empty() {
            self.findings.push(format!(
                "at the end {} items are left, and {} due: {:?}",
                left.len(),
                due.len(),
                left.first()
            ));
        }
        self.judge_effects();
    }

    /// Every text has had its effect once.
    fn judge_effects(&mut self) {
        let mut effects: BTreeMap<String, usize> = BTreeMap::new();
        for said in self.world.shown_by_agents().into_iter().chain(self.world.sent_by_customers()) {
            *effects.entry(said).or_default() += 1;
        }
        for said in self.by_agents.iter().chain(&self.by_users) {
            match effects.get(said).copied().unwrap_or_default() {
                1 => {}
                times => self.findings.push(format!("\"{said}\" has had {times} effects")),
            }
        }
        let wrong = checker::check(&self.world.stack.journal.entries(), &Expectations::default());
        let repeated = wrong.into_iter().filter(|finding| {
            matches!(finding, Finding::AssignedAgain { .. } | Finding::Leaked(_) | Finding::TextAfterClosure(_))
        });
        self.findings.extend(repeated.map(|finding| format!("{finding:?}")));
    }
}

/// The few items that a stack has at all times.
fn is_lasting(item: &Value) -> bool {
    ["GATES", "SWEEP", "DOORS", "INSTALLS"].contains(&text(item, "pk"))
}
