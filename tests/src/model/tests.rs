//! Journals that contain an error, and journals that only seem to.

use std::time::Duration;

use sandbox::journal::Vendor;
use serde_json::{Value, json};

use super::*;

/// A journal, written entry by entry.
#[derive(Default)]
struct Story(Vec<Entry>);

impl Story {
    fn and(mut self, effect: &'static str, detail: Value) -> Self {
        let number = self.0.len();
        let at = Timestamp::from_unix_millis(i64::try_from(number).unwrap() * 1_000);
        self.0.push(Entry { number, at, vendor: Vendor::LiveChat, effect, cause: None, took_ms: None, detail });
        self
    }

    fn at_botcopy(self, effect: &'static str, detail: Value) -> Self {
        let mut story = self.and(effect, detail);
        story.0.last_mut().unwrap().vendor = Vendor::Botcopy;
        story
    }

    /// A user was handed over: thread T, conversation C, upstream conversation U.
    fn handed_over() -> Self {
        Self::default()
            .and("chat_started", json!({"thread_id": "T", "chat_id": "chat", "customer_id": "customer"}))
            .and("conversation_created", json!({"conversation_id": "C", "tags": {"id": "T"}}))
            .and("hitl_started", json!({"conversation_id": "C", "upstream_conversation_id": "U"}))
    }

    fn agent_writes(self, text: &str) -> Self {
        self.and(
            "event_sent",
            json!({
                "thread_id": "T", "event_id": text, "text": text, "type": "message", "author_type": "agent",
                "visibility": "all",
            }),
        )
    }

    fn we_accept(self, event_id: &str) -> Self {
        self.and("webhook_delivered", json!({"event_id": event_id, "status": 200}))
    }

    fn user_sees(self, text: &str) -> Self {
        self.and("shown_to_user", json!({"conversation_id": "U", "from": "agent", "text": text}))
    }

    fn user_writes(self, text: &str) -> Self {
        let payload = json!({"text": text, "userId": "user"});
        self.and("message_created", json!({"conversation_id": "C", "message_id": text, "payload": payload}))
    }

    fn we_take(self, message_id: &str) -> Self {
        self.and("operation_called", json!({"message_id": message_id, "status": 200}))
    }

    fn closes(self, by: Value) -> Self {
        self.and("chat_deactivated", json!({"thread_id": "T", "by": by}))
    }

    fn ends(self, reason: &str) -> Self {
        let detail = json!({"conversation_id": "C", "upstream_conversation_id": "U", "reason": reason});
        self.and("hitl_ended", detail)
    }

    /// Every error that the model finds on the way and at the end.
    fn wrong(&self) -> Vec<String> {
        let mut model = Model::default();
        let mut wrong = model.observe(&self.0);
        wrong.extend(model.rest(&[], &[]).0);
        wrong
    }
}

const AGENT: &str = "anna@example.com";

#[test]
fn a_session_in_which_everything_arrives_is_fine() {
    let story = Story::handed_over().agent_writes("hello").we_accept("hello").user_sees("hello").user_writes("hi");
    let sent = json!({"thread_id": "T", "author_type": "customer", "text": "hi"});
    let story = story.we_take("hi").and("event_sent", sent).closes(json!(AGENT)).ends(TOLD);
    assert_eq!(story.wrong(), Vec::<String>::new());
}

#[test]
fn words_are_owed_until_the_other_side_has_ended() {
    assert_eq!(Story::handed_over().agent_writes("a").wrong().len(), 1, "the thread could have been read");
    assert_eq!(Story::handed_over().agent_writes("a").closes(json!(AGENT)).ends(TOLD).wrong().len(), 1);
    let bot_ended = Story::handed_over().agent_writes("a").ends("close-action-called").closes(json!(OURSELVES));
    assert!(bot_ended.wrong().is_empty(), "the plugin takes nothing any more");

    assert!(Story::handed_over().user_writes("u").wrong().is_empty(), "we have never answered for it");
    assert_eq!(Story::handed_over().user_writes("u").we_take("u").wrong().len(), 1);
    let people_closed = Story::handed_over().user_writes("u").we_take("u").closes(json!(AGENT)).ends(TOLD);
    assert!(people_closed.wrong().is_empty());
    let user_ended = Story::handed_over().user_writes("u").we_take("u").ends("patient").closes(json!(OURSELVES));
    assert_eq!(user_ended.wrong().len(), 1, "the user's words come before their end");
}

#[test]
fn words_arrive_once_in_their_own_thread_and_overtake_none_that_was_accepted_before() {
    let twice = Story::handed_over().agent_writes("a").user_sees("a").user_sees("a");
    assert_eq!(twice.wrong().len(), 1);
    let known = Story::handed_over().agent_writes("a").we_accept("a").agent_writes("b").we_accept("b");
    assert_eq!(known.user_sees("b").user_sees("a").wrong().len(), 1);
    let unknown = Story::handed_over().agent_writes("a").agent_writes("b").we_accept("b").we_accept("a");
    assert!(unknown.user_sees("b").user_sees("a").wrong().is_empty());
    let other = json!({"thread_id": "T2", "author_type": "customer", "text": "u"});
    let story = Story::handed_over().user_writes("u").we_take("u").and("event_sent", other);
    assert_eq!(story.wrong().len(), 1);
}

