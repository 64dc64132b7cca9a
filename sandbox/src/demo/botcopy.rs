//! The same story with a Botcopy bot.

use std::collections::BTreeSet;
use std::io::Write;

use super::verdict::{self, Check, check};
use super::{AFTER_TRANSFER, FIRST_AGENT, PRIVATE_NOTE, Play, SECOND_AGENT, SECOND_REQUEST, Side, TALK};
use crate::botcopy::Speaker;
use crate::error::Error;
use crate::livechat::{RoutingStatus, Target};
use crate::stack::Stack;

/// The Dialogflow event that resumes the bot.
pub(crate) const RESUME_EVENT: &str = "agent_left";

/// The service's texts for users whose browser asks for German.
pub(crate) const WORDING: &str =
    r#"{"de":{"waiting":"Sie sind Nummer {position} in der Warteschlange, noch etwa {minutes} Min."}}"#;

/// What Jan is shown while all agents are busy, what he writes, and the answer.
const WAITS: &str = "Sie sind Nummer 1 in der Warteschlange, noch etwa 1 Min.";
const JAN_ASKS: &str = "Bitte ein Mensch (human)";
const JAN_SAYS: &str = "Wann habt ihr offen?";
const ANSWER: &str = "Guten Tag, montags bis freitags von 9 bis 17 Uhr.";

/// The text that makes the bot ask for a person.
const ASK: &str = "Can I speak to a human?";

impl<W: Write> Play<'_, W> {
    pub(super) async fn tell_botcopy(&mut self) -> Result<(), Error> {
        self.story.chapter("LiveChat's webhooks are set up")?;
        self.stack.connect_livechat().await?;
        self.tell().await?;

        self.story.chapter("Ann talks to the bot, and asks for a person")?;
        let ann = self.stack.botcopy.new_user();
        self.types(&ann, "Where is my parcel?").await?;
        self.types(&ann, ASK).await?;

        self.story.chapter("Ann and Anna talk")?;
        for (side, text) in TALK {
            match side {
                Side::User => self.types(&ann, text).await?,
                Side::Agent => self.answers(FIRST_AGENT, text).await?,
            }
        }

        self.story.chapter("Anna leaves a note for her colleague and hands the chat to Ben")?;
        let chat_id = self.chat_id()?;
        self.stack.livechat.agent_sends_private_note(&chat_id, FIRST_AGENT, PRIVATE_NOTE)?;
        self.stack.livechat.agent_transfers(&chat_id, FIRST_AGENT, Target::Agent(SECOND_AGENT.to_owned()))?;
        self.tell().await?;
        self.answers(SECOND_AGENT, AFTER_TRANSFER).await?;

        self.story.chapter("Ben closes the chat, and the bot resumes")?;
        self.stack.livechat.agent_closes(&chat_id, SECOND_AGENT)?;
        self.tell().await?;
        self.types(&ann, SECOND_REQUEST).await?;

        self.story.chapter("Ann asks for a person again, and Anna closes soon")?;
        self.types(&ann, ASK).await?;
        self.stack.livechat.agent_closes(&chat_id, FIRST_AGENT)?;
        self.tell().await?;
        self.tell_of_jan().await
    }

    async fn tell_of_jan(&mut self) -> Result<(), Error> {
        self.story.chapter("Jan, whose browser asks for German, wants a person while everybody is busy")?;
        let agents = [FIRST_AGENT, SECOND_AGENT];
        for agent in agents {
            self.stack.livechat.set_agent_status(agent, RoutingStatus::NotAcceptingChats);
        }
        let jan = self.stack.botcopy.new_user_speaking("de");
        self.story.call(&jan, "Jan");
        self.stack.botcopy.user_says(&jan, JAN_ASKS).await?;
        let chat_id = self.chat_id()?;
        self.story.call(&chat_id, "Jan");
        self.tell().await?;
        // The sweep at the latest delivers what was accepted at the very end of the start.
        self.stack.sweep().await?;
        self.tell().await?;

        self.story.chapter("Anna is free, sees that Jan types, and answers")?;
        for agent in agents {
            self.stack.livechat.set_agent_status(agent, RoutingStatus::AcceptingChats);
        }
        self.stack.livechat.router_assigns(&chat_id)?;
        self.tell().await?;
        self.stack.botcopy.user_types(&jan).await?;
        self.tell().await?;
        self.types(&jan, JAN_SAYS).await?;
        self.answers(FIRST_AGENT, ANSWER).await?;
        self.stack.livechat.agent_closes(&chat_id, FIRST_AGENT)?;
        self.tell().await
    }

    async fn types(&mut self, user_id: &str, text: &str) -> Result<(), Error> {
        self.stack.botcopy.user_says(user_id, text).await?;
        self.tell().await
    }
}

