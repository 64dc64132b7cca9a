//! Work on many stacks at once, with progress that names each.

use std::cell::Cell;
use std::io::{self, Write};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::rows::Row;
use super::tenants::Tenant;
use crate::Io;

/// How many stacks are worked on at once, and the progress of the work.
pub(crate) struct Crew {
    pub at_once: usize,
    pub total: usize,
    begun: Cell<usize>,
    /// Whether to print the progress at each stack, line by line.
    pub shows_lines: bool,
    interrupted: Cell<bool>,
}

impl Crew {
    pub(crate) fn new(at_once: u8, total: usize, shows_lines: bool) -> Self {
        Self { at_once: at_once.into(), total, begun: Cell::new(0), shows_lines, interrupted: Cell::new(false) }
    }

    /// Returns whether the operator has interrupted the work.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.get()
    }

    /// Sleeps, unless the operator interrupts the work.
    pub(crate) async fn pause(&self, duration: Duration, io: &mut Io<'_>) {
        let clock = io.clock.clone();
        tokio::select! {
            () = clock.sleep(duration) => {}
            () = io.interrupt.as_mut() => self.interrupted.set(true),
        }
    }

    /// Does the work at each stack. Each gets an `Io` of its own, with its own environment and region, that asks no questions. An
    /// interruption leaves the rest as it is.
    pub(crate) async fn each<'t>(
        &self,
        tenants: &'t [Tenant],
        io: &mut Io<'_>,
        work: impl AsyncFn(&'t Tenant, &mut Io<'_>) -> Row,
    ) -> Vec<Row> {
        let (mut rows, mut waiting) = (Vec::new(), tenants.iter().enumerate());
        let progress: Shared<'_> = Mutex::new(&mut *io.progress);
        let (environment, clock, aws) = (io.environment, &io.clock, &io.aws);
        let one = async |(number, tenant): (usize, &'t Tenant)| {
            self.begin(tenant, &progress);
            let mut lines =
                Lines { name: &tenant.name, begun: Vec::new(), to: &progress, shows_lines: self.shows_lines };
            let own = |name: &str| tenant.variable(name, environment);
            let mut io = Io {
                out: &mut io::sink(),
                progress: &mut lines,
                ask: &mut |_, _| Ok(String::new()),
                colour: false,
                environment: &own,
                clock: clock.clone(),
                aws: aws.in_region(tenant.region.as_deref()),
                interrupt: pin!(std::future::pending()),
            };
            (number, work(tenant, &mut io).await)
        };
        let mut running: FuturesUnordered<_> = waiting.by_ref().take(self.at_once).map(&one).collect();
        loop {
            let done = tokio::select! {
                done = running.next() => done,
                () = io.interrupt.as_mut() => {
                    self.interrupted.set(true);
                    None
                }
            };
            let Some(done) = done else { break };
            rows.push(done);
            running.extend(waiting.next().map(&one));
        }
        drop(running);
        self.with_interrupted(tenants, rows)
    }

    fn begin(&self, tenant: &Tenant, progress: &Shared<'_>) {
        self.begun.set(self.begun.get() + 1);
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(progress, "{} of {} {} …", self.begun.get(), self.total, tenant.name);
    }

    /// Returns the rows in the order of the tenants, with a row for each stack that an interruption has left out.
    fn with_interrupted(&self, tenants: &[Tenant], done: Vec<(usize, Row)>) -> Vec<Row> {
        let left = tenants.iter().map(|tenant| {
            Row::not_begun(tenant, "interrupted: run it again. CloudFormation completes what it has started")
        });
        let mut rows: Vec<_> = left.collect();
        for (number, row) in done {
            if let Some(place) = rows.get_mut(number) {
                *place = row;
            }
        }
        rows
    }
}

type Shared<'a> = Mutex<&'a mut (dyn Write + Send)>;

/// The progress of one stack among the others: whole lines, each after the stack's name.
struct Lines<'a, 'io> {
    name: &'a str,
    begun: Vec<u8>,
    to: &'a Shared<'io>,
    shows_lines: bool,
}

impl Write for Lines<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = self.begun.drain(..=end).collect();
            if self.shows_lines {
                let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
                write!(to, "{}: {}", self.name, String::from_utf8_lossy(&line))?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
