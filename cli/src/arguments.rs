//! The command line. Operators learn the command from its help.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

/// The tag by which `hitl fleet` finds a stack. Its value never changes: CloudFormation propagates a stack's tags to each resource.
pub(crate) const TAG: (&str, &str) = ("livechat-hitl", "tenant");

/// Connects a livechat-hitl stack to LiveChat and Botpress, and shows, explains and repairs its work.
#[derive(Debug, Parser)]
#[command(name = "hitl", version = shared::VERSION.as_str(), after_long_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Print one JSON document on standard output; an error, wrong usage included, is `{"error":"…"}`.
    #[arg(long, global = true)]
    pub json: bool,

    #[command(flatten)]
    pub target: TargetArguments,

    #[command(subcommand)]
    pub command: Command,
}

/// Each paragraph is one line: the terminal's width wraps it.
const AFTER_HELP: &str = "\
Which stack:
  hitl --stack NAME …    a deployed stack: asks the AWS CLI for its outputs and parameters. HITL_STACK=NAME does the same
  hitl --sandbox URL …   the sandbox, to practise: the address that `cargo run -- serve` prints
  otherwise              the functions' own variables (TABLE_NAME, SECRET_ID, LIVECHAT_CLIENT_ID, …) and HITL_URL

The region is the stack's, or else found as the AWS CLI finds it (AWS_REGION, AWS_DEFAULT_REGION, the profile). Credentials are found as \
the AWS CLI finds them: variables, profiles, SSO, `aws login`, credential_process.

Secrets are never arguments and never shown. Each is taken from its environment variable if that is set, else asked for without echo, else \
read as one line of standard input: LIVECHAT_AGENT_TOKEN, BOTPRESS_PERSONAL_ACCESS_TOKEN, BOTCOPY_API_KEY, BOTCOPY_ACCESS_TOKEN, \
BOTCOPY_HEADER_VALUE. Findings are coloured at a terminal, unless NO_COLOR is set.

Exit status:
  0  done, or everything is in order
  1  it is not: findings, nothing found, or a vendor refused
  2  the command could not do its work: wrong usage, missing settings, or an AWS service that does not answer";

/// The heading of the options that select a stack.
const WHERE: &str = "Which stack";

/// Which stack.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = WHERE)]
pub(crate) struct TargetArguments {
    /// A CloudFormation stack; its outputs and parameters are read through the AWS CLI [variable: HITL_STACK].
    #[arg(long, global = true, value_name = "NAME", conflicts_with_all = ["stack_file", "sandbox"])]
    pub stack: Option<String>,

    /// The same from a file: the output of `aws cloudformation describe-stacks --stack-name NAME`.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "sandbox")]
    pub stack_file: Option<PathBuf>,

    /// The sandbox: the address that `cargo run -- serve` prints, or a file with the line that `cargo run -- serve --json` prints.
    #[arg(long, global = true, value_name = "URL|FILE")]
    pub sandbox: Option<String>,

    /// The DynamoDB table; overrides everything else [variable: TABLE_NAME].
    #[arg(long, global = true, value_name = "NAME")]
    pub table: Option<String>,

    /// Name or ARN of the secret; overrides everything else [variable: SECRET_ID].
    #[arg(long, global = true, value_name = "ID")]
    pub secret: Option<String>,

    /// The stack's address, without a path; overrides everything else [variable: HITL_URL].
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
}

/// The command line's grammar.
///
/// The help of the whole command explains the options that select a stack; the help of the subcommands does not repeat them.
pub(crate) fn grammar() -> clap::Command {
    let mut grammar = Arguments::command();
    grammar.build();
    grammar.mut_subcommands(without_target)
}