/// What must have happened, and nothing else.
pub(crate) fn judge(stack: &Stack) -> Vec<Check> {
    let journal = &stack.journal;
    let said_by = |side| TALK.iter().filter(move |(by, _)| *by == side).map(|(_, text)| *text);
    let agent_texts: Vec<&str> = said_by(Side::Agent).chain([AFTER_TRANSFER, WAITS, ANSWER]).collect();
    let user_texts: Vec<&str> = said_by(Side::User).chain([JAN_SAYS]).collect();
    let openings = verdict::openings(journal);
    let everything = verdict::everything_ann_saw(journal);
    let position = |text: &str| everything.iter().position(|shown| shown == text);
    let resumed = format!("bot: event {RESUME_EVENT}");
    let notices = journal.all("shown_to_user").into_iter().filter(|entry| entry.text("/from") == "notice");
    let notices = verdict::texts(&notices.collect::<Vec<_>>());
    let users: Vec<String> = journal.all("user_wrote").iter().map(|entry| entry.text("/user_id").to_owned()).collect();
    vec![
        check(
            "Ann and Jan saw every message of the agents, once and in order",
            verdict::shown_by_agents(journal) == agent_texts,
        ),
        check(
            "each under the agent's own name",
            verdict::names_shown(journal) == ["Anna", "Anna", "Anna", "Ben", "", "Anna"],
        ),
        check(
            "the agents saw every message of Ann and Jan, once and in order",
            verdict::sent_by_ann(journal) == user_texts,
        ),
        check(
            "they got the conversation with the bot at the first start, and what was new at the second",
            openings.len() == 3
                && openings
                    .iter()
                    .zip(["User: Where is my parcel?", SECOND_REQUEST])
                    .all(|(told, new)| told.contains(new))
                && !openings.iter().skip(1).any(|told| told.contains("User: Where is my parcel?")),
        ),
        check("the private note was shown to agents only", !everything.contains(&PRIVATE_NOTE.to_owned())),
        check("the widgets were notified of Anna, of Ben, and of Anna again, and Jan's of Anna once she had joined", {
            notices == ["Anna", "Ben", "Anna", "Anna"].map(|name| format!("You are now chatting with {name}."))
        }),
        check("Ann's one chat was started once and resumed once, and Jan's was started", {
            (verdict::count(journal, "chat_started"), verdict::count(journal, "chat_resumed")) == (2, 1)
        }),
        check("Jan got his place in the queue in German, and Anna saw him type once", {
            everything.contains(&WAITS.to_owned()) && verdict::count(journal, "sneak_peek_sent") == 1
        }),
        check(
            "nothing was installed at the other bot platform",
            verdict::count(journal, "integration_configured") == 0,
        ),
        check("the bot resumed with its event, after the last message", {
            everything.iter().filter(|text| **text == resumed).count() == 3
                && position(AFTER_TRANSFER) < position(&resumed)
        }),
        check("the bot answered Ann in between", everything.contains(&format!("bot: {SECOND_REQUEST}"))),
        check("it was silent while agents were in the chat", {
            let people: BTreeSet<&String> = users.iter().collect();
            let lines = people.into_iter().flat_map(|user| stack.botcopy.screen(user));
            let by_bot = lines.filter(|line| line.from == Speaker::Bot).count();
            by_bot == verdict::count(journal, "dialogflow_called") && by_bot == 8
        }),
        check("every answer of the stack arrived in time", verdict::count(journal, "answer_ignored") == 0),
        check("no pause lapsed", verdict::count(journal, "pause_lapsed") == 0),
        verdict::promises(journal),
        check("no call was refused by either side", verdict::refused_calls(journal) == 0),
        check("no bot is left paused", users.iter().all(|user| !stack.botcopy.is_paused(user))),
        check("no chat is left open", stack.livechat.open_chats().is_empty()),
    ]
}
