//! Every sentence that the service itself says to the people of a handoff. A stack can replace each of them.
//!
//! Errors cover what goes wrong while the stack is set up.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::ids::GroupId;
use crate::livechat::GroupStatus;
use crate::text::{is_blank, one_line};

/// A sentence of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Its key in `WORDING`.
    pub key: &'static str,
    /// Who reads it.
    pub reader: &'static str,
    /// The built-in text.
    pub default: &'static str,
    /// The placeholders it must contain, each as `{name}`.
    pub placeholders: &'static [&'static str],
    /// Whether replacing it with an empty text switches it off.
    pub optional: bool,
}

impl Sentence {
    const fn to_user(key: &'static str, default: &'static str) -> Self {
        Self { key, reader: "user", default, placeholders: &[], optional: true }
    }

    const fn to_agent(key: &'static str, default: &'static str) -> Self {
        Self { reader: "agent", ..Self::to_user(key, default) }
    }

    const fn to_author(key: &'static str, default: &'static str) -> Self {
        Self { reader: "bot's author", ..Self::to_user(key, default) }
    }

    const fn with(self, placeholders: &'static [&'static str]) -> Self {
        Self { placeholders, ..self }
    }

    const fn indispensable(self) -> Self {
        Self { optional: false, ..self }
    }
}

const NOT_DELIVERED_TO_AGENT: Sentence = Sentence::to_user(
    "not_delivered_to_agent",
    "Your last message could not be delivered to the agent. Please send it in another form.",
);
const PERHAPS_DELIVERED_TO_AGENT: Sentence = Sentence::to_user(
    "perhaps_delivered_to_agent",
    "Your last message may not have reached the agent. Please ask whether it has.",
);
const CORRECTION: Sentence = Sentence::to_user("correction", "Correction: {text}").with(&["text"]);
const DELETION: Sentence = Sentence::to_user("deletion", "The agent has deleted an earlier message.");
const WAITING: Sentence =
    Sentence::to_user("waiting", "You are number {position} in the queue. An agent is free in about {minutes} min.")
        .with(&["position"]);
const NOBODY_CAME: Sentence =
    Sentence::to_user("nobody_came", "Sorry, no agent is free at the moment. You are back with the bot.");
const NOT_REACHED: Sentence =
    Sentence::to_user("not_reached", "Sorry, our agents cannot be reached at the moment. You are back with the bot.");
const ABANDONED: Sentence = Sentence::to_user(
    "abandoned",
    "Nobody has written here for a long time, so this chat is closed. You are back with the bot.",
);
const AVAILABILITY_ONLINE: Sentence = Sentence::to_user("availability_online", "An agent is available now.");
const AVAILABILITY_QUEUE: Sentence =
    Sentence::to_user("availability_queue", "All agents are busy at the moment, so you would have to wait.");
const AVAILABILITY_QUEUE_WAIT: Sentence = Sentence::to_user(
    "availability_queue_wait",
    "All agents are busy at the moment. You would wait about {minutes} min.",
)
.with(&["minutes"]);
const AVAILABILITY_OFFLINE: Sentence =
    Sentence::to_user("availability_offline", "No agent is available at the moment.");
const AVAILABILITY_UNKNOWN: Sentence =
    Sentence::to_user("availability_unknown", "It is not known at the moment whether an agent is available.");
const RATING_TAKEN: Sentence = Sentence::to_user("rating_taken", "Thank you for your rating.");
const RATING_NOT_TAKEN: Sentence = Sentence::to_user("rating_not_taken", "Sorry, your rating could not be saved.");
const UNNAMED_AGENT: Sentence = Sentence::to_user("unnamed_agent", "an Agent").indispensable();
const TYPING: Sentence = Sentence::to_agent("typing", "…").indispensable();
const NOT_DELIVERED_TO_USER: Sentence =
    Sentence::to_agent("not_delivered_to_user", "The last message could not be delivered to the customer.");
const CONVERSATION_GONE: Sentence = Sentence::to_agent(
    "conversation_gone",
    "The customer's conversation with the bot has been deleted. Nothing reaches the customer any more, and this chat is closed.",
);
const NOBODY_LISTENS: Sentence = Sentence::to_agent(
    "nobody_listens",
    "The customer is back with the bot and does not see what is written here. This chat is closed.",
);
const PERHAPS_DELIVERED_TO_USER: Sentence =
    Sentence::to_agent("perhaps_delivered_to_user", "The last message may not have reached the customer.");
