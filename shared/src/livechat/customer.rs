//! Calls as a customer: the Customer Chat Web API.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::{Action, Api, Chat, Client, Error, NewEvent, Result};
use crate::http::{Body, Call, Field, File};
use crate::ids::{ChatId, EventId, GroupId, ThreadId};
use crate::redacted::Redacted;

/// The APIs on behalf of one customer.
///
/// Every call can fail with [`Error`]; an expired token (after 8 hours) shows as
/// [`is_authentication`](Error::is_authentication).
#[derive(Clone, Copy, Debug)]
pub struct Customer<'a> {
    client: &'a Client,
    token: &'a Redacted,
}

/// The content of a new thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChat {
    /// The group whose agents get it; LiveChat does not keep the group between threads, so each start sends it.
    pub group_id: GroupId,
    /// Whether the chat may wait while no agent is online; otherwise a group that is offline refuses it.
    pub continuous: bool,
    /// The first events, oldest first.
    pub events: Vec<NewEvent>,
    /// Whether it is a message left while no agent is online, marked as LiveChat marks its own; `None` writes no mark.
    pub left_message: Option<bool>,
}

impl NewChat {
    /// The chat's properties. A chat keeps them between threads, so a resumed one must clear the mark of an earlier message.
    fn properties(&self, is_resumed: bool) -> Option<Value> {
        let follow_up = self.left_message.filter(|is_left| *is_left || is_resumed)?;
        Some(json!({"routing": {"email_follow_up": follow_up}}))
    }

    fn thread_properties(&self) -> Value {
        match self.left_message {
            Some(true) => json!({"routing": {"ignore_bots": true, "offline_message": true}}),
            _ => json!({"routing": {"ignore_bots": true}}),
        }
    }
}

/// A chat with a newly opened thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedChat {
    /// The chat.
    pub chat_id: ChatId,
    /// Its new thread.
    pub thread_id: ThreadId,
    /// The events that opened it: the caller's own, not those that LiveChat adds.
    pub event_ids: Vec<EventId>,
}

/// A chat without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatOverview {
    /// The chat.
    pub id: ChatId,
    /// Its latest thread.
    pub last_thread_id: Option<ThreadId>,
    /// Whether that thread is open.
    pub active: bool,
}

impl ChatOverview {
    /// Reads an entry of `list_chats`: version 3.7 has the thread's id in `last_thread_info`.
    fn read(chat: &Field<'_>) -> Option<Self> {
        let (id, info) = (chat.get("id"), chat.get("last_thread_info"));
        Some(Self {
            id: id.needed(id.id())?,
            last_thread_id: chat.get("last_thread_id").id().or_else(|| info.get("id").id()),
            active: chat.get("active").flag().unwrap_or_default(),
        })
    }

    /// Reads the list, which version 3.7 calls `chats_info`. An answer with neither name is not a list.
    fn read_all(answer: &Field<'_>) -> Option<Vec<Self>> {
        let (summary, info) = (answer.get("chats_summary"), answer.get("chats_info"));
        let list = if info.is_absent() { &summary } else { &info };
        list.needed(list.value().as_array())?;
        Some(list.items().filter_map(|chat| Self::read(&chat)).collect())
    }
}

/// Whether a group takes chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupStatus {
    /// An agent is free.
    Online,
    /// Agents are online but busy: chats queue.
    OnlineForQueue,
    /// No agent is online.
    Offline,
    /// A status that LiveChat did not document, or one that cannot be read.
    Other,
}

impl GroupStatus {
    fn read(status: &Value) -> Self {
        match status.as_str() {
            Some("online") => Self::Online,
            Some("online_for_queue") => Self::OnlineForQueue,
            Some("offline") => Self::Offline,
            _ => Self::Other,
        }
    }

    /// Reads `{"groups_status":{"<id>":"online"}}`; for any other form the status of every group in `asked` is unknown.
    fn read_all(answer: &Field<'_>, asked: &[GroupId]) -> BTreeMap<GroupId, Self> {
        let statuses = answer.get("groups_status");
        let Some(known) = statuses.needed(statuses.object()) else {
            return asked.iter().map(|id| (*id, Self::Other)).collect();
        };
        if known.values().any(|status| !status.is_string()) {
            statuses.note();
        }
        known.iter().filter_map(|(id, status)| Some((GroupId(id.parse().ok()?), Self::read(status)))).collect()
    }
}

