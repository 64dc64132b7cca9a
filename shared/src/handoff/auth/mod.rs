//! Who is calling: checked before anything else is done with a request.

pub(super) mod doors;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use crate::botcopy::{self, UnverifiedCall};
use crate::botpress::signature;
use crate::clock::Timestamp;
use crate::handoff::Handoff;
use crate::handoff::vendors::limits::{BOTCOPY, BOTPRESS, LIVECHAT};
use crate::livechat::webhook::{self, Event, UnverifiedDelivery};
use crate::model::call::SignedCall;
use crate::odd::OddFields;
use crate::secrets::{self, Versions};

/// Why a call is turned away; none of it is told to the caller.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The caller does not know what they would have to know.
    #[error("the caller is not authentic: {0}")]
    Unauthentic(Lack),
    /// The caller is authentic but speaks for somebody else's account or integration.
    #[error("the call is meant for another tenant")]
    Foreign,
    /// The body is not what the caller always sends.
    #[error("the body is malformed")]
    Malformed,
    /// The stack has no credentials for this caller's platform, so it does not serve it.
    #[error("this stack does not serve the caller's platform")]
    NotServed,
    /// There is nothing to compare with.
    #[error(transparent)]
    Secrets(#[from] secrets::Error),
    /// What to compare with did not come in time.
    #[error("the credentials did not come in time")]
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
    /// All headers: which of them counts is configured.
    pub headers: &'a http::HeaderMap,
    /// The body as it was sent.
    pub body: &'a [u8],
}

/// What a caller would have to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The last part of the path that Botpress is given.
    PathKey,
    /// Botpress's signature, of this body and of this time.
    Signature,
    /// The secret of LiveChat's webhooks.
    Secret,
    /// Botcopy's access token, or the custom header.
    Token,
}

impl Rejection {
    /// What a turned-away call lacks, in a word for metrics and the operator; nothing where the fault may be our own, or the call is
    /// like none of a vendor's.
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

    /// A call that only names the bot is anybody's and leaves no note: whoever knows the bot's id can make it. One that shows the same
    /// token in both places is the operator's own bot with a token that is not the portal's.
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

    /// Checks that a call comes from Botpress; answers with what its signature covers, where it has to be signed.
    ///
    /// # Errors
    ///
    /// [`Rejection::Unauthentic`], [`Rejection::NotServed`] where the stack has no credentials for Botpress, or
    /// [`Rejection::Secrets`] when that cannot be told.
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

    /// Counts a call in Botpress's name that is turned away, and notes it now and then.
    pub async fn turn_botpress_away(&self, rejection: &Rejection) {
        self.turn_away(BOTPRESS, rejection).await;
    }

    /// Serves an authentic call of Botpress, and notes now and then that one was let in.
    pub async fn let_botpress_in<F: Future>(&self, work: F) -> F::Output {
        self.let_in(BOTPRESS, work).await
    }

    /// Checks that a webhook's body comes from our organization's LiveChat, and decodes it.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; an authentic event of a kind or shape that we do not know is [`Event::Other`], not an error.
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
                if !is_a_check {
                    self.turn_away(LIVECHAT, &rejection).await;
                }
                return Err(rejection);
            }
        };
        let (event, odd) = delivery.decode(self.clock.now()).unwrap_or_else(|error| {
            tracing::error!(error = %error, "LiveChat sent something that cannot be read");
            (Event::Other, OddFields::default())
        });
        self.report_odd(LIVECHAT, event.name(), &odd);
        Ok(event)
    }

    /// Compares with the cached credentials, and with fresh ones before a call is turned away: they may be new.
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

    /// The credentials. A new process, which has to fetch them, makes its way to the table meanwhile: by a read of what it has
    /// to know anyway, and for which it does not wait.
    async fn known_credentials(&self) -> Result<Arc<Versions>, secrets::Error> {
        let mut credentials = pin!(self.secrets.get());
        if !self.secrets.is_empty() {
            return credentials.await;
        }
        tokio::select! {
            fetched = &mut credentials => fetched,
            // Where the table fails, whoever needs it will say so.
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

/// The path key is demanded where there is one, the signature likewise; with neither, nobody can prove anything.
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
    // Whether Botpress signs a `ping`, which has no body, is not documented; it does nothing, so the key is enough.
    let is_bare_ping = proof.body.is_empty() && key_required && proof.signature.is_none();
    if !signature_required || is_bare_ping {
        return Ok(());
    }
    signature::verify(proof.signature, proof.body, signing_secrets, now).map_err(|_| Lack::Signature)
}