fn without_target(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| {
        let is_target = argument.get_help_heading() == Some(WHERE);
        argument.hide(is_target)
    });
    let command = if command.has_subcommands() { command.mut_subcommands(without_target) } else { command };
    command.after_help("`hitl --help` explains which stack it works on, secrets and the exit status.")
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create or update a stack from the files of a release, and connect it to LiveChat.
    ///
    /// Asks for client id, organization and redirect URI of a stack that lacks them, checks them against LiveChat before
    /// anything is created, puts the packages into a bucket, shows the progress of each resource, and ends with `hitl connect livechat`
    /// and `hitl doctor`. Reaches AWS through the AWS CLI. Safe to repeat: parameters that are not named keep their values.
    ///
    /// Exit status 0 means that the stack is up and the doctor has no findings, 1 that something failed or is left to do.
    Deploy(DeployOptions),

    /// Work on many stacks: those with the tag that `hitl deploy` sets, or those of a file.
    ///
    /// Prints a table of the tenants, problems first. A failure at one stack becomes a row of the table and the exit status; the
    /// others continue. The file of --tenants is JSON:
    /// {"tenants":[{"stack":"acme","region":"eu-west-1","parameters":{"LiveChatClientId":"…"},
    /// "answers":{"LIVECHAT_AGENT_TOKEN":"…"}}]}. `answers` are the variables from which the command for a single stack takes
    /// credentials; a file that has any must be readable by its owner alone.
    Fleet(FleetOptions),

    /// Connect the stack to a vendor: check everything, store the credentials, set the vendor up.
    Connect {
        #[command(subcommand)]
        what: Connect,
    },

    /// Check everything between both vendors and the table; each finding comes with its cure.
    ///
    /// Changes nothing and is safe in production at any time; the only trace it leaves is a renewed token of its own test
    /// customer at LiveChat. Exit status 0 means that everything is in order, 1 that there are findings.
    Doctor {
        /// Check for changes at the vendors instead: the webhooks that LiveChat offers, the stage of its API version, and the
        /// published version of Botpress's interface.
        ///
        /// Exit status 1 means that something differs from what this version was built for.
        #[arg(long)]
        drift: bool,
    },

    /// Run one handoff against the real vendors, and check the project's assumptions about them.
    ///
    /// Acts as the bot through the stack's own address, and as an agent with the stored agent token (or with that of the variable
    /// LIVECHAT_REHEARSAL_TOKEN): start, transcript, text and files both ways, note, transfer, close, a second session, a message
    /// after the end. Creates a customer for it. Closes everything again, also after a failure and after Ctrl-C. Prints before
    /// the start how many requests LiveChat may bill. The customer rates the rehearsal's chat as good, which counts in reports.
    ///
    /// With `--answered-by person` a person answers in LiveChat's agent app; the command prints each step and waits for it. That also
    /// covers edits and deletions, which LiveChat's web API does not offer.
    ///
    /// Exit status 0 means that the handoff went well and no statement proved wrong, 1 that one did, that something failed or was
    /// left open, or that the group has open chats, 2 that the rehearsal could not begin. docs/contract.md lists the statements.
    Rehearse(RehearseOptions),

    /// List open sessions, oldest first.
    ///
    /// Reads the whole table, at the price of a full scan.
    Sessions {
        /// The maximum number of sessions.
        #[arg(long, default_value_t = 50, value_name = "NUMBER")]
        limit: usize,
    },

    /// Show the stack's state every five seconds: the sweep, open sessions, waiting items and their next attempts, failing vendors.
    ///
    /// Reads by key and by the index, never the whole table; `--json` prints one line each time. Ctrl-C ends it.
    Watch,

    /// Show how sessions went: how many a day, why they ended, and their times, by group, bot and agent.
    ///
    /// Reads the records that sessions leave, with one query for each day; the answer names the read units. Agents
    /// appear as the hashes that the records contain.
    Stats(StatsOptions),

    /// Show the cost of the stack and its vendors: calls, requests and table units, times prices.
    ///
    /// Reads the records that sessions leave, with one query for each day. The sessions have counted their LiveChat calls; requests,
    /// table units and Botpress's messages are estimated from sessions and messages. Not counted: open sessions, tokens of new
    /// users, checkAvailability, files, traffic, free tiers. AWS's own bill is exact; a query for LiveChat's calls by name is
    /// in docs/operations.md.
    Cost(CostOptions),

    /// Estimate the cost of a month at AWS, LiveChat and Botpress together; needs no stack.
    ///
    /// Uses the figures that the tests measure for one session and one message, and list prices.
    Estimate(EstimateOptions),

    /// Print the history of a message or a session, without its text: when it arrived, the attempts, the outcome.
    ///
    /// Takes any id: of a session, a Botpress message, conversation or user, a LiveChat event, chat or thread, as logs, vendors
    /// and the other commands show them. Reads the whole table unless the id is a session's.
    Trace {
        /// Any id.
        id: String,
    },

    /// List items that can never be delivered and wait for a decision: `hitl redrive` or `hitl discard`.
    ///
    /// Prints each with its age, its cause and whether the other side may have received it. An item that is neither redriven nor
    /// discarded is deleted with its text after RETENTION_DAYS.
    Parked,

    /// Try to deliver parked items again, once the obstacle is removed.
    ///
    /// Delivers an item once, however often this runs: Botpress recognises its tag, and at LiveChat the thread is read
    /// first. Botcopy cannot be asked, so a message that may have arrived there may be shown twice. An item of a closed session
    /// stays parked (see `hitl discard`), except for its end: it is still sent to a side that has not received it.
    #[command(arg_required_else_help = true)]
    Redrive {
        /// An item, as `hitl parked` shows it.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// All parked items.
        #[arg(long)]
        all: bool,
    },

    /// Delete a parked item with its text; asks first.
    Discard {
        /// An item, as `hitl parked` shows it.
        id: String,
        #[command(flatten)]
        sure: Sure,
    },

    /// End a session: its bot resumes, and its chat is closed at LiveChat; asks first. If the session has already ended without its bot
    /// being notified, the bot is notified now.
    Close {
        /// The session, as `hitl sessions` and the logs show it.
        session: String,
        #[command(flatten)]
        sure: Sure,
    },

    /// Lift the limits that a vendor has named, for all processes: they make the next call at once.
    ///
    /// Use it when the vendor reports that it serves you again, or has named a time that cannot be right. Without it, one call a
    /// minute is tried. If the vendor refuses again, its limit applies again.
    Reopen {
        /// The vendor.
        vendor: Vendor,
    },

    /// Delete everything that the table contains of an end user: texts, name, e-mail, tokens, sessions and their receipts.
    ///
    /// Asks first. Ends an open session before. Then reads the whole table to prove that nothing is left. What LiveChat and Botpress
    /// store of the user stays there; the answer names it. The table's point-in-time backups expire after 35 days.
    Erase {
        /// The user, by Botpress's id, as `hitl sessions` and `hitl trace` show it.
        user: String,
        #[command(flatten)]
        sure: Sure,
    },

    /// Replace a credential while calls go on, without failing any of them.
    ///
    /// The order of the steps keeps both the old and the new credential valid for as long as a caller may use either; the command
    /// prints what it waits for. After an interruption, run it again to finish. Those that involve Botpress need
    /// a personal access token, as `hitl connect botpress` does.
    Rotate {
        /// The credential.
        what: What,

        /// Cut off the current credential at once, because it has leaked.
        ///
        /// Waits for nothing; calls with the old one are refused. Running functions drop it with the next call in which they
        /// read the table, and all within five minutes. The cost: LiveChat's webhooks are refused until LiveChat knows the new secret, up
        /// to two minutes, and their events arrive later, when the thread is read; calls of Botpress in progress with the old path key
        /// fail, and Botpress does not repeat them. A new signing secret and a new access key cost nothing.
        #[arg(long)]
        now: bool,
    },

    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },

    /// Print the manual: a page for each subcommand, each after a line that names it.
    #[command(hide = true)]
    Man,
}

