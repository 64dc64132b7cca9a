//! The actions of people in the agent app, and those of the vendor itself.

use serde_json::{Value, json};

use super::account::GroupStatus;
use super::errors::{Error, Kind};
use super::params::Params;
use super::state::{
    Author, Draft, Opening, PropertyTarget, Requester, RoutingStatus, Source, State, Step, Target, Transfer,
    Visibility, properties,
};
use super::{Simulator, ids};

impl Simulator {
    /// An agent opens the chat and answers it from now on, or, if another agent already does, joins invisibly to the customer.
    ///
    /// # Errors
    ///
    /// As `add_user_to_chat`.
    pub fn agent_joins(&self, chat_id: &str, agent_id: &str) -> Result<(), Error> {
        self.inner.act(Source::Unnamed, |state, step| {
            let answered = state.chat(chat_id).is_some_and(|chat| chat.public_agent().is_some());
            let visibility = if answered { Visibility::Agents } else { Visibility::All };
            state.join(step, chat_id, agent_id, visibility, agent_id)
        })
    }

    /// An agent writes to the customer; returns the event's id.
    ///
    /// # Errors
    ///
    /// As `send_event`: the agent must be in the chat, and the chat active.
    pub fn agent_sends_text(&self, chat_id: &str, agent_id: &str, text: &str) -> Result<String, Error> {
        self.agent_sends_event(chat_id, agent_id, &json!({"type": "message", "text": text}))
    }

    /// An agent writes a note that only agents may read.
    ///
    /// # Errors
    ///
    /// As `send_event`.
    pub fn agent_sends_private_note(&self, chat_id: &str, agent_id: &str, text: &str) -> Result<String, Error> {
        self.agent_sends_event(chat_id, agent_id, &json!({"type": "message", "text": text, "visibility": "agents"}))
    }

    /// An agent sends a file: its bytes go to the CDN, and an event carries it; returns the event's id.
    ///
    /// # Errors
    ///
    /// As `send_event`.
    pub fn agent_sends_file(
        &self,
        chat_id: &str,
        agent_id: &str,
        name: &str,
        content_type: &str,
        bytes: Vec<u8>,
    ) -> Result<String, Error> {
        let url = self.agent_uploads(name, content_type, bytes);
        self.agent_sends_event(chat_id, agent_id, &json!({"type": "file", "url": url}))
    }

    /// An agent sends a rich message; `elements` are those of `send_event`. Returns the event's id.
    ///
    /// # Errors
    ///
    /// As `send_event`.
    pub fn agent_sends_rich_message(
        &self,
        chat_id: &str,
        agent_id: &str,
        template_id: &str,
        elements: Value,
    ) -> Result<String, Error> {
        let event = json!({"type": "rich_message", "template_id": template_id, "elements": elements});
        self.agent_sends_event(chat_id, agent_id, &event)
    }

    /// An agent sends an event of any type, in the form of `send_event`.
    ///
    /// # Errors
    ///
    /// As `send_event`.
    pub fn agent_sends_event(&self, chat_id: &str, agent_id: &str, event: &Value) -> Result<String, Error> {
        self.inner.act(Source::Unnamed, |state, step| {
            let requester = Requester::Agent(agent_id.to_owned());
            let draft = Draft::read(state, &requester, step.now, &Params::of(event)?)?;
            state.send_event(step, &requester, chat_id, draft, false)
        })
    }

    /// An agent corrects the text of a message.
    ///
    /// # Errors
    ///
    /// `not_found` when there is no such event.
    pub fn agent_edits(&self, chat_id: &str, event_id: &str, text: &str) -> Result<(), Error> {
        self.inner.act(Source::Unnamed, |state, step| state.edit_event(step, chat_id, event_id, text))
    }

    /// An agent deletes an event.
    ///
    /// # Errors
    ///
    /// `not_found` when there is no such event.
    pub fn agent_deletes(&self, chat_id: &str, agent_id: &str, event_id: &str) -> Result<(), Error> {
        let requester = Requester::Agent(agent_id.to_owned());
        let thread_id = super::state::thread_of(event_id);
        self.inner
            .act(Source::Unnamed, |state, step| state.delete_event(step, &requester, chat_id, thread_id, event_id))
    }

