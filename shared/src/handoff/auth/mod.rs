//! Authentication of callers, checked before anything else is done with a request.

pub(super) mod doors;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use crate::botcopy::{self, UnverifiedCall};
use crate::botpress::signature;
use crate::clock::Timestamp;
use crate::handoff::Handoff;
use crate::livechat::webhook::{self, Event, UnverifiedDelivery};
use crate::model::call::SignedCall;
use crate::model::vendor::{BOTCOPY, BOTPRESS, LIVECHAT};
use crate::odd::OddFields;
use crate::secrets::{self, Versions};

/// Why a call is rejected; none of it is disclosed to the caller.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The caller lacks a required secret, token or signature.
    #[error("the caller is not authentic: {0}")]
    Unauthentic(Lack),
    /// The caller is authentic but acts for another account or integration.
    #[error("the call is meant for another tenant")]
    Foreign,
    /// The body does not have the form that the caller always sends.
    #[error("the body is malformed")]
    Malformed,
    /// The stack has no credentials for this caller's platform, so it does not serve it.
    #[error("this stack does not serve the caller's platform")]
    NotServed,
    /// The stack's own credentials could not be read.
    #[error(transparent)]
    Secrets(#[from] secrets::Error),
    /// The stack's own credentials did not arrive in time.
    #[error("the stack's credentials could not be read in time")]
    Late,
}

/// What proves that a call comes from Botpress.
#[derive(Clone, Copy, Debug)]
pub struct BotpressProof<'a> {
    /// The last part of the called path.
    pub path_key: &'a str,
    /// The `X-BP-Signature` header.
    pub signature: Option<&'a str>,
    /// The body as it was sent.
    pub body: &'a [u8],
}

/// What proves that a call comes from Botcopy.
#[derive(Clone, Copy, Debug)]
pub struct BotcopyProof<'a> {
    /// All headers; the configuration determines which of them counts.
    pub headers: &'a http::HeaderMap,
    /// The body as it was sent.
    pub body: &'a [u8],
}

/// What a rejected caller failed to present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The last part of the path that Botpress is given.
    PathKey,
    /// Botpress's signature of this body at this time.
    Signature,
    /// The secret of LiveChat's webhooks.
    Secret,
    /// Botcopy's access token, or the custom header.
    Token,
}

impl Rejection {
    /// Returns what a rejected call lacks, as a label for metrics and the operator; `None` if the fault may be the stack's own, or the
    /// call does not look like one of a vendor.
    pub(crate) const fn because(&self) -> Option<&'static str> {
        match self {
            Self::Unauthentic(lack) => Some(lack.name()),
            Self::Foreign => Some("tenant"),
            Self::NotServed => Some("not served"),
            Self::Malformed | Self::Secrets(_) | Self::Late => None,
        }
    }
}