/// Whether the question before an irreversible step has been answered.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Sure {
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// The stacks to work on, and the command for them.
#[derive(Args, Debug)]
pub(crate) struct FleetOptions {
    /// Find stacks by the key of a tag.
    #[arg(long, default_value = TAG.0, value_name = "KEY", conflicts_with = "tenants")]
    pub tag: String,

    /// Where to look for them; may be given several times [default: the AWS CLI's own region].
    #[arg(long = "region", value_name = "REGION", conflicts_with = "tenants")]
    pub regions: Vec<String>,

    /// Take the stacks of this file instead, with their parameters and answers.
    #[arg(long, global = true, value_name = "FILE")]
    pub tenants: Option<PathBuf>,

    /// Only this stack; may be given several times.
    #[arg(long, global = true, value_name = "NAME")]
    pub only: Vec<String>,

    /// How many stacks to work on at once.
    #[arg(long, global = true, default_value_t = 8, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub at_once: u8,

    #[command(subcommand)]
    pub what: FleetCommand,
}

/// The command for each stack.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Run all checks of `hitl doctor`.
    Doctor,

    /// Bring all stacks to a release: uploads its packages once for each region, and creates a change set for each stack.
    ///
    /// Upgrades a share of the stacks first, and watches their alarms before the others follow. An update that fails, or an alarm that
    /// goes off, ends the upgrade: stacks that were not started stay as they are. Run it again to continue; it skips stacks that have
    /// the release. It leaves out a stack whose own rollback alarm is on.
    Upgrade(UpgradeOptions),

    /// Replace a credential of each stack, as `hitl rotate` does.
    ///
    /// Those that involve Botpress need its personal access token and workspace among the answers of --tenants.
    Rotate {
        /// The credential.
        what: What,

        /// Cut off the current credential at once, because it has leaked: see `hitl rotate --help`.
        #[arg(long)]
        now: bool,
    },

    /// Print the cost of each stack, and the total.
    Cost(CostOptions),

    /// Print how sessions went at each stack.
    Stats {
        /// How many days back, today (UTC) included.
        #[arg(long, default_value_t = 7, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=366))]
        days: u32,
    },

    /// Connect tenants from the file of --tenants, which has their answers; creates a missing stack with --from.
    ///
    /// Connects LiveChat, Botpress if there is a BOTPRESS_PERSONAL_ACCESS_TOKEN, and Botcopy if there is a BOTCOPY_API_KEY, and runs the
    /// checks of `hitl doctor`. Safe to repeat.
    Connect(FleetConnectOptions),
}

