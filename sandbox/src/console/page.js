// The console's page: it shows `GET /state` and `GET /events`, and does what the documented routes do
// (docs/sandbox.md).
// Text that people or vendors wrote is shown by `textContent` alone: an agent's text is hostile input here too.

// More rows would make the page slow without being read; the filter searches all entries that are kept.
const MOST_ROWS = 200;
const MOST_ENTRIES = 5000;
// The minimum time between two requests for the state.
const STATE_PAUSE_MS = 250;

const LONG_TEXT = "A long text that is still one message. ".repeat(120).trim();
const CANNED = "Thank you for waiting. I am looking into it now.";

const VENDORS = { live_chat: "LiveChat", botpress: "Botpress", botcopy: "Botcopy" };

// A switch is on while a fault of this kind is active; `apply` and `lift` are for switches that are not faults.
const SWITCHES = [
  { label: "LiveChat down", fault: { where: "livechat", calls: "", fault: { answer: 503 } } },
  { label: "Botpress 429", fault: { where: "botpress", calls: "v1/chat", fault: { rate_limit: { reset_s: 20 } } } },
  { label: "Lose next answer", fault: { where: "livechat", calls: "send_event", fault: "lose_answer", times: 1 } },
  { label: "Answer with a page", fault: { where: "livechat", calls: "", fault: "page" } },
  { label: "Slow by 5 s", fault: { where: "livechat", calls: "", fault: { delay_ms: 5000 } } },
  { label: "Token revoked", isOn: (state) => state.agent_token === "revoked", credentials: "revoked", vendor: "livechat" },
  { label: "Scopes missing", isOn: (state) => state.agent_token === "without_scopes", credentials: "without_scopes", vendor: "livechat" },
  { label: "Everybody offline", isOn: (state) => state.agents.every((agent) => agent.status === "offline"), offline: true, vendor: "livechat" },
  { label: "Kill after the call", once: { after: "send_event" } },
  { label: "Secret changed", secret: true, vendor: "botpress" },
];

const model = {
  state: null,
  entries: [],
  pending: [],
  user: sessionStorage.getItem("user"),
  chat: sessionStorage.getItem("chat"),
  agent: sessionStorage.getItem("agent") ?? "anna@example.com",
  wantsState: true,
  editing: null,
  shown: {},
  open: null,
};

