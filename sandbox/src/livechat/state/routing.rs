//! The assignment of chats: the router, transfers, and agents who join and leave.

use serde_json::{Map, Value, json};

use super::lifecycle::seat;
use super::view::{self, Audience};
use super::{Requester, RoutingStatus, Source, State, Step, UserKind, Visibility};
use crate::livechat::account::GroupStatus;
use crate::livechat::errors::{Error, Kind};

/// The seconds by which the vendor's estimate grows with each place in the queue.
const SECONDS_PER_PLACE: usize = 30;

/// The target of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One agent, by e-mail address.
    Agent(String),
    /// Any agent of the group.
    Group(u32),
}

/// A transfer as requested.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    /// The targets; the current groups if empty.
    pub targets: Vec<Target>,
    pub ignore_agents_availability: bool,
    pub ignore_requester_presence: bool,
}

/// The reason why an agent leaves a chat, and the requester.
#[derive(Clone, Debug)]
pub(crate) struct Removal<'a> {
    pub reason: &'static str,
    pub requester_id: Option<&'a str>,
}

impl State {
    /// Returns the first agent who takes chats, of the first group that is online.
    pub(super) fn pick_agent(&self, group_ids: &[u32]) -> Option<String> {
        let groups = group_ids.iter().filter_map(|id| self.account.group(*id));
        let members = groups.filter(|group| group.status == GroupStatus::Online).flat_map(|group| &group.agent_ids);
        members.into_iter().find(|id| self.agent_status(id) == RoutingStatus::AcceptingChats).cloned()
    }

    /// Lets the router assign a chat without an agent; the chat stays in the queue if no agent takes it.
    pub(crate) fn assign(&mut self, step: &mut Step, chat_id: &str) -> Result<bool, Error> {
        let thread = self.active_thread_mut(chat_id)?;
        let group_ids = thread.group_ids.clone();
        let Some(agent_id) = self.pick_agent(&group_ids) else { return Ok(false) };
        let caller = std::mem::replace(&mut step.source, Source::System);
        self.add_agent(step, chat_id, &agent_id, Visibility::All, "assigned", None)?;
        self.announce_transfer(step, chat_id, "assigned", None, &[Target::Agent(agent_id)])?;
        step.source = caller;
        Ok(true)
    }

    /// `transfer_chat`, by API or in the agent app.
    pub(crate) fn transfer(
        &mut self,
        step: &mut Step,
        requester: &str,
        chat_id: &str,
        transfer: &Transfer,
    ) -> Result<(), Error> {
        let chat = self.chat(chat_id).ok_or(Kind::NotFound)?;
        let thread = chat.active_thread().ok_or(Kind::ChatInactive)?;
        if !transfer.ignore_requester_presence && chat.present(requester).is_none() {
            return Err(Error::not_in_chat());
        }
        let current = thread.group_ids.clone();
        let (group_ids, agent_id) = self.destination(&transfer.targets, &current)?;
        let agent_id = self.check_available(&group_ids, agent_id, transfer.ignore_agents_availability)?;
        let answering = self.public_agent_of(chat_id);
        if let Some(leaving) = answering.as_ref().filter(|_| answering != agent_id) {
            let removal = Removal { reason: "manual", requester_id: Some(requester) };
            self.remove_agent(step, chat_id, leaving, &removal)?;
        }
        self.set_access(step, chat_id, &group_ids, &current)?;
        match &agent_id {
            Some(agent_id) if answering.as_ref() == Some(agent_id) => {}
            Some(agent_id) => self.add_agent(step, chat_id, agent_id, Visibility::All, "manual", Some(requester))?,
            None => self.enqueue(step, chat_id)?,
        }
        let mut targets: Vec<Target> = group_ids.into_iter().map(Target::Group).collect();
        targets.extend(agent_id.map(Target::Agent));
        self.announce_transfer(step, chat_id, "manual", Some(requester), &targets)?;
        let text = format!("{} transferred the chat", self.name_of(requester));
        self.add_system_message(step, chat_id, "chat_transferred", &text)
    }

    fn destination(&self, targets: &[Target], current: &[u32]) -> Result<(Vec<u32>, Option<String>), Error> {
        let mut groups = Vec::new();
        let mut agent = None;
        for target in targets {
            match target {
                Target::Group(id) if self.account.group(*id).is_some() => groups.push(*id),
                Target::Agent(id) if self.account.agent(id).is_some() => agent = Some(id.clone()),
                Target::Group(_) | Target::Agent(_) => {
                    return Err(Error::validation("Cannot assign any agent from requested groups"));
                }
            }
        }
        Ok((if groups.is_empty() { current.to_vec() } else { groups }, agent))
    }