impl Lack {
    const fn name(self) -> &'static str {
        match self {
            Self::PathKey => "path key",
            Self::Signature => "signature",
            Self::Secret => "secret",
            Self::Token => "token",
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Handoff {
    /// Checks until `deadline` that a call comes from Botcopy, and reads it.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; [`Rejection::NotServed`] where the stack has no credentials for Botcopy, [`Rejection::Late`] when
    /// Secrets Manager hangs.
    pub async fn authenticate_botcopy(
        &self,
        proof: BotcopyProof<'_>,
        deadline: Timestamp,
    ) -> Result<botcopy::Call, Rejection> {
        // Parsed before it is verified, since the bot id in it selects the keys.
        let unverified = UnverifiedCall::parse(proof.body).map_err(|_| Rejection::Malformed);
        let verify = |versions: &Versions, now: Timestamp| {
            if !versions.current.serves_botcopy() {
                return Err(Rejection::NotServed);
            }
            let Ok(call) = &unverified else { return Err(Rejection::Malformed) };
            is_from_botcopy(versions, call, proof.headers, now).then_some(()).ok_or(Rejection::Unauthentic(Lack::Token))
        };
        let verified = self.clock.within(deadline, self.authenticate(verify)).await;
        let verified = verified.unwrap_or(Err(Rejection::Late));
        if let (Err(rejection @ Rejection::Unauthentic(_)), Ok(call)) = (&verified, &unverified) {
            self.turn_away_from_botcopy(rejection, call, proof.headers).await;
        }
        verified?;
        let call = unverified?;
        self.report_odd(BOTCOPY, "handover", call.odd());
        Ok(call.into_call())
    }

    /// Records a rejected call only if it comes from the operator's own bot. A call that only names the bot leaves no record, since
    /// anyone who knows the bot's id can make it. A call with the same token in both places comes from the operator's own bot, with a
    /// token that differs from the portal's.
    async fn turn_away_from_botcopy(&self, rejection: &Rejection, call: &UnverifiedCall, headers: &http::HeaderMap) {
        let authorization = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Ok(versions) = self.secrets.get().await else { return };
        let current = &versions.current;
        let main = current.botcopy_bot_id.as_ref().filter(|bot_id| !bot_id.is_empty());
        let mut bot_ids = main.into_iter().chain(current.botcopy_bots.keys());
        if bot_ids.any(|bot_id| call.seems_to_be_of(bot_id, authorization.unwrap_or_default())) {
            self.turn_away(BOTCOPY, rejection).await;
        }
    }

    /// Checks that a call comes from Botpress. Returns what its signature covers, if it must be signed.
    ///
    /// # Errors
    ///
    /// [`Rejection::Unauthentic`], [`Rejection::NotServed`] where the stack has no credentials for Botpress, or
    /// [`Rejection::Secrets`] when the stack's credentials cannot be read.
    pub async fn authenticate_botpress(&self, proof: BotpressProof<'_>) -> Result<Option<SignedCall>, Rejection> {
        self.authenticate(|versions, now| {
            if versions.current.botpress_token.is_none() {
                return Err(Rejection::NotServed);
            }
            prove_botpress(versions, proof, now).map_err(Rejection::Unauthentic)?;
            let is_signed = versions.current.botpress_signing_secret.is_some();
            let signature = proof.signature.filter(|_| is_signed);
            Ok(signature.and_then(|signature| SignedCall::read(signature, proof.body)))
        })
        .await
    }

    /// Counts a rejected call in Botpress's name, and records it at intervals.
    pub async fn turn_botpress_away(&self, rejection: &Rejection) {
        self.turn_away(BOTPRESS, rejection).await;
    }

    /// Serves an authentic call of Botpress, and records at intervals that one was accepted.
    pub async fn let_botpress_in<F: Future>(&self, work: F) -> F::Output {
        self.let_in(BOTPRESS, work).await
    }

    /// Checks that a webhook's body comes from LiveChat for this stack's organization, and decodes it.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; an authentic event of an unknown kind or shape is [`Event::Other`], not an error.
    pub async fn authenticate_livechat(&self, body: &[u8]) -> Result<Event, Rejection> {
        let unverified = UnverifiedDelivery::parse(body);
        let organization_id = &self.config.livechat.organization_id;
        let is_a_check = unverified.as_ref().is_ok_and(UnverifiedDelivery::is_a_check);
        let verified = match &unverified {
            Ok(unverified) => {
                self.authenticate(|versions, now| {
                    let secrets = versions.accepted(now).map(|secrets| &secrets.webhook_secret);
                    Ok(unverified.verify(secrets, organization_id)?)
                })
                .await
            }
            Err(_) => Err(Rejection::Malformed),
        };
        let delivery = match verified {
            Ok(delivery) => delivery,
            Err(rejection) => {
                // The operator's own check of this route does not count as a rejected call.
                if !is_a_check {
                    self.turn_away(LIVECHAT, &rejection).await;
                }
                return Err(rejection);
            }
        };
        let (event, odd) = delivery.decode(self.clock.now()).unwrap_or_else(|error| {
            tracing::error!(error = %error, "a webhook of LiveChat could not be decoded");
            (Event::Other, OddFields::default())
        });
        self.report_odd(LIVECHAT, event.name(), &odd);
        Ok(event)
    }

    /// Checks against the cached credentials, and against fresh ones before rejecting a call, since they may have been rotated.
    async fn authenticate<T>(
        &self,
        check: impl Fn(&Versions, Timestamp) -> Result<T, Rejection>,
    ) -> Result<T, Rejection> {
        let now = self.clock.now();
        match check(&*self.known_credentials().await?, now) {
            Err(Rejection::Unauthentic(_) | Rejection::NotServed) => check(&*self.secrets.refreshed().await?, now),
            checked => checked,
        }
    }

    /// Returns the credentials. While a new process fetches them, it also opens its connection to the table, with a read that it
    /// needs anyway and does not wait for.
    async fn known_credentials(&self) -> Result<Arc<Versions>, secrets::Error> {
        let mut credentials = pin!(self.secrets.get());
        if !self.secrets.is_empty() {
            return credentials.await;
        }
        tokio::select! {
            fetched = &mut credentials => fetched,
            // If the table fails, a later call that needs it reports that.
            _ = self.gates.refresh() => credentials.await,
        }
    }
}

impl From<webhook::Rejection> for Rejection {
    fn from(rejection: webhook::Rejection) -> Self {
        match rejection {
            webhook::Rejection::WrongSecret => Self::Unauthentic(Lack::Secret),
            webhook::Rejection::WrongOrganization => Self::Foreign,
        }
    }
}

fn is_from_botcopy(versions: &Versions, call: &UnverifiedCall, headers: &http::HeaderMap, now: Timestamp) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = header("authorization").unwrap_or_default();
    // All are compared, so that the time taken does not tell which one matched.
    versions.accepted(now).fold(false, |fits, secrets| {
        let Some(keys) = secrets.botcopy_keys(call.bot_id()) else { return fits };
        let custom_header = keys.header.and_then(|custom| header(&custom.name));
        let proof = botcopy::Proof { authorization, custom_header };
        fits | call.verify(proof, keys.access_token, keys.header.map(|custom| &custom.value))
    })
}

/// Requires the path key and the signature where each is configured; with neither configured, every call is rejected.
fn prove_botpress(versions: &Versions, proof: BotpressProof<'_>, now: Timestamp) -> Result<(), Lack> {
    let key_required = versions.current.botpress_path_key.is_some();
    let signature_required = versions.current.botpress_signing_secret.is_some();
    let path_keys = versions.accepted(now).filter_map(|secrets| secrets.botpress_path_key.as_ref());
    let signing_secrets = versions.accepted_signers(now).filter_map(|secrets| secrets.botpress_signing_secret.as_ref());
    // All are compared, so that the time taken does not tell which one matched.
    let key_fits = path_keys.fold(false, |found, ours| found | ours.matches(proof.path_key));
    if (key_required && !key_fits) || !(key_required || signature_required) {
        return Err(Lack::PathKey);
    }
    // Botpress does not document whether it signs a `ping`, which has no body. A ping has no effect, so the key is enough.
    let is_bare_ping = proof.body.is_empty() && key_required && proof.signature.is_none();
    if !signature_required || is_bare_ping {
        return Ok(());
    }
    signature::verify(proof.signature, proof.body, signing_secrets, now).map_err(|_| Lack::Signature)
}