const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function setText(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

// Redraws only what has changed: a redraw loses focus and selection, and screen readers announce it again.
function redraw(id, content, draw) {
  const signature = JSON.stringify(content);
  if (model.shown[id] === signature) return;
  model.shown[id] = signature;
  const focused = document.activeElement?.closest(`#${id}`) ? document.activeElement.dataset.key : null;
  byId(id).replaceChildren(...draw(content));
  if (focused) byId(id).querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

// -- Calls

async function call(method, path, body) {
  const request = { method, headers: body ? { "content-type": "application/json" } : {} };
  if (body) request.body = JSON.stringify(body);
  const answer = await fetch(path, request);
  const text = await answer.text();
  let json = null;
  try {
    json = JSON.parse(text);
  } catch {
    // Refusals by the framework are plain text.
  }
  if (!answer.ok) throw new Error(json?.refused ?? text ?? `status ${answer.status}`);
  return json;
}

async function act(method, path, body) {
  try {
    const answer = await call(method, path, body);
    showError("");
    return answer;
  } catch (error) {
    showError(error.message);
    return null;
  } finally {
    askForState();
  }
}

const post = (path, body) => act("POST", path, body);
const part = encodeURIComponent;

function showError(message) {
  byId("error").hidden = !message;
  setText("error", message);
}

// -- State

function askForState() {
  model.wantsState = true;
}

async function keepState() {
  for (;;) {
    if (model.wantsState) {
      model.wantsState = false;
      try {
        model.state = await call("GET", "state");
        render();
      } catch {
        // The stream reports that the sandbox is down, and asks again once it is back.
      }
    }
    await new Promise((wake) => setTimeout(wake, STATE_PAUSE_MS));
  }
}

function render() {
  document.body.dataset.only = model.state.only ?? "";
  choose();
  renderVerdict();
  renderUsers();
  renderChats();
  renderTrouble();
}

// Selects the first user by default, and the chat of the selected user.
function choose() {
  const { users, chats } = model.state;
  if (!users.some((user) => user.id === model.user)) model.user = users.at(-1)?.id ?? null;
  if (!chats.some((chat) => chat.id === model.chat)) model.chat = (chats.find((chat) => chat.active) ?? chats.at(-1))?.id ?? null;
}

function remember(key, value) {
  model[key] = value;
  sessionStorage.setItem(key, value);
  model.editing = null;
  render();
}

function renderVerdict() {
  const verdict = model.state.verdict;
  const missing = verdict.lost + verdict.under_way;
  const counts = { ...verdict, arrived: `${verdict.expected - missing} of ${verdict.expected}` };
  let isBroken = false;
  for (const shown of document.querySelectorAll("#verdict dd")) {
    const count = String(counts[shown.dataset.count]);
    if (shown.textContent !== count) shown.textContent = count;
    const breaks = shown.parentElement.classList.contains("promise") && count !== "0";
    shown.parentElement.classList.toggle("broken", breaks);
    isBroken ||= breaks;
  }
  byId("judgement").classList.toggle("broken", isBroken);
  setText("judgement", isBroken ? "A promise is broken" : "Every promise kept");
}

// -- Users

const user = () => model.state?.users.find((one) => one.id === model.user);

function pathOf(one, action) {
  return `${one.platform === "botcopy" ? "widgets" : "users"}/${part(one.id)}/${action}`;
}

function nameOf(one) {
  const same = model.state.users.filter((other) => other.platform === one.platform);
  return one.platform === "botcopy" ? `Visitor ${same.indexOf(one) + 1}` : one.name;
}

function chip(key, label, isChosen, choose) {
  const made = element("button", { textContent: label, onclick: choose });
  made.dataset.key = key;
  made.setAttribute("aria-pressed", String(isChosen));
  return made;
}

function renderUsers() {
  const chips = model.state.users.map((one) => ({ id: one.id, label: `${nameOf(one)} · ${one.platform === "botcopy" ? "Botcopy" : "Botpress"}`, chosen: one.id === model.user }));
  redraw("users", chips, (all) => all.map((one) => chip(one.id, one.label, one.chosen, () => remember("user", one.id))));
  const one = user();
  setText("with", one ? withWhom(one) : "Make a user to begin");
  renderTalk("screen", one ? one.lines.map(lineOf) : []);
  for (const id of ["ask", "three", "long", "user-text"]) byId(id).disabled = !one;
  for (const id of ["end", "user-file", "change"]) byId(id).disabled = one?.platform !== "botpress";
  byId("typing").disabled = one?.platform !== "botcopy";
}

function withWhom(one) {
  const until = one.paused_until ? `, bot paused until ${clockTime(one.paused_until)}` : "";
  if (one.with.kind === "bot") return "With the bot";
  return (one.with.kind === "agent" ? `With ${one.with.name}` : "Waiting for a person") + until;
}

const WHO = { bot: "Bot", plugin: "HITL plugin", notice: "Botcopy", agent: "Agent" };

function lineOf(line) {
  const isMine = line.from === "user";
  const kind = isMine ? "mine" : line.from === "plugin" || line.from === "notice" ? "aside" : "";
  return { kind, who: isMine ? "" : (line.name || WHO[line.from]), words: line.text || mediaOf(line.payload) || `[${line.type}]` };
}

// A link is shown as text, because its target is foreign.
function mediaOf(payload) {
  const url = payload?.imageUrl ?? payload?.audioUrl ?? payload?.videoUrl ?? payload?.fileUrl;
  return url ? `${payload.title ?? "file"} (${url})` : "";
}

// -- Talks

function renderTalk(id, bubbles) {
  const log = byId(id);
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  redraw(id, bubbles, (all) => all.map(bubbleOf));
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

function bubbleOf(bubble) {
  const made = element("div", { className: `bubble ${bubble.kind}` });
  if (bubble.who) made.append(element("span", { className: "who", textContent: bubble.who }));
  made.append(element("span", { className: "words", textContent: bubble.words }));
  if (bubble.event) made.append(actsOf(bubble));
  return made;
}

// On every message of the agent's own, so that they can be reached by keyboard as well as by mouse.
function actsOf({ event, words }) {
  const edit = element("button", { textContent: "Edit", onclick: () => beginEdit(event, words) });
  const remove = element("button", { textContent: "Delete", onclick: () => post(chatPath("delete"), { agent: model.agent, event }) });
  edit.dataset.key = `edit-${event}`;
  remove.dataset.key = `delete-${event}`;
  return element("span", { className: "acts" }, edit, remove);
}

function beginEdit(event, words) {
  model.editing = event;
  byId("agent-text").value = words;
  byId("agent-text").focus();
}

// -- Agents

const chat = () => model.state?.chats.find((one) => one.id === model.chat);
const chatPath = (action) => `chats/${part(model.chat)}/${action}`;
const agentName = (id) => model.state.agents.find((agent) => agent.id === id)?.name ?? id;

function standing(one) {
  if (!one.active) return "closed";
  if (!one.agent) return "waiting";
  return one.agent === model.agent ? "mine" : agentName(one.agent);
}

function renderChats() {
  const chips = model.state.chats.map((one) => ({ id: one.id, label: `${one.customer?.name || "Visitor"} · ${standing(one)}`, chosen: one.id === model.chat }));
  redraw("chats", chips, (all) => all.map((one) => chip(one.id, one.label, one.chosen, () => remember("chat", one.id))));
  const one = chat();
  setText("customer", one ? customerOf(one) : "No chat is open");
  renderTalk("thread", one ? one.events.filter(isShown).map(eventBubble) : []);
  for (const id of ["note", "card", "agent-file", "canned", "transfer", "close", "accept"]) byId(id).disabled = !one?.active;
  byId("agent-text").disabled = !one?.active;
  renderPeople();
}

function renderPeople() {
  const { agents, groups } = model.state;
  redraw("agent", [agents.map((agent) => agent.name), model.agent], () => agents.map((agent) => option(agent.id, agent.name, agent.id === model.agent)));
  redraw("target", [agents.map((agent) => agent.name), groups.map((group) => group.name)], () => [
    ...agents.map((agent) => option(`agent:${agent.id}`, agent.name, false)),
    ...groups.map((group) => option(`group:${group.id}`, `Group ${group.name}`, false)),
  ]);
  const accepts = agents.find((agent) => agent.id === model.agent)?.status === "accepting_chats";
  byId("presence").setAttribute("aria-pressed", String(accepts));
  setText("presence", accepts ? "Accepting chats" : "Not accepting");
}

const option = (value, label, selected) => element("option", { value, textContent: label, selected });

function customerOf(one) {
  const fields = (one.customer?.fields ?? []).flatMap((field) => Object.entries(field).map(([name, value]) => `${name}: ${value}`));
  return [one.customer?.email, ...fields, ...(one.tags ?? []).map((tag) => `tag ${tag}`)].filter(Boolean).join(" · ") || `Chat ${one.id}`;
}

const isShown = (event) => event.type !== "custom";

function eventBubble(event) {
  const isAgents = event.author_type === "agent";
  const kinds = [];
  if (event.visibility === "agents") kinds.push("note");
  else if (event.author_type === "system") kinds.push("aside");
  else if (isAgents) kinds.push("mine");
  if (event.deleted) kinds.push("deleted");
  const words = event.content.text || event.content.elements?.map((card) => card.title).join(", ") || event.content.name || `[${event.type}]`;
  const who = event.visibility === "agents" ? `Note by ${agentName(event.author)}` : isAgents ? agentName(event.author) : event.author_type === "customer" ? chat()?.customer?.name || "Customer" : "";
  const canChange = isAgents && event.type === "message" && !event.deleted && event.author === model.agent && chat()?.active;
  return { kind: kinds.join(" "), who, words: event.deleted ? `${words} (deleted)` : words, event: canChange ? event.id : null };
}

async function answer(text) {
  const editing = model.editing;
  model.editing = null;
  if (editing) return post(chatPath("edit"), { event: editing, text });
  return post(chatPath("say"), { agent: model.agent, text });
}

function takeText(id) {
  const text = byId(id).value.trim();
  if (text) byId(id).value = "";
  return text;
}

function transfer() {
  const [kind, id] = byId("target").value.split(/:(.*)/);
  return post(chatPath("transfer"), { agent: model.agent, ...(kind === "agent" ? { to_agent: id } : { to_group: Number(id) }) });
}

function changePresence() {
  const accepts = byId("presence").getAttribute("aria-pressed") === "true";
  return post(`agents/${part(model.agent)}/status`, { status: accepts ? "not_accepting_chats" : "accepting_chats" });
}

// -- Trouble

const sameFault = (one, other) => one.where === other.where && one.calls === other.calls && JSON.stringify(one.fault) === JSON.stringify(other.fault);

function activeFault(one) {
  return one.fault && model.state.faults.find((fault) => fault.active && sameFault(fault, one.fault));
}

const isOn = (one) => Boolean(one.isOn ? one.isOn(model.state) : activeFault(one));

// If one simulator runs alone, only its own troubles are offered.
function isMeant(one) {
  const { only } = model.state;
  return !only || only === (one.fault?.where ?? one.vendor);
}

function renderTrouble() {
  const { faults, lanes, parked, swept, clock } = model.state;
  const switches = SWITCHES.filter(isMeant);
  redraw("switches", switches.map(isOn), (on) => switches.map((one, index) => switchOf(one, on[index])));
  redraw("faults", faults, (all) => all.map(faultOf));
  redraw("lanes", { lanes, parked }, () => [...bySession(lanes).map(sessionOf), ...(parked ? [element("li", { textContent: `${parked} parked: hitl parked lists them` })] : [])]);
  if (swept) setText("swept", `Last sweep ${clockTime(swept.at)}${swept.error ? `: ${swept.error}` : ""}`);
  byId("advance").hidden = clock !== "manual";
}

function switchOf(one, on) {
  const made = element("button", { textContent: one.label, onclick: () => flip(one) });
  made.dataset.key = one.label;
  if (!one.once && !one.secret) made.setAttribute("aria-pressed", String(on));
  return made;
}

function flip(one) {
  const on = isOn(one);
  if (one.fault) return on ? act("DELETE", `faults/${activeFault(one).id}`) : post("faults", one.fault);
  if (one.credentials) return post("credentials", { agent_token: on ? "valid" : one.credentials });
  if (one.offline) return everybody(on ? "accepting_chats" : "offline", on ? "online" : "offline");
  if (one.secret) return post("credentials", { signing_secret: "changed" });
  return post("functions/kill", one.once);
}

async function everybody(status, groupStatus) {
  await Promise.all(model.state.agents.map((agent) => post(`agents/${part(agent.id)}/status`, { status })));
  // The night shift, the last group, is offline from the start.
  return Promise.all(model.state.groups.slice(0, 2).map((group) => post(`groups/${group.id}/status`, { status: groupStatus })));
}

function kindOf(fault) {
  if (typeof fault === "string") return fault.replace("_", " ");
  return Object.entries(fault).map(([name, value]) => `${name.replace("_", " ")} ${value?.reset_s ?? value}`).join();
}

function faultOf(fault) {
  const label = `${fault.where} ${fault.calls} ${kindOf(fault.fault)}: ${fault.hits} ${fault.hits === 1 ? "hit" : "hits"}${fault.active ? "" : ", over"}`;
  const end = element("button", { textContent: "End", onclick: () => act("DELETE", `faults/${fault.id}`) });
  end.dataset.key = `fault-${fault.id}`;
  end.setAttribute("aria-label", `End ${label}`);
  return element("li", {}, element("span", { textContent: label }), end);
}

// The lanes of one session stand next to each other already.
function bySession(lanes) {
  const sessions = [];
  for (const lane of lanes) {
    if (sessions.at(-1)?.[0].session === lane.session) sessions.at(-1).push(lane);
    else sessions.push([lane]);
  }
  return sessions;
}

function sessionOf(lanes) {
  const head = element("p", { className: "whose" }, element("b", { textContent: lanes[0].user || "Visitor" }), ` session ${lanes[0].session}`);
  return element("li", {}, head, ...lanes.map(laneOf));
}

function laneOf(lane) {
  const way = lane.lane === "to_agent" ? "To the agent" : "To the user";
  const what = Object.entries(lane.kinds).map(([kind, count]) => `${count} ${kind}${count > 1 ? "s" : ""}`).join(", ");
  const tried = lane.attempts ? `, tried ${lane.attempts} ${lane.attempts === 1 ? "time" : "times"}` : "";
  const next = lane.next_try ? `, due ${clockTime(lane.next_try)}` : "";
  return element("p", { className: "lane" },
    element("span", { className: "what", textContent: `${way}: ${what} since ${clockTime(lane.since)}` }),
    element("span", { className: "why", textContent: `${lane.why}${tried}${next}` }));
}

async function runDoctor() {
  byId("doctor").disabled = true;
  const answer = await post("doctor");
  byId("doctor").disabled = false;
  if (answer) byId("findings").replaceChildren(...findingsOf(answer));
}

function findingsOf({ found }) {
  const item = (words, cure) => element("li", {}, element("span", { textContent: words }), element("span", { className: "cure", textContent: cure ?? "" }));
  if (!found?.checks) return [item(found?.error ?? "The doctor did not answer")];
  const wrong = found.checks.filter((check) => check.verdict === "finding");
  if (!wrong.length) return [item(`All ${found.checks.length} checks are in order`)];
  return wrong.map((check) => item(`${check.name}: ${check.says}`, check.cure));
}

// -- What happened

function follow() {
  const stream = new EventSource("events");
  stream.onopen = () => { setText("link", "live"); askForState(); };
  stream.onerror = () => setText("link", "reconnecting");
  stream.onmessage = (event) => take(JSON.parse(event.data));
  stream.addEventListener("restart", forget);
}

// The sandbox was restarted: everything shown is obsolete.
function forget() {
  model.entries = [];
  model.pending = [];
  redrawJournal();
}

function take(entry) {
  if (!model.pending.length) requestAnimationFrame(flush);
  model.pending.push(entry);
}

// One frame shows everything that has arrived since the last one, however much.
function flush() {
  const news = model.pending;
  model.pending = [];
  model.entries.push(...news);
  if (model.entries.length > MOST_ENTRIES) model.entries.splice(0, model.entries.length - MOST_ENTRIES);
  showRows(news);
  noteRows();
  askForState();
}

function redrawJournal() {
  byId("journal").replaceChildren();
  showRows(model.entries);
  noteRows();
}

// Newest first; the effects of an inbound call are indented under it, in the order in which they happened.
function showRows(entries) {
  const list = byId("journal");
  for (const entry of entries.filter(isWanted).slice(-MOST_ROWS)) placeRow(list, entry, rowOf(entry));
  while (list.childElementCount > MOST_ROWS) list.lastElementChild.remove();
}

function placeRow(list, entry, row) {
  const family = entry.cause ? list.querySelectorAll(`[data-cause="${CSS.escape(entry.cause)}"]`) : [];
  if (isInbound(entry)) row.classList.add("inbound");
  else if (entry.cause) row.classList.add("caused");
  if (entry.cause) row.dataset.cause = entry.cause;
  // An inbound call is journaled when it is answered, after its effects.
  if (!family.length) list.prepend(row);
  else if (isInbound(entry)) family[0].before(row);
  else family[family.length - 1].after(row);
}

function noteRows() {
  const hidden = model.entries.length > MOST_ROWS;
  byId("rows-note").hidden = !hidden;
  if (hidden) setText("rows-note", `The newest ${MOST_ROWS} of ${model.entries.at(-1).number + 1} entries; the filter looks through the last ${MOST_ENTRIES}.`);
}

const statusOf = (entry) => entry.detail?.status;
const INBOUND = ["operation_called", "webhook_delivered", "webhook_called", "typing_told"];
const isInbound = (entry) => INBOUND.includes(entry.effect);
const isCall = (entry) => isInbound(entry) || ["call_answered", "call_spoiled"].includes(entry.effect);
const isError = (entry) => entry.effect === "call_spoiled" || (isCall(entry) && !(statusOf(entry) < 400));

function isWanted(entry) {
  const [text, vendor] = [byId("filter").value.trim().toLowerCase(), byId("vendor").value];
  if (vendor && entry.vendor !== vendor) return false;
  if (byId("errors").checked && !isError(entry)) return false;
  return !text || JSON.stringify(entry).toLowerCase().includes(text);
}

const clockTime = (time) => new Date(time).toLocaleTimeString("en-GB");

function rowOf(entry) {
  const cell = (className, textContent) => element("span", { className, textContent });
  const row = element("button", { onclick: () => openEntry(entry) });
  row.append(
    cell("at", clockTime(entry.at)),
    cell("way", wayOf(entry)),
    cell("effect", whatOf(entry)),
    cell(isError(entry) ? "bad" : "status", isCall(entry) ? String(statusOf(entry) ?? "none") : ""),
    cell("took", isInbound(entry) && entry.took_ms !== undefined ? `${entry.took_ms} ms` : ""),
    cell("detail", detailOf(entry)),
  );
  return element("li", {}, row);
}

// The direction of a call; an event inside a vendor has no arrow.
function wayOf(entry) {
  const vendor = VENDORS[entry.vendor];
  if (isInbound(entry)) return `${vendor} → stack`;
  return isCall(entry) ? `stack → ${vendor}` : vendor;
}

function whatOf({ effect, detail }) {
  if (effect === "call_answered") return detail.call;
  if (effect === "call_spoiled") return detail.call.replace(/^.*\/(v[0-9.]+|chat)\//, "").replace("action/", "");
  if (effect === "operation_called") return `${detail.operation} ${detail.type ?? ""}`;
  if (effect === "webhook_delivered") return detail.action;
  if (effect === "webhook_called") return `step ${detail.step}`;
  return effect.replaceAll("_", " ");
}

function detailOf({ effect, detail }) {
  if (effect === "call_spoiled") return `by the switch: ${kindOf(detail.fault)}`;
  const told = detail.text ?? detail.payload?.text ?? detail.error ?? detail.error_type ?? detail.reason ?? detail.name;
  return String(told ?? detail.chat_id ?? detail.conversation_id ?? detail.user_id ?? "").slice(0, 200);
}

function openEntry(entry) {
  model.open = entry;
  setText("entry-heading", `${entry.number}: ${wayOf(entry)}, ${whatOf(entry)}`);
  setText("entry-text", JSON.stringify(entry, null, 2));
  byId("entry-again").hidden = entry.effect !== "webhook_delivered";
  byId("entry-curl").hidden = !curlOf(entry);
  setText("entry-curl", "Copy as curl");
  byId("entry").showModal();
}

// The curl line that repeats an entry, if there is one.
function curlOf({ effect, vendor, detail }) {
  if (effect === "webhook_delivered") return curl(`deliveries/${detail.delivery}/again`);
  if (effect === "user_wrote" && detail.text) {
    const path = vendor === "botcopy" ? `widgets/${part(detail.user_id)}` : `users/${part(detail.conversation_id)}`;
    return curl(`${path}/say`, { text: detail.text });
  }
  const isAgents = effect === "event_sent" && detail.author_type === "agent" && detail.text;
  return isAgents ? curl(`chats/${part(detail.chat_id)}/say`, { agent: detail.author_id, text: detail.text }) : null;
}

function curl(path, body) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const data = body ? ` -H 'content-type: application/json' -d ${quoted(JSON.stringify(body))}` : "";
  return `curl -X POST ${location.origin}/${path}${data}`;
}

async function copyCurl() {
  await navigator.clipboard.writeText(curlOf(model.open));
  setText("entry-curl", "Copied");
}

// -- Wiring

const onClick = (id, act) => byId(id).addEventListener("click", act);

function onSubmit(id, input, send) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    const text = takeText(input);
    if (text) send(text);
  });
}