const NOTE: Sentence = Sentence::to_agent("note", "[Bot] {text}").with(&["text"]);
const PARTICIPANT: Sentence =
    Sentence::to_agent("participant", "[{name}] {text}").with(&["name", "text"]).indispensable();
const TRANSCRIPT_HEADING: Sentence = Sentence::to_agent("transcript_heading", "Conversation so far:");
const TRANSCRIPT_CUT: Sentence = Sentence::to_agent("transcript_cut", "(earlier messages left out)");
const BOT_NAME: Sentence = Sentence::to_agent("bot_name", "Bot").indispensable();
const EARLIER_AGENT: Sentence = Sentence::to_agent("earlier_agent", "Agent").indispensable();
const UNNAMED_USER: Sentence = Sentence::to_agent("unnamed_user", "User").indispensable();
const PLACEHOLDER: Sentence = Sentence::to_agent("placeholder", "[{kind}]").with(&["kind"]).indispensable();
const LINK: Sentence = Sentence::to_agent("link", "[{kind}] {url}").with(&["url"]).indispensable();
const TITLED_LINK: Sentence =
    Sentence::to_agent("titled_link", "[{kind}] {title}: {url}").with(&["title", "url"]).indispensable();
const UNREADABLE: Sentence = Sentence::to_agent("unreadable", "[unreadable message]").indispensable();
const FIELD_BOT: Sentence = Sentence::to_agent("field_bot", "Botpress bot");
const FIELD_USER: Sentence = Sentence::to_agent("field_user", "Botpress user");
const FIELD_BOTCOPY_BOT: Sentence = Sentence::to_agent("field_botcopy_bot", "Botcopy bot");
const FIELD_BOTCOPY_USER: Sentence = Sentence::to_agent("field_botcopy_user", "Botcopy user");
const GROUP_OFFLINE: Sentence = Sentence::to_author(
    "group_offline",
    "No agent of LiveChat group {group} is online, so the conversation was not handed over. \
     Offer another way to get in touch, or set WHEN_OFFLINE=leave_message to queue it.",
)
.with(&["group"])
.indispensable();
const GROUP_UNKNOWN: Sentence = Sentence::to_author(
    "group_unknown",
    "LiveChat has no group {group}. Use the number of an existing group in the Start HITL card, \
     in the integration's configuration or in LIVECHAT_GROUP_ID.",
)
.with(&["group"])
.indispensable();

const ALREADY_WITH_AGENT: Sentence = Sentence::to_author(
    "already_with_agent",
    "Somebody with the same verified e-mail address is with an agent in another conversation, \
     so this one was not handed over. Try again when that has ended.",
)
.indispensable();

/// All sentences, in the order of the table in docs/wording.md.
pub const SENTENCES: [Sentence; 39] = [
    NOT_DELIVERED_TO_AGENT,
    PERHAPS_DELIVERED_TO_AGENT,
    CORRECTION,
    DELETION,
    WAITING,
    NOBODY_CAME,
    NOT_REACHED,
    ABANDONED,
    AVAILABILITY_ONLINE,
    AVAILABILITY_QUEUE,
    AVAILABILITY_QUEUE_WAIT,
    AVAILABILITY_OFFLINE,
    AVAILABILITY_UNKNOWN,
    RATING_TAKEN,
    RATING_NOT_TAKEN,
    UNNAMED_AGENT,
    TYPING,
    NOT_DELIVERED_TO_USER,
    CONVERSATION_GONE,
    NOBODY_LISTENS,
    PERHAPS_DELIVERED_TO_USER,
    NOTE,
    PARTICIPANT,
    TRANSCRIPT_HEADING,
    TRANSCRIPT_CUT,
    BOT_NAME,
    EARLIER_AGENT,
    UNNAMED_USER,
    PLACEHOLDER,
    LINK,
    TITLED_LINK,
    UNREADABLE,
    FIELD_BOT,
    FIELD_USER,
    FIELD_BOTCOPY_BOT,
    FIELD_BOTCOPY_USER,
    GROUP_OFFLINE,
    GROUP_UNKNOWN,
    ALREADY_WITH_AGENT,
];

