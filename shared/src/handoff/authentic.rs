//! Who is calling: checked before anything else is done with a request.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Handoff;
use super::gates::{BOTCOPY, LIVECHAT};
use crate::botcopy::{self, UnverifiedCall};
use crate::botpress::signature::{self, SignedCall};
use crate::clock::Timestamp;
use crate::http::OddFields;
use crate::livechat::webhook::{self, Event, UnverifiedDelivery};
use crate::secrets::{self, Versions};

/// Why a call is turned away; none of it is told to the caller.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The caller does not know what they would have to know.
    #[error("the caller is not authentic")]
    Unauthentic,
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

/// How often a process notes that a call was turned away.
const NOTED_EVERY: Duration = Duration::from_secs(600);

/// When a process last noted that a call was turned away.
#[derive(Debug, Default)]
pub(super) struct Doors(Mutex<Option<Timestamp>>);

impl Doors {
    /// Whether it is to be noted again; then it is taken to be noted `now`.
    fn take_turn(&self, now: Timestamp) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = noted.is_none_or(|at| at + NOTED_EVERY <= now);
        if is_due {
            *noted = Some(now);
        }
        is_due
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
            is_from_botcopy(versions, call, proof.headers, now).then_some(()).ok_or(Rejection::Unauthentic)
        };
        let verified = self.clock.within(deadline, self.authenticate(verify)).await;
        if let (Some(Err(Rejection::Unauthentic)), Ok(call)) = (&verified, &unverified) {
            self.note_turned_away(call, proof.headers, deadline).await;
        }
        verified.unwrap_or(Err(Rejection::Late))?;
        let call = unverified?;
        self.report_odd(BOTCOPY, "handover", call.odd());
        Ok(call.into_call())
    }

    /// Notes that a call was turned away which looks like one of the operator's own bot, so that an access token that is not the
    /// portal's has a name; at most now and then, since whoever knows the bot's id can make such a call.
    async fn note_turned_away(&self, call: &UnverifiedCall, headers: &http::HeaderMap, deadline: Timestamp) {
        let authorization = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Ok(versions) = self.secrets.get().await else { return };
        let current = &versions.current;
        let main = current.botcopy_bot_id.as_ref().filter(|bot_id| !bot_id.is_empty());
        let mut bot_ids = main.into_iter().chain(current.botcopy_bots.keys());
        let is_missed = bot_ids.any(|bot_id| call.seems_to_be_of(bot_id, authorization.unwrap_or_default()));
        let now = self.clock.now();
        if is_missed && self.doors.take_turn(now) {
            let noted = self.clock.within(deadline, self.table.note_turned_away(now)).await;
            if !matches!(noted, Some(Ok(()))) {
                tracing::warn!("the operator will not be told of a call that was turned away");
            }
        }
    }

    /// Checks that a call comes from Botpress; answers with what its signature covers, where it has to be signed.
    ///
    /// # Errors
    ///
    /// [`Rejection::Unauthentic`], [`Rejection::NotServed`] where the stack has no credentials for Botpress, or
    /// [`Rejection::Secrets`] when that cannot be told.
    pub async fn authenticate_botpress(&self, proof: BotpressProof<'_>) -> Result<Option<SignedCall>, Rejection> {
        self.authenticate(|versions, now| match versions.current.botpress_token {
            None => Err(Rejection::NotServed),
            Some(_) if !is_from_botpress(versions, proof, now) => Err(Rejection::Unauthentic),
            Some(_) => {
                let is_signed = versions.current.botpress_signing_secret.is_some();
                let signature = proof.signature.filter(|_| is_signed);
                Ok(signature.and_then(|signature| SignedCall::read(signature, proof.body)))
            }
        })
        .await
    }

    /// Checks that a webhook's body comes from our organization's LiveChat, and decodes it.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; an authentic event of a kind or shape that we do not know is [`Event::Other`], not an error.
    pub async fn authenticate_livechat(&self, body: &[u8]) -> Result<Event, Rejection> {
        let unverified = UnverifiedDelivery::parse(body).map_err(|_| Rejection::Malformed)?;
        let organization_id = &self.config.livechat.organization_id;
        let delivery = self
            .authenticate(|versions, now| {
                let secrets = versions.accepted(now).map(|secrets| &secrets.webhook_secret);
                Ok(unverified.verify(secrets, organization_id)?)
            })
            .await?;
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
            Err(Rejection::Unauthentic | Rejection::NotServed) => check(&*self.secrets.refreshed().await?, now),
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
            webhook::Rejection::WrongSecret => Self::Unauthentic,
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
fn is_from_botpress(versions: &Versions, proof: BotpressProof<'_>, now: Timestamp) -> bool {
    let key_required = versions.current.botpress_path_key.is_some();
    let signature_required = versions.current.botpress_signing_secret.is_some();
    let path_keys = versions.accepted(now).filter_map(|secrets| secrets.botpress_path_key.as_ref());
    let signing_secrets = versions.accepted_signers(now).filter_map(|secrets| secrets.botpress_signing_secret.as_ref());
    // All are compared, so that the time taken does not tell which one matched.
    let key_fits = path_keys.fold(false, |found, ours| found | ours.matches(proof.path_key));
    if (key_required && !key_fits) || !(key_required || signature_required) {
        return false;
    }
    // Whether Botpress signs a `ping`, which has no body, is not documented; it does nothing, so the key is enough.
    let is_bare_ping = proof.body.is_empty() && key_required && proof.signature.is_none();
    !signature_required || is_bare_ping || signature::verify(proof.signature, proof.body, signing_secrets, now).is_ok()
}
