//! `register` and `unregister`: check everything that a handoff needs before the first user needs it.

use std::collections::BTreeMap;

use crate::botpress::RegisterSchedule;
use crate::bridge::webhooks;
use crate::handoff::vendors::credentials::call;
use crate::handoff::{Error, Handoff, Result};
use crate::ids::{GroupId, UserId, WebhookRegistrationId};
use crate::livechat::{GroupStatus, NewWebhook, WebhookRegistration};
use crate::model::session::Install;
use crate::model::user::Profile;
use crate::redacted::Redacted;

/// The customer for checks, so that each check does not leave a new customer behind.
const PROBE_USER: &str = "registration-check";

impl Handoff {
    /// Checks the LiveChat app, the agent token and the group, repairs the webhooks, and asks Botpress to repeat
    /// all that daily.
    ///
    /// `webhook_url` is the target of LiveChat's events. Without the scope `webhooks.configuration:rw` the operator manages the
    /// webhooks, as docs/connect-livechat.md describes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with a sentence that Botpress shows to the person who installs the integration.
    pub async fn register(&self, install: &Install, group_id: Option<GroupId>, webhook_url: &str) -> Result<()> {
        self.check_app().await?;
        let group_id = group_id.unwrap_or(self.config.group_id);
        if self.group_status(group_id).await?.is_none() {
            return Err(Error::Refused(self.words_for_agents(group_id).group_unknown(group_id)));
        }
        self.check_agent_token().await?;
        match self.repair_webhooks(webhook_url).await {
            Err(Error::LiveChat(error)) if error.is_forbidden() => {
                tracing::warn!(error = %error,
                    "the agent token may not manage webhooks: manage them in LiveChat's console");
            }
            repaired => drop(repaired?),
        }
        self.table.put_install(install).await?;
        let mut bot = self.as_install(install).await?;
        let scheduled: Result<()> = call!(bot.configure_integration(RegisterSchedule::Daily));
        scheduled
            .map_err(|error| explained("Botpress refused the access key; check botpressToken in the secret", error))
    }

