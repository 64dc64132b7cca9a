//! The licence's webhooks: the Configuration API.
//!
//! Changes take up to two minutes to take effect.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Action, Api, Client, Result, WorkSchedule};
use crate::http::{Call, Field};
use crate::ids::{GroupId, WebhookRegistrationId};
use crate::redacted::Redacted;

/// The webhooks that belong to our app ([`Settings::client_id`](super::Settings)).
#[derive(Clone, Copy, Debug)]
pub struct Configuration<'a> {
    client: &'a Client,
    token: &'a Redacted,
}

/// A webhook to register.
#[derive(Clone, Debug)]
pub struct NewWebhook<'a> {
    /// The action to report, such as `incoming_event`.
    pub action: &'a str,
    /// The receiving address; at most 500 characters.
    pub url: &'a str,
    /// The `secret_key` that each delivery will carry.
    pub secret: &'a Redacted,
    /// What the vendor's console shows.
    pub description: &'a str,
    /// Which occurrences to leave out.
    pub filters: WebhookFilters,
}

/// Which occurrences a webhook reports; the default reports all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookFilters {
    /// Only events by this kind of author; for `incoming_event` and `event_updated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_type: Option<AuthorType>,
    /// Only occurrences with these causes; empty means any cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_type: Vec<SourceType>,
    /// Only chats whose property `source.client_id` is the owner's client id: those that this service's customers started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_my_chats: bool,
}

impl WebhookFilters {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The author of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorType {
    /// An agent.
    Agent,
    /// A customer.
    Customer,
    /// A kind that LiveChat did not document.
    #[serde(other)]
    Other,
}

/// What caused an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceType {
    /// Our own app.
    MyClient,
    /// Any other app, the vendor's own included.
    OtherClients,
    /// LiveChat itself.
    System,
    /// A source that LiveChat did not document.
    #[serde(other)]
    Other,
}

/// A registered webhook; LiveChat does not return its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRegistration {
    /// The id of the registration.
    pub id: WebhookRegistrationId,
    /// The reported action.
    pub action: String,
    /// The receiving address.
    pub url: String,
    /// `license` or `bot`.
    pub kind: Option<String>,
    /// What the console shows.
    pub description: Option<String>,
    /// Which occurrences are left out.
    pub filters: WebhookFilters,
}

impl WebhookRegistration {
    pub(crate) fn read(webhook: &Field<'_>) -> Option<Self> {
        let [id, action, url, filters] = ["id", "action", "url", "filters"].map(|name| webhook.get(name));
        let read = serde_json::from_value(filters.value().clone()).ok();
        if read.is_none() && !filters.is_absent() {
            filters.note();
        }
        Some(Self {
            id: id.needed(id.id())?,
            action: action.needed(action.text())?,
            url: url.needed(url.text())?,
            kind: webhook.get("type").text(),
            description: webhook.get("description").text(),
            filters: read.unwrap_or_default(),
        })
    }
}

/// A group of agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub id: GroupId,
    /// What the console shows.
    pub name: String,
}

impl Group {
    fn read(group: &Field<'_>) -> Option<Self> {
        let id = group.get("id");
        let number = id.needed(id.number())?;
        Some(Self { id: GroupId(u32::try_from(number).ok()?), name: group.get("name").text().unwrap_or_default() })
    }
}

/// Reads a list item by item; `None` if it is not a list.
fn read_list<T>(list: &Field<'_>, read: impl Fn(&Field<'_>) -> Option<T>) -> Option<Vec<T>> {
    list.needed(list.value().as_array())?;
    Some(list.items().filter_map(|item| read(&item)).collect())
}

#[derive(Serialize)]
struct RegisterWebhook<'a> {
    action: &'a str,
    url: &'a str,
    secret_key: &'a Redacted,
    description: &'a str,
    owner_client_id: &'a str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "WebhookFilters::is_empty")]
    filters: &'a WebhookFilters,
}

#[derive(Deserialize)]
struct Registered {
    id: WebhookRegistrationId,
}

impl<'a> Configuration<'a> {
    pub(super) const fn new(client: &'a Client, token: &'a Redacted) -> Self {
        Self { client, token }
    }

    /// All webhooks of our app.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); needs the scope `webhooks.configuration:rw`.
    ///
    /// See LiveChat Docs, "List Webhooks".
    pub async fn list_webhooks(&self) -> Result<Vec<WebhookRegistration>> {
        let body = json!({"owner_client_id": self.owner()});
        let action = self.action(Call::repeatable("list_webhooks"), &body)?;
        self.client.read(action, |list| read_list(list, WebhookRegistration::read)).await
    }