    /// An agent transfers the chat; it may end in the queue.
    ///
    /// # Errors
    ///
    /// As `transfer_chat`.
    pub fn agent_transfers(&self, chat_id: &str, agent_id: &str, target: Target) -> Result<(), Error> {
        let transfer =
            Transfer { targets: vec![target], ignore_agents_availability: true, ignore_requester_presence: false };
        self.inner.act(Source::Unnamed, |state, step| state.transfer(step, agent_id, chat_id, &transfer))
    }

    /// An agent reopens a closed chat; returns the new thread's id.
    ///
    /// # Errors
    ///
    /// As `resume_chat`.
    pub fn agent_resumes(&self, chat_id: &str, agent_id: &str) -> Result<String, Error> {
        self.inner.act(Source::Unnamed, |state, step| {
            let requester = Requester::Agent(agent_id.to_owned());
            let asked = json!({"chat": {"access": {"group_ids": [1]}}});
            let opening = Opening::read(state, &requester, step.now, &Params::of(&asked)?)?;
            state.resume_chat(step, &requester, chat_id, opening).map(|opened| opened.thread_id)
        })
    }

    /// An agent closes the chat.
    ///
    /// # Errors
    ///
    /// As `deactivate_chat`.
    pub fn agent_closes(&self, chat_id: &str, agent_id: &str) -> Result<(), Error> {
        let requester = Requester::Agent(agent_id.to_owned());
        self.inner.act(Source::Unnamed, |state, step| state.deactivate_chat(step, &requester, chat_id, false))
    }

    /// The router assigns a waiting chat to an agent; returns false if no agent takes it.
    ///
    /// # Errors
    ///
    /// `chat_inactive` when there is no active thread.
    pub fn router_assigns(&self, chat_id: &str) -> Result<bool, Error> {
        self.inner.act(Source::System, |state, step| state.assign(step, chat_id))
    }

    /// The router closes a chat that has become inactive.
    ///
    /// # Errors
    ///
    /// `chat_inactive` when there is no active thread.
    pub fn router_closes(&self, chat_id: &str) -> Result<(), Error> {
        self.inner.act(Source::System, |state, step| state.close(step, chat_id, None, "routing.archived_inactive"))
    }

    /// A visitor writes on the organization's website, through the vendor's own widget, and an agent answers; returns
    /// the id of that chat, which is unrelated to the service's app.
    ///
    /// # Errors
    ///
    /// When no group is online or no agent takes the chat.
    pub fn customer_sends_text_elsewhere(&self, text: &str, reply: &str) -> Result<String, Error> {
        let widget = ids::hex();
        let start = json!({"chat": {"thread": {"events": [{"type": "message", "text": text}]}}});
        let chat_id = self.inner.act(Source::Client(widget.clone()), |state, step| {
            let customer = Requester::Customer(state.add_customer(step, widget));
            let opening = Opening::read(state, &customer, step.now, &Params::of(&start)?)?;
            state.start_chat(step, &customer, opening).map(|opened| opened.chat_id)
        })?;
        let agent_id = self.inner.state().chat(&chat_id).and_then(|chat| chat.public_agent().map(str::to_owned));
        self.agent_sends_text(&chat_id, &agent_id.ok_or(Kind::AgentOffline)?, reply)?;
        Ok(chat_id)
    }

    /// LiveChat notes in the chat what an AI agent does, or how the thread was processed, for agents to see: a `system`
    /// event with a source, a subtype and a version, whose `details` are JSON in a text. The author is an AI agent's id, or none.
    ///
    /// Sources and subtypes: `ai_agents` with `custom_skill_started` and similar ones, `messaging` with `summary`, `cdp`.
    ///
    /// # Errors
    ///
    /// `chat_inactive` when there was never a thread.
    pub fn system_reports(
        &self,
        chat_id: &str,
        author: Option<&str>,
        kind: (&str, &str, u32),
        details: &Value,
    ) -> Result<String, Error> {
        let author = author.map_or(Author::System, |id| Author::Agent(id.to_owned()));
        self.inner.act(Source::System, |state, step| state.add_system_event(step, chat_id, author, kind, details))
    }