/// What agents see about a customer; fields that are `None` or empty stay unchanged.
///
/// Shape: `{"name","email","avatar","session_fields":[{"key":"value"}]}`, at most 100 session fields.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct CustomerProfile {
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The picture's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Further facts as name and value, in the order in which agents see them.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_single_entry_objects")]
    pub session_fields: Vec<(String, String)>,
}

impl fmt::Debug for CustomerProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomerProfile").finish_non_exhaustive()
    }
}

fn as_single_entry_objects<S: Serializer>(fields: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(fields.len()))?;
    for (name, value) in fields {
        sequence.serialize_element(&BTreeMap::from([(name, value)]))?;
    }
    sequence.end()
}

#[derive(Serialize)]
struct Opening<'a> {
    chat: OpeningChat<'a>,
    continuous: bool,
}

#[derive(Serialize)]
struct OpeningChat<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a ChatId>,
    access: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Value>,
    thread: Value,
}

#[derive(Deserialize)]
struct Opened {
    chat_id: Option<ChatId>,
    thread_id: ThreadId,
    #[serde(default)]
    event_ids: Value,
}

#[derive(Deserialize)]
struct Sent {
    event_id: EventId,
}

#[derive(Deserialize)]
struct Uploaded {
    url: String,
}

impl<'a> Customer<'a> {
    pub(super) const fn new(client: &'a Client, token: &'a Redacted) -> Self {
        Self { client, token }
    }

    /// Opens the customer's first thread, and with it the only chat the customer will ever have.
    ///
    /// The property `routing.ignore_bots` keeps LiveChat's own bots away from the thread.
    ///
    /// # Errors
    ///
    /// [`Error`]; a customer who has a chat already shows as
    /// [`is_chat_already_active_or_exists`](Error::is_chat_already_active_or_exists).
    ///
    /// See LiveChat Docs, "Start Chat" (Customer Chat Web API).
    pub async fn start_chat(&self, chat: &NewChat) -> Result<StartedChat> {
        self.open(Call::once("start_chat"), None, chat).await
    }

    /// Opens another thread in the customer's chat.
    ///
    /// # Errors
    ///
    /// [`Error`]; a thread that is still open shows as
    /// [`is_chat_already_active_or_exists`](Error::is_chat_already_active_or_exists).
    ///
    /// See LiveChat Docs, "Resume Chat" (Customer Chat Web API).
    pub async fn resume_chat(&self, id: &ChatId, chat: &NewChat) -> Result<StartedChat> {
        self.open(Call::once("resume_chat"), Some(id), chat).await
    }

    async fn open(&self, call: Call, resumed: Option<&ChatId>, chat: &NewChat) -> Result<StartedChat> {
        let body = Opening {
            chat: OpeningChat {
                id: resumed,
                access: json!({"group_ids": [chat.group_id]}),
                properties: chat.properties(resumed.is_some()),
                thread: json!({"events": chat.events, "properties": chat.thread_properties()}),
            },
            continuous: chat.continuous,
        };
        let opened: Opened = self.fetch(call, &body).await?;
        // A resumed chat is not named in the answer; a started one always is.
        let chat_id = opened.chat_id.or_else(|| resumed.cloned());
        let chat_id = chat_id.ok_or_else(|| Error::failed(call, crate::http::missing("chat_id")))?;
        let event_ids = opened.event_ids.as_array().into_iter().flatten();
        let event_ids = event_ids.filter_map(|id| Some(id.as_str()?.into())).collect();
        Ok(StartedChat { chat_id, thread_id: opened.thread_id, event_ids })
    }

    /// Sends a message or file to the open thread.
    ///
    /// # Errors
    ///
    /// [`Error`]; a closed thread shows as [`is_chat_inactive`](Error::is_chat_inactive).
    ///
    /// See LiveChat Docs, "Send Event" (Customer Chat Web API).
    pub async fn send_event(&self, chat_id: &ChatId, event: &NewEvent) -> Result<EventId> {
        let body = json!({"chat_id": chat_id, "event": event});
        let sent: Sent = self.fetch(Call::once("send_event"), &body).await?;
        Ok(sent.event_id)
    }

    /// Shows agents what the customer is typing, before it is sent.
    ///
    /// # Errors
    ///
    /// [`Error`]; a closed thread shows as [`is_chat_inactive`](Error::is_chat_inactive).
    ///
    /// See LiveChat Docs, "Send Sneak Peek" (Customer Chat Web API).
    pub async fn send_sneak_peek(&self, chat_id: &ChatId, text: &str) -> Result<()> {
        let body = json!({"chat_id": chat_id, "sneak_peek_text": text});
        self.perform(Call::repeatable("send_sneak_peek"), &body).await
    }