    /// The agent who takes the chat at once; none means the queue, which is refused without `patient` if no agent is available.
    fn check_available(
        &self,
        group_ids: &[u32],
        agent_id: Option<String>,
        patient: bool,
    ) -> Result<Option<String>, Error> {
        match agent_id {
            Some(id) if !self.account.has_access(&id, group_ids) => Err(Kind::MissingAccess.into()),
            Some(id) if self.agent_status(&id) == RoutingStatus::Offline => Err(Kind::AgentOffline.into()),
            Some(id) => Ok(Some(id)),
            None => match self.pick_agent(group_ids).filter(|_| self.assigns_immediately()) {
                None if !patient && self.pick_agent(group_ids).is_none() => {
                    Err(Error::validation("Cannot assign any agent from requested groups"))
                }
                picked => Ok(picked),
            },
        }
    }

    fn set_access(&mut self, step: &mut Step, chat_id: &str, group_ids: &[u32], before: &[u32]) -> Result<(), Error> {
        self.active_thread_mut(chat_id)?.group_ids = group_ids.to_vec();
        if group_ids != before {
            let payload = json!({"id": chat_id, "access": {"group_ids": group_ids}});
            self.announce(step, chat_id, "chat_access_updated", None, payload);
        }
        Ok(())
    }

    fn enqueue(&mut self, step: &Step, chat_id: &str) -> Result<(), Error> {
        let now = self.moment(step.now);
        self.active_thread_mut(chat_id)?.queued_at = Some(now);
        Ok(())
    }

    fn announce_transfer(
        &self,
        step: &mut Step,
        chat_id: &str,
        reason: &str,
        requester: Option<&str>,
        targets: &[Target],
    ) -> Result<(), Error> {
        let thread = self.chat(chat_id).and_then(|chat| chat.active_thread()).ok_or(Kind::ChatInactive)?;
        let groups: Vec<u32> = targets.iter().filter_map(as_group).collect();
        let agents: Vec<&String> = targets.iter().filter_map(as_agent).collect();
        let mut transferred_to = Map::new();
        if !groups.is_empty() {
            transferred_to.insert("group_ids".to_owned(), json!(groups));
        }
        if !agents.is_empty() {
            transferred_to.insert("agent_ids".to_owned(), json!(agents));
        }
        let mut payload = Map::new();
        payload.insert("chat_id".to_owned(), json!(chat_id));
        payload.insert("thread_id".to_owned(), json!(thread.id));
        payload.insert("reason".to_owned(), json!(reason));
        payload.insert("transferred_to".to_owned(), transferred_to.into());
        if let Some(requester) = requester {
            payload.insert("requester_id".to_owned(), json!(requester));
        }
        if let Some(queue) = self.queue_of(chat_id) {
            payload.insert("queue".to_owned(), queue);
        }
        step.note("chat_transferred", payload.clone().into());
        self.announce(step, chat_id, "chat_transferred", None, payload.into());
        Ok(())
    }

    /// `{position, wait_time, queued_at}` of a waiting chat.
    pub(crate) fn queue_of(&self, chat_id: &str) -> Option<Value> {
        let queued_at = |chat: &super::Chat| chat.active_thread().and_then(|thread| thread.queued_at);
        let since = queued_at(self.chat(chat_id)?)?;
        let ahead = self.chats.iter().filter(|chat| queued_at(chat).is_some_and(|other| other < since)).count();
        let position = ahead + 1;
        Some(json!({"position": position, "wait_time": position * SECONDS_PER_PLACE, "queued_at": since}))
    }

    /// `add_user_to_chat` for an agent.
    pub(crate) fn join(
        &mut self,
        step: &mut Step,
        chat_id: &str,
        agent_id: &str,
        visibility: Visibility,
        requester: &str,
    ) -> Result<(), Error> {
        let chat = self.chat(chat_id).ok_or(Kind::NotFound)?;
        chat.active_thread().ok_or(Kind::ChatInactive)?;
        if self.account.agent(agent_id).is_none() {
            return Err(Error::validation(format!("`user_id` {agent_id} not found")));
        }
        if !self.account.has_access(agent_id, chat.group_ids()) {
            return Err(Kind::MissingAccess.into());
        }
        let other = chat.public_agent().is_some_and(|present| present != agent_id);
        if other && visibility == Visibility::All {
            return Err(Error::new(Kind::LimitReached, "Public agents in chat limit reached"));
        }
        self.add_agent(step, chat_id, agent_id, visibility, "manual", Some(requester))?;
        let kind = if agent_id == requester { "agent_joined" } else { "agent_added" };
        let text = format!("{} joined the chat", self.name_of(agent_id));
        self.add_system_message(step, chat_id, kind, &text)
    }

    /// `remove_user_from_chat`.
    pub(crate) fn leave(
        &mut self,
        step: &mut Step,
        chat_id: &str,
        agent_id: &str,
        requester: &str,
    ) -> Result<(), Error> {
        let chat = self.chat(chat_id).ok_or(Kind::NotFound)?;
        chat.active_thread().ok_or(Kind::ChatInactive)?;
        if chat.present(agent_id).is_none_or(|user| user.kind == UserKind::Customer) {
            return Err(Error::validation(format!("`user_id` {agent_id} not found")));
        }
        let removal = Removal { reason: "manual", requester_id: Some(requester) };
        self.remove_agent(step, chat_id, agent_id, &removal)?;
        let kind = if agent_id == requester { "agent_left" } else { "agent_removed" };
        let text = format!("{} left the chat", self.name_of(agent_id));
        self.add_system_message(step, chat_id, kind, &text)
    }

