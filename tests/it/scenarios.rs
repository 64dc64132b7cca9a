//! Every scenario of `cargo run -p tests`, small: on a seed that never changes, and on one that always does.

use tests::scenario::{Scenario, Size};

// The others are left to the command: they take longer, and some of them still find something.

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
    equal_starts_open_one_chat_and_one_conversation = "concurrent-start",
    words_survive_a_minute_of_errors_at_botpress = "botpress-errors",
}