    /// The customer's chats: none or one.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See LiveChat Docs, "List Chats" (Customer Chat Web API).
    pub async fn list_chats(&self) -> Result<Vec<ChatOverview>> {
        let action = Action::json(Api::Customer, Call::repeatable("list_chats"), self.token, &json!({}))?;
        self.client.read(action, ChatOverview::read_all).await
    }

    /// The chat with the requested thread, or with the latest. Agents appear in it under opaque ids, not e-mail addresses.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See LiveChat Docs, "Get Chat" (Customer Chat Web API).
    pub async fn get_chat(&self, chat_id: &ChatId, thread_id: Option<&ThreadId>) -> Result<Chat> {
        let body = super::agent::GetChat { chat_id, thread_id };
        let action = Action::json(Api::Customer, Call::repeatable("get_chat"), self.token, &body)?;
        self.client.read(action, |chat| Chat::read(chat, (Some(chat_id), thread_id))).await
    }

    /// Updates what agents see about the customer.
    ///
    /// # Errors
    ///
    /// [`Error`]; LiveChat refuses an empty profile.
    ///
    /// See LiveChat Docs, "Update Customer" (Customer Chat Web API).
    pub async fn update_customer(&self, profile: &CustomerProfile) -> Result<()> {
        self.perform(Call::repeatable("update_customer"), profile).await
    }

    /// Whether groups take chats now. The answer omits groups that do not exist.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See LiveChat Docs, "List Group Statuses".
    pub async fn list_group_statuses(&self, group_ids: &[GroupId]) -> Result<BTreeMap<GroupId, GroupStatus>> {
        let call = Call::repeatable("list_group_statuses");
        let action = Action::json(Api::Customer, call, self.token, &json!({"group_ids": group_ids}))?;
        self.client.read(action, |answer| Some(GroupStatus::read_all(answer, group_ids))).await
    }

    /// Rates a thread, open or closed; agents see the rating in the chat, and LiveChat counts it in its reports.
    ///
    /// # Errors
    ///
    /// [`Error`]; it is not documented that LiveChat accepts a rating of a closed thread.
    ///
    /// See LiveChat Docs, "Update Thread Properties" (Customer Chat Web API), and "Default Properties".
    pub async fn rate(
        &self,
        chat_id: &ChatId,
        thread_id: &ThreadId,
        is_good: bool,
        comment: Option<&Redacted>,
    ) -> Result<()> {
        let mut rating = json!({"score": u8::from(is_good)});
        if let (Some(rating), Some(comment)) = (rating.as_object_mut(), comment) {
            rating.insert("comment".to_owned(), json!(comment.expose()));
        }
        let body = json!({"chat_id": chat_id, "thread_id": thread_id, "properties": {"rating": rating}});
        self.perform(Call::once("update_thread_properties"), &body).await
    }

    /// The rating of a thread, 0 (bad) or 1 (good), where it has one.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See LiveChat Docs, "Get Chat" (Customer Chat Web API).
    pub async fn rating(&self, chat_id: &ChatId, thread_id: &ThreadId) -> Result<Option<u64>> {
        let body = super::agent::GetChat { chat_id, thread_id: Some(thread_id) };
        let action = Action::json(Api::Customer, Call::repeatable("get_chat"), self.token, &body)?;
        let read =
            |chat: &Field<'_>| Some(chat.value().pointer("/thread/properties/rating/score").and_then(Value::as_u64));
        self.client.read(action, read).await
    }

    /// Closes the open thread, as the customer.
    ///
    /// # Errors
    ///
    /// [`Error`]; a closed thread shows as [`is_chat_inactive`](Error::is_chat_inactive).
    ///
    /// See LiveChat Docs, "Deactivate Chat" (Customer Chat Web API).
    pub async fn deactivate_chat(&self, id: &ChatId) -> Result<()> {
        self.perform(Call::repeatable("deactivate_chat"), &json!({"id": id})).await
    }

    /// Uploads a file for a `file` event and returns its URL, which expires after 24 hours unless it is sent.
    ///
    /// # Errors
    ///
    /// [`Error`]; LiveChat takes at most 10 MB (`entity_too_large`) and no executables.
    ///
    /// See LiveChat Docs, "Upload File" (Customer Chat Web API).
    pub async fn upload_file(&self, name: &str, content_type: &str, content: impl Into<Bytes>) -> Result<String> {
        let file = File { name: name.to_owned(), content_type: content_type.to_owned(), content: content.into() };
        let (api, call, token) = (Api::Customer, Call::repeatable("upload_file"), self.token);
        let uploaded: Uploaded = self.client.fetch(Action { api, call, token, body: Body::File(file) }).await?;
        Ok(uploaded.url)
    }