    /// Sets the customer of a chat.
    pub(crate) fn seat_customer(&mut self, step: &mut Step, chat_id: &str, customer_id: &str) -> Result<(), Error> {
        let now = self.moment(step.now);
        let chat = self.chat_mut(chat_id)?;
        chat.customer_id = Some(customer_id.to_owned());
        seat(chat, customer_id, UserKind::Customer, Visibility::All, now);
        self.announce_arrival(step, chat_id, customer_id, "manual", None)?;
        self.add_system_message(step, chat_id, "customer_added", "Customer joined the chat")
    }

    fn add_agent(
        &mut self,
        step: &mut Step,
        chat_id: &str,
        agent_id: &str,
        visibility: Visibility,
        reason: &str,
        requester: Option<&str>,
    ) -> Result<(), Error> {
        let now = self.moment(step.now);
        seat(self.chat_mut(chat_id)?, agent_id, UserKind::Agent, visibility, now);
        if visibility == Visibility::All {
            self.active_thread_mut(chat_id)?.queued_at = None;
        }
        self.announce_arrival(step, chat_id, agent_id, reason, requester)
    }

    fn announce_arrival(
        &self,
        step: &mut Step,
        chat_id: &str,
        user_id: &str,
        reason: &str,
        requester: Option<&str>,
    ) -> Result<(), Error> {
        let chat = self.chat(chat_id).ok_or(Kind::NotFound)?;
        let thread_id = chat.active_thread().map(|thread| &thread.id);
        let member = chat.present(user_id).ok_or(Kind::NotFound)?;
        let user_type = if member.kind == UserKind::Agent { "agent" } else { "customer" };
        let mut payload = json!({
            "chat_id": chat_id, "thread_id": thread_id, "reason": reason, "user_type": user_type,
            "user": view::user(self, member, Audience::Agents),
        });
        name_requester(&mut payload, requester);
        step.note(
            "user_added",
            json!({
                "chat_id": chat_id, "thread_id": thread_id, "user_id": user_id, "reason": reason,
                "visibility": member.visibility.name(),
            }),
        );
        self.announce(step, chat_id, "user_added_to_chat", None, payload);
        Ok(())
    }

    pub(super) fn remove_agent(
        &mut self,
        step: &mut Step,
        chat_id: &str,
        agent_id: &str,
        removal: &Removal<'_>,
    ) -> Result<(), Error> {
        let chat = self.chat_mut(chat_id)?;
        if let Some(user) = chat.users.iter_mut().find(|user| user.id == agent_id) {
            user.present = false;
        }
        let thread_id = chat.threads.last().map(|thread| thread.id.clone());
        let mut payload = json!({
            "chat_id": chat_id, "thread_id": thread_id, "user_id": agent_id, "reason": removal.reason,
            "user_type": "agent",
        });
        name_requester(&mut payload, removal.requester_id);
        step.note("user_removed", payload.clone());
        self.announce(step, chat_id, "user_removed_from_chat", None, payload);
        Ok(())
    }

    /// Every agent who is in the chat now.
    pub(super) fn present_agents(&self, chat_id: &str) -> Vec<String> {
        let users = self.chat(chat_id).map(|chat| chat.users.as_slice()).unwrap_or_default();
        let agents = users.iter().filter(|user| user.kind == UserKind::Agent && user.present);
        agents.map(|user| user.id.clone()).collect()
    }

    fn public_agent_of(&self, chat_id: &str) -> Option<String> {
        self.chat(chat_id)?.public_agent().map(str::to_owned)
    }

    /// Refuses an agent who is not in the chat, unless the call ignores presence.
    pub(crate) fn check_presence(&self, requester: &Requester, chat_id: &str, ignore: bool) -> Result<(), Error> {
        let chat = self.visible_chat(requester, chat_id)?;
        chat.active_thread().ok_or(Kind::ChatInactive)?;
        if ignore || chat.present(requester.id()).is_some() { Ok(()) } else { Err(Error::not_in_chat()) }
    }

    /// The number of active chats of an agent.
    pub(crate) fn load_of(&self, agent_id: &str) -> usize {
        let active = self.chats.iter().filter(|chat| chat.active_thread().is_some());
        active.filter(|chat| chat.present(agent_id).is_some()).count()
    }
}

fn name_requester(payload: &mut Value, requester: Option<&str>) {
    if let (Some(fields), Some(requester)) = (payload.as_object_mut(), requester) {
        fields.insert("requester_id".to_owned(), json!(requester));
    }
}

const fn as_group(target: &Target) -> Option<u32> {
    match target {
        Target::Group(id) => Some(*id),
        Target::Agent(_) => None,
    }
}

const fn as_agent(target: &Target) -> Option<&String> {
    match target {
        Target::Agent(id) => Some(id),
        Target::Group(_) => None,
    }
}
