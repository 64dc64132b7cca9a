//! Agents as Botpress users, cached per install.

use serde::{Deserialize, Serialize};

use super::keys::Key;
use super::{Result, Table};
use crate::clock::Timestamp;
use crate::ids::{AgentId, InstallId, UserId};
use crate::redacted::Redacted;

/// An agent as the Botpress user of one install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The Botpress user that represents the agent.
    pub user_id: UserId,
    /// The name that user has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Redacted>,
    /// The picture that user has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture_url: Option<Redacted>,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    agent: &'a Agent,
    expires_at: i64,
}

impl Table {
    /// Reads an install's record of an agent.
    pub async fn agent(&self, install: &InstallId, agent: &AgentId, now: Timestamp) -> Result<Option<Agent>> {
        self.get_unexpired(&Key::agent(install, agent), now).await
    }

    /// Stores an install's record of an agent until `expires_at`. After that, Botpress is asked again.
    pub async fn put_agent(
        &self,
        install: &InstallId,
        agent: &AgentId,
        known: &Agent,
        expires_at: Timestamp,
    ) -> Result<()> {
        let record = Record { agent: known, expires_at: expires_at.unix_seconds() };
        self.put(&Key::agent(install, agent), "agent", &record).await
    }
}