/// The sentences that agents read between a customer's words.
const REMARKS: [&Sentence; 12] = [
    &NOTE,
    &PARTICIPANT,
    &PLACEHOLDER,
    &LINK,
    &TITLED_LINK,
    &UNREADABLE,
    &NOT_DELIVERED_TO_USER,
    &PERHAPS_DELIVERED_TO_USER,
    &CONVERSATION_GONE,
    &NOBODY_LISTENS,
    &TRANSCRIPT_HEADING,
    &TRANSCRIPT_CUT,
];

/// Why a stack's own wording cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not one JSON object of strings, or of such objects by language.
    #[error(
        "it has to be a JSON object of strings, such as {{\"bot_name\":\"Robbie\"}}, or of such objects by language"
    )]
    NotTexts,
    /// It groups sentences under a key that is not a language.
    #[error("{0:?} is not the code of a language, such as de or de-AT")]
    UnknownLanguage(String),
    /// The sentences of one language cannot be used.
    #[error("in the language {0:?}, {1}")]
    InLanguage(String, #[source] Box<Self>),
    /// It names a sentence that does not exist.
    #[error("there is no sentence {0:?}; docs/wording.md lists them")]
    UnknownKey(String),
    /// A sentence lacks a placeholder that it must contain.
    #[error("the sentence {0:?} has to contain {{{1}}}")]
    MissingPlaceholder(&'static str, &'static str),
    /// A required sentence is replaced with an empty text.
    #[error("the sentence {0:?} cannot be empty")]
    Empty(&'static str),
}

/// The value under one key of `WORDING`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Sentence(String),
    Language(BTreeMap<String, String>),
}

/// The stack's sentences in each language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wordings {
    plain: Wording,
    languages: BTreeMap<String, Wording>,
    defaults: Defaults,
}

/// The languages for callers that ask for none, by code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The stack's.
    pub stack: Option<String>,
    /// Those of single groups.
    pub groups: BTreeMap<GroupId, String>,
}

impl Wordings {
    /// Reads a stack's own sentences.
    ///
    /// Shape: `{"<key>":"<sentence>"}`, in any number, for every language; beside them
    /// `{"<language>":{"<key>":"<sentence>"}}`. An empty sentence is not said at all, where that is allowed.
    ///
    /// # Errors
    ///
    /// [`Error`], which names the key and the language.
    pub fn parse(json: &str, defaults: Defaults) -> Result<Self, Error> {
        let entries: BTreeMap<String, Entry> = serde_json::from_str(json).map_err(|_| Error::NotTexts)?;
        let (mut plain, mut languages) = (BTreeMap::new(), Vec::new());
        for (key, entry) in entries {
            match entry {
                Entry::Sentence(text) => plain.extend([(key, text)]),
                Entry::Language(texts) => {
                    let code = language(&key).ok_or_else(|| Error::UnknownLanguage(key.clone()))?;
                    languages.push((key, code, texts));
                }
            }
        }
        let plain = Wording::default().with(plain)?;
        let languages = languages.into_iter().map(|(key, code, texts)| {
            let wording = plain.clone().with(texts).map_err(|error| Error::InLanguage(key, Box::new(error)))?;
            Ok((code, wording))
        });
        Ok(Self { languages: languages.collect::<Result<_, _>>()?, plain, defaults })
    }

    /// The built-in sentences, with these default languages.
    pub fn built_in(defaults: Defaults) -> Self {
        Self { defaults, ..Self::default() }
    }

    /// The sentences in a language; in the group's or the stack's own if there are none in it, or none was asked for.
    pub fn of(&self, language: Option<&str>, group: GroupId) -> &Wording {
        let defaults = [self.defaults.groups.get(&group), self.defaults.stack.as_ref()];
        let codes = language.into_iter().chain(defaults.into_iter().flatten().map(String::as_str));
        codes.filter_map(|code| self.find(code)).next().unwrap_or(&self.plain)
    }

    /// The sentences in a language, or in the wider one that it belongs to: `de` for `de-at`.
    fn find(&self, mut code: &str) -> Option<&Wording> {
        loop {
            match (self.languages.get(code), code.rsplit_once('-')) {
                (Some(found), _) => return Some(found),
                (None, Some((wider, _))) => code = wider,
                (None, None) => return None,
            }
        }
    }
}

