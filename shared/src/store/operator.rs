//! Operator queries: lists and searches over the whole table, parked items, erasure.
//!
//! These scan. The functions never do, and their roles do not allow it: the operator needs `dynamodb:Scan`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;

use super::keys::{DUE_SHARD, Key};
use super::transaction::Change;
use super::{Item, Result, Table, has_expired, number, text};
use crate::clock::Timestamp;
use crate::ids::{BotcopyBotId, SessionId, UserId};
use crate::model::lane::{Lane, Outcome, Position};
use crate::model::session::{Session, State};
use crate::model::user::User;

/// Receives the number of items read so far.
pub(crate) type Seen<'a> = &'a mut (dyn FnMut(usize) + Send);

/// An item that could not be delivered; its text stays in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parked {
    /// The session.
    pub session_id: SessionId,
    /// The direction.
    pub lane: Lane,
    /// Its position and its source's id.
    #[serde(flatten)]
    pub position: Position,
    /// Its kind: `message`, `close`, …
    pub kind: String,
    /// How many attempts were made, not counting the last.
    pub attempts: u32,
    /// When it was parked; earlier versions did not record it.
    pub parked_at: Option<Timestamp>,
    /// Why it was parked, without any of its text; earlier versions did not record it.
    pub cause: Option<String>,
    /// Whether the other side may have received it.
    pub outcome_unknown: bool,
    /// When it is deleted, in Unix seconds; items parked by earlier versions are never deleted.
    pub expires_at: Option<i64>,
}

impl Parked {
    /// The name that an operator uses: `<session>/<lane>/<source id>`.
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.session_id, self.lane, self.position.source_id)
    }
}

/// One event in the life of a session: an accepted item and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LifeEvent {
    /// The direction.
    pub lane: Lane,
    /// The source's own id.
    pub source_id: String,
    /// The source's own time.
    pub at: Timestamp,
    /// When it was accepted; unknown for a parked or waiting item whose trail has expired.
    pub received_at: Option<Timestamp>,
    /// Its outcome; `None` while it waits.
    pub outcome: Option<Outcome>,
    /// When it left its lane.
    pub finished_at: Option<Timestamp>,
    /// How many attempts were made.
    pub attempts: u32,
    /// The other side's id of it.
    pub vendor_id: Option<String>,
    /// Its kind, while the item exists.
    pub kind: Option<String>,
}

/// The result of erasing an end user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// How many items were removed, by entity.
    pub removed: BTreeMap<String, usize>,
    /// How many expired records of any user's sessions were removed besides.
    pub expired: usize,
    /// What the vendors still store of the user: LiveChat's customers and chats, the bot platform's users and conversations.
    pub held_by_vendors: BTreeSet<String>,
}

/// Items that still mention an erased user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Their entity.
    pub entity: String,
    /// The attribute that mentions the user.
    pub attribute: String,
    /// How many items there are.
    pub items: usize,
}

/// The attributes that describe an item without its text.
const SUMMARY: &[&str] = &[
    "pk",
    "sk",
    "entity",
    "at",
    "source_id",
    "attempts",
    "content.kind",
    "parked_at",
    "cause",
    "outcome_unknown",
    "expires_at",
];

impl Table {
    /// Returns every session that is not over, oldest first.
    pub async fn open_sessions(&self, seen: Seen<'_>) -> Result<Vec<Session>> {
        let mut sessions: Vec<Session> = Vec::new();
        for item in self.scan(&[Filter::Is("entity", "session")], &[], seen).await? {
            sessions.push(serde_dynamo::from_item(item)?);
        }
        sessions.retain(|session| session.state != State::Closed);
        sessions.sort_by_key(|session| session.started_at);
        Ok(sessions)
    }

