//! The demonstration: a complete handoff, printed as it happens and verified against the journal at its end.

mod botcopy;
mod layout;
mod paint;
mod story;
mod verdict;

use std::io::Write;

use serde_json::{Value, json};
use shared::clock::Clock;

use crate::botpress::{Escalation, UpstreamUser};
use crate::error::Error;
use crate::livechat::Target;
use crate::stack::{Options, Runtime, SIDE_BY_SIDE, Stack};
pub use layout::Layout;
pub use paint::Palette;
#[cfg(test)]
pub(crate) use story::NEXT;
use story::Story;

/// The first agent of group 1, whom LiveChat's router picks.
const FIRST_AGENT: &str = "anna@example.com";
/// The colleague who takes over.
const SECOND_AGENT: &str = "ben@example.com";

/// The conversation between the first escalation and the transfer, in this order.
const TALK: [(Side, &str); 6] = [
    (Side::Agent, "Hello Ann, this is Anna. What happened to your parcel?"),
    (Side::User, "It says delivered, but it is not here."),
    (Side::User, "Order 4711."),
    (Side::Agent, "Let me look that up."),
    (Side::Agent, "It went to your neighbour at number 7."),
    (Side::User, "Thank you! Can I also change my address?"),
];

/// Ann's picture and its title: the bytes need not be a valid image.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n a picture of an empty doorstep";
const PICTURE_TITLE: &str = "Our doorstep";

/// A text that only agents may read.
const PRIVATE_NOTE: &str = "(private) Address changes are Ben's.";

/// Anna's file: name, media type and content, which is compared byte for byte.
const FILE: (&str, &str, &[u8]) = ("receipt.pdf", "application/pdf", b"%PDF-1.7 signed by number 7");

/// Anna's card as Ann sees it.
const CARD: &str = "**Your neighbour**\nNumber 7, green door\n![Your neighbour](https://example.com/door.png)\n\
                    - [Show the way](https://example.com/map)\n- I will fetch it";

const AFTER_TRANSFER: &str = "Ben here, your address is changed.";
const SECOND_REQUEST: &str = "One more question";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    User,
    Agent,
}

/// The bot platforms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Bot {
    /// Botpress, with the HITL plugin.
    #[default]
    Botpress,
    /// Botcopy, in front of Dialogflow.
    Botcopy,
}

/// Plays the handoff and prints it to `out`; returns true if the journal shows exactly what should have happened.
///
/// # Errors
///
/// When the stack does not come up or a step of the story is refused.
pub async fn play(
    runtime: Runtime<'_>,
    bot: Bot,
    (palette, layout): (Palette, Layout),
    out: &mut impl Write,
) -> Result<bool, Error> {
    // The HITL plugin's simulator activates a session at once, so there is little to wait for.
    let environment = [
        ("SETTLE_MS", "200"),
        ("BOTCOPY_RESUME_EVENT", botcopy::RESUME_EVENT),
        ("BOTCOPY_TYPING", "show"),
        ("WORDING", botcopy::WORDING),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let ports = match runtime {
        Runtime::Deployed(deployed) => [0, deployed.livechat_port, deployed.botpress_port, deployed.botcopy_port],
        Runtime::InProcess | Runtime::Processes(_) => [0; 4],
    };
    let options =
        Options { runtime, ports, environment, instances: SIDE_BY_SIDE, ..Options::in_process(Clock::system()) };
    let stack = Stack::start(options).await?;
    let agents = stack.livechat.agents().into_iter().map(|(agent, _)| agent);
    let mut play = Play { story: Story::new(out, palette, layout, agents), stack: &stack };
    play.story.legend()?;
    let verdict = match bot {
        Bot::Botpress => {
            play.tell_all().await?;
            verdict::judge(&stack, runtime).await
        }
        Bot::Botcopy => {
            play.tell_botcopy().await?;
            botcopy::judge(&stack)
        }
    };
    play.story.verdict(&verdict)?;
    Ok(verdict.iter().all(|check| check.holds))
}

/// The card as Anna's app sends it.
fn card() -> Value {
    let button = |kind: &str, text: &str, value: &str| json!({"type": kind, "text": text, "value": value, "postback_id": text, "user_ids": []});
    json!([{
        "title": "Your neighbour",
        "subtitle": "Number 7, green door",
        "image": {"url": "https://example.com/door.png"},
        "buttons": [
            button("url", "Show the way", "https://example.com/map"),
            button("message", "I will fetch it", "I will fetch it"),
        ],
    }])
}

struct Play<'a, W> {
    story: Story<'a, W>,
    stack: &'a Stack,
}

