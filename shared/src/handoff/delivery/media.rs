//! Files of the user: downloaded from the bot platform, uploaded to LiveChat, and shown there; as a link if that fails.

use std::time::Duration;

use super::addressee::Addressee;
use crate::bridge::{Media, ToAgent, to_livechat};
use crate::handoff::delivery::outbound::Delivered;
use crate::handoff::inbox::content::Content as _;
use crate::handoff::vendors::credentials::call;
use crate::handoff::vendors::limits::patiently;
use crate::handoff::{Error, Handoff, Result};
use crate::livechat::NewEvent;
use crate::media::{self, Download};
use crate::model::lane::Waiting;
use crate::model::session::Session;
use crate::model::user::User;
use crate::redacted::Redacted;
use crate::text::one_line;

/// How many downloads may fail before the link is sent instead.
const MOST_DOWNLOADS: u32 = 3;

/// How many attempts an upload gets; most failures mean that LiveChat is down entirely.
const MOST_ATTEMPTS: u32 = 8;

/// When to retry a file that found no room in memory.
const CROWDED_FOR: Duration = Duration::from_secs(1);

impl Handoff {
    /// Shows a file to the agents; a file that was uploaded before is not uploaded again.
    pub(super) async fn deliver_media(
        &self,
        (session, user): (&Session, Option<&User>),
        item: &Waiting<ToAgent>,
        media: &Media,
    ) -> Result<Delivered> {
        let custom_id = &item.position.source_id;
        let Some(addressee) = self.addressee(session, user).await? else { return Ok(Delivered::dropped()) };
        if let Some(delivered) = self.found(&addressee, item).await? {
            return Ok(delivered);
        }
        let link =
            || NewEvent::text(to_livechat::media_link(media, self.words_for_agents(session.group_id)), custom_id);
        let Some(url) = self.uploaded(session, item, media, &addressee).await? else {
            return self.say(&addressee, &link()).await;
        };
        let file = NewEvent::file(url, custom_id);
        let file = match &media.title {
            Some(title) if media.media_type == "image" => file.with_alternative_text(one_line(title.expose()).into()),
            _ => file,
        };
        match self.say(&addressee, &file).await {
            // LiveChat deletes the upload after a day if it is not sent.
            Err(Error::LiveChat(error)) if error.refusal().is_some() && !error.is_retryable() => {
                tracing::warn!(error = %error, session.id = %session.session_id,
                    "LiveChat refused a file; its link is sent instead");
                self.say(&addressee, &link()).await
            }
            sent => sent,
        }
    }

    /// Returns the file's address at LiveChat, after an upload if necessary; `None` if the file cannot be uploaded.
    async fn uploaded(
        &self,
        session: &Session,
        item: &Waiting<ToAgent>,
        media: &Media,
        addressee: &Addressee,
    ) -> Result<Option<Redacted>> {
        if let Some(url) = &media.uploaded_url {
            return Ok(Some(url.clone()));
        }
        if item.attempts >= MOST_ATTEMPTS {
            return Ok(None);
        }
        let Some(download) = self.download(session, item, media).await? else { return Ok(None) };
        let name = download.declared.name(media.title.as_ref().map(Redacted::expose), &media.media_type);
        let content_type = download.declared.content_type();
        let mut customer = self.as_addressed_customer(addressee).await?;
        let upload = async { call!(customer.upload_file(&name, &content_type, download.content.clone())) };
        let uploaded: Result<String> = patiently(upload).await;
        match uploaded {
            Ok(url) => {
                let url = Redacted::from(url);
                // Recorded before the file is shown, so that a later attempt does not upload it again.
                let progress = Media { uploaded_url: Some(url.clone()), ..media.clone() };
                self.note_progress(session, item, progress).await?;
                Ok(Some(url))
            }
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => {
                tracing::warn!(error = %error, session.id = %session.session_id,
                    "a file could not be uploaded; its link is sent instead");
                Ok(None)
            }
        }
    }

    /// Downloads the file; returns `None` if it can never be downloaded.
    async fn download(&self, session: &Session, item: &Waiting<ToAgent>, media: &Media) -> Result<Option<Download>> {
        if media.failed_downloads >= MOST_DOWNLOADS {
            return Ok(None);
        }
        fail_point!(Before, "media fetch");
        let fetched = self.media.fetch(media.url.expose()).await;
        fail_point!(After, "media fetch");
        match fetched {
            Ok(download) => Ok(Some(download)),
            // The file itself has not failed, so this does not count as a failed download.
            Err(media::Error::Crowded) => Err(Error::Crowded { wait: CROWDED_FOR }),
            Err(error) if error.is_retryable() => {
                let progress = Media { failed_downloads: media.failed_downloads + 1, ..media.clone() };
                self.note_progress(session, item, progress).await?;
                Err(Error::Media(error))
            }
            Err(error) => {
                tracing::warn!(error = %error, session.id = %session.session_id,
                    "a file could not be downloaded; its link is sent instead");
                Ok(None)
            }
        }
    }

    async fn note_progress(&self, session: &Session, item: &Waiting<ToAgent>, progress: Media) -> Result<()> {
        let content = ToAgent::Media(progress);
        Ok(self.table.note_progress(&session.session_id, ToAgent::LANE, &item.position, &content).await?)
    }
}