    /// Returns the Botcopy bots whose users have had a session, with the start of the latest one.
    pub async fn botcopy_bots(&self, seen: Seen<'_>) -> Result<BTreeMap<BotcopyBotId, Timestamp>> {
        let wanted = ["platform.botcopy.bot_id", "started_at"];
        let items = self.scan(&[Filter::Is("entity", "session")], &wanted, seen).await?;
        let started = |item: &Item| {
            let platform = item.get("platform")?.as_m().ok()?.get("botcopy")?.as_m().ok()?;
            let bot_id = platform.get("bot_id")?.as_s().ok().map(BotcopyBotId::new)?;
            Some((bot_id, Timestamp::parse(item.get("started_at")?.as_s().ok()?)?))
        };
        let mut bots = BTreeMap::new();
        for (bot_id, started_at) in items.iter().filter_map(started) {
            let latest = bots.entry(bot_id).or_insert(started_at);
            *latest = started_at.max(*latest);
        }
        Ok(bots)
    }

    /// Returns every lane with waiting items and the time of its oldest item, oldest first.
    pub async fn waiting_since(&self, seen: Seen<'_>) -> Result<Vec<(SessionId, Lane, Timestamp)>> {
        let items = self.scan(&[Filter::Begins("sk", "LANE#")], &["pk", "sk"], seen).await?;
        let mut oldest: BTreeMap<(String, String), Timestamp> = BTreeMap::new();
        for (pk, sk) in items.iter().filter_map(|item| Some((part(item, "pk")?, part(item, "sk")?))) {
            for lane in [Lane::ToAgent, Lane::ToBot] {
                let Some(position) = Key::position_of(lane, sk) else { continue };
                let known = oldest.entry((pk.to_owned(), lane.to_string())).or_insert(position.at);
                *known = position.at.min(*known);
            }
        }
        let found = oldest.into_iter();
        let found = found.filter_map(|((pk, lane), at)| Some((Key::session_of(&pk)?, Lane::parse(&lane)?, at)));
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(_, _, at)| *at);
        Ok(found)
    }

    /// Checks that this version can read a session and one of its lanes, as a delivery must.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`](super::Error::Malformed) if it cannot; else as all reads.
    pub async fn is_readable(&self, id: &SessionId, lane: Lane) -> Result<()> {
        self.session(id).await?;
        self.lane::<serde_json::Value>(id, lane).await.map(drop)
    }

    /// Returns all parked items, oldest first.
    pub async fn parked(&self, now: Timestamp, seen: Seen<'_>) -> Result<Vec<Parked>> {
        let items = self.scan(&[Filter::Is("entity", "parked")], SUMMARY, seen).await?;
        let kept = items.iter().filter(|item| !has_expired(item, now));
        let mut parked: Vec<Parked> = kept.filter_map(read_parked).collect();
        parked.sort_by(|one, other| one.position.cmp(&other.position));
        Ok(parked)
    }

    /// Returns the parked items of one session.
    pub async fn parked_of(&self, id: &SessionId) -> Result<Vec<Parked>> {
        let items = self.query(&Key::session(id).pk, "PARKED#").await?;
        Ok(items.iter().filter_map(read_parked).collect())
    }

    /// Returns everything that a session has accepted, in order of acceptance.
    pub async fn life(&self, id: &SessionId) -> Result<Vec<LifeEvent>> {
        let mut events: BTreeMap<(String, String), LifeEvent> = BTreeMap::new();
        for item in self.partition(&Key::session(id).pk).await? {
            let Some(event) = read_event(&item) else { continue };
            // A trail and its waiting or parked item describe the same event; each has attributes that the other lacks.
            let key = (event.lane.to_string(), event.source_id.clone());
            events
                .entry(key)
                .and_modify(|known| {
                    known.kind = known.kind.take().or(event.kind.clone());
                    known.attempts = known.attempts.max(event.attempts);
                    known.received_at = known.received_at.or(event.received_at);
                    known.outcome = known.outcome.or(event.outcome);
                    known.finished_at = known.finished_at.or(event.finished_at);
                    known.vendor_id = known.vendor_id.take().or(event.vendor_id.clone());
                })
                .or_insert(event);
        }
        let mut events: Vec<_> = events.into_values().collect();
        events.sort_by_key(|event| (event.received_at.unwrap_or(event.at), event.at));
        Ok(events)
    }

    /// Returns the sessions that an id of any kind belongs to.
    pub async fn find_sessions(&self, id: &str, seen: Seen<'_>) -> Result<BTreeSet<SessionId>> {
        let (event, message, part_of) = (format!("event:{id}"), format!("message:{id}"), format!("message:{id}#"));
        let (corrected, deleted, part_of_said) =
            (format!("corrected:{id}:"), format!("deleted:{id}"), format!("{id}#"));
        // Lanes derive source ids from vendors' ids, so the id is also searched in each derived form.
        let fields = [
            Filter::Is("user_id", id),
            Filter::Is("conversation_id", id),
            Filter::Is("thread.chat_id", id),
            Filter::Is("thread.thread_id", id),
            Filter::Is("platform.botcopy.user_id", id),
            Filter::Is("source_id", id),
            Filter::Begins("source_id", &part_of_said),
            Filter::Is("source_id", &event),
            Filter::Begins("source_id", &corrected),
            Filter::Is("source_id", &deleted),
            Filter::Is("source_id", &message),
            Filter::Begins("source_id", &part_of),
            Filter::Is("vendor_id", id),
        ];
        let items = self.scan(&fields, &["pk"], seen).await?;
        Ok(items.iter().filter_map(|item| Key::session_of(part(item, "pk")?)).collect())
    }

    /// Puts a parked item back into its lane, due at once. Returns `false` if it is no longer parked.
    pub async fn unpark(&self, parked: &Parked, now: Timestamp, expires_at: Timestamp) -> Result<bool> {
        let Parked { session_id, lane, position, .. } = parked;
        let key = Key::parked(session_id, *lane, position);
        let Some(mut item) = self.get_item(&key).await? else { return Ok(false) };
        // The item waits for another delivery, so it must not expire meanwhile and counts as not yet failed. Whether it may have
        // arrived is kept.
        const OF_WHAT_IS_PARKED: [&str; 10] = [
            "pk",
            "sk",
            "entity",
            "parked_at",
            "cause",
            "expires_at",
            "failing_since",
            "alone_since",
            "due_shard",
            "due_at",
        ];
        for name in OF_WHAT_IS_PARKED {
            item.remove(name);
        }
        item.insert("attempts".to_owned(), number(0));
        item.insert("outcome_unknown".to_owned(), AttributeValue::Bool(parked.outcome_unknown));
        let trail = Change {
            expression: "SET source_id = :source, expires_at = if_not_exists(expires_at, :expires) \
                         REMOVE outcome, finished_at, vendor_id",
            condition: "",
            values: vec![(":source", text(&position.source_id)), (":expires", number(expires_at.unix_seconds()))],
        };
        let arrival = Change {
            expression: "SET due_shard = :shard, due_at = if_not_exists(due_at, :now), session_id = :session \
                         ADD arrivals :one",
            condition: "",
            values: vec![
                (":shard", text(DUE_SHARD)),
                (":now", text(now)),
                (":session", text(session_id)),
                (":one", number(1)),
            ],
        };
        let transaction = self
            .transaction()
            .take(&key)?
            .put(&Key::waiting(session_id, *lane, position), "waiting", &Raw(item))?
            .update(&Key::trail(session_id, *lane, &position.source_id), trail)?
            .update(&Key::lane(session_id, *lane), arrival)?;
        Ok(transaction.commit("table unpark", self.tries()).await?.is_done())
    }

    /// Discards a parked item. Returns `false` if it is no longer parked.
    pub async fn discard(&self, parked: &Parked) -> Result<bool> {
        let key = Key::parked(&parked.session_id, parked.lane, &parked.position);
        Ok(self.transaction().take(&key)?.commit("table discard", self.tries()).await?.is_done())
    }

    /// Returns the outcome of one item.
    pub async fn outcome(&self, parked: &Parked) -> Result<Option<Outcome>> {
        let key = Key::trail(&parked.session_id, parked.lane, &parked.position.source_id);
        let item = self.get_item(&key).await?;
        Ok(item.and_then(|item| serde_dynamo::from_attribute_value(item.get("outcome")?.clone()).ok()))
    }

    /// Returns the sessions of an end user.
    pub async fn sessions_of(&self, user_id: &UserId, seen: Seen<'_>) -> Result<Vec<Session>> {
        let items = self.scan(&[Filter::Is("user_id", user_id.as_str())], &[], seen).await?;
        let sessions = items.into_iter().filter(|item| part(item, "entity") == Some("session"));
        Ok(sessions.map(serde_dynamo::from_item).collect::<Result<_, _>>()?)
    }

    /// Removes everything that belongs to an end user, including what their sessions in `known` have left or have just accepted. The
    /// pointers to the user are removed first, so that nothing new is accepted.
    ///
    /// The owner of an expired record is unknown once its session is deleted, so all expired records of sessions are removed, too.
    ///
    /// Safe to repeat.
    pub async fn erase(
        &self,
        user_id: &UserId,
        known: &BTreeSet<SessionId>,
        now: Timestamp,
        seen: Seen<'_>,
    ) -> Result<Erased> {
        let mut erased = Erased::default();
        let mut own: Vec<Item> = Vec::new();
        let mut pages = self.pages(&[Filter::Is("user_id", user_id.as_str()), Filter::Expired(now)], &[]);
        while let Some(items) = pages.next(seen).await? {
            let (of_user, expired): (Vec<_>, Vec<_>) =
                items.into_iter().partition(|item| part(item, "user_id") == Some(user_id.as_str()));
            own.extend(of_user);
            for key in expired.iter().filter_map(key_of).filter(|key| Key::session_of(&key.pk).is_some()) {
                erased.expired += usize::from(self.delete_expired("table erase", &key, now).await?);
            }
        }
        // Records are stored in a partition per day, beside those of other users, so they are removed one by one.
        let (pointers, others): (Vec<_>, Vec<_>) =
            own.iter().partition(|item| matches!(part(item, "entity"), Some("chat" | "conversation" | "record")));
        for item in &pointers {
            self.remove(item, &mut erased).await?;
        }
        erased.held_by_vendors.extend(others.iter().flat_map(|item| held_by_vendors(item)));
        // The partitions of a user and of a session contain nothing of other users.
        let found = others.iter().filter_map(|item| part(item, "pk").map(str::to_owned));
        let sessions = known.iter().map(|id| Key::session(id).pk);
        for partition in found.chain(sessions).chain([Key::user(user_id).pk]).collect::<BTreeSet<_>>() {
            for item in self.partition(&partition).await? {
                self.remove(&item, &mut erased).await?;
            }
        }
        Ok(erased)
    }

    /// Finds the items that contain one of these words in any attribute; the proof of an erasure.
    ///
    /// The table is read page by page, and only the places where a word was found are kept in memory.
    pub async fn mentions(&self, words: &BTreeSet<String>, seen: Seen<'_>) -> Result<Vec<Kept>> {
        let mut kept: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut pages = self.pages(&[], &[]);
        while let Some(items) = pages.next(seen).await? {
            for item in &items {
                let Some((attribute, _)) = item.iter().find(|(_, value)| contains(value, words)) else { continue };
                let entity = part(item, "entity").unwrap_or("unknown").to_owned();
                *kept.entry((entity, attribute.clone())).or_default() += 1;
            }
        }
        Ok(kept.into_iter().map(|((entity, attribute), items)| Kept { entity, attribute, items }).collect())
    }

    async fn remove(&self, item: &Item, erased: &mut Erased) -> Result<()> {
        let Some(key) = key_of(item) else { return Ok(()) };
        self.delete("table erase", &key).await?;
        *erased.removed.entry(part(item, "entity").unwrap_or("lane").to_owned()).or_default() += 1;
        Ok(())
    }

    async fn partition(&self, pk: &str) -> Result<Vec<Item>> {
        let request = self.client.query().table_name(&self.name).consistent_read(true);
        let mut pages = request
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(pk))
            .into_paginator()
            .send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            items.extend(page?.items.unwrap_or_default());
        }
        Ok(items)
    }

    /// Returns the items that match one of `fields`, or all if there are none; with the `wanted` attributes, or all.
    async fn scan(&self, fields: &[Filter<'_>], wanted: &[&str], seen: Seen<'_>) -> Result<Vec<Item>> {
        let (mut items, mut pages) = (Vec::new(), self.pages(fields, wanted));
        while let Some(page) = pages.next(seen).await? {
            items.extend(page);
        }
        Ok(items)
    }

    /// The same page by page.
    ///
    /// Attribute names are replaced by placeholders, since many of them are reserved words.
    fn pages(&self, fields: &[Filter<'_>], wanted: &[&str]) -> Pages {
        let mut names = HashMap::new();
        let mut placed = |path: &str| {
            let parts = path.split('.').map(|part| {
                let place = format!("#{part}");
                names.insert(place.clone(), part.to_owned());
                place
            });
            parts.collect::<Vec<_>>().join(".")
        };
        let conditions = fields.iter().enumerate().map(|(index, field)| match field {
            Filter::Is(path, _) => format!("{} = :v{index}", placed(path)),
            Filter::Begins(path, _) => format!("begins_with({}, :v{index})", placed(path)),
            Filter::Expired(_) => format!("{} <= :v{index}", placed("expires_at")),
        });
        let conditions: Vec<_> = conditions.collect();
        let wanted: Vec<_> = wanted.iter().map(|path| placed(path)).collect();
        let values = fields.iter().enumerate().map(|(index, field)| {
            let value = match field {
                Filter::Is(_, value) | Filter::Begins(_, value) => text(value),
                Filter::Expired(now) => number(now.unix_seconds()),
            };
            (format!(":v{index}"), value)
        });
        let values: HashMap<_, _> = values.collect();
        let request = self.client.scan().table_name(&self.name).consistent_read(true);
        let request = request
            .set_filter_expression(Some(conditions.join(" OR ")).filter(|text| !text.is_empty()))
            .set_projection_expression(Some(wanted.join(", ")).filter(|text| !text.is_empty()))
            .set_expression_attribute_names(Some(names).filter(|names| !names.is_empty()))
            .set_expression_attribute_values(Some(values).filter(|values| !values.is_empty()));
        Pages { request, from: None, is_over: false, looked_at: 0 }
    }
}

/// A scan of the whole table with one page at a time in memory.
struct Pages {
    request: ScanFluentBuilder,
    from: Option<Item>,
    is_over: bool,
    looked_at: usize,
}

impl Pages {
    async fn next(&mut self, seen: &mut (dyn FnMut(usize) + Send)) -> Result<Option<Vec<Item>>> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.request.clone().set_exclusive_start_key(self.from.take()).send().await?;
        self.looked_at += usize::try_from(page.scanned_count).unwrap_or_default();
        seen(self.looked_at);
        self.from = page.last_evaluated_key;
        self.is_over = self.from.is_none();
        Ok(Some(page.items.unwrap_or_default()))
    }
}

