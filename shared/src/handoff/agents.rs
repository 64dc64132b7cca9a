//! Agents as Botpress users of their own, with the name and picture they have at LiveChat.

use std::collections::BTreeMap;

use super::credentials::call;
use super::{Error, Handoff, Result};
use crate::botpress::{Install, NewUser};
use crate::bridge::AgentProfile;
use crate::ids::{AgentId, UserId, numbered};
use crate::livechat::Chat;
use crate::redacted::Redacted;
use crate::store::{Agent, Session, Thread};

impl Handoff {
    /// The Botpress user for an agent, made or brought up to date where needed; one that was deleted there is made again.
    pub(super) async fn agent_user(
        &self,
        session: &Session,
        install: &Install,
        agent_id: &AgentId,
        profile: Option<&AgentProfile>,
    ) -> Result<UserId> {
        let now = self.clock.now();
        let known = self.table.agent(&install.install_id, agent_id, now).await?;
        let found = match profile {
            Some(profile) => Some(profile.clone()),
            None => self.look_up_profile(session, agent_id).await,
        };
        // An agent whose name cannot be learned goes unnamed rather than unheard.
        let profile = found.or_else(|| known.as_ref().map(profile_of)).unwrap_or_default();
        let [name, picture_url] = [&profile.name, &profile.picture_url].map(|text| text.as_ref().map(Redacted::expose));
        let user = NewUser::new(tags(agent_id), name, picture_url);
        let mut bot = self.as_install(install).await?;
        let user = call!(bot.get_or_create_user(&user, &["id"]))?;
        let agent = Agent { user_id: user.id.clone(), name: profile.name, picture_url: profile.picture_url };
        if known.as_ref() != Some(&agent) {
            self.table.put_agent(&install.install_id, agent_id, &agent, self.kept_until(now)).await?;
        }
        Ok(user.id)
    }

    /// The Botpress user for a bot of the licence, which is never announced; it is asked about once.
    pub(super) async fn bot_user(&self, session: &Session, install: &Install, bot_id: &AgentId) -> Result<UserId> {
        match self.table.agent(&install.install_id, bot_id, self.clock.now()).await? {
            Some(known) => Ok(known.user_id),
            None => self.agent_user(session, install, bot_id, None).await,
        }
    }

    /// Whether an agent takes part in the session's chat now.
    pub(super) async fn is_present(&self, session: &Session, agent_id: &AgentId) -> Result<bool> {
        let Some(thread) = &session.thread else { return Ok(false) };
        let users = match self.read_thread(thread).await {
            Err(Error::LiveChat(error)) if error.is_gone() => return Ok(false),
            read => read?.users,
        };
        Ok(users.iter().any(|user| user.id == *agent_id && user.present != Some(false)))
    }

    /// What LiveChat shows of an agent in this chat.
    pub(super) async fn look_up_profile(&self, session: &Session, agent_id: &AgentId) -> Option<AgentProfile> {
        match self.read_thread(session.thread.as_ref()?).await {
            Ok(chat) => chat.users.iter().find(|user| user.id == *agent_id).map(AgentProfile::of),
            Err(error) => {
                tracing::warn!(error = %error, session.id = %session.session_id, "an agent's name could not be read");
                None
            }
        }
    }

    /// A chat with one of its threads, as agents see it; events of one time stand as LiveChat counts them.
    pub(super) async fn read_thread(&self, thread: &Thread) -> Result<Chat> {
        let mut agent = self.as_agent().await?;
        let mut chat: Chat = call!(agent.get_chat(&thread.chat_id, Some(&thread.thread_id)))?;
        if let Some(thread) = &mut chat.thread {
            thread.events.sort_by_key(|event| (event.created_at, numbered(event.id.as_str()).1));
        }
        Ok(chat)
    }
}

fn profile_of(known: &Agent) -> AgentProfile {
    AgentProfile { name: known.name.clone(), picture_url: known.picture_url.clone() }
}

/// LiveChat's id of a human agent is their e-mail address; that of a bot is not.
fn tags(agent_id: &AgentId) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::from([("id".to_owned(), format!("agent:{agent_id}"))]);
    if agent_id.as_str().contains('@') {
        tags.insert("email".to_owned(), agent_id.to_string());
    }
    tags
}
