//! The places at which a process can be killed: some flow passes each of them. A scenario does the killing.

use std::collections::BTreeSet;
use std::path::Path;

use sandbox::demo::Bot;
use tests::scenario::{Flow, places};

/// The text before a step's name in the source, and the text before that name in a place.
const NAMES: [(&str, &str); 3] = [("\"table ", "table "), ("fail_point!(Before, \"", ""), ("call!(", "vendor ")];

/// Calls and writes that no flow passes, since they need what no flow has.
const NOT_PASSED: [&str; 36] = [
    // A bot asks when agents are back; nothing is written.
    "vendor list_work_schedules",
    // Nothing depends on a note of a refused caller.
    "table note_turned_away",
    "table forget_turned_away",
    // `record_kills` kills ratings at every place.
    "table take_rating",
    "table note_rated",
    "table give_rating_back",
    "table put_rating_in_record",
    "vendor rate",
    "vendor rating",
    // A report leaves nothing behind, so a death does not matter there.
    "vendor request_thread_summary",
    // `content_kills` kills files, corrections and deletions.
    "media fetch",
    "vendor upload_file",
    "table note_progress",
    "table note_revision",
    "table count_change",
    // A user of an earlier integration.
    "vendor get_user",
    // An object that Botpress has deleted.
    "vendor get_conversation",
    // Two deaths, and the time between them.
    "table take_over_start",
    "table note_interruption",
    "table hasten_read",
    "table release",
    "vendor list_chats",
    // A session that has been open for a day, or is deleted; the next sweep continues after a death there.
    "table keep",
    "table bury",
    "table expire_lane",
    // An entry that the sweep cannot process; the next sweep finds it at the same place.
    "table look_later",
    // A reading that found an event and has written it; the next reading knows the event.
    "table note_read",
    // A user of an earlier version; the next `createUser` continues after a death there.
    "table let_go_if_over",
    // An operator's actions.
    "table recall_secrets",
    // A move between two attempts.
    "vendor find_message",
    // LiveChat cannot be informed of an end that the bot knows; after a death before the note, the bot is informed again.
    "table note_bot_told",
    // A credential that is refused; the next call notes it.
    "table note_refused",
    // A damaged item; the next holder of the lane finds it there again.
    "table park_unread",
    // An operator's process: each is one write, and the operator repeats the command.
    "table unpark",
    "table discard",
    "table erase",
];

/// The steps that the source names.
fn named(folder: &Path, steps: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named(&path, steps);
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        for (before, prefix) in NAMES {
            for rest in source.split(before).skip(1) {
                let name = rest.split(['"', '(']).next().unwrap();
                let name = name.rsplit('.').next().unwrap();
                if name.starts_with(|first: char| first.is_ascii_lowercase()) {
                    steps.insert(format!("{prefix}{name}"));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_that_the_source_names_is_passed_by_a_flow() {
    let mut passed = BTreeSet::new();
    for bot in [Bot::Botpress, Bot::Botcopy] {
        let flows = places(bot).await.unwrap();
        assert_eq!(flows.len(), Flow::all(bot).count());
        passed.extend(flows.values().flatten().map(|(place, _)| place.step.to_owned()));
    }
    let mut steps = BTreeSet::new();
    named(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src"), &mut steps);
    assert!(passed.is_subset(&steps), "named otherwise: {:?}", passed.difference(&steps));
    let left: Vec<_> = steps.difference(&passed).filter(|step| !NOT_PASSED.contains(&step.as_str())).collect();
    assert!(left.is_empty(), "no flow passes {left:?}");
}
