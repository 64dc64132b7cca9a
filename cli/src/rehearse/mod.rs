//! `hitl rehearse`: one handoff against the real vendors, and what it shows of the doubtful statements.

mod person;
mod play;
mod report;
mod scene;
mod stage;
pub(crate) mod statements;

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::ids::ChatId;
use shared::livechat::Caller;
use shared::model::session::{Install, State};
use shared::redacted::Redacted;

use self::report::Report;
use self::stage::{Opened, STEPS, Stage, described, owner_of};
use crate::Io;
use crate::arguments::RehearseOptions;
use crate::output::{Answer, Exit, Failure};
use crate::target::Target;

/// The most requests to LiveChat that a rehearsal makes, the stack's own included.
const BILLED_CALLS: usize = 54;

/// LiveChat's price for a thousand requests, in US cents.
const CENTS_PER_THOUSAND: usize = 27;

/// How long to retry closing what is open.
const CLEARING: Duration = Duration::from_secs(90);

/// How long an interrupted start may still create a session.
const STARTING: Duration = Duration::from_secs(20);

/// Rehearses, and closes everything in any case.
pub(crate) async fn run(target: &Target, options: &RehearseOptions, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let stage = set_up(target, options, &io.clock, &mut *io.progress).await?;
    stage.say(&format!(
        "This makes up to {BILLED_CALLS} requests that LiveChat bills (about {} US cents), one rated chat of a made-up customer in \
         group {}, and a user and two conversations at Botpress.",
        (BILLED_CALLS * CENTS_PER_THOUSAND).div_ceil(1_000),
        stage.group,
    ));
    let played = tokio::select! {
        played = Box::pin(play::play(&stage)) => played.map_err(|failure| failure.to_string()),
        () = &mut io.interrupt => Err("it was interrupted".to_owned()),
    };
    // The last step runs after a failure too.
    stage.say(&format!("{STEPS} of {STEPS}: closing what is open"));
    let left_open = Box::pin(clear_up(&stage)).await;
    let mut report = stage.report().clone();
    report.stopped = played.err();
    report.left_open = left_open;
    report.complete();
    let exit = if report.is_good() { Exit::Done } else { Exit::Finding };
    Ok(Answer::new(exit, &report))
}

async fn set_up<'a>(
    target: &'a Target,
    options: &RehearseOptions,
    clock: &shared::clock::Clock,
    progress: &'a mut (dyn std::io::Write + Send),
) -> Result<Stage<'a>, Failure> {
    let (config, table) = (target.config()?, target.table()?);
    let secrets = target.vault()?.read().await?.current.checked()?;
    let install = choose(table.installs().await?, options.bot.as_deref())?;
    let base = target.require_url()?;
    let livechat = target.livechat(&config);
    // The token of another agent, if set; it also selects the data centre.
    let token = target.get("LIVECHAT_REHEARSAL_TOKEN").map_or_else(|| secrets.agent_token.clone(), Redacted::from);
    livechat.agent(&token).list_chats_once().await?;
    let agent = match &options.agent {
        Some(agent) => agent.clone(),
        None => owner_of(&livechat, &token).await?,
    };
    refuse_busy_group(&livechat, &token, options).await?;
    Ok(Stage {
        target,
        livechat,
        table,
        endpoint: shared::operator::probe::Endpoint::new(&base, target.http.clone()),
        install,
        secrets,
        token,
        agent,
        client_id: config.livechat.client_id.clone(),
        group: options.group,
        answered_by: options.answered_by,
        wait: Duration::from_secs(options.wait),
        clock: clock.clone(),
        report: Mutex::new(Report { group: options.group, billed_calls_at_most: BILLED_CALLS, ..Report::default() }),
        opened: Mutex::new(Opened::default()),
        progress: Mutex::new(progress),
        steps: AtomicUsize::new(0),
    })
}