/// A language's code in the form used for comparison, `de-at`; `None` if it is not a code.
pub fn language(code: &str) -> Option<String> {
    const MAX_BYTES: usize = 35;
    let code = code.trim().replace('_', "-").to_ascii_lowercase();
    let (first, further) = code.split_once('-').unwrap_or((&code, ""));
    let is_first = (2..=3).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_part =
        |part: &str| !part.is_empty() && part.len() <= 8 && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let are_parts = further.is_empty() && !code.ends_with('-') || further.split('-').all(is_part);
    (code.len() <= MAX_BYTES && is_first && are_parts).then_some(code)
}

/// The sentences in one language; the default is [`SENTENCES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wording {
    replaced: BTreeMap<&'static str, String>,
}

impl Wording {
    /// These sentences, with some of them replaced.
    fn with(mut self, texts: BTreeMap<String, String>) -> Result<Self, Error> {
        for (key, text) in texts {
            let (key, text) = checked(key, text)?;
            self.replaced.insert(key, text);
        }
        Ok(self)
    }

    /// Said to the user when LiveChat will never take one of their messages.
    pub fn not_delivered_to_agent(&self) -> Option<String> {
        self.say(&NOT_DELIVERED_TO_AGENT, &[])
    }

    /// Said to the user when it is unknown whether one of their messages has arrived.
    pub fn perhaps_delivered_to_agent(&self) -> Option<String> {
        self.say(&PERHAPS_DELIVERED_TO_AGENT, &[])
    }

    /// Announces an agent's change of a message.
    pub fn correction(&self, text: &str) -> Option<String> {
        self.say(&CORRECTION, &[("text", text)])
    }

    /// Said to the user when an agent has deleted a message that the user has read.
    pub fn deletion(&self) -> Option<String> {
        self.say(&DELETION, &[])
    }

    /// Said to the user who waits for an agent: their place, and the expected minutes, if known.
    pub fn waiting(&self, position: u32, wait: Option<std::time::Duration>) -> Option<String> {
        let minutes = wait.map_or_else(|| "?".to_owned(), whole_minutes);
        self.say(&WAITING, &[("position", &position.to_string()), ("minutes", &minutes)])
    }

    /// Said to the user whom the bot takes back because no agent has come.
    pub fn nobody_came(&self) -> Option<String> {
        self.say(&NOBODY_CAME, &[])
    }

    /// Said to the user whom the bot takes back because the agents could not be reached.
    pub fn not_reached(&self) -> Option<String> {
        self.say(&NOT_REACHED, &[])
    }

    /// Said to the user whom the bot takes back because neither side has said anything for a long time.
    pub fn abandoned(&self) -> Option<String> {
        self.say(&ABANDONED, &[])
    }

    /// Said by the bot to a user for whom an agent is free.
    pub fn availability_online(&self) -> Option<String> {
        self.say(&AVAILABILITY_ONLINE, &[])
    }

    /// Said by the bot to a user who would have to wait for an unknown time.
    pub fn availability_queue(&self) -> Option<String> {
        self.say(&AVAILABILITY_QUEUE, &[])
    }

    /// Said by the bot to a user who would have to wait about this long.
    pub fn availability_queue_wait(&self, wait: std::time::Duration) -> Option<String> {
        self.say(&AVAILABILITY_QUEUE_WAIT, &[("minutes", &whole_minutes(wait))])
    }

    /// Said by the bot while no agent is online.
    pub fn availability_offline(&self) -> Option<String> {
        self.say(&AVAILABILITY_OFFLINE, &[])
    }

    /// Said by the bot while LiveChat does not report whether an agent is online.
    pub fn availability_unknown(&self) -> Option<String> {
        self.say(&AVAILABILITY_UNKNOWN, &[])
    }

    /// Said by the bot when LiveChat has the user's rating.
    pub fn rating_taken(&self) -> Option<String> {
        self.say(&RATING_TAKEN, &[])
    }

    /// Said by the bot when LiveChat has refused the user's rating.
    pub fn rating_not_taken(&self) -> Option<String> {
        self.say(&RATING_NOT_TAKEN, &[])
    }

    /// Stands for an agent's unknown name, in "You are now chatting with …".
    pub fn unnamed_agent(&self) -> String {
        self.insist(&UNNAMED_AGENT, &[])
    }

    /// Shown to agents in place of what a user is typing.
    pub fn typing(&self) -> String {
        self.insist(&TYPING, &[])
    }

    /// Said to the agent when the bot platform will never take one of their messages.
    pub fn not_delivered_to_user(&self) -> Option<String> {
        self.say(&NOT_DELIVERED_TO_USER, &[])
    }

