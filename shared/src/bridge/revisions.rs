//! Messages that were changed while they waited are shown as they are now, not first as they were.

use super::ToBot;
use crate::store::lane::Waiting;

/// Puts the last correction of each waiting message in its place, and nothing in the place of a deleted one.
///
/// A message that may have been shown already stays as it was; its corrections follow it.
pub fn apply(waiting: &mut [Waiting<ToBot>]) {
    let changes: Vec<ToBot> = waiting.iter().map(|item| item.content.clone()).filter(is_change).collect();
    for item in waiting.iter_mut().filter(|item| !item.outcome_unknown) {
        let ToBot::Message { content, revised, .. } = &mut item.content else { continue };
        for change in &changes {
            match change {
                ToBot::Correction { of, content: now, .. } if *of == item.position.source_id => {
                    *content = now.clone();
                    *revised = true;
                }
                _ => {}
            }
        }
        let is_deleted = |change: &ToBot| matches!(change, ToBot::Deletion { of } if *of == item.position.source_id);
        if changes.iter().any(is_deleted) {
            item.content = ToBot::Retracted;
        }
    }
}

const fn is_change(content: &ToBot) -> bool {
    matches!(content, ToBot::Correction { .. } | ToBot::Deletion { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::MessageContent;
    use crate::clock::Timestamp;
    use crate::store::lane::Position;

    fn waiting(source_id: &str, content: ToBot) -> Waiting<ToBot> {
        let position = Position { at: Timestamp::from_unix_millis(0), source_id: source_id.to_owned() };
        Waiting { position, content, attempts: 0, outcome_unknown: false }
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
        let [first, second, third, ..] = lane;
        assert_eq!(first.content, message("the", true));
        assert_eq!(second.content, ToBot::Retracted);
        assert_eq!(third.content, message("fine", false));
    }

    #[test]
    fn what_may_have_been_shown_stays_as_it_was() {
        let doubtful = Waiting { outcome_unknown: true, ..waiting("event:1", message("teh", false)) };
        let mut lane = [doubtful.clone(), waiting("corrected:1:a", correction("event:1", "the"))];
        apply(&mut lane);
        assert_eq!(lane.first(), Some(&doubtful));
    }
}
