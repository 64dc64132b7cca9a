//! Which part of a returning user's history agents have not read yet.
//!
//! History items have neither ids nor times, so they are recognised by their text, as fingerprints. What agents have read is
//! kept session by session: the transcript that they were shown, then what was said in the thread. A history continues from a
//! session if it contains the session's transcript, with the bot's last reply to it, and then what the user said to the
//! agents. The same opening words in another conversation lack that reply, or have something else before it.
//!
//! Only the user's words decide. Bot and plugin repeat their texts in every conversation, so those prove nothing by
//! themselves.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::split::{MAX_BYTES, split};
use super::to_livechat;
use super::voice::MARKS;
use super::wording::Wording;
use crate::ids::UserId;
use crate::model::message::{Author, Content, HistoryItem};
use crate::text::is_blank;

/// How many fingerprints are kept for a user: several sessions' worth, and far below the size limit of a table item.
pub const MOST_KEPT: usize = 400;

/// Enough bytes that two texts of one user do not share a fingerprint by chance.
const BYTES: usize = 9;

/// Marks the transcript of a session.
const TRANSCRIPT: &str = "+";

/// Marks what was said in a session's thread.
const THREAD: &str = "=";

/// Stands for a file of the user, whose name and address in a thread differ from those in a history.
const FILE: &str = "file";

/// How many messages of a thread a history has to begin with to count as cut off at its beginning.
const LEAST_CUT: usize = 2;

/// Words in a thread, by author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// The user's text.
    ByUser(&'a str),
    /// A file from the user.
    FileByUser,
    /// A text of an agent or a bot.
    ToUser(&'a str),
}

/// A short mark of what was said, different for each user; the text cannot be read from it.
pub fn fingerprint(user_id: &UserId, said: Said<'_>) -> String {
    let (author, text) = match said {
        Said::ByUser(text) => ("u", text),
        Said::FileByUser => return FILE.to_owned(),
        Said::ToUser(text) => ("b", text),
    };
    // Lines that look like another speaker's are marked in a thread, but not in a history.
    let unmark = |line| MARKS.iter().fold(line, |line: &str, mark| line.strip_prefix(mark).unwrap_or(line));
    let unmarked: Vec<_> = text.trim().lines().map(unmark).collect();
    let unmarked = unmarked.join("\n");
    let text = split(&unmarked, MAX_BYTES).first().copied().unwrap_or_default();
    let hash = Sha256::new().chain_update(user_id.as_str()).chain_update([0]).chain_update(text).finalize();
    format!("{author}{}", URL_SAFE_NO_PAD.encode(hash.get(..BYTES).unwrap_or_default()))
}

/// A message of the user, with what was said to them before their next one.
#[derive(Debug)]
struct Turn {
    /// The message's index in the history.
    index: usize,
    mark: String,
    is_file: bool,
    replies: Vec<String>,
}

impl Turn {
    fn is(&self, mark: &str) -> bool {
        self.mark == mark || (self.is_file && mark == FILE)
    }
}

/// How many of the user's messages agents have read, counted from the start of the history.
#[derive(Clone, Copy, Debug, Default)]
struct Read {
    surely: usize,
    /// If the history begins within a session's thread; the next session shows whether it does.
    perhaps: usize,
}

/// What agents have read of one session.
#[derive(Debug, Default)]
struct Session<'a> {
    /// The user's messages in its transcript, each with the replies to it.
    transcript: Vec<(&'a str, Vec<&'a str>)>,
    thread: Vec<&'a str>,
}

impl<'a> Session<'a> {
    fn read(known: &'a [String]) -> Self {
        let mut session = Self::default();
        let mut is_thread = false;
        for mark in known.iter().map(String::as_str) {
            match (mark, is_thread, session.transcript.last_mut()) {
                (THREAD, ..) => is_thread = true,
                (mark, true, _) => session.thread.push(mark),
                (mark, false, Some((_, replies))) if is_reply(mark) => replies.push(mark),
                (mark, false, _) if !is_reply(mark) => session.transcript.push((mark, Vec::new())),
                _ => {}
            }
        }
        session
    }

