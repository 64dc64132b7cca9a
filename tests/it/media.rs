//! Files of users: LiveChat stores the bytes that the platform served, once; otherwise agents get the link.

use std::time::Duration;

use sandbox::botpress::UpstreamUser;
use sandbox::faults::Fault;
use sandbox::journal::digest;
use serde_json::{Value, json};
use tests::World;

const MEGABYTE: usize = 1024 * 1024;

fn image(url: &str) -> Value {
    json!({"imageUrl": url, "title": "Cat"})
}

fn stored(world: &World, name: &str, bytes: &[u8]) -> String {
    world.stack.botpress.stores_file(name, "image/png", bytes.to_vec())
}

/// Returns the digests of the files that agents were shown.
fn shown(world: &World) -> Vec<String> {
    let events = world.entries("event_sent", "/type", "file");
    events.iter().map(|entry| entry.text("/file/sha256").to_owned()).collect()
}

fn link(url: &str) -> String {
    format!("[image] Cat: {url}")
}

async fn shows(world: &World, user: &UpstreamUser, url: &str) {
    world.shows(user, "image", image(url)).await;
    world.catch_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_served_is_what_is_stored_up_to_the_limit() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    for size in [1, 1_000, 10 * MEGABYTE] {
        let bytes: Vec<u8> = (0..size).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
        world.shows(&ann, "image", image(&stored(&world, "cat.png", &bytes))).await;
        assert_eq!(shown(&world).last(), Some(&digest(&bytes)));
        assert_eq!(world.stack.journal.all("file_served").last().unwrap().text("/sha256"), digest(&bytes));
        assert_eq!(world.stack.journal.all("file_uploaded").last().unwrap().text("/sha256"), digest(&bytes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_deliveries_uploads_and_shows_a_file_once() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let url = stored(&world, "cat.png", b"meow");
    let troubles =
        [None, Some(Fault::answer(503, "")), Some(Fault::answer(429, "")), Some(Fault::LoseAnswer), Some(Fault::Reset)];
    for (done, trouble) in troubles.into_iter().enumerate() {
        if let Some(trouble) = trouble {
            world.stack.livechat.faults().next(2, "customer/action/send_event", trouble);
        }
        world.shows(&ann, "image", image(&url)).await;
        for _ in 0..3 {
            assert!(world.stack.botpress.repeat_last_message_delivery());
        }
        world.settle().await;
        world.catch_up().await;
        assert_eq!((world.count("file_uploaded"), shown(&world).len()), (done + 1, done + 1));
    }
    assert_eq!(world.sent_by_customers().iter().filter(|text| text.contains("[image]")).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_for_a_moment_is_waited_for() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let url = stored(&world, "cat.png", b"meow");
    let (files, livechat) = (world.stack.botpress.file_faults(), world.stack.livechat.faults());
    for (count, (faults, call)) in
        [(files, "GET /"), (livechat, "upload_file"), (livechat, "send_event")].into_iter().enumerate()
    {
        faults.next(1, call, Fault::answer(503, ""));
        faults.next(1, call, Fault::Reset);
        shows(&world, &ann, &url).await;
        world.says(&ann, "see?").await;
        world.catch_up().await;
        assert_eq!(shown(&world), vec![digest(b"meow"); count + 1], "{call}");
    }
    let sent: Vec<_> = world.entries("event_sent", "/author_type", "customer").split_off(1);
    let kinds: Vec<_> = sent.iter().map(|entry| entry.text("/type")).collect();
    assert_eq!(kinds, ["file", "message"].repeat(3), "in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_shown_is_a_link_with_its_title_and_holds_nothing_up() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let large = stored(&world, "large.png", &vec![0; 10 * MEGABYTE + 1]);
    let program = stored(&world, "setup.exe", b"MZ");
    let gone = format!("{}/gone.png", world.stack.botpress.files_url());
    let inside = format!("{}/x", world.stack.livechat.url());
    for url in
        ["https://elsewhere.example/cat.png", "http://169.254.169.254/", "nonsense", &large, &program, &gone, &inside]
    {
        let since = world.now();
        world.shows(&ann, "image", image(url)).await;
        assert_eq!(world.sent_by_customers().last(), Some(&link(url)));
        assert!(world.now().since(since) < Duration::from_secs(10), "a link needs no second try");
    }
    assert!(shown(&world).is_empty());
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stays_down_is_asked_three_times_and_an_upload_that_never_works_eight() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let url = stored(&world, "cat.png", b"meow");
    let files = world.stack.botpress.file_faults();
    files.always("GET /", Fault::answer(503, ""));
    shows(&world, &ann, &url).await;
    assert_eq!((files.spoiled().len(), world.sent_by_customers().last()), (3, Some(&link(&url))));
    files.clear();
    let livechat = world.stack.livechat.faults();
    livechat.always("upload_file", Fault::answer(500, ""));
    shows(&world, &ann, &url).await;
    for _ in 0..8 {
        world.catch_up().await;
    }
    assert_eq!((livechat.spoiled().len(), world.sent_by_customers().last()), (8, Some(&link(&url))));
    assert!(shown(&world).is_empty() && world.items("waiting").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_file_that_livechat_has_forgotten_meanwhile_is_a_link() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    // On a busy machine the agent's announcement can be left to the sweep.
    world.catch_up().await;
    let url = stored(&world, "cat.png", b"meow");
    let livechat = world.stack.livechat.faults();
    livechat.always("send_event", Fault::answer(503, ""));
    world.shows(&ann, "image", image(&url)).await;
    let waiting = world.items("waiting");
    assert_eq!((world.count("file_uploaded"), waiting.len()), (1, 1), "{waiting:#?}");
    world.advance(Duration::from_secs(25 * 3_600));
    livechat.clear();
    world.catch_up().await;
    assert_eq!((world.count("file_uploaded"), world.sent_by_customers().last()), (1, Some(&link(&url))));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_file_stays_in_the_table_but_its_trail() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.shows(&ann, "image", json!({"imageUrl": stored(&world, "canary.png", b"meow"), "title": "canary"})).await;
    assert_eq!(shown(&world).len(), 1);
    assert!(!json!(world.stack.table.items().unwrap()).to_string().contains("canary"));
}