// Every new user is a different person: two with the same name could not be distinguished.
async function newUser(path, body) {
  const made = await post(path, body);
  if (made) remember("user", made.conversation ?? made.user);
}

const NAMES = ["Ann", "Jan", "Mia", "Tom", "Eva", "Leo"];

function nextName() {
  const count = model.state.users.filter((one) => one.platform === "botpress").length;
  const turn = Math.floor(count / NAMES.length);
  return NAMES[count % NAMES.length] + (turn ? ` ${turn + 1}` : "");
}

const userSays = (text) => post(pathOf(user(), "say"), { text });

function askForPerson() {
  const one = user();
  return one.platform === "botcopy" ? userSays("I would like to speak to a human") : post(pathOf(one, "escalate"));
}

// One after the other: a person types them in this order, and the calls must leave in this order.
async function threeAtOnce() {
  for (const text of ["One moment,", "I have the number here:", "4711"]) await userSays(text);
}

const PROFILE = ["name", "email", "picture"];

function openProfile() {
  for (const field of PROFILE) byId(`profile-${field}`).value = user().profile[field] ?? "";
  byId("profile").showModal();
}

// An empty field takes the value away.
async function changeProfile(event) {
  event.preventDefault();
  await post(pathOf(user(), "profile"), Object.fromEntries(PROFILE.map((field) => [field, byId(`profile-${field}`).value.trim()])));
  byId("profile").close();
}