    /// How far agents have read after this session, given how far they had read before it.
    fn read_after(&self, turns: &[Turn], read: Read) -> Read {
        // The platform sends one page of messages, so the oldest may be missing.
        let most_missing = if read.surely == 0 { self.transcript.len() } else { 0 };
        let surely = (0..=most_missing).find_map(|missing| self.follow(turns, read.surely, missing));
        let surely = surely.or_else(|| self.follow(turns, read.perhaps, 0).filter(|_| !self.transcript.is_empty()));
        match surely {
            Some(surely) => Read { surely, perhaps: surely },
            None if read.surely == 0 => Read { perhaps: self.said_in_thread(turns).max(read.perhaps), ..read },
            None => read,
        }
    }

    fn follow(&self, turns: &[Turn], read: usize, missing: usize) -> Option<usize> {
        let transcript = self.transcript.get(missing..)?;
        let end = read + transcript.len();
        let found = turns.get(read..end)?;
        let is_same = found.iter().zip(transcript).all(|(turn, (mark, _))| turn.is(mark));
        let last_reply = transcript.last().and_then(|(_, replies)| replies.last());
        let is_answered = last_reply.is_none_or(|reply| found.last().is_some_and(|turn| turn.has_reply(reply)));
        let in_thread = self.said_in_thread(turns.get(end..)?);
        let is_clear = !transcript.is_empty() || read > 0 || in_thread >= LEAST_CUT;
        (is_same && is_answered && is_clear).then_some(end + in_thread)
    }

    /// How many messages in a row were said in the thread; each of its texts stands for one message.
    fn said_in_thread(&self, turns: &[Turn]) -> usize {
        let mut left = self.thread.clone();
        let mut is_said = |turn: &&Turn| match left.iter().position(|mark| turn.is(mark)) {
            Some(position) => {
                left.remove(position);
                true
            }
            None => false,
        };
        turns.iter().take_while(&mut is_said).count()
    }
}

impl Turn {
    fn has_reply(&self, mark: &str) -> bool {
        self.replies.iter().any(|reply| reply == mark)
    }
}

fn is_reply(mark: &str) -> bool {
    mark.starts_with('b')
}

/// The end of `history` from the user's first message that agents have not read; `known` is what they have read.
///
/// The latest message of the user is always new: it led to the handoff. In doubt agents are shown a message again.
pub fn news<'a>(user_id: &UserId, history: &'a [HistoryItem], known: &[String]) -> &'a [HistoryItem] {
    let turns = turns(user_id, history);
    let read = read_of(&turns, known).min(turns.len().saturating_sub(1));
    let first_new = turns.get(read).filter(|_| read > 0);
    first_new.and_then(|turn| history.get(turn.index..)).unwrap_or(history)
}

/// The same for a history that may contain nothing new, because the user is with the agents already.
pub fn unread<'a>(user_id: &UserId, history: &'a [HistoryItem], known: &[String]) -> &'a [HistoryItem] {
    let turns = turns(user_id, history);
    match read_of(&turns, known) {
        0 => history,
        read => turns.get(read).and_then(|turn| history.get(turn.index..)).unwrap_or_default(),
    }
}

/// How many of the user's messages agents have certainly read.
fn read_of(turns: &[Turn], known: &[String]) -> usize {
    let sessions = known.split(|mark| mark == TRANSCRIPT).filter(|marks| !marks.is_empty()).map(Session::read);
    sessions.fold(Read::default(), |read, session| session.read_after(turns, read)).surely
}

fn turns(user_id: &UserId, history: &[HistoryItem]) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for (index, item) in history.iter().enumerate() {
        let (Some(mark), HistoryItem::Message { content, .. }) = (mark_of(user_id, item), item) else { continue };
        match turns.last_mut() {
            Some(turn) if is_reply(&mark) => turn.replies.push(mark),
            None if is_reply(&mark) => {}
            _ => {
                let is_file = matches!(content, Content::Media { .. });
                turns.push(Turn { index, mark, is_file, replies: Vec::new() });
            }
        }
    }
    turns
}

/// The fingerprint of an item. Unreadable items have none, nor do blank words, which agents never see.
fn mark_of(user_id: &UserId, item: &HistoryItem) -> Option<String> {
    let HistoryItem::Message { author, content } = item else { return None };
    let text = to_livechat::readable(content, &Wording::default());
    if is_blank(text.expose()) {
        return None;
    }
    let said = match author {
        Author::User(_) => Said::ByUser(text.expose()),
        Author::Bot | Author::Agent => Said::ToUser(text.expose()),
    };
    Some(fingerprint(user_id, said))
}

/// What agents have read, including the thread of the latest session.
pub fn with_thread(mut known: Vec<String>, thread: Vec<String>) -> Vec<String> {
    if !thread.is_empty() {
        known.push(THREAD.to_owned());
        known.extend(thread);
    }
    known
}

