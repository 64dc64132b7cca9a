//! A bad journal for each finding, and a good one.

use serde_json::json;

use super::*;

/// A journal under construction; each line comes a second after the one before.
#[derive(Default)]
struct Story(Vec<Entry>);

impl Story {
    fn add(mut self, vendor: Vendor, effect: &'static str, detail: Value) -> Self {
        let number = self.0.len();
        let at = Timestamp::from_unix_millis(i64::try_from(number).unwrap() * 1_000);
        self.0.push(Entry { number, at, vendor, effect, cause: None, took_ms: None, detail });
        self
    }

    /// Ann (upstream `ann`) talks in thread `T1` and conversation `c1`; Bob in `T2` and `c2`.
    fn escalated() -> Self {
        Self::default()
            .opened("T1", "c1", "ann")
            .opened("T2", "c2", "bob")
            .assigned("c1", "anna")
            .assigned("c2", "anna")
    }

    fn opened(self, thread: &str, conversation: &str, person: &str) -> Self {
        self.add(Vendor::LiveChat, "chat_started", json!({"thread_id": thread, "active": true}))
            .add(
                Vendor::Botpress,
                "conversation_created",
                json!({"conversation_id": conversation, "tags": {"id": thread}}),
            )
            .add(
                Vendor::Botpress,
                "hitl_started",
                json!({"conversation_id": conversation, "upstream_conversation_id": person}),
            )
    }

    fn assigned(self, conversation: &str, agent: &str) -> Self {
        let detail = json!({"type": "hitlAssigned", "conversation_id": conversation, "user_id": agent});
        self.add(Vendor::Botpress, "event_created", detail)
    }

    fn shown(self, person: &str, text: &str) -> Self {
        self.add(Vendor::Botpress, "shown_to_user", json!({"from": "agent", "conversation_id": person, "text": text}))
    }

    fn sent(self, thread: &str, text: &str) -> Self {
        let detail = json!({"author_type": "customer", "thread_id": thread, "text": text});
        self.add(Vendor::LiveChat, "event_sent", detail)
    }

    fn closed(self, thread: &str) -> Self {
        self.add(Vendor::LiveChat, "chat_deactivated", json!({"thread_id": thread}))
    }

    fn ended(self, conversation: &str, person: &str) -> Self {
        let detail = json!({"conversation_id": conversation, "upstream_conversation_id": person});
        self.add(Vendor::Botpress, "hitl_ended", detail)
    }

    fn called(self) -> Self {
        self.add(Vendor::Botpress, "call_answered", json!({"call": "createMessage", "status": 200}))
    }

    fn check(&self, expectations: &Expectations) -> Vec<Finding> {
        super::check(&self.0, expectations)
    }
}

fn to_user(person: &str, text: &str) -> Words {
    Words { person: person.to_owned(), direction: Direction::ToUser, text: text.to_owned() }
}

fn to_agent(person: &str, text: &str) -> Words {
    Words { person: person.to_owned(), direction: Direction::ToAgent, text: text.to_owned() }
}

fn written(words: impl IntoIterator<Item = Words>) -> Expectations {
    Expectations {
        words: words.into_iter().collect(),
        private: vec!["note".to_owned()],
        escalations: Some(2),
        ..Expectations::default()
    }
}

#[test]
fn a_good_journal_has_no_findings() {
    let expected =
        written([to_user("ann", "one"), to_user("bob", "two"), to_user("ann", "three"), to_agent("ann", "four")]);
    let story = Story::escalated().shown("ann", "one").sent("T1", "four").shown("ann", "three").shown("bob", "two");
    let story = story.assigned("c1", "ben").assigned("c1", "anna").closed("T1").ended("c1", "ann");
    assert_eq!(story.check(&expected), []);
}

#[test]
fn words_that_never_arrive_are_lost() {
    let expected = written([to_user("ann", "one"), to_agent("bob", "two")]);
    let findings = Story::escalated().shown("ann", "one").check(&expected);
    assert_eq!(findings, [Finding::Lost(to_agent("bob", "two"))]);
}

#[test]
fn words_that_arrive_twice_are_doubled() {
    let expected = written([to_user("ann", "one"), to_user("ann", "two")]);
    let findings = Story::escalated().shown("ann", "one").shown("ann", "two").shown("ann", "one").check(&expected);
    assert_eq!(findings, [Finding::Doubled { words: to_user("ann", "one"), times: 2 }]);
}

#[test]
fn words_that_arrive_after_later_ones_are_reordered() {
    let expected = written([to_agent("ann", "one"), to_agent("ann", "two"), to_user("ann", "three")]);
    let findings = Story::escalated().sent("T1", "two").shown("ann", "three").sent("T1", "one").check(&expected);
    assert_eq!(findings, [Finding::Reordered { words: to_agent("ann", "one"), after: "two".to_owned() }]);
}

#[test]
fn words_that_reach_somebody_else_are_found_in_both_directions() {
    let expected = written([to_user("ann", "one"), to_agent("ann", "two")]);
    let findings = Story::escalated().shown("bob", "one").sent("T2", "two").check(&expected);
    let reached = "bob".to_owned();
    assert_eq!(
        findings,
        [
            Finding::WrongPerson { words: to_user("ann", "one"), reached: reached.clone() },
            Finding::WrongPerson { words: to_agent("ann", "two"), reached },
        ]
    );
}

