//! Agents as separate Botpress users, with their name and picture from LiveChat.

use std::collections::BTreeMap;

use crate::botpress::NewUser;
use crate::bridge::AgentProfile;
use crate::handoff::vendors::credentials::call;
use crate::handoff::{Handoff, Result};
use crate::ids::{AgentId, UserId};
use crate::model::session::{Install, Session};
use crate::redacted::Redacted;
use crate::store::Agent;

impl Handoff {
    /// Returns the Botpress user for an agent, and creates or updates it if needed, also after it was deleted there.
    pub(crate) async fn agent_user(
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
        // If the agent's name cannot be read, their messages are still delivered, without a name.
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

    /// Returns the Botpress user for a bot of the licence, which is never announced; its profile is read only once.
    pub(crate) async fn bot_user(&self, session: &Session, install: &Install, bot_id: &AgentId) -> Result<UserId> {
        match self.table.agent(&install.install_id, bot_id, self.clock.now()).await? {
            Some(known) => Ok(known.user_id),
            None => self.agent_user(session, install, bot_id, None).await,
        }
    }
}

fn profile_of(known: &Agent) -> AgentProfile {
    AgentProfile { name: known.name.clone(), picture_url: known.picture_url.clone() }
}

/// Returns the tags of an agent's user. LiveChat's id of a human agent is their e-mail address; that of a bot is not.
fn tags(agent_id: &AgentId) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::from([("id".to_owned(), format!("agent:{agent_id}"))]);
    if agent_id.as_str().contains('@') {
        tags.insert("email".to_owned(), agent_id.to_string());
    }
    tags
}