    /// The customer rates a thread through LiveChat's own survey, or withdraws the rating.
    ///
    /// # Errors
    ///
    /// As `update_thread_properties`, and `not_found` if the chat has no customer.
    pub fn customer_rates(&self, chat_id: &str, thread_id: &str, score: Option<u64>) -> Result<(), Error> {
        self.inner.act(Source::Unnamed, |state, step| {
            let customer = state.chat(chat_id).and_then(|chat| chat.customer_id.clone());
            let customer = Requester::Customer(customer.ok_or(Kind::NotFound)?);
            let target = PropertyTarget::Thread(thread_id.to_owned());
            match score {
                Some(score) => {
                    let rating = json!({"properties": {"rating": {"score": score}}});
                    let rating = properties(&Params::of(&rating)?)?;
                    state.update_properties(step, &customer, chat_id, &target, rating)
                }
                None => {
                    let names = [("rating".to_owned(), vec!["score".to_owned()])];
                    state.delete_properties(step, &customer, chat_id, &target, &names)
                }
            }
        })
    }

    /// Every existing customer token expires now.
    pub fn expire_customer_tokens(&self) {
        let now = self.inner.clock.now();
        self.inner.state().tokens.values_mut().for_each(|token| token.expires_at = now);
    }

    /// Sets a group online or offline. Waiting chats are left to [`router_assigns`](Self::router_assigns).
    pub fn set_group_status(&self, group_id: u32, status: GroupStatus) {
        self.inner.state().set_group_status(group_id, status);
    }

    /// An agent starts or stops taking chats, or signs out.
    pub fn set_agent_status(&self, agent_id: &str, status: RoutingStatus) {
        let change = |state: &mut State, step: &mut Step| state.set_agent_status(step, agent_id, status);
        self.inner.act(Source::Unnamed, change);
    }

    /// Withdraws the personal access token, or restores it.
    pub fn set_agent_token_valid(&self, valid: bool) {
        self.inner.state().agent_token_valid = valid;
    }

    /// Lets the licence expire, or renews it.
    ///
    /// Until it is renewed every call is refused: `license_expired` by the APIs, `access_denied` by the accounts service.
    pub fn set_licence_expired(&self, expired: bool) {
        self.inner.state().licence_expired = expired;
    }

    /// Removes the app from the developer console, or restores it.
    ///
    /// Until it is restored the accounts service refuses its client id (`unauthorized_client`); issued tokens stay valid.
    pub fn set_app_removed(&self, removed: bool) {
        self.inner.state().app_removed = removed;
    }

    /// Limits the personal access token to these scopes.
    pub fn set_agent_token_scopes(&self, scopes: &[&str]) {
        self.inner.state().agent_token_scopes = Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
    }

    /// Sets an agent's working hours: `{"timezone": "Europe/Warsaw", "schedule": [{"day", "enabled", "start", "end"}]}`.
    pub fn set_work_schedule(&self, agent_id: &str, schedule: Value) {
        self.inner.state().work_schedules.insert(agent_id.to_owned(), schedule);
    }

    /// Restores every scope of the personal access token.
    pub fn restore_agent_token_scopes(&self) {
        self.inner.state().agent_token_scopes = None;
    }

    /// Uploads a file to the CDN, as the agent app does before it sends one; returns its URL.
    pub fn agent_uploads(&self, name: &str, content_type: &str, bytes: Vec<u8>) -> String {
        let file = super::state::File {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
            bytes: bytes.into(),
            expires_at: None,
        };
        let answer = self.inner.act(Source::Unnamed, |state, step| super::upload::store(state, step, file));
        answer.get("url").and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
    }
}
