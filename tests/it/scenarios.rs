//! Every scenario of `cargo run -p tests`, small: on a seed that never changes, and on one that always does.

use tests::scenario::{Scenario, Size};

#[expect(clippy::panic, reason = "a test that names no scenario is a mistake in the test")]
async fn play(name: &str, scale: f64) {
    let Some(scenario) = Scenario::named(name) else { panic!("there is no scenario {name}") };
    for seed in [7, fastrand::u64(..)] {
        let report = scenario.run(Size { seed, scale }).await;
        println!("{name}: {}; seed {seed}", report.figure);
        assert!(report.findings.is_empty(), "{name}, seed {seed}: {}\n{:#?}", report.figure, report.findings);
    }
}

macro_rules! scenarios {
    ($($test:ident = $name:literal, $scale:literal;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                play($name, $scale).await;
            }
        )+

        /// The scenarios that have a test here.
        const TESTED: &[&str] = &[$($name),+];
    };
}

scenarios! {
    repeated_webhooks_have_one_effect_each = "duplicates-spread", 0.002;
    one_message_in_many_copies_at_once_has_one_effect = "duplicates-instant", 0.002;
    equal_starts_open_one_chat_and_one_conversation = "concurrent-start", 0.002;
    impatient_callers_open_one_chat_and_one_conversation = "impatient-start", 0.002;
    words_survive_a_minute_of_errors_at_botpress = "botpress-errors", 0.002;
    words_survive_a_minute_of_broken_connections_at_botpress = "botpress-resets", 0.002;
    nobody_calls_botpress_before_the_time_it_named = "botpress-limits", 0.002;
    words_survive_a_minute_of_errors_at_livechat = "livechat-errors", 0.002;
    words_survive_a_minute_of_broken_connections_at_livechat = "livechat-resets", 0.002;
    nobody_calls_livechat_before_the_time_it_named = "livechat-limits", 0.002;
    everything_is_accepted_while_both_vendors_are_down = "both-down", 0.002;
    nobody_waits_for_vendors_that_fail = "both-fail", 0.002;
    nobody_waits_for_vendors_that_hang = "both-hang", 0.002;
    what_happened_while_we_were_down_is_recovered = "down", 0.002;
    a_vendor_that_is_down_keeps_no_other_from_its_turn = "due", 0.002;
    no_lost_answer_of_the_table_loses_or_doubles_anything = "lost-store-answers", 0.002;
    no_throttled_call_of_the_table_loses_or_doubles_anything = "table-throttled", 0.002;
    writes_that_meet_lose_and_double_nothing = "conflicts", 0.002;
    displaced_arrivals_are_put_right_while_they_wait = "order", 0.002;
    nothing_is_lost_doubled_or_stuck_wherever_the_process_dies = "kills", 0.002;
    every_random_way_leads_back_to_the_bot = "random-walk", 0.0005;
    what_vendors_have_been_seen_to_do_heals_by_itself = "field", 0.006;
    what_livechat_finishes_late_happens_once = "late", 0.002;
    versions_beside_one_another_lose_and_double_nothing = "beside", 0.002;
    nothing_grows_repeats_itself_or_is_due_for_ever_in_years = "years", 0.003;
    pairs_that_botpress_handles_side_by_side_stay_in_order = "side-by-side", 0.002;
    repeated_webhooks_have_one_effect_each_at_botcopy = "botcopy-duplicates-spread", 0.002;
    one_message_in_many_copies_at_once_has_one_effect_at_botcopy = "botcopy-duplicates-instant", 0.002;
    equal_first_steps_open_one_chat = "botcopy-concurrent-start", 0.006;
    impatient_first_steps_open_one_chat = "botcopy-impatient-start", 0.006;
    words_survive_a_minute_of_errors_at_botcopy = "botcopy-errors", 0.002;
    words_survive_a_minute_of_broken_connections_at_botcopy = "botcopy-resets", 0.002;
    nobody_calls_botcopy_before_the_time_it_named = "botcopy-limits", 0.002;
    words_of_widgets_survive_a_minute_of_errors_at_livechat = "botcopy-livechat-errors", 0.002;
    words_of_widgets_survive_a_minute_of_broken_connections_at_livechat = "botcopy-livechat-resets", 0.002;
    nobody_calls_livechat_for_widgets_before_the_time_it_named = "botcopy-livechat-limits", 0.002;
    every_call_of_botcopy_is_accepted_while_both_vendors_are_down = "botcopy-both-down", 0.002;
    no_widget_waits_for_vendors_that_fail = "botcopy-both-fail", 0.002;
    no_widget_waits_for_vendors_that_hang = "botcopy-both-hang", 0.002;
    what_happened_while_we_were_down_reaches_widgets = "botcopy-down", 0.002;
    a_vendor_that_is_down_keeps_no_other_of_a_widget_from_its_turn = "botcopy-due", 0.002;
    no_lost_answer_of_the_table_loses_anything_of_botcopys = "botcopy-lost-store-answers", 0.002;
    no_throttled_call_of_the_table_loses_anything_of_botcopys = "botcopy-table-throttled", 0.002;
    writes_that_meet_lose_nothing_of_botcopys = "botcopy-conflicts", 0.002;
    displaced_arrivals_are_put_right_before_they_are_pushed = "botcopy-order", 0.002;
    nothing_of_botcopys_is_lost_or_stuck_wherever_the_process_dies = "botcopy-kills", 0.002;
    every_random_way_leads_back_to_the_botcopy_bot = "botcopy-random-walk", 0.0005;
    what_vendors_have_been_seen_to_do_heals_by_itself_at_botcopy = "botcopy-field", 0.006;
    what_livechat_finishes_late_for_widgets_happens_once = "botcopy-late", 0.002;
    nothing_of_widgets_grows_repeats_itself_or_is_due_for_ever_in_years = "botcopy-years", 0.003;
    versions_beside_one_another_lose_and_double_nothing_of_botcopys = "botcopy-beside", 0.002;
    nobody_gets_in_whose_call_is_forged = "forged-calls", 0.02;
    nonsense_is_answered_and_breaks_nothing = "malformed", 0.001;
    vendors_nonsense_breaks_nothing = "malformed-answers", 0.005;
    nobody_is_shown_what_is_not_theirs = "isolation", 0.01;
    nothing_that_people_wrote_and_no_secret_is_logged = "canaries", 0.004;
}

/// These need time that passes by itself, so only the command runs them.
const IN_REAL_TIME: [&str; 2] = ["botcopy-latency", "botcopy-hanging"];

#[test]
fn every_scenario_has_a_test() {
    let names: Vec<_> = Scenario::all().map(|scenario| scenario.name()).collect();
    assert_eq!(TESTED.len() + IN_REAL_TIME.len(), names.len());
    let is_played = |name: &str| TESTED.contains(&name) || IN_REAL_TIME.contains(&name);
    assert!(names.iter().all(|name| is_played(name)), "{names:?}");
}
