//! Processes that are frozen between invocations, while their connections break or survive.

use std::path::Path;
use std::time::{Duration, Instant};

use sandbox::stack::Side;
use sandbox::wire::{Cut, Wire};

use super::calls::{Call, Session, Thread};
use super::site::Site;
use super::{Run, Table, millis};
use crate::raw::together;

/// How long processes are frozen.
const FREEZES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(35),
    Duration::from_secs(60),
    Duration::from_secs(120),
];

/// The fate of the connections meanwhile.
const CUTS: [(Option<Cut>, &str); 3] =
    [(None, "live on"), (Some(Cut::Closed), "are closed"), (Some(Cut::Silent), "are dropped in silence")];

/// Freezes warm processes, and lets a user and an agent write after the thaw; the result is good only if nothing fails, is lost or doubled.
pub async fn freeze(run: Run<'_>) -> (Table, bool) {
    let columns =
        ["frozen for s", "connections", "user message ms", "agent message ms", "not answered 200", "lost", "doubled"];
    let mut table = Table::new("Freezes: what the first message of each side takes afterwards", &columns);
    let mut is_good = true;
    let freezes: Vec<Duration> = FREEZES.into_iter().take(run.of(FREEZES.len(), 2)).collect();
    let trials = together(CUTS.into_iter().map(|(cut, _)| trial(run.binaries, cut, &freezes))).await;
    for ((_, told), thaws) in CUTS.into_iter().zip(trials) {
        for Thaw { frozen, user, agent, failed, lost, doubled } in thaws {
            is_good &= failed + lost + doubled == 0;
            table.row([
                format!("{:.1}", frozen.as_secs_f64()),
                told.to_owned(),
                millis(user),
                millis(agent),
                failed.to_string(),
                lost.to_string(),
                doubled.to_string(),
            ]);
        }
    }
    (table, is_good)
}

#[derive(Clone, Copy, Debug)]
struct Thaw {
    frozen: Duration,
    user: Duration,
    agent: Duration,
    failed: usize,
    lost: usize,
    doubled: usize,
}

/// A stack whose functions reach all other parts through wires.
struct Wired {
    site: Site,
    wires: Vec<Wire>,
}

impl Wired {
    async fn start(binaries: &Path) -> Self {
        let (mut wires, mut environment) = (Vec::new(), Vec::new());
        let names = [
            "LIVECHAT_API_URL",
            "LIVECHAT_ACCOUNTS_URL",
            "BOTPRESS_API_URL",
            "AWS_ENDPOINT_URL_DYNAMODB",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        ];
        for name in names {
            let wire = Wire::open().await.expect("there is a port left");
            environment.push((name.to_owned(), wire.url()));
            wires.push(wire);
        }
        // No call is made before the first request, so this is early enough to set the wires' targets.
        let site = Site::uninstalled(binaries, 1, environment).await;
        let stack = &site.world.stack;
        let table = stack.table_proxy.as_ref().expect("the table is reached through a proxy").url();
        let ends =
            [stack.livechat.url(), stack.livechat.url(), stack.botpress.url(), table, stack.secrets_manager.url()];
        wires.iter().zip(ends).for_each(|(wire, end)| wire.lead_to(&end));
        site.world.install().await.expect("the integration is installed");
        Self { site, wires }
    }

    async fn freeze(&self, frozen: Duration, cut: Option<Cut>) {
        let processes = [Side::Actions, Side::Webhooks].map(|side| self.site.world.stack.processes(side));
        for one in processes.into_iter().flatten() {
            one.freeze().await.expect("processes can be frozen");
        }
        if let Some(cut) = cut {
            self.wires.iter().for_each(|wire| wire.cut(cut));
        }
        tokio::time::sleep(frozen).await;
        for one in processes.into_iter().flatten() {
            one.thaw().await.expect("processes can be thawed");
        }
    }
}

async fn trial(binaries: &Path, cut: Option<Cut>, freezes: &[Duration]) -> Vec<Thaw> {
    let wired = Wired::start(binaries).await;
    let session = wired.site.sessions(0, 1).await.remove(0);
    let thread = wired.site.threads().await.remove(0);
    let mut thaws = Vec::new();
    for (number, frozen) in freezes.iter().copied().enumerate() {
        write(&wired.site, &session, &thread, &format!("before freeze {number}")).await;
        wired.freeze(frozen, cut).await;
        let text = format!("after freeze {number}");
        let [(user, first), (agent, second)] = write(&wired.site, &session, &thread, &text).await;
        // The sweep delivers what was not delivered at once.
        drop(wired.site.world.stack.sweep().await);
        wired.site.world.stack.settled().await;
        let arrived = [
            arrivals(&wired.site, "event_sent", "/text", &text),
            arrivals(&wired.site, "message_created", "/payload/text", &text),
        ];
        thaws.push(Thaw {
            frozen,
            user,
            agent,
            failed: usize::from(!first) + usize::from(!second),
            lost: arrived.iter().filter(|times| **times == 0).count(),
            doubled: arrived.iter().map(|times| times.saturating_sub(1)).sum(),
        });
    }
    thaws
}

/// Both sides write; returns how long each waited, and whether the answer was 200.
async fn write(site: &Site, session: &Session, thread: &Thread, text: &str) -> [(Duration, bool); 2] {
    let one = async |call: Call| {
        let watch = Instant::now();
        let answer = call.send(&site.world, &site.client).await;
        (watch.elapsed(), answer.is_some_and(|(status, _)| status == 200))
    };
    let user = one(Call::user_message(session, text)).await;
    let agent = one(Call::agent_message(&site.world, thread, text)).await;
    [user, agent]
}

fn arrivals(site: &Site, effect: &str, pointer: &str, text: &str) -> usize {
    site.world.entries(effect, pointer, text).len()
}