    /// Removes an install, and with the last one the webhooks, unless Botcopy bots need them.
    ///
    /// # Errors
    ///
    /// [`Error`] when the table or the secret failed; a failure of LiveChat is only logged, since the caller could not act on it.
    pub async fn unregister(&self, install: &Install, webhook_url: &str) -> Result<()> {
        let installs_left = self.table.remove_install(&install.install_id).await?;
        if installs_left > 0 || self.secrets.latest().await?.current.serves_botcopy() {
            return Ok(());
        }
        let removed = async {
            for registration in self.own_webhooks(webhook_url).await? {
                self.unregister_webhook(&registration.id).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(error = %error, "LiveChat's webhooks could not be removed");
        }
        Ok(())
    }

    /// Issues a token to the customer for checks, which proves that client id, organization and redirect URI are right.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with a sentence that names the settings; else the failure.
    pub async fn check_app(&self) -> Result<()> {
        let probe = UserId::from(PROBE_USER);
        let issued = match self.table.user(&probe).await?.and_then(|user| user.customer) {
            None => {
                let kept_until = self.kept_until(self.clock.now());
                self.table.put_profile(&probe, &Profile::default(), kept_until).await?;
                self.mint(&probe, None).await
            }
            Some(known) => match self.renew(&probe, &known).await {
                Err(Error::CustomerLost) => self.mint(&probe, Some(&known)).await,
                renewed => renewed,
            },
        };
        issued.map(drop).map_err(|error| {
            explained(
                "LiveChat issued no customer token; check LIVECHAT_CLIENT_ID, LIVECHAT_ORGANIZATION_ID and that \
                 LIVECHAT_REDIRECT_URI is listed in the app",
                error,
            )
        })
    }

    /// Returns whether a group can take chats now; `None` if there is no such group. It needs the customer that
    /// [`check_app`](Self::check_app) has left.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with a sentence; else the failure.
    pub async fn group_status(&self, group_id: GroupId) -> Result<Option<GroupStatus>> {
        let probe = UserId::from(PROBE_USER);
        let known = self.table.user(&probe).await?.and_then(|user| user.customer);
        let customer = self.ensure_customer(&probe, known).await?;
        let mut customer = self.as_customer(&probe, customer);
        let statuses: Result<BTreeMap<_, _>> = call!(customer.list_group_statuses(&[group_id]));
        let statuses = statuses.map_err(|error| explained("LiveChat did not report the status of the group", error))?;
        Ok(statuses.get(&group_id).copied())
    }

    /// Checks that the agent token can read chats.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with a sentence; else the failure.
    pub async fn check_agent_token(&self) -> Result<()> {
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

    /// Repairs LiveChat's webhooks: all that a handoff needs, with the current secret, and enabled.
    ///
    /// A replacement is registered before the old webhook is removed, so that no event is missed; events that both report are
    /// recognised as one.
    ///
    /// # Errors
    ///
    /// [`Error`]; LiveChat forbids the calls without the scope `webhooks.configuration:rw`.
    pub async fn repair_webhooks(&self, webhook_url: &str) -> Result<Repaired> {
        let secret = self.secrets.latest().await?.current.webhook_secret.clone();
        let order = webhooks::compare(&self.own_webhooks(webhook_url).await?, &secret, self.config.only_my_chats);
        let mut repaired = Repaired::default();
        for action in order.missing {
            if let Err(error) = self.register_webhook(action, webhook_url, &secret).await {
                let Some(in_the_way) = order.superfluous.iter().find(|one| one.action == action) else {
                    return Err(error);
                };
                // LiveChat's limit leaves no room for the old and the new webhook beside those of others, so the old one is removed first.
                self.unregister_webhook(&in_the_way.id).await?;
                self.register_webhook(action, webhook_url, &secret).await?;
            }
            repaired.registered.push(action.to_owned());
        }
        for registration in order.superfluous {
            self.unregister_webhook(&registration.id).await?;
            repaired.removed.push(registration.action);
        }
        let mut owner = self.as_owner().await?;
        match call!(owner.enable_license_webhooks()) {
            // Enabling needs one more scope, and is only necessary if webhooks were disabled.
            Err(Error::LiveChat(error)) if error.is_forbidden() => {}
            enabled => enabled?,
        }
        Ok(repaired)
    }

    /// Returns the webhooks that lead to this stack.
    async fn own_webhooks(&self, webhook_url: &str) -> Result<Vec<WebhookRegistration>> {
        let mut owner = self.as_owner().await?;
        let mut registrations: Vec<WebhookRegistration> = call!(owner.list_webhooks())?;
        registrations.retain(|registration| registration.url == webhook_url);
        Ok(registrations)
    }

    /// Removes a webhook; succeeds if it no longer exists.
    async fn unregister_webhook(&self, id: &WebhookRegistrationId) -> Result<()> {
        let mut owner = self.as_owner().await?;
        match call!(owner.unregister_webhook(id)) {
            Err(Error::LiveChat(error)) if error.is_not_found() => Ok(()),
            removed => removed,
        }
    }

    async fn register_webhook(&self, action: &str, webhook_url: &str, secret: &Redacted) -> Result<()> {
        let webhook = NewWebhook {
            action,
            url: webhook_url,
            secret,
            description: &webhooks::description(secret),
            filters: webhooks::filters(action, self.config.only_my_chats),
        };
        let mut owner = self.as_owner().await?;
        let registered: Result<WebhookRegistrationId> = call!(owner.register_webhook(&webhook));
        registered.map(drop).map_err(|error| match error {
            Error::LiveChat(error) if error.is_limit_reached() => Error::Refused(format!(
                "LiveChat allows three webhooks for each action and app, and the app has three for {action} that call other \
                 addresses; remove one of them in LiveChat's console, or give this stack an app of its own. ({error})"
            )),
            error => error,
        })
    }
}

/// The changes made by [`Handoff::repair_webhooks`], by action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Actions whose webhook was missing, had another secret, or reported too little or too much.
    pub registered: Vec<String>,
    /// Actions of the removed webhooks, which others replace.
    pub removed: Vec<String>,
}

/// Adds advice on what to check to a vendor's refusal; transient errors stay as they are.
fn explained(advice: &str, error: Error) -> Error {
    match error.is_retryable() && !error.is_authentication() {
        true => error,
        false => Error::Explained { advice: advice.to_owned(), cause: Box::new(error) },
    }
}
