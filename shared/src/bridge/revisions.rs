//! Messages that changed while they waited are shown in their present form, not first in their original one.

use super::{MessageContent, ToBot};
use crate::model::lane::Waiting;

/// Replaces each waiting message by its last correction, and superseded corrections and deleted messages by
/// [`ToBot::Retracted`].
///
/// A message that may have been shown already stays as it was, and its corrections follow it. So does its deletion: the
/// deletion's place comes from our clock, the message's from the vendor's.
pub fn apply(waiting: &mut [Waiting<ToBot>]) {
    for index in (0..waiting.len()).rev() {
        let rest = waiting.get_mut(index..).unwrap_or_default();
        let Some(ToBot::Deletion { of }) = rest.first().map(|item| &item.content) else { continue };
        if let Some(place) = rest.iter().position(|item| item.position.source_id == *of) {
            rest.get_mut(..=place).unwrap_or_default().rotate_left(1);
        }
    }
    let contents: Vec<ToBot> = waiting.iter().map(|item| item.content.clone()).collect();
    for (index, item) in waiting.iter_mut().enumerate().filter(|(_, item)| !item.outcome_unknown) {
        let (source_id, later) = match &item.content {
            ToBot::Message { .. } => (item.position.source_id.clone(), contents.as_slice()),
            ToBot::Correction { of, .. } => (of.clone(), contents.get(index + 1..).unwrap_or_default()),
            _ => continue,
        };
        let is_deleted = contents.iter().any(|content| matches!(content, ToBot::Deletion { of } if *of == source_id));
        match (&mut item.content, last_correction(later, &source_id)) {
            (content, _) if is_deleted => *content = ToBot::Retracted,
            (content @ ToBot::Correction { .. }, Some(_)) => *content = ToBot::Retracted,
            (ToBot::Message { content, revised, .. }, Some(now)) => (*content, *revised) = (now.clone(), true),
            _ => {}
        }
    }
}

fn last_correction<'a>(contents: &'a [ToBot], source_id: &str) -> Option<&'a MessageContent> {
    contents.iter().rev().find_map(|content| match content {
        ToBot::Correction { of, content, .. } if of == source_id => Some(content),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::MessageContent;
    use crate::clock::Timestamp;
    use crate::model::lane::Position;

    fn waiting(source_id: &str, content: ToBot) -> Waiting<ToBot> {
        let position = Position { at: Timestamp::from_unix_millis(0), source_id: source_id.to_owned() };
        Waiting::new(position, content)
    }

    fn message(text: &str, revised: bool) -> ToBot {
        ToBot::Message { agent_id: "a".into(), content: MessageContent::text(text), revised }
    }

    fn correction(of: &str, text: &str) -> ToBot {
        ToBot::Correction { agent_id: "a".into(), of: of.to_owned(), content: MessageContent::text(text) }
    }

    #[test]
    fn the_last_correction_counts_and_a_deleted_message_is_gone() {
        let mut lane = [
            waiting("event:1", message("teh", false)),
            waiting("event:2", message("oops", false)),
            waiting("event:3", message("fine", false)),
            waiting("corrected:1:a", correction("event:1", "thee")),
            waiting("corrected:1:b", correction("event:1", "the")),
            waiting("deleted:2", ToBot::Deletion { of: "event:2".to_owned() }),
        ];
        apply(&mut lane);
        let [first, second, third, earlier, last, ..] = lane;
        assert_eq!(first.content, message("the", true));
        assert_eq!(second.content, ToBot::Retracted);
        assert_eq!(third.content, message("fine", false));
        assert_eq!(earlier.content, ToBot::Retracted);
        assert_eq!(last.content, correction("event:1", "the"));
    }

    #[test]
    fn a_deletion_follows_its_message_whatever_their_times() {
        let deletion = |of: &str| waiting(&format!("deleted:{of}"), ToBot::Deletion { of: of.to_owned() });
        let mut lane = [
            deletion("event:2"),
            deletion("event:1"),
            waiting("event:1", message("one", false)),
            waiting("event:2", message("two", false)),
            waiting("event:3", message("three", false)),
        ];
        apply(&mut lane);
        let order: Vec<_> = lane.iter().map(|item| item.position.source_id.as_str()).collect();
        assert_eq!(order, ["event:1", "deleted:event:1", "event:2", "deleted:event:2", "event:3"]);
        assert_eq!(lane[0].content, ToBot::Retracted);
    }

    #[test]
    fn what_may_have_been_shown_stays_as_it_was() {
        let doubtful = Waiting { outcome_unknown: true, ..waiting("event:1", message("teh", false)) };
        let mut lane = [doubtful.clone(), waiting("corrected:1:a", correction("event:1", "the"))];
        apply(&mut lane);
        assert_eq!(lane.first(), Some(&doubtful));
    }
}