/// A condition on an attribute, whose path may contain dots.
#[derive(Clone, Copy)]
enum Filter<'a> {
    Is(&'a str, &'a str),
    Begins(&'a str, &'a str),
    /// `expires_at` is in the past.
    Expired(Timestamp),
}

/// An item that is written exactly as it was read.
pub(super) struct Raw(pub(super) Item);

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let item: serde_dynamo::Item = self.0.clone().into();
        let value: serde_json::Value = serde_dynamo::from_item(item).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

fn key_of(item: &Item) -> Option<Key> {
    Some(Key::of(part(item, "pk")?, part(item, "sk")?))
}

fn part<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

fn time(item: &Item, name: &str) -> Option<Timestamp> {
    part(item, name).and_then(Timestamp::parse)
}

fn count(item: &Item, name: &str) -> u32 {
    item.get(name).and_then(|value| value.as_n().ok()).and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn flag(item: &Item, name: &str) -> bool {
    item.get(name).and_then(|value| value.as_bool().ok()).copied().unwrap_or_default()
}

fn kind(item: &Item) -> Option<String> {
    item.get("content")?.as_m().ok()?.get("kind")?.as_s().ok().cloned()
}

fn read_parked(item: &Item) -> Option<Parked> {
    let (lane, rest) = part(item, "sk")?.strip_prefix("PARKED#")?.split_once('#')?;
    let (_, source_id) = rest.split_once('#')?;
    Some(Parked {
        session_id: Key::session_of(part(item, "pk")?)?,
        lane: Lane::parse(lane)?,
        position: Position { at: time(item, "at")?, source_id: source_id.to_owned() },
        kind: kind(item).unwrap_or_default(),
        attempts: count(item, "attempts"),
        parked_at: time(item, "parked_at"),
        cause: part(item, "cause").map(str::to_owned),
        // Earlier versions did not record whether the last attempt may have arrived.
        outcome_unknown: part(item, "cause").is_none() || flag(item, "outcome_unknown"),
        expires_at: item.get("expires_at").and_then(|value| value.as_n().ok()?.parse().ok()),
    })
}

/// Reads a trail, or a waiting or parked item.
fn read_event(item: &Item) -> Option<LifeEvent> {
    let entity = part(item, "entity");
    let (prefix, rest) = part(item, "sk")?.split_once('#')?;
    let lane = Lane::parse(rest.split('#').next()?)?;
    let is_one = matches!((prefix, entity), ("TRAIL", _) | ("LANE", Some("waiting")) | ("PARKED", _));
    is_one.then_some(())?;
    Some(LifeEvent {
        lane,
        source_id: part(item, "source_id")?.to_owned(),
        at: time(item, "at").or_else(|| time(item, "received_at")).unwrap_or(Timestamp::from_unix_millis(0)),
        received_at: time(item, "received_at"),
        outcome: item.get("outcome").and_then(|value| serde_dynamo::from_attribute_value(value.clone()).ok()),
        finished_at: time(item, "finished_at"),
        attempts: count(item, "attempts"),
        vendor_id: part(item, "vendor_id").map(str::to_owned),
        kind: kind(item),
    })
}

/// Returns the vendors' ids of the user that a user's or session's item contains.
fn held_by_vendors(item: &Item) -> Vec<String> {
    let mut held = Vec::new();
    if part(item, "entity") == Some("user") {
        let user: Option<User> = serde_dynamo::from_item(item.clone()).ok();
        let user = user.as_ref();
        held.extend(
            user.and_then(|user| user.customer.as_ref()).map(|one| format!("LiveChat customer {}", one.customer_id)),
        );
        held.extend(user.and_then(|user| user.chat_id.as_ref()).map(|id| format!("LiveChat chat {id}")));
        held.extend(user.map(|user| match user.user_id.is_of_botcopy() {
            true => format!("Botcopy user {}", user.user_id),
            false => format!("Botpress user {}", user.user_id),
        }));
    }
    let is_of_botcopy = part(item, "user_id").is_some_and(|id| UserId::from(id).is_of_botcopy());
    // A Botcopy session's conversation exists in name only, at no vendor.
    let conversation_id = part(item, "conversation_id").filter(|_| !is_of_botcopy);
    held.extend(conversation_id.map(|id| format!("Botpress conversation {id}")));
    held
}

fn contains(value: &AttributeValue, words: &BTreeSet<String>) -> bool {
    match value {
        AttributeValue::S(text) => words.iter().any(|word| text.contains(word.as_str())),
        AttributeValue::M(members) => members.values().any(|member| contains(member, words)),
        AttributeValue::L(items) => items.iter().any(|item| contains(item, words)),
        _ => false,
    }
}
