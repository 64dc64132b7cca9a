//! Calls that LiveChat carries out after its caller has disconnected: sent once, opened once, and no later thread is closed.

use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::faults::Fault;
use serde_json::Value;
use shared::fail_point::{Place, Side};
use tests::{ANNA, ASK, World};

use crate::either_platform::User;

const SEND: &str = "customer/action/send_event";
const START: &str = "customer/action/start_chat";
const RESUME: &str = "customer/action/resume_chat";
const CLOSE: &str = "agent/action/deactivate_chat";

/// The longest time that LiveChat works on a call.
const LONGEST: Duration = Duration::from_secs(15);

const MINUTE: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns a fault in which the call takes effect this much later, and its caller waits for five seconds.
fn hanging(takes_effect_after: Duration) -> Fault {
    Fault::Late { breaks_after: seconds(5), takes_effect_after }
}

/// Advances the time, with everything that is due on the way but the sweep.
async fn pass(world: &World, time: Duration) {
    let until = world.now() + time;
    while let Some(next) = world.next_wake().filter(|next| *next <= until) {
        world.advance(next.since(world.now()));
        world.settle().await;
    }
    world.advance(until.since(world.now()));
    world.settle().await;
}

/// Advances the time by three minutes, with their sweeps.
pub(crate) async fn catch_up(world: &World) {
    for _ in 0..3 {
        world.sweep().await;
        pass(world, MINUTE).await;
    }
}

/// Returns the texts that reached LiveChat with this prefix.
fn sent(world: &World, prefix: &str) -> Vec<String> {
    world.sent_by_customers().into_iter().filter(|text| text.starts_with(prefix)).collect()
}