/// The options of an upgrade.
#[derive(Args, Debug)]
pub(crate) struct UpgradeOptions {
    /// The release: the folder into which livechat-hitl-VERSION-PROCESSOR.zip was unpacked.
    #[arg(long, value_name = "FOLDER")]
    pub from: PathBuf,

    /// The bucket that the packages go to, in the stacks' region [default: livechat-hitl-ACCOUNT-REGION].
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,

    /// The share of the stacks to upgrade first, in percent; at least one.
    #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub canary: u8,

    /// How many minutes to watch their alarms before the others follow.
    #[arg(long, default_value_t = 10, value_name = "MINUTES", value_parser = clap::value_parser!(u16).range(0..=1440))]
    pub watch: u16,

    /// Print what would change at each stack. Puts the packages into the bucket; changes nothing else.
    #[arg(long)]
    pub dry_run: bool,
}

/// The options for creating and connecting tenants.
#[derive(Args, Debug)]
pub(crate) struct FleetConnectOptions {
    /// The release that stacks are created from, or brought to.
    #[arg(long, value_name = "FOLDER")]
    pub from: Option<PathBuf>,

    /// The bucket that the packages go to, in the stacks' region [default: livechat-hitl-ACCOUNT-REGION].
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,
}

/// The options of a deployment.
#[derive(Args, Debug)]
pub(crate) struct DeployOptions {
    /// The release: the folder into which livechat-hitl-VERSION-PROCESSOR.zip was unpacked.
    #[arg(long, value_name = "FOLDER")]
    pub from: PathBuf,

    /// A parameter of the template, as docs/configuration.md lists them; may be given several times.
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,

    /// The bucket that the packages go to, in the stack's region; created if missing [default: livechat-hitl-ACCOUNT-REGION].
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,

    /// Show what would change. Puts the packages into the bucket; changes nothing else.
    #[arg(long)]
    pub dry_run: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has to be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The period and prices of a bill.
#[derive(Args, Debug)]
pub(crate) struct CostOptions {
    /// How many days back, today (UTC) included: `30d`.
    #[arg(long, default_value = "30d", value_name = "DAYS", value_parser = days)]
    pub since: u32,

    #[command(flatten)]
    pub prices: PriceOptions,
}

/// The work to estimate.
#[derive(Args, Debug)]
pub(crate) struct EstimateOptions {
    /// Messages a month, half of them each way: `10M`.
    #[arg(long, value_name = "NUMBER", value_parser = amount)]
    pub messages: f64,