#[test]
fn notes_and_echoes_are_leaks() {
    let expected = written([to_agent("ann", "one"), to_user("ann", "two")]);
    let story = Story::escalated().sent("T1", "one").shown("ann", "two");
    let story = story.shown("ann", "note").shown("ann", "one").sent("T1", "two");
    let leaked = ["note", "one", "two"].map(|text| Finding::Leaked(text.to_owned()));
    assert_eq!(story.check(&expected), leaked);
}

#[test]
fn text_after_the_end_is_found_in_both_directions() {
    let expected = written([to_user("ann", "one"), to_agent("ann", "two")]);
    let story = Story::escalated().ended("c1", "ann").shown("ann", "one").closed("T1").sent("T1", "two");
    let late = ["one", "two"].map(|text| Finding::TextAfterClosure(text.to_owned()));
    assert_eq!(story.check(&expected), late);
}

#[test]
fn a_session_that_is_over_on_one_side_only_is_stuck() {
    let stuck = |thread: &str, conversation: Option<&str>, open_at| Finding::StuckSession {
        thread: thread.to_owned(),
        conversation: conversation.map(str::to_owned),
        open_at,
    };
    let story = Story::escalated().ended("c1", "ann").closed("T2");
    assert_eq!(
        story.check(&written([])),
        [stuck("T1", Some("c1"), Vendor::LiveChat), stuck("T2", Some("c2"), Vendor::Botpress),]
    );
    let orphan = Story::default().add(Vendor::LiveChat, "chat_started", json!({"thread_id": "T3", "active": true}));
    assert_eq!(orphan.check(&written([])), [stuck("T3", None, Vendor::LiveChat)]);
}

#[test]
fn more_threads_or_conversations_than_handoffs_are_found() {
    let expected = Expectations { escalations: Some(1), ..written([]) };
    let findings = Story::escalated().check(&expected);
    assert_eq!(findings, [Finding::ChatsOpened(2), Finding::ConversationsCreated(2)]);
}

#[test]
fn an_agent_announced_twice_in_a_row_is_found() {
    let findings = Story::escalated().assigned("c1", "anna").check(&written([]));
    assert_eq!(findings, [Finding::AssignedAgain { conversation: "c1".to_owned(), agent: "anna".to_owned() }]);
}

#[test]
fn a_call_before_the_time_that_was_named_is_found_and_one_after_it_is_not() {
    let story = Story::escalated().called().called();
    let calls: Vec<Timestamp> =
        story.0.iter().filter(|entry| entry.effect == "call_answered").map(|entry| entry.at).collect();
    let (first, second) = (calls[0], calls[1]);
    let refused = |vendor, at, reset| Refused { vendor, at, reset: Some(reset) };
    let named = refused(Vendor::Botpress, first - Duration::from_secs(1), Duration::from_secs(2));
    let elsewhere = refused(Vendor::LiveChat, first - Duration::from_secs(1), Duration::from_secs(9));
    let alone = Expectations { refused: vec![named, elsewhere], ..written([]) };
    assert!(story.check(&alone).is_empty(), "a single refusal may be for one");
    let expected = Expectations { refused: vec![named, named, elsewhere], ..written([]) };
    let findings = story.check(&expected);
    assert_eq!(findings, [Finding::BeforeReset { vendor: Vendor::Botpress, at: first, reset_at: second }]);
}

#[test]
fn a_push_is_doubled_unless_nobody_could_know_what_had_become_of_it() {
    let pushed = |text| json!({"from": "agent", "user_id": "ann", "text": text});
    let story = Story::default()
        .add(Vendor::Botcopy, "paused", json!({"user_id": "ann"}))
        .add(Vendor::Botcopy, "shown_to_user", pushed("hi"))
        .add(Vendor::Botcopy, "shown_to_user", pushed("hi"))
        .add(Vendor::Botcopy, "unpaused", json!({"user_id": "ann"}));
    let check = |doubts| story.check(&Expectations { words: vec![to_user("ann", "hi")], doubts, ..Default::default() });
    let at = |seconds: i64| Timestamp::from_unix_millis(seconds * 1_000);
    let doubled = Finding::Doubled { words: to_user("ann", "hi"), times: 2 };
    assert_eq!(check(Vec::new()), std::slice::from_ref(&doubled));
    assert_eq!(check(vec![Doubt::at(at(0)), Doubt::at(at(3))]), [doubled], "before the first, and after the second");
    let again = Finding::PushedAgain { words: to_user("ann", "hi"), times: 1 };
    assert_eq!(check(vec![Doubt::at(at(1))]), std::slice::from_ref(&again));
    assert_eq!(check(vec![Doubt { from: at(0), until: at(9) }]), [again]);
    let doubted = vec![Doubt { from: at(0), until: at(9) }];
    let story = Story::escalated().shown("ann", "hi").shown("ann", "hi");
    let found = story.check(&Expectations { words: vec![to_user("ann", "hi")], doubts: doubted, ..Default::default() });
    assert_eq!(found, [Finding::Doubled { words: to_user("ann", "hi"), times: 2 }], "Botpress can be asked");
}