fn openings(world: &World) -> usize {
    let is_opening = |thread: &Value| thread.to_string().contains("opening:");
    world.stack.journal.all("event_sent").iter().filter(|entry| is_opening(&entry.detail)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_livechat_takes_late_are_sent_once_and_in_order() {
    for widget in [false, true] {
        let world = World::in_process().await;
        let user = User::new(&world, widget).await;
        let mut expected = Vec::new();
        for fault in [Fault::late(seconds(1)), Fault::late(seconds(8)), Fault::late(LONGEST), hanging(LONGEST)] {
            world.stack.livechat.faults().next(1, SEND, fault);
            for part in ["first", "second"] {
                let text = format!("said {} {part}", expected.len());
                user.says(&world, &text).await;
                expected.push(text);
            }
            catch_up(&world).await;
            assert_eq!(sent(&world, "said"), expected, "widget: {widget}");
        }
        assert!(world.items("parked").is_empty() && world.items("waiting").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_livechat_never_took_are_sent_again_once_that_is_certain() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.stack.livechat.faults().next(1, SEND, Fault::Reset);
    let said_at = world.now();
    world.says(&ann, "said").await;
    assert!(sent(&world, "said").is_empty());
    world.sweep().await;
    assert_eq!(sent(&world, "said"), ["said"]);
    let took = world.now().since(said_at);
    assert!(took >= LONGEST && took < seconds(20), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_holder_of_a_short_lease_does_not_repeat_what_the_one_before_may_have_sent() {
    let world = World::in_process().await;
    let widget = world.handed_over_user().await;
    world.stack.livechat.faults().next(1, SEND, Fault::late(seconds(12)));
    world.fail_points.kill_at(Place { step: "vendor send_event", side: Side::After }, 1);
    drop(world.drive(world.stack.botcopy.user_says(&widget, "said")).await);
    assert!(world.fail_points.has_killed());
    world.fail_points.clear();
    // Four seconds later the lease expires.
    pass(&world, seconds(4)).await;
    world.sweep().await;
    catch_up(&world).await;
    assert_eq!(sent(&world, "said"), ["said"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_livechat_carries_out_late_opens_one_thread() {
    for late in [Fault::late(seconds(3)), Fault::late(LONGEST), hanging(seconds(12))] {
        for widget in [false, true] {
            let world = World::in_process().await;
            world.stack.livechat.faults().next(1, START, late.clone());
            match widget {
                true => {
                    let user = world.widget_user().await;
                    world.widget_says(&user, ASK).await;
                    catch_up(&world).await;
                    assert!(world.stack.botcopy.is_paused(&user));
                }
                false => drop(world.escalated_user("Ann").await),
            }
            catch_up(&world).await;
            let threads = (world.count("chat_started"), openings(&world), world.stack.livechat.open_chats().len());
            assert_eq!(threads, (1, 1, 1), "{late:?}, widget: {widget}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_livechat_opens_late_is_the_starts_own() {
    for late in [Fault::late(seconds(6)), Fault::late(LONGEST), hanging(seconds(13))] {
        let world = World::in_process().await;
        let ann = world.escalated_user("Ann").await;
        world.user_ends(&ann).await;
        world.says(&ann, "hello again").await;
        world.stack.livechat.faults().next(1, RESUME, late.clone());
        world.escalate(&ann).await.unwrap();
        // Any thread that was to be opened for this session is open by now, and is closed with it.
        world.user_ends(&ann).await;
        catch_up(&world).await;
        assert_eq!((world.count("chat_resumed"), world.stack.livechat.open_chats().len()), (1, 0), "{late:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_wait_for_certainty_leaves_no_thread_behind() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    world.stack.livechat.faults().next(2, START, Fault::late(LONGEST));
    // LiveChat carries the first one out while the second waits; so both are the customer's only chat.
    let _ = world.escalate(&ann).await;
    world.stack.livechat.faults().clear();
    let escalated = world.stack.botpress.is_escalated(&ann.conversation_id);
    catch_up(&world).await;
    assert_eq!(world.stack.livechat.open_chats().len(), usize::from(escalated));
    let bob = world.user("Bob").await;
    world.stack.livechat.faults().always(START, Fault::Reset);
    assert!(world.escalate(&bob).await.is_err());
    world.stack.livechat.faults().clear();
    world.stack.livechat.faults().next(1, START, Fault::late(LONGEST));
    let asked = world.stack.botpress.escalate(&bob.conversation_id, Escalation::default());
    let _ = world.drive(asked).await;
    catch_up(&world).await;
    let open = usize::from(escalated) + usize::from(world.stack.botpress.is_escalated(&bob.conversation_id));
    assert_eq!(world.stack.livechat.open_chats().len(), open);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_late_close_of_one_thread_does_not_close_the_next() {
    for fault in [Fault::late(seconds(5)), Fault::late(LONGEST), hanging(seconds(14))] {
        let world = World::in_process().await;
        let ann = world.escalated_user("Ann").await;
        world.stack.livechat.faults().next(1, CLOSE, fault.clone());
        world.user_ends(&ann).await;
        world.says(&ann, "hello again").await;
        let asked_at = world.now();
        world.escalate(&ann).await.unwrap();
        assert!(world.now().since(asked_at) < seconds(25), "the start waits for the end before");
        catch_up(&world).await;
        assert_eq!(world.stack.livechat.open_chats().len(), 1, "{fault:?}");
        assert!(world.stack.botpress.is_escalated(&ann.conversation_id));
        world.answers(ANNA, "here I am").await;
        assert_eq!(world.shown_by_agents(), ["here I am"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_the_end_before_as_long_as_its_caller_does() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let faults = world.stack.livechat.faults();
    faults.next(3, CLOSE, Fault::answer(503, "down"));
    world.user_ends(&ann).await;
    assert_eq!(world.items("waiting").len(), 1, "the end is under way");
    world.says(&ann, "hello again").await;
    world.escalate(&ann).await.unwrap();
    assert!(world.stack.botpress.is_escalated(&ann.conversation_id));
    assert_eq!((world.stack.livechat.open_chats().len(), openings(&world)), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_late_close_of_a_superseded_session_does_not_close_its_successor() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.stack.livechat.faults().next(1, CLOSE, Fault::late(LONGEST));
    let on_phone = world.stack.botpress.new_conversation(&ann.conversation_id).unwrap();
    world.says(&on_phone, "I am on my phone now").await;
    world.escalate(&on_phone).await.unwrap();
    catch_up(&world).await;
    assert_eq!((world.stack.livechat.open_chats().len(), openings(&world)), (1, 2));
    assert!(world.stack.botpress.is_escalated(&on_phone.conversation_id));
    world.answers(ANNA, "here I am").await;
    assert_eq!(world.shown_by_agents(), ["here I am"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_late_close_of_a_thread_without_a_session_does_not_close_the_next() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let chat_id = world.chat_id();
    world.agent_closes(ANNA).await;
    pass(&world, MINUTE).await;
    world.stack.livechat.agent_resumes(&chat_id, ANNA).unwrap();
    world.stack.livechat.faults().next(1, CLOSE, Fault::late(LONGEST));
    world.stack.livechat.agent_sends_text(&chat_id, ANNA, "one more thing").unwrap();
    world.settle().await;
    world.says(&ann, "hello again").await;
    world.escalate(&ann).await.unwrap();
    catch_up(&world).await;
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
    assert!(world.stack.botpress.is_escalated(&ann.conversation_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remark_that_livechat_takes_late_is_made_once() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let chat_id = world.chat_id();
    world.agent_closes(ANNA).await;
    pass(&world, MINUTE).await;
    world.stack.livechat.agent_resumes(&chat_id, ANNA).unwrap();
    let faults = world.stack.livechat.faults();
    faults.next(1, SEND, Fault::late(seconds(12)));
    // In a closed thread the message could not be seen.
    faults.always(CLOSE, Fault::answer(503, "down"));
    world.stack.livechat.agent_sends_text(&chat_id, ANNA, "one more thing").unwrap();
    world.settle().await;
    world.sweep().await;
    faults.clear();
    catch_up(&world).await;
    assert_eq!(sent(&world, "[Bot] The customer is back").len(), 1);
    assert!(world.stack.livechat.open_chats().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_whose_lease_has_ended_while_they_looked() {
    let world = World::of_instances(2, false).await;
    let ann = world.escalated_user("Ann").await;
    let faults = world.stack.livechat.faults();
    faults.always(SEND, Fault::answer(500, r#"{"error":{"type":"internal","message":"Internal server error"}}"#));
    world.says(&ann, "said").await;
    faults.clear();
    // The first sweep looks for the message and does not find it; by then another sweep has sent it.
    faults.next(1, "agent/action/get_chat", Fault::Pace(seconds(110)));
    let next = async {
        world.sleep(seconds(82)).await;
        world.stack.sweep().await
    };
    let (first, next) = world.drive(async { tokio::join!(world.stack.sweep(), next) }).await;
    first.and(next).unwrap();
    catch_up(&world).await;
    assert_eq!(sent(&world, "said"), ["said"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_does_not_wait_for_the_time_that_livechat_has_named() {
    let world = World::in_process().await;
    for name in ["Ann", "Bob", "Carol"] {
        world.escalated_user(name).await;
    }
    world.stack.livechat.faults().always("agent/action/get_chat", Fault::limited("retry-after", 3_600));
    for (number, chat) in world.stack.livechat.open_chats().iter().enumerate() {
        let closed_at = world.now();
        world.stack.livechat.agent_closes(&chat.id, ANNA).unwrap();
        world.settle().await;
        world.sweep().await;
        let took = world.now().since(closed_at);
        assert_eq!(world.bot_events("hitlStopped").len(), number + 1, "after {took:?}");
        assert!(took < seconds(10), "{took:?}");
    }
}

/// A message that LiveChat has not answered does not go to the next thread: agents would read it twice there.
#[tokio::test(flavor = "multi_thread")]
async fn words_in_doubt_are_not_said_in_the_thread_that_comes_next() {
    for late in [Fault::late(seconds(4)), Fault::late(seconds(12)), Fault::late(LONGEST)] {
        let world = World::in_process().await;
        let ann = world.escalated_user("Ann").await;
        world.stack.livechat.faults().next(1, SEND, late.clone());
        world.says(&ann, "said").await;
        world.agent_closes(ANNA).await;
        assert!(!world.stack.botpress.is_escalated(&ann.conversation_id), "the end does not wait");
        world.says(&ann, "hello again").await;
        let asked_at = world.now();
        world.escalate(&ann).await.unwrap();
        assert!(world.now().since(asked_at) < seconds(25), "the start waits as long as LiveChat may be at work");
        catch_up(&world).await;
        assert_eq!(sent(&world, "said"), [] as [&str; 0], "{late:?}");
        let opening = world.sent_by_customers().into_iter().rfind(|text| text.contains("hello again")).unwrap();
        assert!(opening.contains("said"), "agents read it in the transcript: {opening}");
        assert_eq!((world.stack.livechat.open_chats().len(), openings(&world)), (1, 2), "{late:?}");
    }
}

/// The same while the call that LiveChat carries out late is still in progress.
#[tokio::test(flavor = "multi_thread")]
async fn words_on_their_way_are_not_said_in_the_thread_that_comes_next() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let chat_id = world.chat_id();
    world.stack.livechat.faults().next(1, SEND, hanging(seconds(9)));
    let said = world.stack.botpress.user_says(&ann.conversation_id, "said");
    let closed = async {
        world.sleep(Duration::from_millis(300)).await;
        world.stack.livechat.agent_closes(&chat_id, ANNA).unwrap();
    };
    world.drive(async { tokio::join!(said, closed) }).await.0.unwrap();
    world.settle().await;
    assert!(!world.stack.botpress.is_escalated(&ann.conversation_id));
    world.says(&ann, "hello again").await;
    world.escalate(&ann).await.unwrap();
    catch_up(&world).await;
    assert_eq!(sent(&world, "said"), [] as [&str; 0]);
    assert_eq!((world.stack.livechat.open_chats().len(), openings(&world)), (1, 2));
}

/// A start does not wait if nothing is in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_a_quiet_end_does_not_wait() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "said").await;
    world.agent_closes(ANNA).await;
    world.says(&ann, "hello again").await;
    let asked_at = world.now();
    world.escalate(&ann).await.unwrap();
    assert!(world.now().since(asked_at) < seconds(5), "{:?}", world.now().since(asked_at));
}

/// A call that must happen once waits for its answer as long as its caller does: with the answer, no lookup is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_to_what_must_happen_once_is_waited_for() {
    // A start: one call, and no lookup of the customer's chats.
    let world = World::in_process().await;
    world.stack.livechat.faults().next(1, START, Fault::Pace(seconds(13)));
    world.escalated_user("Ann").await;
    let looks = world.entries("call_answered", "/call", "customer/list_chats").len();
    assert_eq!((world.count("chat_started"), looks), (1, 0));

    // The sweep's pushes, which cannot be looked up.
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.answers(ANNA, "zero").await;
    world.stack.botcopy.faults().next(1, "push", Fault::answer(503, "down"));
    world.stack.botcopy.faults().next(1, "push", Fault::hang());
    world.stack.botcopy.faults().next(1, "push", Fault::Pace(seconds(9)));
    world.answers(ANNA, "one").await;
    catch_up(&world).await;
    assert_eq!(world.widget_shows(&user, "agent"), ["zero", "one"]);
    assert!(world.items("waiting").is_empty());
}

/// A call to a vendor that does not answer at all is given up as before: its caller waits no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_is_given_up_when_livechat_can_no_longer_be_at_work_on_it() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    world.stack.livechat.faults().next(1, START, Fault::Hang(seconds(60)));
    let asked_at = world.now();
    world.escalate(&ann).await.unwrap();
    let took = world.stack.journal.all("chat_started").first().unwrap().at.since(asked_at);
    // Fifteen seconds for the answer, and one more until it is certain that there was no effect.
    assert!((seconds(16)..seconds(18)).contains(&took), "{took:?}");
    assert_eq!((world.count("chat_started"), openings(&world)), (1, 1));
}