    /// Sessions a month: `1M`.
    #[arg(long, value_name = "NUMBER", value_parser = amount)]
    pub sessions: f64,

    /// Chats a month that stay open and silent; their threads are still read: `50k`.
    #[arg(long, default_value = "0", value_name = "NUMBER", value_parser = amount)]
    pub idle_chats: f64,

    /// How many hours each of those stays open.
    #[arg(long, default_value = "24", value_name = "HOURS", value_parser = amount)]
    pub idle_hours: f64,

    #[command(flatten)]
    pub prices: PriceOptions,
}

/// The prices to multiply by.
#[derive(Args, Debug)]
pub(crate) struct PriceOptions {
    /// Prices of your own, in the form of docs/prices.json; one that is missing keeps its built-in value.
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,

    /// The stack's parameter Monitoring.
    #[arg(long, default_value = "lean")]
    pub monitoring: Monitoring,
}

/// How much of a stack is monitored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Monitoring {
    /// One metric and two alarms.
    Lean,
    /// All metrics and alarms, and a dashboard.
    Full,
}

fn days(text: &str) -> Result<u32, String> {
    let days = text.strip_suffix('d').unwrap_or(text).parse().ok().filter(|days| (1..=366).contains(days));
    days.ok_or_else(|| "it has to be a number of days from 1d to 366d".to_owned())
}

/// Reads `1500`, `50k`, `10M` or `1.5M`.
fn amount(text: &str) -> Result<f64, String> {
    let (number, factor) = match text.chars().last() {
        Some('k') => (text.trim_end_matches('k'), 1e3),
        Some('M') => (text.trim_end_matches('M'), 1e6),
        _ => (text, 1.0),
    };
    let amount = number.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    amount.map(|number| number * factor).ok_or_else(|| "it has to be a number such as 1500, 50k or 10M".to_owned())
}

/// The statistics to print.
#[derive(Args, Debug)]
pub(crate) struct StatsOptions {
    /// How many days back, today (UTC) included.
    #[arg(long, default_value_t = 7, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=366))]
    pub days: u32,

    /// Print comma-separated values.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
}

/// A vendor.
#[derive(Debug, Subcommand)]
pub(crate) enum Connect {
    /// Check client id, organization, redirect URI, agent token, scopes and group; store the token; set up the webhooks.
    ///
    /// Asks for the personal access token in the base64 form that LiveChat's console shows (variable LIVECHAT_AGENT_TOKEN); an
    /// empty answer keeps the stored one. Safe to repeat: settings that are in order stay as they are.
    Livechat,

    /// Create or update the private integration, and store its signing secret, access key and path key.
    ///
    /// Asks for a personal access token of yours (variable BOTPRESS_PERSONAL_ACCESS_TOKEN) and does not store it. Safe to repeat: it
    /// updates the definition, and keeps credentials that belong to the integration.
    Botpress(BotpressOptions),

    /// Try the keys of Botcopy, store them, and print what to enter in its portal.
    ///
    /// Asks for the API key (variable BOTCOPY_API_KEY) and for the access token (variable BOTCOPY_ACCESS_TOKEN); an empty answer
    /// keeps the stored one, and generates an access token if none is stored. Tries the API key with a push for a user who
    /// does not exist; stores nothing if Botcopy refuses it.
    Botcopy(BotcopyOptions),
}

/// The bot's properties beside its keys.
#[derive(Args, Debug, Default)]
pub(crate) struct BotcopyOptions {
    /// The bot's id, from its page in the portal: this command and the doctor try the API key for it [variable: BOTCOPY_BOT_ID].
    #[arg(long, value_name = "ID")]
    pub bot: Option<String>,

    /// Store an API key, access token and header for this bot alone, beside those of all other bots.
    ///
    /// A bot that has keys of its own keeps them without this option.
    #[arg(long, requires = "bot")]
    pub own_keys: bool,

    /// The name of the custom header that is entered in the portal, if there is one; asks for its value (variable
    /// BOTCOPY_HEADER_VALUE) [variable: BOTCOPY_HEADER_NAME].
    #[arg(long, value_name = "NAME")]
    pub header: Option<String>,
}