#[test]
fn a_conversation_has_one_owner_and_nobody_is_sent_away_without_a_reason() {
    assert_eq!(Story::handed_over().closes(json!(OURSELVES)).wrong().len(), 2, "too early, and the user still waits");
    assert_eq!(Story::handed_over().closes(json!(AGENT)).wrong().len(), 1, "the user waits for nobody");
    assert_eq!(Story::handed_over().ends(TOLD).wrong().len(), 2, "for no reason, and the agents are left alone");
    let second = json!({"conversation_id": "D", "upstream_conversation_id": "U"});
    let story = Story::handed_over().and("conversation_created", json!({"conversation_id": "D", "tags": {"id": "T"}}));
    assert!(!story.and("hitl_started", second).wrong().is_empty());
    let thread = json!({"thread_id": "T2", "chat_id": "chat", "customer_id": "customer"});
    assert!(!Story::handed_over().and("chat_resumed", thread).wrong().is_empty());
}

#[test]
fn an_end_that_never_reached_us_leaves_a_thread_open_and_one_that_did_must_not() {
    let ended = || Story::handed_over().ends("close-action-called");
    assert!(ended().wrong().is_empty());
    let heard = json!({"conversation_id": "C", "type": "stopHitl", "status": 200});
    assert_eq!(ended().and("operation_called", heard).wrong().len(), 1);
}

/// A Botcopy user asked for a person, was promised one, and thread T opened with the user's previous texts.
fn promised() -> Story {
    let mut story = Story::default();
    for (effect, detail) in [
        ("user_wrote", json!({"user_id": "ann", "text": "a human"})),
        ("webhook_called", json!({"user_id": "ann", "text": "a human", "paused": true})),
        ("paused", json!({"user_id": "ann", "by": "answer"})),
    ] {
        story = story.at_botcopy(effect, detail);
    }
    story
}

fn opened(story: Story) -> Story {
    let opening = json!({"thread_id": "T", "author_type": "customer", "text": "User: a human\nBot: One moment."});
    story
        .and("chat_started", json!({"thread_id": "T", "chat_id": "chat", "customer_id": "customer"}))
        .and("event_sent", opening)
}

fn pushed(story: Story, text: &str) -> Story {
    story.at_botcopy("shown_to_user", json!({"user_id": "ann", "from": "agent", "text": text}))
}

#[test]
fn a_promise_to_a_botcopy_user_is_kept_or_taken_back() {
    let wrong = |story: &Story, doubts: &[Doubt]| {
        let mut model = Model::default();
        let mut wrong = model.observe(&story.0);
        wrong.extend(model.rest(&[], doubts).0);
        wrong
    };
    assert_eq!(wrong(&promised(), &[]).len(), 2, "the words are nowhere, and the bot is silent for ever");
    let taken_back = promised().at_botcopy("unpaused", json!({"user_id": "ann", "by": "push"}));
    assert!(wrong(&taken_back, &[]).is_empty());
    assert!(wrong(&opened(promised()), &[]).is_empty());
    let lapsed = opened(promised()).at_botcopy("pause_lapsed", json!({"user_id": "ann"}));
    assert_eq!(wrong(&lapsed, &[]).len(), 1, "an agent waits for somebody who talks to the bot");
    let closed = opened(promised()).closes(json!("anna@example.com"));
    assert_eq!(wrong(&closed, &[]).len(), 1, "nobody gives the bot its turn back");
}

#[test]
fn what_a_botcopy_user_says_to_a_closed_thread_is_owed_only_to_the_next_one() {
    let says = |story: Story, text: &str| {
        let story = story.at_botcopy("user_wrote", json!({"user_id": "ann", "text": text}));
        story.at_botcopy("webhook_called", json!({"user_id": "ann", "text": text, "paused": true}))
    };
    let unpaused = |story: Story, by: &str| story.at_botcopy("unpaused", json!({"user_id": "ann", "by": by}));
    for by in ["answer", "push"] {
        let closed = || opened(promised()).closes(json!("anna@example.com"));
        let too_late = unpaused(says(closed(), "u"), by);
        assert!(too_late.wrong().is_empty(), "{by}: nobody knew that the thread was closed");
        let next = says(unpaused(closed(), by), "another human");
        assert_eq!(next.wrong().len(), 1, "{by}: who was told of the end has been promised another start");
    }
    assert_eq!(says(opened(promised()), "u").wrong().len(), 1, "the thread is open");
}