    /// Registers a webhook for the whole licence. A repetition registers another one; LiveChat allows three per action.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); needs the scope `webhooks.configuration:rw`.
    ///
    /// See LiveChat Docs, "Register Webhook".
    pub async fn register_webhook(&self, webhook: &NewWebhook<'_>) -> Result<WebhookRegistrationId> {
        let body = RegisterWebhook {
            action: webhook.action,
            url: webhook.url,
            secret_key: webhook.secret,
            description: webhook.description,
            owner_client_id: self.owner(),
            r#type: "license",
            filters: &webhook.filters,
        };
        let registered: Registered = self.client.fetch(self.action(Call::once("register_webhook"), &body)?).await?;
        Ok(registered.id)
    }

    /// Removes a webhook.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); needs the scope `webhooks.configuration:rw`.
    ///
    /// See LiveChat Docs, "Unregister Webhook".
    pub async fn unregister_webhook(&self, id: &WebhookRegistrationId) -> Result<()> {
        let body = json!({"id": id, "owner_client_id": self.owner()});
        self.client.perform(self.action(Call::repeatable("unregister_webhook"), &body)?).await
    }

    /// Whether the licence sends our webhooks at all.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); needs the scope `webhooks.state:ro`.
    ///
    /// See LiveChat Docs, "Get License Webhooks State".
    pub async fn license_webhooks_enabled(&self) -> Result<bool> {
        let body = json!({"owner_client_id": self.owner()});
        let call = Call::repeatable("get_license_webhooks_state");
        let read = |state: &Field<'_>| {
            let enabled = state.get("license_webhooks_enabled");
            enabled.needed(enabled.flag())
        };
        self.client.read(self.action(call, &body)?, read).await
    }

    /// Makes the licence send our webhooks; needed only after they were turned off.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); needs the scope `webhooks.state:rw`.
    ///
    /// See LiveChat Docs, "Enable License Webhooks".
    pub async fn enable_license_webhooks(&self) -> Result<()> {
        let body = json!({"owner_client_id": self.owner()});
        self.client.perform(self.action(Call::repeatable("enable_license_webhooks"), &body)?).await
    }

    /// Makes a call that needs no scope: succeeds if the token is valid.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); an invalid token shows as [`is_authentication`](super::Error::is_authentication).
    ///
    /// See LiveChat Docs, "List Channels".
    pub async fn list_channels_once(&self) -> Result<()> {
        let action = self.action(Call::repeatable("list_channels"), &json!({}))?;
        self.client.read(action, |list| read_list(list, |_| Some(()))).await.map(drop)
    }

    /// All groups of the licence.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); needs the scope `groups--all:ro`.
    ///
    /// See LiveChat Docs, "List Groups".
    pub async fn list_groups(&self) -> Result<Vec<Group>> {
        let action = self.action(Call::repeatable("list_groups"), &json!({}))?;
        self.client.read(action, |list| read_list(list, Group::read)).await
    }

    /// The working times of a group's agents; agents whose working times are not set have none.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); needs the scope `agents--all:ro`.
    ///
    /// See LiveChat Docs, "List Agents".
    pub async fn list_work_schedules(&self, group_id: GroupId) -> Result<Vec<WorkSchedule>> {
        let body = json!({"filters": {"group_ids": [group_id]}, "fields": ["work_scheduler"]});
        let action = self.action(Call::repeatable("list_agents"), &body)?;
        self.client.read(action, |list| read_list(list, WorkSchedule::read)).await
    }

    fn owner(&self) -> &'a str {
        &self.client.settings().client_id
    }

    fn action(&self, call: Call, body: &impl Serialize) -> Result<Action<'a>> {
        Action::json(Api::Configuration, call, self.token, body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use wiremock::{MockServer, ResponseTemplate};

    use super::super::testing::{agent_call, assert_bare, client};
    use super::*;

    fn token() -> Redacted {
        "YWNjb3VudDpwYXQ=".into()
    }

    async fn serve(action: &str, expected: Value, answer: Value) -> MockServer {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        agent_call("configuration", action, expected).respond_with(answer).expect(1).mount(&server).await;
        server
    }

    #[tokio::test]
    async fn the_webhooks_of_our_app_are_listed() {
        let answer = json!([
            {"id": "w1", "url": "https://a", "action": "incoming_event", "owner_client_id": "0123456789abcdef",
             "type": "license", "description": "d",
             "filters": {"author_type": "agent", "source_type": ["system", "moon"], "only_my_chats": true}},
            {"id": "w2", "url": "https://b", "action": "chat_deactivated"},
        ]);
        let server = serve("list_webhooks", json!({"owner_client_id": "0123456789abcdef"}), answer).await;
        let webhooks = client(&server.uri()).configuration(&token()).list_webhooks().await.unwrap();
        let filters = WebhookFilters {
            author_type: Some(AuthorType::Agent),
            source_type: vec![SourceType::System, SourceType::Other],
            only_my_chats: true,
        };
        assert_eq!(webhooks[0].filters, filters);
        assert_eq!((webhooks[1].id.as_str(), webhooks[1].action.as_str()), ("w2", "chat_deactivated"));
        assert_bare(&server).await;
    }

    #[tokio::test]
    async fn the_working_times_of_a_groups_agents_are_listed() {
        let asked = json!({"filters": {"group_ids": [3]}, "fields": ["work_scheduler"]});
        let day = json!({"day": "monday", "enabled": true, "start": "08:00", "end": "17:00"});
        let answer = json!([
            {"id": "anna@example.com", "work_scheduler": {"timezone": "America/Phoenix", "schedule": [day]}},
            {"id": "ben@example.com"},
        ]);
        let server = serve("list_agents", asked, answer).await;
        let schedules = client(&server.uri()).configuration(&token()).list_work_schedules(GroupId(3)).await.unwrap();
        let shift = crate::livechat::Shift { day: 0, minutes: 480..1_020 };
        assert_eq!(schedules, [WorkSchedule { time_zone: "America/Phoenix".to_owned(), shifts: vec![shift] }]);
    }

    #[tokio::test]
    async fn a_webhook_is_registered_for_the_licence_and_owned_by_our_app() {
        let cases = [
            (WebhookFilters::default(), None),
            (
                WebhookFilters {
                    author_type: Some(AuthorType::Agent),
                    source_type: vec![SourceType::OtherClients, SourceType::System],
                    only_my_chats: true,
                },
                Some(
                    json!({"author_type": "agent", "source_type": ["other_clients", "system"], "only_my_chats": true}),
                ),
            ),
        ];
        for (filters, wire) in cases {
            let mut expected = json!({"action": "incoming_event", "url": "https://a", "secret_key": "s", "type": "license",
                                      "description": "d", "owner_client_id": "0123456789abcdef"});
            if let Some(wire) = wire {
                expected["filters"] = wire;
            }
            let server = serve("register_webhook", expected, json!({"id": "w1"})).await;
            let secret = Redacted::from("s");
            let webhook =
                NewWebhook { action: "incoming_event", url: "https://a", secret: &secret, description: "d", filters };
            let id = client(&server.uri()).configuration(&token()).register_webhook(&webhook).await.unwrap();
            assert_eq!(id.as_str(), "w1");
            assert_bare(&server).await;
        }
    }

    #[tokio::test]
    async fn a_webhook_is_unregistered_by_its_id_and_owner() {
        let expected = json!({"id": "w1", "owner_client_id": "0123456789abcdef"});
        let server = serve("unregister_webhook", expected, json!({})).await;
        client(&server.uri()).configuration(&token()).unregister_webhook(&"w1".into()).await.unwrap();
    }

    #[tokio::test]
    async fn the_licences_switch_is_read_and_turned_on() {
        let owner = json!({"owner_client_id": "0123456789abcdef"});
        let answer = json!({"license_webhooks_enabled": false});
        let server = serve("get_license_webhooks_state", owner.clone(), answer).await;
        assert!(!client(&server.uri()).configuration(&token()).license_webhooks_enabled().await.unwrap());

        let server = serve("enable_license_webhooks", owner, json!({})).await;
        client(&server.uri()).configuration(&token()).enable_license_webhooks().await.unwrap();
    }

    #[tokio::test]
    async fn groups_are_read_with_their_names_and_the_cheapest_call_proves_the_token() {
        let server =
            serve("list_groups", json!({}), json!([{"id": 0, "name": "General", "language_code": "en"}])).await;
        let groups = client(&server.uri()).configuration(&token()).list_groups().await.unwrap();
        assert_eq!(groups, [Group { id: GroupId(0), name: "General".to_owned() }]);

        let server = serve("list_channels", json!({}), json!([])).await;
        client(&server.uri()).configuration(&token()).list_channels_once().await.unwrap();
    }
}