impl<W: Write> Play<'_, W> {
    async fn tell_all(&mut self) -> Result<(), Error> {
        self.story.chapter("The integration is installed on the bot")?;
        self.stack.install().await?;
        self.tell().await?;

        self.story.chapter("Ann talks to the bot, and asks for a person")?;
        let ann = self.stack.botpress.new_user("Ann", Some("ann@example.com"), None);
        self.says(&ann, "Where is my parcel?").await?;
        self.escalate(&ann, "Parcel missing", Some("Order 4711, says delivered")).await?;

        self.story.chapter("Ann and Anna talk")?;
        for (side, text) in TALK {
            match side {
                Side::User => self.says(&ann, text).await?,
                Side::Agent => self.answers(FIRST_AGENT, text).await?,
            }
        }

        self.story.chapter("Ann shows a picture")?;
        let url = self.stack.botpress.stores_file("doorstep.png", "image/png", PICTURE);
        let picture = json!({"imageUrl": url, "title": PICTURE_TITLE});
        self.stack.botpress.user_sends(&ann.conversation_id, "image", picture).await?;
        self.tell().await?;

        self.story.chapter("Anna sends a file and a card")?;
        let chat_id = self.chat_id()?;
        let (name, content_type, bytes) = FILE;
        self.stack.livechat.agent_sends_file(&chat_id, FIRST_AGENT, name, content_type, bytes.to_vec())?;
        self.tell().await?;
        self.stack.livechat.agent_sends_rich_message(&chat_id, FIRST_AGENT, "cards", card())?;
        self.tell().await?;

        self.story.chapter("Anna leaves a note for her colleague and hands the chat to Ben")?;
        self.stack.livechat.agent_sends_private_note(&chat_id, FIRST_AGENT, PRIVATE_NOTE)?;
        self.stack.livechat.agent_transfers(&chat_id, FIRST_AGENT, Target::Agent(SECOND_AGENT.to_owned()))?;
        self.tell().await?;
        self.answers(SECOND_AGENT, AFTER_TRANSFER).await?;

        self.story.chapter("Ben closes the chat, and the bot resumes")?;
        self.stack.livechat.agent_closes(&chat_id, SECOND_AGENT)?;
        self.tell().await?;
        self.says(&ann, SECOND_REQUEST).await?;

        self.story.chapter("Ann asks for a person again")?;
        self.escalate(&ann, "Another question", None).await?;
        self.story.chapter("Ann ends it herself")?;
        self.stack.botpress.user_ends(&ann.conversation_id).await?;
        self.tell().await
    }

    async fn says(&mut self, user: &UpstreamUser, text: &str) -> Result<(), Error> {
        self.stack.botpress.user_says(&user.conversation_id, text).await?;
        self.tell().await
    }

    async fn answers(&mut self, agent_id: &str, text: &str) -> Result<(), Error> {
        self.stack.livechat.agent_sends_text(&self.chat_id()?, agent_id, text)?;
        self.tell().await
    }

    async fn escalate(&mut self, user: &UpstreamUser, title: &str, description: Option<&str>) -> Result<(), Error> {
        let escalation = Escalation {
            title: Some(title.to_owned()),
            description: description.map(str::to_owned),
            ..Escalation::default()
        };
        self.stack.botpress.escalate(&user.conversation_id, escalation).await?;
        self.tell().await
    }

    fn chat_id(&self) -> Result<String, Error> {
        let chat = self.stack.livechat.open_chats().into_iter().next().ok_or("no chat is open")?;
        Ok(chat.id)
    }

    /// Waits until everything that was started has finished, then prints the outcome.
    async fn tell(&mut self) -> Result<(), Error> {
        self.stack.settled().await;
        Ok(self.story.tell(&self.stack.journal)?)
    }
}
