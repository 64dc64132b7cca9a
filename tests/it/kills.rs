//! The places at which a process can be killed: all of them are passed, in one flow or another; the killing itself is a
//! scenario.

use std::collections::BTreeSet;
use std::path::Path;

use sandbox::demo::Bot;
use tests::scenario::{Flow, places};

/// What stands in the source before the name of a step, and what comes before that name in a place.
const NAMES: [(&str, &str); 3] = [("\"table ", "table "), ("fail_point!(Before, \"", ""), ("call!(", "vendor ")];

/// Calls and writes that no flow passes, since they need what no flow has.
const NOT_PASSED: [&str; 36] = [
    // A bot asks when agents are back; nothing is written.
    "vendor list_work_schedules",
    // Nothing hangs on a note of who was turned away.
    "table note_turned_away",
    "table forget_turned_away",
    // Ratings die everywhere in `record_kills`.
    "table take_rating",
    "table note_rated",
    "table give_rating_back",
    "table put_rating_in_record",
    "vendor rate",
    "vendor rating",
    // A report leaves nothing behind at which a death could matter.
    "vendor request_thread_summary",
    // Files, corrections and deletions die in `content_kills`.
    "media fetch",
    "vendor upload_file",
    "table note_progress",
    "table note_revision",
    "table count_change",
    // A user of an earlier integration.
    "vendor get_user",
    // Something that Botpress has deleted.
    "vendor get_conversation",
    // Two deaths, and the time between them.
    "table take_over_start",
    "table note_interruption",
    "table hasten_read",
    "table release",
    "vendor list_chats",
    // A session that has been open for a day, or has gone; whoever dies there is followed by the next sweep.
    "table keep",
    "table bury",
    "table expire_lane",
    // Something that the sweep cannot work on; the next one finds it at the same place.
    "table look_later",
    // A reading that found something and has written it; the next one finds it known.
    "table note_read",
    // A user of an earlier version; whoever dies before is followed by the next `createUser`.
    "table let_go_if_over",
    // What operators do.
    "table recall_secrets",
    // A move between two attempts.
    "vendor find_message",
    // LiveChat cannot be told of an end of which the bot knows; whoever dies before the note tells the bot again.
    "table note_bot_told",
    // A credential that is refused; the next call notes it.
    "table note_refused",
    // A damaged item; whoever takes the lane next finds it there again.
    "table park_unread",
    // An operator's process: each is one write, and the command is run again.
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
