//! The unconfirmed assumptions of the contracts about the vendors, as data; `docs/contract.md` prints them.

use serde::Serialize;
use shared::model::vendor::{BOTCOPY, BOTPRESS, LIVECHAT};

/// How a statement can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// `hitl rehearse` sees it.
    Rehearse,
    /// `hitl doctor --drift` sees it.
    Drift,
    /// Neither does, for this reason.
    Never(&'static str),
}

/// One doubtful statement about a vendor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    pub id: Id,
    pub vendor: &'static str,
    pub says: &'static str,
    /// The vendor's document, and how certain it makes the statement: documented, seen in the field, inferred, or open.
    pub source: &'static str,
    pub seen: Seen,
}

/// A statement's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Id {
    SecondStart,
    ActiveResume,
    ClosedSend,
    ClosedClose,
    Outsider,
    Cookies,
    CustomIds,
    TextLimit,
    Files,
    ClosedRating,
    SourceClient,
    NamedGroup,
    Merging,
    Handing,
    WebhookFilters,
    ApiStage,
    InterfaceVersion,
    RepeatedMessage,
    CreatedFlag,
    RepeatedConversation,
    InitialEvents,
    SystemAuthors,
    WebhookStatus,
    Inactivity,
    Formatting,
    SourceType,
    AgentResume,
    BotsOnline,
    WorkingTimes,
    Translation,
    SideBySide,
    ActionTimeout,
    OperationRetries,
    OneKey,
    BotcopyAnswer,
    BotcopySilence,
    BotcopyErrors,
}

