//! The journal's entries about Botcopy's users. They have only one conversation, which represents that of their latest
//! session; and only their texts associate them with a thread.

use sandbox::journal::Entry;
use serde_json::Value;

use super::{Model, Word, is_blank};
use crate::checker::Direction;

impl Model {
    pub(super) fn step_at_botcopy(&mut self, entry: &Entry) -> Result<(), String> {
        let person = entry.text("/user_id");
        match entry.effect {
            "user_wrote" => self.wrote(entry, person),
            "webhook_called" if entry.detail.get("paused") == Some(&Value::Bool(true)) => {
                self.accept(entry.text("/text"), entry.number);
            }
            "webhook_called" if entry.detail.get("status") != Some(&200.into()) => {
                self.unanswered.insert(entry.text("/text").to_owned());
            }
            "paused" => {
                self.with_agents.insert(person.to_owned(), person.to_owned());
            }
            // Only a push of the service ends a session; anything else is a pause that will be renewed.
            "unpaused" | "unpaused_again" if entry.text("/by") == "push" => {
                self.with_agents.remove(person);
                self.told_the_end(entry, person);
            }
            "unpaused" | "pause_lapsed" => {
                self.with_agents.remove(person);
                self.told_that_nobody_is_there(entry, person);
            }
            "shown_to_user" if entry.text("/from") == "agent" => {
                let thread = self.threads.get(person).cloned().unwrap_or_default();
                return self.arrive(Direction::ToUser, entry, &thread);
            }
            _ => {}
        }
        Ok(())
    }

    fn wrote(&mut self, entry: &Entry, person: &str) {
        if is_blank(entry.text("/text")) {
            return;
        }
        // A thread that people have closed takes no more texts, but until the service reports the end no other thread gets them.
        let thread = self.threads.get(person).filter(|thread| {
            self.sessions.get(*thread).is_some_and(|session| session.is_open() || session.awaits_our_word())
        });
        let (text, thread) = (entry.text("/text"), thread.cloned().unwrap_or_default());
        self.write(entry, Direction::ToAgent, text, &thread, text);
        if let Some(word) = self.words.last_mut() {
            word.person = Some(person.to_owned());
        }
    }

    /// Texts that have not arrived by the end of a session, or by that of the promise of one, are dropped.
    fn told_the_end(&mut self, entry: &Entry, person: &str) {
        let is_over = |word: &&mut Word| word.person.as_deref() == Some(person) && word.accepted.is_some();
        self.words.iter_mut().filter(is_over).for_each(|word| word.is_given_up = true);
        let Some(session) = self.threads.get(person).and_then(|thread| self.sessions.get_mut(thread)) else { return };
        session.told_at = Some(entry.at);
        if session.ended.is_none() {
            session.ended = Some((entry.number, entry.at, true));
            session.is_told_early = session.is_open();
        }
    }

    /// A session that agents have closed ends for the user as soon as the bot resumes, for whatever reason.
    fn told_that_nobody_is_there(&mut self, entry: &Entry, person: &str) {
        let session = self.threads.get(person).and_then(|thread| self.sessions.get_mut(thread));
        if let Some(session) = session.filter(|session| session.awaits_our_word()) {
            session.ended = Some((entry.number, entry.at, true));
        }
    }

    /// The opening contains what was written before; the first user who wrote any of its lines owns the thread.
    pub(super) fn read_opening(&mut self, entry: &Entry, thread: &str) {
        for (_, line) in entry.text("/text").lines().filter_map(|line| line.split_once(": ")) {
            let said = self.which(Direction::ToAgent, line, "");
            let Some(word) = said.and_then(|index| self.words.get_mut(index)) else { continue };
            let Some(person) = word.person.clone() else { continue };
            word.is_told = true;
            if let Some(session) = self.sessions.get_mut(thread).filter(|session| session.person.is_none()) {
                session.is_botcopy = true;
                session.conversation = Some(person.clone());
                session.person = Some(person.clone());
                self.threads.insert(person, thread.to_owned());
            }
        }
    }
}