    /// Said to the agent whose customer's conversation was deleted at the bot platform.
    pub fn conversation_gone(&self) -> Option<String> {
        self.say(&CONVERSATION_GONE, &[])
    }

    /// Said to the agent who writes in a chat whose customer is no longer with the agents.
    pub fn nobody_listens(&self) -> Option<String> {
        self.say(&NOBODY_LISTENS, &[])
    }

    /// Said to the agent when it is unknown whether one of their messages has arrived.
    pub fn perhaps_delivered_to_user(&self) -> Option<String> {
        self.say(&PERHAPS_DELIVERED_TO_USER, &[])
    }

    /// Introduces a remark of the bot platform to an agent, who must not take it for the customer's words.
    pub fn note(&self, text: &str) -> Option<String> {
        self.say(&NOTE, &[("text", text)])
    }

    /// Introduces the words of another person than the customer to an agent, in a conversation of several people.
    pub fn participant(&self, name: &str, text: &str) -> String {
        self.insist(&PARTICIPANT, &[("name", name), ("text", text)])
    }

    /// The fixed parts of every sentence that agents read between a customer's words, in order; the note's are the first.
    pub(super) fn remarks(&self) -> Vec<Vec<String>> {
        REMARKS.iter().map(|sentence| fixed_parts(self.template(sentence))).collect()
    }

    /// Heads the part of the first message that repeats what was said to the bot.
    pub fn transcript_heading(&self) -> Option<String> {
        self.say(&TRANSCRIPT_HEADING, &[])
    }

    /// Replaces the older lines that did not fit into the transcript.
    pub fn transcript_cut(&self) -> Option<String> {
        self.say(&TRANSCRIPT_CUT, &[])
    }

    /// The bot's name in the transcript.
    pub fn bot_name(&self) -> String {
        self.insist(&BOT_NAME, &[])
    }

    /// The name in the transcript of the agents of earlier sessions.
    pub fn earlier_agent(&self) -> String {
        self.insist(&EARLIER_AGENT, &[])
    }

    /// Stands for a user's unknown name.
    pub fn unnamed_user(&self) -> String {
        self.insist(&UNNAMED_USER, &[])
    }

    /// Stands for a message that cannot be shown.
    pub fn placeholder(&self, kind: &str) -> String {
        self.insist(&PLACEHOLDER, &[("kind", &one_line(kind))])
    }

    /// Stands for a file: its kind, name and address; one line.
    pub fn link(&self, kind: &str, title: Option<&str>, url: &str) -> String {
        let (kind, url) = (one_line(kind), one_line(url));
        match title.map(one_line).filter(|title| !is_blank(title)) {
            Some(title) => self.insist(&TITLED_LINK, &[("kind", &kind), ("title", &title), ("url", &url)]),
            None => self.insist(&LINK, &[("kind", &kind), ("url", &url)]),
        }
    }

    /// Stands in the transcript for a message whose shape is unknown.
    pub fn unreadable(&self) -> String {
        self.insist(&UNREADABLE, &[])
    }

    /// The label of the field that shows agents which bot a customer comes from.
    pub fn field_bot(&self) -> Option<String> {
        self.say(&FIELD_BOT, &[])
    }

    /// The label of the field that shows agents a customer's id at the bot.
    pub fn field_user(&self) -> Option<String> {
        self.say(&FIELD_USER, &[])
    }

    /// The label of the field that shows agents which Botcopy bot a customer comes from.
    pub fn field_botcopy_bot(&self) -> Option<String> {
        self.say(&FIELD_BOTCOPY_BOT, &[])
    }

    /// The label of the field that shows agents a customer's id at Botcopy.
    pub fn field_botcopy_user(&self) -> Option<String> {
        self.say(&FIELD_BOTCOPY_USER, &[])
    }

    /// Said to the bot's author when no agent of the group can take the session.
    pub fn group_offline(&self, group: GroupId) -> String {
        self.insist(&GROUP_OFFLINE, &[("group", &group.to_string())])
    }

    /// Said to the bot's author when the licence does not have the group.
    pub fn group_unknown(&self, group: GroupId) -> String {
        self.insist(&GROUP_UNKNOWN, &[("group", &group.to_string())])
    }

    /// Said to the bot's author when another user with the same verified address is with an agent.
    pub fn already_with_agent(&self) -> String {
        self.insist(&ALREADY_WITH_AGENT, &[])
    }

