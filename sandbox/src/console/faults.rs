//! Faults on request: at a vendor, at the gateway, with secrets or at the table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Console, done, lock, refused, trouble};
use crate::error;
use crate::faults::{Fault, Faults, Watch};
use crate::journal::Vendor;
use crate::stack::Stack;
use crate::table_proxy::TableProxy;

/// The page that a proxy in front of a vendor returns.
const PAGE: &str = "<!doctype html><title>Maintenance</title><h1>Back soon</h1>";

/// The requested faults, by number.
#[derive(Debug, Default)]
pub(super) struct Asking {
    faults: BTreeMap<usize, Asked>,
    next: usize,
}

#[derive(Debug)]
struct Asked {
    asked: NewFault,
    watch: Watch,
}

impl Asked {
    fn lift(&self, stack: &Stack) {
        if let Some(script) = self.asked.r#where.script(stack) {
            script.end(&self.watch);
        }
    }
}

/// `{"where":"livechat","calls":"send_event","fault":{"answer":503},"times":1}`; `calls` defaults to every call, `times` to always.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NewFault {
    r#where: Where,
    #[serde(default)]
    calls: String,
    fault: Kind,
    times: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Where {
    Livechat,
    Botpress,
    Botcopy,
    Gateway,
    SecretsManager,
    Table,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Answer(u16),
    Reset,
    LoseAnswer,
    Page,
    DelayMs(u64),
    RateLimit { reset_s: u64 },
}

impl NewFault {
    /// Journals each call that this fault spoils, if it is a vendor's.
    fn watch(&self, stack: &Stack) -> Watch {
        let (vendor, fault) = (self.r#where.vendor(), self.fault);
        let (journal, clock) = (stack.journal.clone(), stack.clock());
        Watch::new(move |line| {
            if let Some(vendor) = vendor {
                let detail = json!({"call": line, "status": fault.status(), "fault": fault.shown()});
                journal.record(clock.now(), vendor, "call_spoiled", detail);
            }
        })
    }
}

impl Where {
    const fn vendor(self) -> Option<Vendor> {
        match self {
            Self::Livechat => Some(Vendor::LiveChat),
            Self::Botpress => Some(Vendor::Botpress),
            Self::Botcopy => Some(Vendor::Botcopy),
            Self::Gateway | Self::SecretsManager | Self::Table => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Livechat => "livechat",
            Self::Botpress => "botpress",
            Self::Botcopy => "botcopy",
            Self::Gateway => "gateway",
            Self::SecretsManager => "secrets_manager",
            Self::Table => "table",
        }
    }

    fn script(self, stack: &Stack) -> Option<&Faults> {
        match self {
            Self::Livechat => Some(stack.livechat.faults()),
            Self::Botpress => Some(stack.botpress.faults()),
            Self::Botcopy => Some(stack.botcopy.faults()),
            Self::Gateway => Some(&stack.gateway_faults),
            Self::SecretsManager => Some(stack.secrets_manager.faults()),
            Self::Table => stack.table_proxy.as_ref().map(TableProxy::faults),
        }
    }
}

impl Kind {
    fn fault(self) -> Fault {
        match self {
            Self::Answer(status) => Fault::answer(status, ""),
            Self::Reset => Fault::Reset,
            Self::LoseAnswer => Fault::LoseAnswer,
            Self::Page => Fault::answer(200, PAGE),
            Self::DelayMs(ms) => Fault::Delay(Duration::from_millis(ms)),
            Self::RateLimit { reset_s } => Fault::limited("retry-after", reset_s),
        }
    }

    /// The status that the caller reads, if it reads one.
    const fn status(self) -> Option<u16> {
        match self {
            Self::Answer(status) => Some(status),
            Self::Page => Some(200),
            Self::RateLimit { .. } => Some(429),
            Self::Reset | Self::LoseAnswer | Self::DelayMs(_) => None,
        }
    }

    fn shown(self) -> Value {
        match self {
            Self::Answer(status) => json!({ "answer": status }),
            Self::Reset => json!("reset"),
            Self::LoseAnswer => json!("lose_answer"),
            Self::Page => json!("page"),
            Self::DelayMs(ms) => json!({ "delay_ms": ms }),
            Self::RateLimit { reset_s } => json!({"rate_limit": {"reset_s": reset_s}}),
        }
    }
}

/// Every fault that applies or has applied, with its hits.
pub(super) fn shown(console: &Console) -> Value {
    let asking = lock(&console.faults);
    let shown = asking.faults.iter().map(|(id, Asked { asked, watch })| {
        let hits = watch.hits();
        json!({
            "id": id, "where": asked.r#where.name(), "calls": asked.calls, "fault": asked.fault.shown(),
            "times": asked.times, "hits": hits, "active": asked.times.is_none_or(|times| hits < times),
        })
    });
    shown.collect()
}

pub(super) async fn list(State(console): State<Arc<Console>>) -> Json<Value> {
    Json(shown(&console))
}

pub(super) async fn add(State(console): State<Arc<Console>>, Json(asked): Json<NewFault>) -> Response {
    let Some(script) = asked.r#where.script(&console.stack) else {
        return refused(StatusCode::CONFLICT, "faults cannot be injected there");
    };
    if asked.times == Some(0) {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "`times` must be at least 1");
    }
    let watch = asked.watch(&console.stack);
    script.watched(asked.times, &asked.calls, asked.fault.fault(), watch.clone());
    let mut asking = lock(&console.faults);
    let id = asking.next;
    asking.next += 1;
    asking.faults.insert(id, Asked { asked, watch });
    Json(json!({ "id": id })).into_response()
}

pub(super) async fn end(State(console): State<Arc<Console>>, Path(id): Path<usize>) -> Response {
    let ended = lock(&console.faults).faults.remove(&id);
    let Some(ended) = ended else {
        return refused(StatusCode::NOT_FOUND, "there is no such fault");
    };
    ended.lift(&console.stack);
    done(Ok::<_, error::Error>(()))
}

/// Ends every fault and every planned death, and restores the credentials.
pub(super) async fn clear(State(console): State<Arc<Console>>) -> Response {
    let ended = std::mem::take(&mut lock(&console.faults).faults);
    ended.values().for_each(|asked| asked.lift(&console.stack));
    console.plan.clear();
    trouble::give_back(&console.stack);
    done(Ok::<_, error::Error>(()))
}
