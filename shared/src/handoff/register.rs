//! `register` and `unregister`: everything a handoff will need is checked before the first user needs it.

use std::collections::BTreeMap;

use super::credentials::call;
use super::{Error, Handoff, Result};
use crate::botpress::{Install, RegisterSchedule};
use crate::ids::{GroupId, UserId, WebhookRegistrationId};
use crate::livechat::{AuthorType, NewWebhook, WebhookFilters, WebhookRegistration};

/// The events that a handoff is made of.
const WEBHOOK_ACTIONS: [&str; 7] = [
    "incoming_chat",
    "incoming_event",
    "event_updated",
    "event_deleted",
    "chat_transferred",
    "user_added_to_chat",
    "chat_deactivated",
];

/// The customer that checks are made with, so that a check does not leave a new customer behind each time.
const PROBE_USER: &str = "registration-check";

impl Handoff {
    /// Checks the LiveChat app, the agent token and the group, brings the webhooks in order, and asks Botpress to repeat
    /// all that daily.
    ///
    /// `webhook_url` is where LiveChat shall send its events. Without the scope `webhooks.configuration:rw` the webhooks
    /// are left to the operator, as the README describes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with a sentence that Botpress shows to whoever installs the integration.
    pub async fn register(&self, install: &Install, group_id: Option<GroupId>, webhook_url: &str) -> Result<()> {
        self.check_customer_side(group_id.unwrap_or(self.config.group_id)).await?;
        self.check_agent_token().await?;
        self.repair_webhooks(webhook_url).await?;
        self.table.put_install(install).await?;
        let mut bot = self.as_install(install).await?;
        let scheduled: Result<()> = call!(bot.configure_integration(RegisterSchedule::Daily));
        scheduled
            .map_err(|error| explained("Botpress refused the access key; check botpressToken in the secret", error))
    }

    /// Forgets an install; the last one takes the webhooks along.
    ///
    /// # Errors
    ///
    /// [`Error`] when the table failed; what LiveChat says is only logged, since nobody could act on it.
    pub async fn unregister(&self, install: &Install, webhook_url: &str) -> Result<()> {
        if self.table.remove_install(&install.install_id).await? > 0 {
            return Ok(());
        }
        let removed = async {
            for registration in self.own_webhooks(webhook_url).await? {
                let mut owner = self.as_owner().await?;
                call!(owner.unregister_webhook(&registration.id))?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(error = %error, "LiveChat's webhooks could not be removed");
        }
        Ok(())
    }

    async fn check_customer_side(&self, group_id: GroupId) -> Result<()> {
        let probe = UserId::from(PROBE_USER);
        let known = self.table.user(&probe).await?.and_then(|user| user.customer);
        let customer = self.ensure_customer(&probe, known).await.map_err(|error| {
            explained(
                "LiveChat issued no customer token; check LIVECHAT_CLIENT_ID, LIVECHAT_ORGANIZATION_ID and that \
                 LIVECHAT_REDIRECT_URI is listed in the app",
                error,
            )
        })?;
        let mut customer = self.as_customer(&probe, customer);
        let statuses: Result<BTreeMap<_, _>> = call!(customer.list_group_statuses(&[group_id]));
        let statuses = statuses.map_err(|error| explained("LiveChat did not tell the status of the group", error))?;
        match statuses.contains_key(&group_id) {
            true => Ok(()),
            false => Err(Error::Refused(self.config.wording.group_unknown(group_id))),
        }
    }

    async fn check_agent_token(&self) -> Result<()> {
        let mut agent = self.as_agent().await?;
        let probed: Result<()> = call!(agent.list_chats_once());
        probed.map_err(|error| {
            explained(
                "LiveChat refused the agent token; check agentToken in the secret and that it has the scope \
                 chats--all:rw or chats--access:rw",
                error,
            )
        })
    }

    async fn repair_webhooks(&self, webhook_url: &str) -> Result<()> {
        let present = match self.own_webhooks(webhook_url).await {
            Err(Error::LiveChat(error)) if error.is_forbidden() => {
                tracing::warn!(error = %error, "the agent token may not manage webhooks: keep them in LiveChat's console");
                return Ok(());
            }
            present => present?,
        };
        for action in WEBHOOK_ACTIONS {
            if !present.iter().any(|registration| registration.action == action) {
                self.register_webhook(action, webhook_url).await?;
            }
        }
        let mut owner = self.as_owner().await?;
        match call!(owner.enable_license_webhooks()) {
            // Enabling needs one more scope, and is only needed after somebody has disabled them.
            Err(Error::LiveChat(error)) if error.is_forbidden() => Ok(()),
            enabled => enabled,
        }
    }

    async fn own_webhooks(&self, webhook_url: &str) -> Result<Vec<WebhookRegistration>> {
        let mut owner = self.as_owner().await?;
        let mut registrations: Vec<WebhookRegistration> = call!(owner.list_webhooks())?;
        registrations.retain(|registration| registration.url == webhook_url);
        Ok(registrations)
    }

    async fn register_webhook(&self, action: &str, webhook_url: &str) -> Result<()> {
        let versions = self.secrets.get().await?;
        let filters = match action {
            // The customer's own words come from us; there is no need to be told of them.
            "incoming_event" | "event_updated" => {
                WebhookFilters { author_type: Some(AuthorType::Agent), ..WebhookFilters::default() }
            }
            _ => WebhookFilters::default(),
        };
        let webhook = NewWebhook {
            action,
            url: webhook_url,
            secret: &versions.current.webhook_secret,
            description: "livechat-hitl",
            filters,
        };
        let mut owner = self.as_owner().await?;
        let registered: Result<WebhookRegistrationId> = call!(owner.register_webhook(&webhook));
        registered.map(drop).map_err(|error| {
            explained(
                &format!("LiveChat did not register the webhook {action}; it allows three for each action"),
                error,
            )
        })
    }
}

/// A vendor's refusal as a sentence that says what to look at; passing troubles stay what they are.
fn explained(advice: &str, error: Error) -> Error {
    if error.is_retryable() { error } else { Error::Refused(format!("{advice}. ({error})")) }
}