#[test]
fn a_promise_may_be_taken_back_after_the_bot_has_its_turn() {
    let unpaused = |story: Story, effect, by: &str| story.at_botcopy(effect, json!({"user_id": "ann", "by": by}));
    let by_answer = || unpaused(promised(), "unpaused", "answer");
    assert_eq!(by_answer().wrong().len(), 1, "nobody has said that no agent comes");
    assert!(unpaused(by_answer(), "unpaused_again", "push").wrong().is_empty());
}

#[test]
fn an_end_may_be_found_unreadable_after_a_botcopy_bot_has_its_turn() {
    let unpaused = |story: Story, effect, by: &str| story.at_botcopy(effect, json!({"user_id": "ann", "by": by}));
    let closed = opened(promised()).agent_writes("u").closes(json!("anna@example.com"));
    let story = unpaused(unpaused(closed, "unpaused", "answer"), "unpaused_again", "push");
    let told_at = story.0.last().unwrap().at;
    let wrong = |readings: &[Timestamp]| {
        let mut model = Model::default();
        assert!(model.observe(&story.0).is_empty());
        model.rest(readings, &[]).0.len()
    };
    assert_eq!(wrong(&[told_at; READINGS]), 0);
    assert_eq!(wrong(&[told_at]), 1, "it was not tried often enough");
    assert_eq!(wrong(&[told_at + Duration::from_millis(1); READINGS]), 1, "it was over by then");
}

#[test]
fn what_an_agent_writes_while_a_dead_start_is_given_up_may_be_lost() {
    let lost = |story: Story| story.wrong().iter().filter(|wrong| wrong.contains("never arrived")).count();
    let given_up =
        |story: Story| story.at_botcopy("unpaused", json!({"user_id": "ann", "by": "push"})).closes(json!(OURSELVES));
    assert_eq!(lost(given_up(opened(promised()).agent_writes("hi"))), 0);
    assert_eq!(lost(opened(promised()).agent_writes("hi")), 1, "it may still be read");
    let shown = pushed(opened(promised()).agent_writes("hi"), "hi").agent_writes("bye");
    assert_eq!(lost(given_up(shown)), 1, "the thread was known");
}

#[test]
fn a_push_may_be_doubled_only_where_nobody_knew_of_the_first() {
    let twice = pushed(pushed(opened(promised()).agent_writes("hi"), "hi"), "hi");
    let mut model = Model::default();
    assert!(model.observe(&twice.0).is_empty());
    assert_eq!(model.rest(&[], &[]).0.len(), 1);
    let between = Doubt::at(twice.0.last().unwrap().at);
    let (wrong, excused) = model.rest(&[], &[between]);
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(excused.pushed_again, 1);
}

/// A Botcopy user who talks to agents in thread T.
fn with_an_agent() -> Story {
    Story::default()
        .at_botcopy("user_wrote", json!({"user_id": "U", "text": "human"}))
        .at_botcopy("webhook_called", json!({"user_id": "U", "text": "human", "status": 200, "paused": true}))
        .at_botcopy("paused", json!({"user_id": "U", "by": "answer"}))
        .and("chat_started", json!({"thread_id": "T", "chat_id": "chat", "customer_id": "customer"}))
        .and("event_sent", json!({"thread_id": "T", "author_type": "customer", "text": "User: human"}))
}

fn says_yes(story: Story, status: u16, arrives: bool) -> Story {
    let story = story.at_botcopy("user_wrote", json!({"user_id": "U", "text": "yes"}));
    let story = match arrives {
        true => story.and("event_sent", json!({"thread_id": "T", "author_type": "customer", "text": "yes"})),
        false => story,
    };
    let paused = (status == 200).then_some(true);
    story.at_botcopy("webhook_called", json!({"user_id": "U", "text": "yes", "status": status, "paused": paused}))
}

#[test]
fn equal_words_are_owed_as_often_as_they_were_said_unless_one_had_no_answer() {
    let judged = |story: Story| {
        let mut model = Model::default();
        assert_eq!(model.observe(&story.0), Vec::<String>::new());
        let (wrong, excused) = model.rest(&[], &[]);
        (wrong.len(), excused.unheard, excused.heard_again)
    };
    assert_eq!(judged(says_yes(says_yes(with_an_agent(), 200, true), 200, true)), (0, 0, 0));
    assert_eq!(judged(says_yes(says_yes(with_an_agent(), 200, true), 200, false)), (1, 0, 0), "one was lost");
    assert_eq!(judged(says_yes(says_yes(with_an_agent(), 500, true), 200, false)), (0, 1, 0), "it counts as a repeat");
    let again = json!({"thread_id": "T", "author_type": "customer", "text": "yes"});
    assert_eq!(judged(says_yes(with_an_agent(), 500, true).and("event_sent", again.clone())), (0, 0, 1));
    let doubled = says_yes(with_an_agent(), 200, true).and("event_sent", again);
    assert_eq!(Model::default().observe(&doubled.0).len(), 1, "doubled although everybody knew");
}