    async fn fetch<T: DeserializeOwned>(&self, call: Call, body: &impl Serialize) -> Result<T> {
        self.client.fetch(Action::json(Api::Customer, call, self.token, body)?).await
    }

    async fn perform(&self, call: Call, body: &impl Serialize) -> Result<()> {
        self.client.perform(Action::json(Api::Customer, call, self.token, body)?).await
    }
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{header, header_regex, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::super::testing::{ORGANIZATION, client, customer_call};
    use super::*;

    fn token() -> Redacted {
        "dal:token".into()
    }

    async fn serve(action: &str, expected: Value, answer: Value) -> MockServer {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        customer_call(action, expected).respond_with(answer).expect(1).mount(&server).await;
        server
    }

    fn new_chat() -> NewChat {
        let events = vec![NewEvent::text("Hi", "m1")];
        NewChat { group_id: GroupId(5), continuous: true, events, left_message: None }
    }

    #[tokio::test]
    async fn a_chat_is_started_in_its_group_and_kept_from_other_bots() {
        let expected = json!({
            "chat": {
                "access": {"group_ids": [5]},
                "thread": {
                    "events": [{"type": "message", "text": "Hi", "custom_id": "m1"}],
                    "properties": {"routing": {"ignore_bots": true}},
                },
            },
            "continuous": true,
        });
        let answer = json!({"chat_id": "C", "thread_id": "T", "event_ids": 7, "new_field": {}});
        let server = serve("start_chat", expected, answer).await;
        let started = client(&server.uri()).customer(&token()).start_chat(&new_chat()).await.unwrap();
        let expected = StartedChat { chat_id: "C".into(), thread_id: "T".into(), event_ids: Vec::new() };
        assert_eq!(started, expected);
    }

    #[tokio::test]
    async fn a_chat_is_resumed_by_its_id_with_the_group_again() {
        let expected = json!({
            "chat": {
                "id": "C",
                "access": {"group_ids": [5]},
                "thread": {"events": [], "properties": {"routing": {"ignore_bots": true}}},
            },
            "continuous": false,
        });
        let server = serve("resume_chat", expected, json!({"thread_id": "T2", "event_ids": ["T2_1", 7]})).await;
        let chat = NewChat { continuous: false, events: Vec::new(), ..new_chat() };
        let started = client(&server.uri()).customer(&token()).resume_chat(&"C".into(), &chat).await.unwrap();
        let expected = StartedChat { chat_id: "C".into(), thread_id: "T2".into(), event_ids: vec!["T2_1".into()] };
        assert_eq!(started, expected);
    }

    #[test]
    fn a_left_message_is_marked_and_the_next_session_takes_the_mark_off() {
        let left = |left_message| NewChat { left_message, ..new_chat() };
        let follow_up = |marked: bool| Some(json!({"routing": {"email_follow_up": marked}}));
        assert_eq!((left(None).properties(true), left(Some(false)).properties(false)), (None, None));
        assert_eq!(
            (left(Some(true)).properties(false), left(Some(false)).properties(true)),
            (follow_up(true), follow_up(false))
        );
        assert_eq!(left(Some(true)).thread_properties()["routing"]["offline_message"], json!(true));
        assert_eq!(left(Some(false)).thread_properties(), json!({"routing": {"ignore_bots": true}}));
    }

    #[tokio::test]
    async fn a_started_chat_without_an_id_has_to_be_looked_up() {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_json(json!({"thread_id": "T"}));
        Mock::given(method("POST")).respond_with(answer).mount(&server).await;
        let error = client(&server.uri()).customer(&token()).start_chat(&new_chat()).await.unwrap_err();
        assert!(error.outcome_unknown() && error.is_retryable(), "{error}");
        assert_eq!(
            error.to_string(),
            "LiveChat did not answer start_chat: the answer is not as documented: missing field `chat_id` (at .)"
        );
    }

    #[tokio::test]
    async fn an_event_is_sent_without_a_visibility() {
        let expected = json!({"chat_id": "C", "event": {"type": "message", "text": "Hi", "custom_id": "m1"}});
        let server = serve("send_event", expected, json!({"event_id": "T_2"})).await;
        let sent = client(&server.uri()).customer(&token()).send_event(&"C".into(), &NewEvent::text("Hi", "m1")).await;
        assert_eq!(sent.unwrap(), EventId::from("T_2"));
    }

    #[tokio::test]
    async fn the_customers_chats_are_listed_in_the_form_of_this_and_the_next_version() {
        let at = "2026-05-11T09:40:00.100000Z";
        let this = json!({"last_thread_id": "T", "last_thread_created_at": at, "last_event_per_type": {}});
        let next = json!({"last_thread_info": {"id": "T", "created_at": at, "last_event_per_type": {}}});
        for (list, thread) in [("chats_summary", &this), ("chats_info", &this), ("chats_info", &next)] {
            let mut first = json!({"id": "C", "active": true, "users": []});
            first.as_object_mut().unwrap().extend(thread.as_object().unwrap().clone());
            let answer = json!({list: [first, {"id": "D", "active": false}, {"id": null}, 7], "total_chats": 2});
            let server = serve("list_chats", json!({}), answer).await;
            let chats = client(&server.uri()).customer(&token()).list_chats().await.unwrap();
            let first = ChatOverview { id: "C".into(), last_thread_id: Some("T".into()), active: true };
            let second = ChatOverview { id: "D".into(), last_thread_id: None, active: false };
            assert_eq!(chats, [first, second]);
        }
    }

    #[tokio::test]
    async fn a_chat_is_read_with_the_thread_asked_for() {
        let answer = json!({"id": "C", "users": [], "thread": {
            "id": "T", "active": false, "created_at": "2026-05-11T09:40:00.100000Z", "user_ids": ["u"],
        }});
        let server = serve("get_chat", json!({"chat_id": "C", "thread_id": "T"}), answer).await;
        let chat = client(&server.uri()).customer(&token()).get_chat(&"C".into(), Some(&"T".into())).await.unwrap();
        let thread = chat.thread.unwrap();
        assert_eq!((thread.id, thread.active, thread.events.len()), ("T".into(), false, 0));
    }

    #[tokio::test]
    async fn a_profile_sends_what_it_has_and_session_fields_as_single_entry_objects() {
        let expected = json!({"name": "Ada", "session_fields": [{"bot": "b"}, {"a": "1"}]});
        let server = serve("update_customer", expected, json!({})).await;
        let profile = CustomerProfile {
            name: Some("Ada".to_owned()),
            session_fields: [("bot", "b"), ("a", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
            ..CustomerProfile::default()
        };
        client(&server.uri()).customer(&token()).update_customer(&profile).await.unwrap();
        assert!(!format!("{profile:?}").contains("Ada"));
    }

    #[tokio::test]
    async fn group_statuses_keep_unknown_values_and_leave_out_unknown_groups() {
        let answer = json!({"groups_status": {"1": "online", "2": "offline", "3": "online_for_queue", "4": 7}});
        let server = serve("list_group_statuses", json!({"group_ids": [1, 2, 3, 4, 5]}), answer).await;
        let ids = [1, 2, 3, 4, 5].map(GroupId);
        let statuses = client(&server.uri()).customer(&token()).list_group_statuses(&ids).await.unwrap();
        let expected = [
            (GroupId(1), GroupStatus::Online),
            (GroupId(2), GroupStatus::Offline),
            (GroupId(3), GroupStatus::OnlineForQueue),
            (GroupId(4), GroupStatus::Other),
        ];
        assert_eq!(statuses, BTreeMap::from(expected));
    }

    #[tokio::test]
    async fn a_chat_is_deactivated_by_the_parameter_id_and_an_empty_answer_is_a_success() {
        let server = MockServer::start().await;
        let call = customer_call("deactivate_chat", json!({"id": "C"}));
        call.respond_with(ResponseTemplate::new(200)).expect(1).mount(&server).await;
        client(&server.uri()).customer(&token()).deactivate_chat(&"C".into()).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_is_uploaded_as_the_part_named_file() {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/v3.6/customer/action/upload_file"))
            .and(query_param("organization_id", ORGANIZATION))
            .and(header("authorization", "Bearer dal:token"))
            .and(header_regex("content-type", "^multipart/form-data; boundary="))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"url": "https://cdn/x"})))
            .expect(1)
            .mount(&server)
            .await;
        let (client, token) = (client(&server.uri()), token());
        let url = client.customer(&token).upload_file("cat.png", "image/png", b"meow".to_vec()).await;
        assert_eq!(url.unwrap(), "https://cdn/x");
        let body = String::from_utf8(server.received_requests().await.unwrap().remove(0).body).unwrap();
        let disposition = r#"Content-Disposition: form-data; name="file"; filename="cat.png""#;
        for line in [disposition, "Content-Type: image/png", "meow"] {
            assert!(body.lines().any(|present| present == line), "{line} is missing in {body}");
        }
    }
}
