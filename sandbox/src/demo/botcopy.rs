//! The same story with a Botcopy bot.

use std::io::Write;

use super::verdict::{self, Check, check};
use super::{AFTER_TRANSFER, FIRST_AGENT, PRIVATE_NOTE, Play, SECOND_AGENT, SECOND_REQUEST, Side, TALK};
use crate::botcopy::Speaker;
use crate::livechat::Target;
use crate::stack::{Error, Stack};

/// The Dialogflow event with which the bot resumes.
pub const RESUME_EVENT: &str = "agent_left";

/// What makes the bot ask for a person.
const ASK: &str = "Can I speak to a human?";

impl<W: Write> Play<'_, W> {
    pub(super) async fn tell_botcopy(&mut self) -> Result<(), Error> {
        self.story.chapter("LiveChat's webhooks are set up")?;
        self.stack.install().await?;
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
        self.tell().await
    }

    async fn types(&mut self, user_id: &str, text: &str) -> Result<(), Error> {
        self.stack.botcopy.user_says(user_id, text).await?;
        self.tell().await
    }
}

/// What must have happened, and nothing else.
pub fn judge(stack: &Stack) -> Vec<Check> {
    let journal = &stack.journal;
    let said_by = |side| TALK.iter().filter(move |(by, _)| *by == side).map(|(_, text)| *text);
    let agent_texts: Vec<&str> = said_by(Side::Agent).chain([AFTER_TRANSFER]).collect();
    let user_texts: Vec<&str> = said_by(Side::User).collect();
    let openings = verdict::openings(journal);
    let everything = verdict::everything_ann_saw(journal);
    let position = |text: &str| everything.iter().position(|shown| shown == text);
    let resumed = format!("bot: event {RESUME_EVENT}");
    let notices = journal.all("shown_to_user").into_iter().filter(|entry| entry.text("/from") == "notice");
    let notices = verdict::texts(&notices.collect::<Vec<_>>());
    let users: Vec<String> = journal.all("user_wrote").iter().map(|entry| entry.text("/user_id").to_owned()).collect();
    vec![
        check("Ann saw every word of the agents, once and in order", verdict::shown_by_agents(journal) == agent_texts),
        check("each under the agent's own name", verdict::names_shown(journal) == ["Anna", "Anna", "Anna", "Ben"]),
        check("the agents saw every word of Ann, once and in order", verdict::sent_by_ann(journal) == user_texts),
        check(
            "they were told at the start what had been said to the bot, and the second time what was new",
            openings.len() == 2
                && openings
                    .iter()
                    .zip(["User: Where is my parcel?", SECOND_REQUEST])
                    .all(|(told, new)| told.contains(new))
                && !openings.iter().skip(1).any(|told| told.contains("User: Where is my parcel?")),
        ),
        check("the note among agents stayed among agents", !everything.contains(&PRIVATE_NOTE.to_owned())),
        check("the widget was told of Anna, then of Ben, then of Anna again", {
            notices == ["Anna", "Ben", "Anna"].map(|name| format!("You are now chatting with {name}."))
        }),
        check("Ann's one chat was started once and resumed once", {
            (verdict::count(journal, "chat_started"), verdict::count(journal, "chat_resumed")) == (1, 1)
        }),
        check("the bot resumed with its event, after the last words", {
            everything.iter().filter(|text| **text == resumed).count() == 2
                && position(AFTER_TRANSFER) < position(&resumed)
        }),
        check("the bot answered Ann in between", everything.contains(&format!("bot: {SECOND_REQUEST}"))),
        check("while agents were there it was silent", {
            let lines = users.first().map(|user| stack.botcopy.screen(user)).unwrap_or_default();
            let by_bot = lines.iter().filter(|line| line.from == Speaker::Bot).count();
            by_bot == verdict::count(journal, "dialogflow_called") && by_bot == 6
        }),
        check("every answer of ours came in time", verdict::count(journal, "answer_ignored") == 0),
        check("no pause lapsed", verdict::count(journal, "pause_lapsed") == 0),
        check("no call was refused by either side", verdict::refused_calls(journal) == 0),
        check("no bot is left paused", users.iter().all(|user| !stack.botcopy.is_paused(user))),
        check("no chat is left open", stack.livechat.open_chats().is_empty()),
    ]
}
