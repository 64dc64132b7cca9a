//! The cost of losing nothing: a user's message with lanes, and relayed without any.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use sandbox::faults::Faults;
use sandbox::function::Function;
use sandbox::gateway::{Gateway, Route};
use sandbox::runtime::Bootstrap;
use sandbox::stack::Side;
use shared::clock::Clock;

use super::calls::{Call, Session};
use super::measure::{Measured, measure};
use super::site::{Site, text_at};
use super::{Delays, Run, Table, millis, percentile, process};

/// The number of messages measured each way, in turns, so that other load on the machine affects both.
const MESSAGES: usize = 1_500;

/// The number of turns.
const TURNS: usize = 3;

/// The number of messages when a party is slow: too few for the kernel's clock to measure their processor time.
const SLOW_MESSAGES: usize = 90;

/// The column of the processor time.
const PROCESSOR: usize = 4;

/// The program without lanes, in the folder of the compiled functions.
pub const BARE_RELAY: &str = "examples/bare_relay";

const TIMEOUT: Duration = Duration::from_secs(30);

/// Measures both ways, with fast and with slow vendors and table.
pub async fn lanes(run: Run<'_>) -> Table {
    let columns = ["", "vendors ms", "table ms", "p50 ms", "processor ms each", "table calls each"];
    let mut table = Table::new("A user's message, with lanes and without", &columns);
    let site = Site::start(run.binaries, 1).await;
    let session = site.sessions(0, 1).await.remove(0);
    let bare = Bare::start(&site, &session, run.binaries).await;
    for (delays, messages) in [(Delays::default(), MESSAGES), (Delays::of_millis(20, 5), SLOW_MESSAGES)] {
        let tells_processor = messages == MESSAGES;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let calls = run.of(messages, TURNS) / TURNS;
            site.world.install().await.expect("the integration is installed");
            site.slow_down(delays);
            with.push(part(&site, &session, calls, || site.processor_time(Side::Actions)).await);
            site.slow_down(Delays::default());
            bare.take_over(&site).await;
            site.slow_down(delays);
            without.push(part(&site, &session, calls, || bare.processor_time()).await);
            site.slow_down(Delays::default());
        }
        let (with, without) = (Part::sum(with), Part::sum(without));
        let rows = [with.row("with lanes", delays), without.row("without", delays), with.ratio(&without)];
        for mut row in rows {
            if !tells_processor {
                row[PROCESSOR].clear();
            }
            table.row(row);
        }
    }
    table
}

/// The relay without lanes, behind its own gateway.
struct Bare {
    bootstrap: Bootstrap,
    gateway: Gateway,
}

impl Bare {
    /// Starts it for the user of one session.
    async fn start(site: &Site, session: &Session, binaries: &Path) -> Self {
        let stack = &site.world.stack;
        let users = site.world.items("user");
        let user = users.iter().find(|user| text_at(user, "/user_id") == session.user_id).expect("the user is known");
        let mut environment: Vec<_> = stack.operator_environment().into_iter().collect();
        for (name, pointer) in [("CHAT_ID", "/chat_id"), ("CUSTOMER_TOKEN", "/customer/access_token")] {
            environment.push((name.to_owned(), text_at(user, pointer)));
        }
        let program = binaries.join(BARE_RELAY);
        let bootstrap = Bootstrap::start(&program, "bare_relay", environment, TIMEOUT, 1).await;
        let bootstrap = bootstrap.expect("the relay without lanes starts");
        let route = Route::new(Method::POST, "/botpress/{key}", Function::Process(bootstrap.clone()));
        let gateway = Gateway::start(0, vec![route], Faults::default(), Clock::system()).await;
        Self { bootstrap, gateway: gateway.expect("there is a port") }
    }

    /// From here on Botpress calls this relay.
    async fn take_over(&self, site: &Site) {
        let stack = &site.world.stack;
        let url = stack.integration_url().replace(&stack.gateway.url(), &self.gateway.url());
        let installed = stack.botpress.install_integration(&url).await.expect("the relay answers");
        assert_eq!(installed.status, 200, "{}", installed.body);
    }

    fn processor_time(&self) -> Duration {
        process::processor_time(&self.bootstrap.process_ids())
    }
}

/// The cost of some messages.
struct Part {
    measured: Measured,
    table_calls: usize,
}

async fn part(site: &Site, session: &Session, count: usize, processor_time: impl Fn() -> Duration) -> Part {
    let words = |count: usize| (0..count).map(|number| Call::user_message(session, &format!("message {number}")));
    // Connections and credentials exist before the measurement.
    drop(measure(site, Side::Actions, vec![words(5).collect()]).await);
    let table_calls = || site.world.stack.table_proxy.as_ref().map_or(0, |proxy| proxy.calls().values().sum());
    let (sent, called, used) = (site.world.count("event_sent"), table_calls(), processor_time());
    let measured = measure(site, Side::Actions, vec![words(count).collect()]).await;
    let measured = Measured { processor_time: processor_time().saturating_sub(used), ..measured };
    assert_eq!((measured.failed, site.world.count("event_sent") - sent), (0, count), "each is shown once");
    Part { measured, table_calls: table_calls() - called }
}

impl Part {
    fn sum(parts: Vec<Self>) -> Self {
        let whole = parts.into_iter().reduce(|mut whole, part| {
            whole.measured.add(part.measured);
            whole.table_calls += part.table_calls;
            whole
        });
        whole.expect("there is a turn")
    }

    fn half(&self) -> Duration {
        percentile(&mut self.measured.waits.clone(), 50)
    }

    fn table_calls_each(&self) -> usize {
        self.table_calls / self.measured.waits.len().max(1)
    }

    fn row(&self, name: &str, delays: Delays) -> [String; 6] {
        [
            name.to_owned(),
            delays.vendors.as_millis().to_string(),
            delays.table.as_millis().to_string(),
            millis(self.half()),
            millis(self.measured.processor_time_each()),
            self.table_calls_each().to_string(),
        ]
    }

    fn ratio(&self, without: &Self) -> [String; 6] {
        let ratio = |ours: Duration, theirs: Duration| format!("{:.2}", ours.as_secs_f64() / theirs.as_secs_f64());
        let processor = ratio(self.measured.processor_time, without.measured.processor_time);
        let half = ratio(self.half(), without.half());
        ["ratio".to_owned(), String::new(), String::new(), half, processor, String::new()]
    }
}
