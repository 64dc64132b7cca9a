//! An operator who runs the command against a world.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::Pin;

use cli::{Aws, Echo, Io};
use serde_json::{Value, json};
use tests::World;

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub status: u8,
    pub out: String,
    pub progress: String,
}

impl Ran {
    /// Parses the answer to `--json`.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.progress))
    }
}

/// An operator with the sandbox's description in a file, and answers to the command's questions.
pub(crate) struct Operator<'a> {
    world: &'a World,
    environment: BTreeMap<String, String>,
    answers: VecDeque<String>,
    meanwhile: Option<Box<dyn FnOnce() + Send + 'a>>,
    interrupt: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
    file: PathBuf,
}

impl<'a> Operator<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let name = format!("hitl-{:016x}{:016x}.json", fastrand::u64(..), fastrand::u64(..));
        let file = std::env::temp_dir().join(name);
        let (answers, interrupt) = (VecDeque::new(), Box::pin(std::future::pending()));
        Self { world, environment: world.stack.operator_environment(), answers, meanwhile: None, interrupt, file }
    }

    /// Sets another value for one variable.
    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.environment.insert(variable.to_owned(), value.to_owned());
        self
    }

    /// Removes a variable, so that the command asks for it; `answer` is typed then.
    pub(crate) fn asked(mut self, variable: &str, answer: &str) -> Self {
        self.environment.remove(variable);
        self.answers.push_back(answer.to_owned());
        self
    }

    /// Sets what happens while the command waits for an answer.
    pub(crate) fn meanwhile(mut self, happens: impl FnOnce() + Send + 'a) -> Self {
        self.meanwhile = Some(Box::new(happens));
        self
    }

    /// Presses Ctrl-C when `ends` completes.
    pub(crate) fn interrupted_by(mut self, ends: impl Future<Output = ()> + Send + 'a) -> Self {
        self.interrupt = Box::pin(ends);
        self
    }

    /// Writes the file that describes the sandbox to the command.
    pub(crate) fn file(&self) -> &PathBuf {
        std::fs::write(&self.file, json!({ "environment": self.environment }).to_string()).unwrap();
        &self.file
    }

    /// Runs `hitl --sandbox FILE …` in this process, and advances the time as it requires.
    pub(crate) async fn run(&mut self, arguments: &[&str]) -> Ran {
        let world = self.world;
        world.drive(self.undriven(arguments)).await
    }

    /// Runs the same; the caller advances the time.
    pub(crate) async fn undriven(&mut self, arguments: &[&str]) -> Ran {
        let file = self.file().clone();
        let mut line: Vec<OsString> = vec!["hitl".into(), "--sandbox".into(), file.into()];
        line.extend(arguments.iter().map(OsString::from));
        let (mut out, mut progress) = (Vec::new(), Vec::new());
        let (answers, meanwhile) = (&mut self.answers, &mut self.meanwhile);
        let mut ask = |_: &str, _: Echo| {
            if let Some(happens) = meanwhile.take() {
                happens();
            }
            Ok(answers.pop_front().unwrap_or_default())
        };
        let nothing = |_: &str| None;
        let mut io = Io {
            out: &mut out,
            progress: &mut progress,
            ask: &mut ask,
            colour: false,
            environment: &nothing,
            clock: self.world.clock(),
            aws: Aws::installed(),
            interrupt: self.interrupt.as_mut(),
        };
        let status = cli::run(line, &mut io).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { status, out: text(out), progress: text(progress) }
    }

    /// Runs it and asserts that it succeeds.
    pub(crate) async fn does(&mut self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments).await;
        assert_eq!(ran.status, 0, "{arguments:?}: {}{}", ran.out, ran.progress);
        ran
    }
}

impl Drop for Operator<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