    /// Why a session with this group cannot start now; `None` if it can.
    pub fn refusal(&self, group: GroupId, status: Option<GroupStatus>, may_wait: bool) -> Option<String> {
        match status {
            None => Some(self.group_unknown(group)),
            Some(GroupStatus::Offline) if !may_wait => Some(self.group_offline(group)),
            Some(_) => None,
        }
    }

    /// A sentence that may be switched off.
    fn say(&self, sentence: &Sentence, values: &[(&str, &str)]) -> Option<String> {
        Some(self.insist(sentence, values)).filter(|said| !said.is_empty())
    }

    fn insist(&self, sentence: &Sentence, values: &[(&str, &str)]) -> String {
        filled(self.template(sentence), values)
    }

    fn template(&self, sentence: &Sentence) -> &str {
        self.replaced.get(sentence.key).map_or(sentence.default, String::as_str)
    }
}

/// Minutes as shown to users: at least one, rounded up.
fn whole_minutes(wait: std::time::Duration) -> String {
    wait.as_secs().div_ceil(60).max(1).to_string()
}

/// The fixed texts around the `{name}`s of a template. If it ends with words of several lines, what follows them is left out,
/// unless there is nothing else.
fn fixed_parts(template: &str) -> Vec<String> {
    const NAMES: [&str; 5] = ["{text}", "{name}", "{kind}", "{title}", "{url}"];
    let mut parts = vec![template.to_owned()];
    for name in NAMES {
        parts = parts.iter().flat_map(|part| part.split(name)).map(str::to_owned).collect();
    }
    let has_more = |parts: &[String]| parts.iter().rev().skip(1).any(|part| !part.trim().is_empty());
    if template.contains("{text}") && has_more(&parts) {
        parts.pop();
    }
    parts
}

fn checked(key: String, text: String) -> Result<(&'static str, String), Error> {
    let Some(sentence) = SENTENCES.iter().find(|sentence| sentence.key == key) else {
        return Err(Error::UnknownKey(key));
    };
    if is_blank(&text) {
        return if sentence.optional { Ok((sentence.key, String::new())) } else { Err(Error::Empty(sentence.key)) };
    }
    match sentence.placeholders.iter().find(|name| !text.contains(&format!("{{{name}}}"))) {
        Some(missing) => Err(Error::MissingPlaceholder(sentence.key, missing)),
        None => Ok((sentence.key, text)),
    }
}