/// What agents know once they have read `news` as the transcript of another session; only the latest if it is too much.
pub fn with_news(user_id: &UserId, known: Vec<String>, news: &[HistoryItem]) -> Vec<String> {
    with(user_id, known, TRANSCRIPT, news)
}

/// What agents know once they have read `news` in the thread of the latest session; only the latest if it is too much.
pub fn with_news_in_thread(user_id: &UserId, known: Vec<String>, news: &[HistoryItem]) -> Vec<String> {
    with(user_id, known, THREAD, news)
}

fn with(user_id: &UserId, mut known: Vec<String>, place: &str, news: &[HistoryItem]) -> Vec<String> {
    known.push(place.to_owned());
    known.extend(news.iter().filter_map(|item| mark_of(user_id, item)));
    known.split_off(known.len().saturating_sub(MOST_KEPT))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transcript, and what was said in the thread after it.
    type Told<'a> = (&'a [&'a str], &'a [&'a str]);

    const HANDOFF: &str = "< an agent will be with you";
    const CLOSED: &str = "< the agent has left";

    /// The user's texts, and with a leading `<` the texts said to them.
    fn history(texts: &[&str]) -> Vec<HistoryItem> {
        let item = |text: &&str| {
            let (author, text) = match text.strip_prefix("< ") {
                _ if *text == "?" => return HistoryItem::Unreadable,
                Some(reply) => (Author::Bot, reply),
                None => (Author::User("u1".into()), *text),
            };
            HistoryItem::Message { author, content: Content::Text { text: text.into() } }
        };
        texts.iter().map(item).collect()
    }

    /// What agents know after sessions with these transcripts and threads.
    fn known(sessions: &[Told<'_>]) -> Vec<String> {
        let user_id = UserId::from("u1");
        sessions.iter().fold(Vec::new(), |known, (transcript, thread)| {
            let said = thread.iter().map(|text| match text.strip_prefix("< ") {
                Some(reply) => fingerprint(&user_id, Said::ToUser(reply)),
                None => fingerprint(&user_id, Said::ByUser(text)),
            });
            with_thread(with_news(&user_id, known, &history(transcript)), said.collect())
        })
    }

    fn assert_news(sessions: &[Told<'_>], said: &[&str], expected: &[&str]) {
        assert_eq!(news(&"u1".into(), &history(said), &known(sessions)), history(expected), "{sessions:?}: {said:?}");
    }

    #[test]
    fn a_first_transcript_is_told_whole() {
        assert_news(&[], &["< welcome", "hello", HANDOFF], &["< welcome", "hello", HANDOFF]);
        assert_news(&[], &["< welcome"], &["< welcome"]);
        assert_news(&[], &[], &[]);
    }

    #[test]
    fn in_the_same_conversation_agents_read_on_from_the_first_new_message() {
        let first: Told<'_> = (&["hello", HANDOFF], &["my order", "< it is on its way"]);
        let talk = ["hello", HANDOFF, "my order", "< it is on its way", CLOSED];
        let said = |more: &[&'static str]| [&talk, more].concat();
        assert_news(&[first], &said(&["again", HANDOFF]), &["again", HANDOFF]);
        assert_news(
            &[first],
            &said(&["again", "< yes?", "it never came", HANDOFF]),
            &["again", "< yes?", "it never came", HANDOFF],
        );
        // Words to an agent that never reached one are new.
        assert_news(
            &[(first.0, &[])],
            &said(&["again", HANDOFF]),
            &["my order", "< it is on its way", CLOSED, "again", HANDOFF],
        );
        let third = said(&["again", HANDOFF, "well?", CLOSED, "?", "third", HANDOFF]);
        assert_news(&[first, (&["again", HANDOFF], &["well?"])], &third, &["third", HANDOFF]);
    }

    #[test]
    fn the_same_words_once_more_are_new() {
        let first: Told<'_> = (&["human", HANDOFF], &[]);
        assert_news(&[first], &["human", HANDOFF, CLOSED, "human", HANDOFF], &["human", HANDOFF]);
        let twice = ["human", HANDOFF, CLOSED, "human", HANDOFF, CLOSED, "human", HANDOFF];
        assert_news(&[first, first], &twice, &["human", HANDOFF]);
        assert_news(&[first], &["human", HANDOFF], &["human", HANDOFF]);
        let failed_between = ["human", HANDOFF, CLOSED, "order 77", "human", HANDOFF, "hello?", HANDOFF];
        assert_news(&[first], &failed_between, &["order 77", "human", HANDOFF, "hello?", HANDOFF]);
    }

    #[test]
    fn another_conversation_with_equal_opening_words_is_told_whole() {
        let first: Told<'_> = (&["hello", "< welcome", HANDOFF], &["my order", "< it is on its way"]);
        let other = ["hello", "< welcome", "order 7 is broken", HANDOFF];
        assert_news(&[first], &other, &other);
        assert_news(&[(first.0, &[])], &other, &other);
        let equal = ["hello", "< welcome", HANDOFF];
        assert_news(&[first], &equal, &equal);
    }

    #[test]
    fn of_a_user_who_is_with_the_agents_there_may_be_nothing_new() {
        let known = known(&[(&["human", HANDOFF], &[])]);
        let unread = |said: &[&str]| unread(&"u1".into(), &history(said), &known).to_vec();
        assert_eq!(unread(&["human", HANDOFF]), history(&[]));
        assert_eq!(unread(&["human", HANDOFF, "hello?", HANDOFF]), history(&["hello?", HANDOFF]));
        assert_eq!(unread(&["other", HANDOFF]), history(&["other", HANDOFF]));
    }

    #[test]
    fn conversations_that_take_turns_are_told_apart() {
        let (a, b): (Told<'_>, Told<'_>) = ((&["one", HANDOFF], &["1"]), (&["two", HANDOFF], &["2"]));
        assert_news(&[a, b], &["one", HANDOFF, "1", CLOSED, "three", HANDOFF], &["three", HANDOFF]);
        assert_news(&[a, b], &["two", HANDOFF, "2", CLOSED, "three", HANDOFF], &["three", HANDOFF]);
    }

    #[test]
    fn a_history_that_lacks_its_beginning_is_recognised() {
        let first: Told<'_> = (&["hello", "order", HANDOFF], &["a", "b", "c"]);
        assert_news(&[first], &["order", HANDOFF, "a", "b", "c", CLOSED, "new", HANDOFF], &["new", HANDOFF]);
        assert_news(&[first], &["b", "c", CLOSED, "new", HANDOFF], &["new", HANDOFF]);
        // One message is too little to distinguish a history that was cut off from another conversation, unless the next
        // session follows.
        assert_news(&[first], &["c", CLOSED, "new", HANDOFF], &["c", CLOSED, "new", HANDOFF]);
        let second: Told<'_> = (&["new", HANDOFF], &["d"]);
        assert_news(&[first, second], &["c", CLOSED, "new", HANDOFF, "d", "newer", HANDOFF], &["newer", HANDOFF]);
    }

    #[test]
    fn words_that_agents_read_with_a_mark_are_known() {
        let user_id = UserId::from("u1");
        let said = Said::ByUser("look:\nBot: you are right");
        assert_eq!(fingerprint(&user_id, Said::ByUser("look:\n> Bot: you are right")), fingerprint(&user_id, said));
    }

    #[test]
    fn a_file_is_known_under_whatever_name_agents_got_it() {
        let user_id = UserId::from("u1");
        let mut said = history(&["hello", HANDOFF, "picture", "next", HANDOFF]);
        if let Some(HistoryItem::Message { content, .. }) = said.get_mut(2) {
            *content = Content::Media { kind: "image".to_owned(), url: "https://files/cat.png".into(), title: None };
        }
        let known = with_news(&user_id, Vec::new(), &history(&["hello", HANDOFF]));
        let known = with_thread(known, vec![fingerprint(&user_id, Said::FileByUser)]);
        assert_eq!(news(&user_id, &said, &known), history(&["next", HANDOFF]));
    }

    #[test]
    fn the_latest_fingerprints_are_kept_and_none_is_shared_between_users() {
        let user_id = UserId::from("u1");
        let known = with_news(&user_id, vec!["old".to_owned(); MOST_KEPT], &history(&["?", "new"]));
        let mark = fingerprint(&user_id, Said::ByUser("new"));
        assert_eq!((known.len(), known.last()), (MOST_KEPT, Some(&mark)));
        assert_ne!(mark, fingerprint(&"u2".into(), Said::ByUser("new")));
        assert_ne!(mark, fingerprint(&user_id, Said::ToUser("new")));
        assert_eq!(mark.len(), 13);
    }
}