/// Where to create the integration.
#[derive(Args, Debug)]
pub(crate) struct BotpressOptions {
    /// The workspace's id, from its settings [variable: BOTPRESS_WORKSPACE_ID].
    #[arg(long, value_name = "wkspace_…")]
    pub workspace: Option<String>,

    /// The workspace's handle, from its settings; the integration's name begins with it [variable:
    /// BOTPRESS_WORKSPACE_HANDLE].
    #[arg(long, value_name = "HANDLE")]
    pub handle: Option<String>,

    /// The integration's name after the handle.
    #[arg(long, default_value = INTEGRATION, value_name = "NAME")]
    pub name: String,

    /// Only ask Botpress whether it would accept the definition; change nothing, here or there.
    #[arg(long)]
    pub dry_run: bool,
}

/// The integration's default name after the workspace's handle.
const INTEGRATION: &str = "livechat-hitl";

impl Default for BotpressOptions {
    fn default() -> Self {
        Self { workspace: None, handle: None, name: INTEGRATION.to_owned(), dry_run: false }
    }
}

/// The options of a rehearsal.
#[derive(Args, Debug)]
pub(crate) struct RehearseOptions {
    /// The LiveChat group, by its number; one in which no customer waits.
    #[arg(long, value_name = "NUMBER")]
    pub group: u32,

    /// Rehearse although the group has open chats.
    #[arg(long)]
    pub busy: bool,

    /// The agent that the token belongs to, by e-mail address; looked up if the token has the scope agents--all:ro.
    #[arg(long, value_name = "E-MAIL")]
    pub agent: Option<String>,

    /// The bot, if several have registered.
    #[arg(long, value_name = "ID")]
    pub bot: Option<String>,

    /// Who answers the customer.
    #[arg(long, value_enum, default_value_t = AnsweredBy::Token)]
    pub answered_by: AnsweredBy,

    /// How many seconds a person has for each step; then the rehearsal stops, and closes what is open.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=3_600), value_name = "SECONDS")]
    pub wait: u64,
}

/// Who answers the customer of a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnsweredBy {
    /// The agent of the token, by itself.
    Token,
    /// A person in LiveChat's agent app, who follows printed instructions.
    Person,
}

/// A vendor that can be reopened and whose calls are noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Vendor {
    /// LiveChat.
    Livechat,
    /// Botpress.
    Botpress,
    /// Botcopy.
    Botcopy,
}

impl Vendor {
    /// All vendors.
    pub(crate) const ALL: [Self; 3] = [Self::Livechat, Self::Botpress, Self::Botcopy];

    /// Returns the vendor's name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Livechat => "LiveChat",
            Self::Botpress => "Botpress",
            Self::Botcopy => "Botcopy",
        }
    }
}

/// A credential that can be rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// The secret that LiveChat puts into each webhook.
    WebhookSecret,
    /// The last part of the address that Botpress calls.
    PathKey,
    /// The secret that Botpress signs its calls with.
    SigningSecret,
    /// The key that the stack calls Botpress with.
    AccessKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the help that a terminal of this width shows.
    fn help(words: &[&str], width: usize) -> String {
        let words = ["hitl"].iter().chain(words).chain(&["--help"]);
        grammar().term_width(width).try_get_matches_from(words).unwrap_err().render().to_string()
    }

    #[test]
    fn help_says_once_where_the_command_points_and_fits_the_terminal() {
        assert!(help(&[], 80).contains("--sandbox"));
        for subcommand in grammar().get_subcommands().filter(|one| one.get_name() != "help") {
            let help = help(&[subcommand.get_name()], 80);
            assert!(!help.contains("--sandbox") && help.contains("--json") && help.contains("hitl --help"), "{help}");
        }
        for words in [&[][..], &["doctor"], &["connect", "botpress"], &["deploy"]] {
            let help = help(words, 100);
            assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        }
    }

    #[test]
    fn what_cannot_be_undone_has_a_way_past_the_question() {
        for command in ["erase", "close", "discard"] {
            assert!(Arguments::try_parse_from(["hitl", command, "x", "--yes"]).is_ok(), "{command}");
        }
    }
}