/// Fills in a sentence's `{name}`s; the values are not searched for further ones.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let known = after.split_once('}').and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((*value, after))
        });
        let (text, after) = known.unwrap_or(("{", after));
        filled.push_str(text);
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_TEXTS: &str =
        "it has to be a JSON object of strings, such as {\"bot_name\":\"Robbie\"}, or of such objects by language";

    fn parse(json: &str) -> Result<Wordings, Error> {
        Wordings::parse(json, Defaults::default())
    }

    const DOCUMENT: &str = include_str!("../../../docs/wording.md");

    #[test]
    fn a_start_is_refused_when_the_group_is_unknown_or_nobody_is_there() {
        let (group, wording) = (GroupId(7), Wording::default());
        assert!(wording.refusal(group, None, true).unwrap().contains("no group 7"));
        assert!(wording.refusal(group, Some(GroupStatus::Offline), false).unwrap().contains("group 7"));
        assert_eq!(wording.refusal(group, Some(GroupStatus::Offline), true), None);
        assert_eq!(wording.refusal(group, Some(GroupStatus::Online), false), None);
        assert_eq!(wording.refusal(group, Some(GroupStatus::OnlineForQueue), false), None);
    }

    #[test]
    fn the_document_lists_every_sentence_as_it_is() {
        let rows: Vec<String> = SENTENCES
            .iter()
            .map(|sentence| {
                let off = if sentence.optional { "yes" } else { "no" };
                format!("| `{}` | {} | `{}` | {off} |", sentence.key, sentence.reader, sentence.default)
            })
            .collect();
        let table = rows.join("\n");
        assert!(DOCUMENT.contains(&table), "the table in docs/wording.md should read\n{table}");
    }

    #[test]
    fn each_default_mentions_what_a_replacement_would_have_to_mention() {
        for sentence in SENTENCES {
            assert_eq!(
                checked(sentence.key.to_owned(), sentence.default.to_owned()),
                Ok((sentence.key, sentence.default.to_owned()))
            );
        }
    }

    #[test]
    fn a_stack_replaces_sentences_and_switches_them_off() {
        let wordings = parse(r#"{"note":"Robbie: {text}","deletion":" ","bot_name":"Robbie"}"#).unwrap();
        let wording = wordings.of(None, GroupId(0));
        assert_eq!(wording.note("bye").as_deref(), Some("Robbie: bye"));
        assert_eq!((wording.deletion(), wording.bot_name()), (None, "Robbie".to_owned()));
        assert_eq!(wording.correction("x"), Wording::default().correction("x"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (json, sentence) in [
            ("", NOT_TEXTS),
            (r#"{"note":5}"#, NOT_TEXTS),
            (r#"{"de":{"note":5}}"#, NOT_TEXTS),
            (r#"{"note":{"de":"x"}}"#, "\"note\" is not the code of a language, such as de or de-AT"),
            (
                r#"{"de":{"nota":"x"}}"#,
                "in the language \"de\", there is no sentence \"nota\"; docs/wording.md lists them",
            ),
            (r#"{"de":{"bot_name":""}}"#, "in the language \"de\", the sentence \"bot_name\" cannot be empty"),
            (r#"{"nota":"x"}"#, "there is no sentence \"nota\"; docs/wording.md lists them"),
            (r#"{"group_offline":"closed"}"#, "the sentence \"group_offline\" has to contain {group}"),
            (r#"{"titled_link":"{title}"}"#, "the sentence \"titled_link\" has to contain {url}"),
            (r#"{"bot_name":""}"#, "the sentence \"bot_name\" cannot be empty"),
        ] {
            assert_eq!(parse(json).unwrap_err().to_string(), sentence, "{json}");
        }
    }

    #[test]
    fn a_user_is_spoken_to_in_their_language_or_in_what_is_nearest_to_it() {
        let json =
            r#"{"bot_name":"Bot","deletion":"","de":{"bot_name":"Roboter"},"de-CH":{"bot_name":"Robi"},"en":{}}"#;
        let groups = BTreeMap::from([(GroupId(7), "de-ch".to_owned()), (GroupId(8), "fr".to_owned())]);
        let wordings = Wordings::parse(json, Defaults { stack: Some("de".to_owned()), groups }).unwrap();
        for (code, group, name) in [
            (Some("de"), 0, "Roboter"),
            (Some("de-AT"), 0, "Roboter"),
            (Some("de_ch"), 0, "Robi"),
            (Some("de-CH-1901"), 0, "Robi"),
            (Some("en-GB"), 7, "Bot"),
            (Some("fr"), 0, "Roboter"),
            (Some("fr"), 7, "Robi"),
            (None, 7, "Robi"),
            (None, 8, "Roboter"),
            (None, 0, "Roboter"),
        ] {
            let wording = wordings.of(code.and_then(language).as_deref(), GroupId(group));
            assert_eq!(wording.bot_name(), name, "{code:?} in group {group}");
            assert_eq!(wording.deletion(), None, "what is said for every language holds in each");
        }
        assert_eq!(parse(json).unwrap().of(None, GroupId(7)).bot_name(), "Bot");
    }

    #[test]
    fn a_code_of_a_language_is_told_from_other_words() {
        for code in ["de", "gsw", "de-AT", "zh_Hant_TW", "es-419", " EN "] {
            assert!(language(code).is_some(), "{code}");
        }
        for other in ["", "d", "note", "de-", "-de", "de--at", "d3", "de at", &"de-abc".repeat(9)] {
            assert_eq!(language(other), None, "{other}");
        }
    }

    #[test]
    fn a_waiting_user_is_told_whole_minutes() {
        let said =
            |seconds: Option<u64>| Wording::default().waiting(3, seconds.map(std::time::Duration::from_secs)).unwrap();
        assert_eq!(said(Some(181)), "You are number 3 in the queue. An agent is free in about 4 min.");
        assert!(said(Some(0)).ends_with("about 1 min."));
    }

    #[test]
    fn words_of_people_are_not_taken_for_placeholders() {
        let wording = Wording::default();
        assert_eq!(wording.link("file", Some("{url} {kind} {"), "https://f"), "[file] {url} {kind} {: https://f");
        assert_eq!(filled("{a}{b} {", &[("a", "{b}")]), "{b}{b} {");
    }
}