impl Id {
    /// Returns the name that reports and documents print.
    pub(crate) fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

const fn one(id: Id, vendor: &'static str, seen: Seen, says: &'static str, source: &'static str) -> Statement {
    Statement { id, vendor, says, source, seen }
}

use Seen::{Drift, Never, Rehearse};

const NO_AGENT_APP: &str = "it shows only in LiveChat's agent app";
const NO_PLUGIN: &str = "the rehearsal's conversation belongs to no bot, so that the HITL plugin does not handle it";
const NO_BOTCOPY: &str = "the rehearsal plays a Botpress bot";

/// Every statement, by vendor.
pub(crate) const STATEMENTS: &[Statement] = &[
    one(
        Id::SecondStart,
        LIVECHAT,
        Rehearse,
        "A customer's second `start_chat` is refused as `validation` or `limit_reached`.",
        "Customer Chat API, \"Start Chat\": the error's type is not documented",
    ),
    one(
        Id::ActiveResume,
        LIVECHAT,
        Rehearse,
        "`resume_chat` of an active chat is refused as `validation` or `limit_reached`.",
        "Customer Chat API, \"Resume Chat\": the error's type is not documented",
    ),
    one(
        Id::ClosedSend,
        LIVECHAT,
        Rehearse,
        "`send_event` into a closed chat is refused as `chat_inactive`.",
        "Customer Chat API, \"Send Event\": the error's type is inferred",
    ),
    one(
        Id::ClosedClose,
        LIVECHAT,
        Rehearse,
        "`deactivate_chat` of a closed chat is refused as `chat_inactive`.",
        "Agent Chat API, \"Deactivate Chat\": the error's type is inferred from field reports",
    ),
    one(
        Id::Outsider,
        LIVECHAT,
        Rehearse,
        "An agent who is not in the chat is refused as `authorization`.",
        "Agent Chat API, \"Send Event\": seen in the field",
    ),
    one(
        Id::Cookies,
        LIVECHAT,
        Rehearse,
        "A customer's cookies bring a token for the same customer.",
        "\"Customer authorization\", cookie grant: described for browsers; the vendor's example backend does it",
    ),
    one(
        Id::CustomIds,
        LIVECHAT,
        Rehearse,
        "Two events may have the same `custom_id`; the second is an event of its own.",
        "Agent Chat API, \"Send Event\": uniqueness is not documented",
    ),
    one(
        Id::TextLimit,
        LIVECHAT,
        Rehearse,
        "A message's text may have 16,384 bytes.",
        "Agent Chat API, \"Send Event\": documented as \"16 KB\"",
    ),
    one(
        Id::Files,
        LIVECHAT,
        Rehearse,
        "A file's address can be read without a credential.",
        "Agent Chat API, \"Upload File\": not documented",
    ),
    one(
        Id::ClosedRating,
        LIVECHAT,
        Rehearse,
        "A closed thread accepts a rating of its customer.",
        "\"Default properties\", `rating`: not documented",
    ),
    one(
        Id::SourceClient,
        LIVECHAT,
        Rehearse,
        "A chat that a customer starts carries the app's client id in `source.client_id`.",
        "\"Default properties\", `source`: documented; that customers' tokens count is inferred",
    ),
    one(
        Id::NamedGroup,
        LIVECHAT,
        Rehearse,
        "A resumed chat goes to the group that `chat.access.group_ids` names, whatever group it was in.",
        "Customer Chat API, \"Resume Chat\": seen in the field",
    ),
    one(
        Id::Merging,
        LIVECHAT,
        Rehearse,
        "`update_chat_properties` keeps the properties that it does not name.",
        "Agent Chat API, \"Update Chat Properties\": inferred",
    ),
    one(
        Id::Handing,
        LIVECHAT,
        Rehearse,
        "The assignment of a chat to an agent is reported by `chat_transferred` or `user_added_to_chat`.",
        "\"Webhooks\": which of them an assignment causes is not documented",
    ),
    one(
        Id::WebhookFilters,
        LIVECHAT,
        Drift,
        "The webhooks that a handoff needs exist, with the filters that they are registered with.",
        "Configuration API, \"List Webhook Names\": documented",
    ),
    one(
        Id::ApiStage,
        LIVECHAT,
        Drift,
        "Version 3.6 of the APIs is stable: no answer carries `Legacy` or `Deprecation`.",
        "\"Versioning\": documented",
    ),
    one(
        Id::InitialEvents,
        LIVECHAT,
        Never("the stack's webhooks exclude customers' events, and the rehearsal registers none"),
        "The first events of a start are reported by `incoming_chat` alone.",
        "\"Webhooks\": inferred",
    ),
    one(
        Id::SystemAuthors,
        LIVECHAT,
        Never("filtered webhooks are not visible anywhere"),
        "The filter `author_type: agent` excludes system messages.",
        "Configuration API, \"Register Webhook\": inferred",
    ),
    one(
        Id::WebhookStatus,
        LIVECHAT,
        Never("the stack answers webhooks with 200 alone"),
        "A webhook that is answered with another 2xx than 200 is not repeated.",
        "\"Webhooks\": not documented",
    ),
    one(
        Id::Inactivity,
        LIVECHAT,
        Never("it takes hours"),
        "A continuous chat is closed after the licence's time of inactivity alone.",
        "Customer Chat API, \"Start Chat\": not documented",
    ),
    one(
        Id::Formatting,
        LIVECHAT,
        Never(NO_AGENT_APP),
        "The property `chats.formatting` shows agents Markdown.",
        "\"Default properties\", `chats`: documented; the rendering is not",
    ),
    one(
        Id::SourceType,
        LIVECHAT,
        Never("the stack's webhooks are not filtered by source"),
        "Calls with a personal access token count as `other_clients`.",
        "Configuration API, \"Register Webhook\": not documented",
    ),
    one(
        Id::AgentResume,
        LIVECHAT,
        Never("no agent resumes the rehearsal's chat"),
        "A chat that an agent resumes keeps the client id of the app that started it.",
        "\"Default properties\", `source`: not documented",
    ),
    one(
        Id::BotsOnline,
        LIVECHAT,
        Never("the rehearsal must not sign out the group's bots"),
        "`list_group_statuses` counts a group as online only for people.",
        "Customer Chat API, \"List Group Statuses\": not documented; it may count bots",
    ),
    one(
        Id::WorkingTimes,
        LIVECHAT,
        Never("the agent token need not have the scope `agents--all:ro`"),
        "`list_agents` names the days of a work schedule in English, and gives its times in the agent's time zone.",
        "Configuration API, \"List Agents\": the fields are documented, the names of the days are not",
    ),
    one(
        Id::Translation,
        LIVECHAT,
        Never(NO_AGENT_APP),
        "The text of a translated message is the one that the customer should read.",
        "\"Default properties\", `translation`: not documented",
    ),
    one(
        Id::InterfaceVersion,
        BOTPRESS,
        Drift,
        "Version 2.1.0 of the interface `hitl` is published, with the actions createUser, startHitl and stopHitl.",
        "Admin API, \"getPublicInterface\": documented",
    ),
    one(
        Id::RepeatedMessage,
        BOTPRESS,
        Rehearse,
        "Posting a message with the tag of an existing one returns the existing one.",
        "Runtime API, \"getOrCreateMessage\": documented; that the bot is not invoked again is inferred",
    ),
    one(
        Id::CreatedFlag,
        BOTPRESS,
        Rehearse,
        "`meta.created` says whether a message was posted or found.",
        "Runtime API, \"getOrCreateMessage\": documented since 2026",
    ),
    one(
        Id::RepeatedConversation,
        BOTPRESS,
        Rehearse,
        "Requesting a conversation again with the same tag returns the same one.",
        "Runtime API, \"getOrCreateConversation\": documented, in two ways for other tags",
    ),
    one(
        Id::SideBySide,
        BOTPRESS,
        Never(NO_PLUGIN),
        "Events and messages of one conversation are handled one after another.",
        "HITL plugin: open",
    ),
    one(
        Id::ActionTimeout,
        BOTPRESS,
        Never("the rehearsal calls the stack itself"),
        "Botpress waits for an action for 60 seconds.",
        "\"Limits\": the default quota; open for integrations with an address of their own",
    ),
    one(
        Id::OperationRetries,
        BOTPRESS,
        Never("the rehearsal calls the stack itself"),
        "An operation that is answered with a 4xx is not repeated; one that is answered with a 5xx may be.",
        "SDK: how often and when is open",
    ),
    one(
        Id::OneKey,
        BOTPRESS,
        Never("a rehearsal uses one bot"),
        "One access key serves every bot that has the integration installed.",
        "Admin API: inferred",
    ),
    one(
        Id::BotcopyAnswer,
        BOTCOPY,
        Never(NO_BOTCOPY),
        "An answer to a call of step two changes nothing at Botcopy.",
        "\"Live chat\": not documented",
    ),
    one(
        Id::BotcopySilence,
        BOTCOPY,
        Never(NO_BOTCOPY),
        "A paused user's messages still arrive after the Dialogflow session has ended.",
        "\"Live chat\": not documented",
    ),
    one(
        Id::BotcopyErrors,
        BOTCOPY,
        Never(NO_BOTCOPY),
        "A push with a wrong key is answered with 401 or 403.",
        "\"Push API\": not documented",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn checked_by(seen: Seen) -> String {
        match seen {
            Rehearse => "`hitl rehearse`".to_owned(),
            Drift => "`hitl doctor --drift`".to_owned(),
            Never(why) => format!("no: {why}"),
        }
    }

    fn row(statement: &Statement) -> String {
        let Statement { id, says, source, seen, .. } = statement;
        format!("| {} | {says} | {source} | {} |", id.name(), checked_by(*seen))
    }

    /// The document and the data say the same.
    #[test]
    fn the_contract_document_has_every_statement() {
        let document = include_str!("../../../docs/contract.md");
        let rows: Vec<_> =
            document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Name ")).collect();
        let expected: Vec<_> = STATEMENTS.iter().map(row).collect();
        assert_eq!(rows, expected, "docs/contract.md should have these rows:\n{}", expected.join("\n"));
    }

    #[test]
    fn every_statement_has_a_name_of_its_own() {
        let names: BTreeSet<_> = STATEMENTS.iter().map(|statement| statement.id.name()).collect();
        assert_eq!(names.len(), STATEMENTS.len());
        assert!(names.iter().all(|name| !name.is_empty()), "{names:?}");
    }
}
