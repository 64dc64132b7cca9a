//! Calling vendors with credentials that may have been replaced meanwhile.

use std::sync::Arc;

use super::Vendors;
use super::limits::Door;
use crate::handoff::Result;
use crate::model::session::{Channel, Install};
use crate::redacted::Redacted;
use crate::secrets::Versions;
use crate::{botcopy, botpress, livechat};

/// Makes a vendor call, not before a time that the vendor has named; when the credential is refused, gets a new one and calls once more.
///
/// `call!(customer.list_chats())` calls `customer.api().list_chats()`. `call!(once customer.send_event(..))` is for calls that must
/// happen once: it waits for the answer for as long as the caller can.
macro_rules! call {
    (once $credential:ident.$name:ident($($argument:tt)*)) => {
        call!(@ Once, $credential.$name($($argument)*))
    };
    ($credential:ident.$name:ident($($argument:tt)*)) => {
        call!(@ Repeatable, $credential.$name($($argument)*))
    };
    (@ $kind:ident, $credential:ident.$name:ident($($argument:tt)*)) => {
        loop {
            let kind = $crate::handoff::vendors::limits::Kind::$kind;
            let mut passed = match $credential.door().pass(stringify!($name), kind).await {
                Ok(passed) => passed,
                Err(waiting) => break Err(waiting),
            };
            fail_point!(Before, concat!("vendor ", stringify!($name)));
            let answer = passed.answer($credential.api().$name($($argument)*)).await;
            fail_point!(After, concat!("vendor ", stringify!($name)));
            match answer {
                Err(hanging) => break Err(hanging),
                Ok(Err(error)) if error.is_authentication() && $credential.renew().await? => {}
                Ok(answer) => break passed.note(answer).await,
            }
        }
    };
}
pub(crate) use call;

/// The owner of the agent token has a LiveChat limit of their own.
const AGENT_TOKEN: &str = "agent token";

/// Sessions may outlast their platform's key. Without a key the platform refuses the call, and the refusal is recorded.
const NONE: &Redacted = &Redacted::new(String::new());

/// The agent token's owner, at the Agent Chat API.
#[derive(Debug)]
pub(crate) struct AsAgent<'a>(FromSecret<'a>);

impl<'a> AsAgent<'a> {
    pub(crate) fn api(&self) -> livechat::Agent<'_> {
        self.0.vendors.livechat.agent(&self.0.versions.current.agent_token)
    }

    pub(crate) const fn door(&self) -> Door<'a> {
        self.0.vendors.gates.livechat.door(AGENT_TOKEN)
    }

    pub(crate) async fn renew(&mut self) -> Result<bool> {
        self.0.renew().await
    }
}

/// The agent token's owner, at the Configuration API.
#[derive(Debug)]
pub(crate) struct AsOwner<'a>(FromSecret<'a>);

impl<'a> AsOwner<'a> {
    pub(crate) fn api(&self) -> livechat::Configuration<'_> {
        self.0.vendors.livechat.configuration(&self.0.versions.current.agent_token)
    }

    pub(crate) const fn door(&self) -> Door<'a> {
        self.0.vendors.gates.livechat.door(AGENT_TOKEN)
    }

    pub(crate) async fn renew(&mut self) -> Result<bool> {
        self.0.renew().await
    }
}

/// An install of the service's integration, at Botpress.
#[derive(Debug)]
pub(crate) struct AsInstall<'a> {
    install: &'a Install,
    secret: FromSecret<'a>,
}

impl<'a> AsInstall<'a> {
    pub(crate) fn api(&self) -> botpress::Runtime<'_> {
        let token = self.secret.versions.current.botpress_token.as_ref().unwrap_or(NONE);
        self.secret.vendors.botpress.install(self.install, token)
    }

    pub(crate) fn door(&self) -> Door<'a> {
        self.secret.vendors.gates.botpress.door(self.install.bot_id.as_str())
    }

    pub(crate) async fn renew(&mut self) -> Result<bool> {
        self.secret.renew().await
    }
}

/// One user's widget, at Botcopy.
#[derive(Debug)]
pub(crate) struct AsChannel<'a> {
    channel: &'a Channel,
    secret: FromSecret<'a>,
}

impl<'a> AsChannel<'a> {
    pub(crate) fn api(&self) -> botcopy::Widget<'_> {
        let keys = self.secret.versions.current.botcopy_keys(self.channel.bot_id.as_str());
        let api_key = keys.map_or(NONE, |keys| keys.api_key);
        self.secret.vendors.botcopy.widget(self.channel, api_key)
    }

    pub(crate) fn door(&self) -> Door<'a> {
        self.secret.vendors.gates.botcopy.door(self.channel.bot_id.as_str())
    }

    pub(crate) async fn renew(&mut self) -> Result<bool> {
        self.secret.renew().await
    }
}

/// A credential that an operator may rotate at any time.
#[derive(Debug)]
struct FromSecret<'a> {
    vendors: &'a Vendors,
    versions: Arc<Versions>,
    renewed: bool,
}

impl FromSecret<'_> {
    async fn renew(&mut self) -> Result<bool> {
        let first = !std::mem::replace(&mut self.renewed, true);
        if first {
            self.versions = Box::pin(self.vendors.secrets.refreshed()).await?;
        }
        Ok(first)
    }
}

impl Vendors {
    pub(crate) async fn as_agent(&self) -> Result<AsAgent<'_>> {
        self.with_secret().await.map(AsAgent)
    }

    pub(crate) async fn as_owner(&self) -> Result<AsOwner<'_>> {
        self.with_secret().await.map(AsOwner)
    }

    pub(crate) async fn as_install<'a>(&'a self, install: &'a Install) -> Result<AsInstall<'a>> {
        Ok(AsInstall { install, secret: self.with_secret().await? })
    }

    pub(crate) async fn as_channel<'a>(&'a self, channel: &'a Channel) -> Result<AsChannel<'a>> {
        Ok(AsChannel { channel, secret: self.with_secret().await? })
    }

    async fn with_secret(&self) -> Result<FromSecret<'_>> {
        Ok(FromSecret { vendors: self, versions: Box::pin(self.secrets.get()).await?, renewed: false })
    }
}