function wireUsers() {
  onClick("change", openProfile);
  onClick("profile-cancel", () => byId("profile").close());
  byId("profile-form").addEventListener("submit", changeProfile);
  onClick("new-botpress", () => newUser("users", { name: nextName() }));
  onClick("new-botcopy", () => newUser("widgets", { language: "en" }));
  onSubmit("user-form", "user-text", userSays);
  onClick("ask", askForPerson);
  onClick("three", threeAtOnce);
  onClick("long", () => userSays(LONG_TEXT));
  onClick("user-file", () => post(pathOf(user(), "file"), { name: "order.txt", type: "text/plain", content: "Order 4711" }));
  onClick("typing", () => post(pathOf(user(), "type")));
  onClick("end", () => post(pathOf(user(), "end")));
}

function wireAgents() {
  onSubmit("agent-form", "agent-text", answer);
  byId("agent").addEventListener("change", (event) => remember("agent", event.target.value));
  onClick("presence", changePresence);
  onClick("note", () => {
    const text = takeText("agent-text");
    if (text) post(chatPath("note"), { agent: model.agent, text });
    else showError("Write the note first, then press Note.");
  });
  onClick("card", () => post(chatPath("card"), { agent: model.agent, title: "Your neighbour", subtitle: "Number 7", url: "https://example.com/map" }));
  onClick("agent-file", () => post(chatPath("file"), { agent: model.agent, name: "receipt.txt", type: "text/plain", content: "Signed by number 7" }));
  onClick("canned", () => answer(CANNED));
  onClick("accept", () => post(chatPath("join"), { agent: model.agent }));
  onClick("transfer", transfer);
  onClick("close", () => post(chatPath("close"), { agent: model.agent }));
}

function wireTrouble() {
  onClick("reset", async () => {
    await act("DELETE", "faults");
    await everybody("accepting_chats", "online");
  });
  onClick("sweep", () => post("sweep"));
  onClick("restart", () => post("functions/restart"));
  onClick("advance", () => post("clock", { advance_s: 60 }));
  onClick("doctor", runDoctor);
}

function wireJournal() {
  for (const id of ["filter", "vendor", "errors"]) byId(id).addEventListener("input", redrawJournal);
  onClick("entry-close", () => byId("entry").close());
  onClick("entry-curl", copyCurl);
  onClick("entry-again", () => post(`deliveries/${model.open.detail.delivery}/again`));
  document.addEventListener("keydown", onKey);
}

function onKey(event) {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    byId("filter").focus();
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  }
}

function step(by) {
  const rows = [...document.querySelectorAll("#journal button")];
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(at + by, 0), rows.length - 1)]?.focus();
}

wireUsers();
wireAgents();
wireTrouble();
wireJournal();
follow();
keepState();
