//! What of a returning user's history agents have not read yet.
//!
//! History items have neither ids nor times, so they are recognised by what they say: as a fingerprint, in the order in which
//! agents read them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::to_livechat;
use super::wording::Wording;
use crate::botpress::HistoryItem;
use crate::ids::UserId;

/// How many fingerprints are kept of a user: several sessions' worth, and far below the size of a table's item.
pub const MOST_KEPT: usize = 400;

/// Enough bytes that two texts of one user do not share a fingerprint by chance.
const BYTES: usize = 9;

/// A short mark of a text, another one for each user; the text cannot be read from it.
pub fn fingerprint(user_id: &UserId, text: &str) -> String {
    let hash = Sha256::new().chain_update(user_id.as_str()).chain_update([0]).chain_update(text).finalize();
    URL_SAFE_NO_PAD.encode(hash.get(..BYTES).unwrap_or_default())
}

/// The fingerprint of an item; one that is not readable has none.
fn fingerprint_of(user_id: &UserId, item: &HistoryItem) -> Option<String> {
    match item {
        HistoryItem::Message { content, .. } => {
            Some(fingerprint(user_id, to_livechat::readable(content, &Wording::default()).expose()))
        }
        HistoryItem::Unreadable => None,
    }
}

/// The end of `history` behind the last item that is in `known`, both in the order in which things were said.
///
/// Each known text stands for one item only, so what is said again is new.
pub fn news<'a>(user_id: &UserId, history: &'a [HistoryItem], mut known: &[String]) -> &'a [HistoryItem] {
    let mut told = 0;
    for (index, item) in history.iter().enumerate() {
        let Some(mark) = fingerprint_of(user_id, item) else { continue };
        if let Some(position) = known.iter().position(|one| *one == mark) {
            known = known.get(position + 1..).unwrap_or_default();
            told = index + 1;
        }
    }
    history.get(told..).unwrap_or_default()
}

/// What agents know once they have read `news` as well; of too much, the latest.
pub fn with_news(user_id: &UserId, mut known: Vec<String>, news: &[HistoryItem]) -> Vec<String> {
    known.extend(news.iter().filter_map(|item| fingerprint_of(user_id, item)));
    known.split_off(known.len().saturating_sub(MOST_KEPT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::botpress::{Author, Content};

    fn history(texts: &[&str]) -> Vec<HistoryItem> {
        let item = |text: &&str| match *text {
            "?" => HistoryItem::Unreadable,
            text => HistoryItem::Message { author: Author::Bot, content: Content::Text { text: text.into() } },
        };
        texts.iter().map(item).collect()
    }

    #[test]
    fn only_what_comes_after_the_known_is_new() {
        let user_id = UserId::from("u1");
        for (known, said, expected) in [
            (&[][..], &["hi", "there"][..], &["hi", "there"][..]),
            (&["hi", "there"], &["hi", "there"], &[]),
            (&["hi", "there"], &["hi", "there", "again"], &["again"]),
            (&["hi", "there"], &["there", "again"], &["again"]),
            (
                &["hi", "ok", "bye"],
                &["hi", "joined", "ok", "picture", "bye", "closed", "hi", "ok"],
                &["closed", "hi", "ok"],
            ),
            (&["ok", "ok"], &["ok", "x", "ok", "ok"], &["ok"]),
            (&["b", "a"], &["a", "b", "c"], &["b", "c"]),
            (&["hi"], &["?", "hi", "?"], &["?"]),
            (&["something else"], &["hi"], &["hi"]),
        ] {
            let known: Vec<_> = known.iter().map(|text| fingerprint(&user_id, text)).collect();
            assert_eq!(news(&user_id, &history(said), &known), history(expected), "{said:?}");
        }
    }

    #[test]
    fn the_latest_fingerprints_are_kept_and_none_is_shared_between_users() {
        let user_id = UserId::from("u1");
        let known = with_news(&user_id, vec!["old".to_owned(); MOST_KEPT], &history(&["?", "new"]));
        assert_eq!((known.len(), known.last()), (MOST_KEPT, Some(&fingerprint(&user_id, "new"))));
        assert_ne!(fingerprint(&user_id, "new"), fingerprint(&"u2".into(), "new"));
        assert_eq!(fingerprint(&user_id, "new").len(), 12);
    }
}