fn choose(installs: Vec<Install>, bot: Option<&str>) -> Result<Install, Failure> {
    let known: Vec<_> = installs.iter().map(|install| install.bot_id.to_string()).collect();
    let mut fitting = installs.into_iter().filter(|install| bot.is_none_or(|bot| install.bot_id.as_str() == bot));
    fitting.next().ok_or_else(|| match known.as_slice() {
        [] => Failure::refused("No Botpress bot has registered: install the integration on one in Botpress Studio."),
        known => Failure::refused(format!("This bot has not registered; there are {}.", known.join(", "))),
    })
}

/// Refuses to disturb real chats unless the operator allows it.
async fn refuse_busy_group(
    livechat: &shared::livechat::Client,
    token: &Redacted,
    options: &RehearseOptions,
) -> Result<(), Failure> {
    let filters = json!({"filters": {"active": true, "group_ids": [options.group]}, "limit": 1});
    let answer = livechat.probe(Caller::Agent(token), "list_chats", &filters).await?;
    if !answer.is_success() {
        return Err(Failure::refused(format!("LiveChat does not list the group's chats: {}", described(&answer))));
    }
    let open = answer.body.get("found_chats").and_then(Value::as_u64);
    let open = open.ok_or_else(|| Failure::refused("LiveChat does not report how many chats the group has"))?;
    match open {
        0 => Ok(()),
        _ if options.busy => Ok(()),
        open => Err(Failure::refused(format!(
            "Group {} has {open} open chats. Rehearse in another group, or pass --busy.",
            options.group
        ))),
    }
}

/// Ends the rehearsal's session and closes its chats; returns what could not be closed.
async fn clear_up(stage: &Stage<'_>) -> Vec<String> {
    let until = stage.clock.now() + CLEARING;
    await_start(stage).await;
    loop {
        let left = clear_up_once(stage, until).await.unwrap_or_else(|failure| vec![failure.to_string()]);
        if left.is_empty() || stage.clock.now() >= until {
            return left;
        }
        stage.clock.sleep(Duration::from_secs(3)).await;
    }
}

/// Waits for an interrupted start, which continues in the stack.
async fn await_start(stage: &Stage<'_>) {
    let (user_id, starting) = {
        let opened = stage.opened();
        (opened.user_id.clone(), opened.starting.clone())
    };
    let (Some(user_id), Some(before)) = (user_id, starting) else { return };
    let until = stage.clock.now() + STARTING;
    while stage.clock.now() < until {
        let user = stage.table.user(&user_id).await.ok().flatten();
        if user.is_some_and(|user| user.session_id != before) {
            return;
        }
        stage.clock.sleep(Duration::from_millis(500)).await;
    }
}

async fn clear_up_once(stage: &Stage<'_>, until: Timestamp) -> Result<Vec<String>, Failure> {
    let (user_id, mut chats): (_, Vec<ChatId>) = {
        let opened = stage.opened();
        (opened.user_id.clone(), opened.chats.clone())
    };
    let Some(user) = (match user_id {
        Some(user_id) => stage.table.user(&user_id).await?,
        None => None,
    }) else {
        return Ok(Vec::new());
    };
    let mut left = Vec::new();
    if let Some(session_id) = &user.session_id
        && let Some(session) = stage.table.session(session_id).await?
    {
        chats.extend(session.thread.map(|thread| thread.chat_id));
        if session.state != State::Closed {
            Box::pin(stage.target.handoff()?.close_session(session_id, until)).await?;
        }
        let session = stage.table.session(session_id).await?;
        left.extend(
            session.filter(|session| session.state != State::Closed).map(|one| format!("session {}", one.session_id)),
        );
    }
    chats.extend(user.chat_id);
    chats.sort();
    chats.dedup();
    for chat_id in chats {
        if stage.is_active(&chat_id).await? {
            let closing = json!({"id": chat_id, "ignore_requester_presence": true});
            stage.agent("deactivate_chat", &closing).await?;
            left.extend(stage.is_active(&chat_id).await?.then(|| format!("chat {chat_id}")));
        }
    }
    Ok(left)
}
