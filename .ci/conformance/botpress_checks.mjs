// What Botpress's own client gets from the simulator of its API, and what it reads during a whole handoff.
//
// Out of the client's reach: RateLimited and the other errors that only a fault script causes (serve has none); what
// the platform sends to an integration, and its signature. Reachable, but not simulated, because our integration does
// not call them: listEvents, participants, importMessages, files, tables, workflows, users' attributes, and the filters
// minMessageCount and maxMessageCount. States are only refused here: our definition declares none.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

// The client is installed outside of the source tree.
const botpress = createRequire(process.env.TOOLS)("@botpress/client");
const stack = JSON.parse(process.env.SANDBOX);
const { url, bot_id, integration_id, alias, access_key } = stack.botpress;

const connect = (changes = {}) =>
  new botpress.Client({
    apiUrl: url,
    token: access_key,
    botId: bot_id,
    integrationId: integration_id,
    integrationAlias: alias,
    timeout: 10_000,
    ...changes,
  });
const client = connect();

let passed = 0;
let failed = 0;

async function check(what, test) {
  try {
    await test();
    passed += 1;
    console.log(`ok      ${what}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${what}\n${error.stack ?? error}`);
  }
}

// The call fails with this class of the client's, made from the body that the simulator sent.
async function refuses(call, errorClass, message = /./) {
  const error = await call.then(
    (answer) => assert.fail(`expected ${errorClass.name}, got ${JSON.stringify(answer)}`),
    (thrown) => thrown,
  );
  assert.ok(error instanceof errorClass, `expected ${errorClass.name}, got ${error}`);
  assert.ok(botpress.isApiError(error));
  assert.match(error.id, /^err_\d{14}x[0-9A-F]{8}$/);
  assert.match(error.message, message);
}

async function eventually(what, probe) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await probe();
    if (found) return found;
    assert.ok(Date.now() < deadline, `never came: ${what}`);
    await people("POST", "/sweep");
    await sleep(100);
  }
}

async function people(method, path, body) {
  const headers = body ? { "content-type": "application/json" } : {};
  const response = await fetch(stack.people + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.equal(response.status, 200, `${method} ${path}: ${text}`);
  return JSON.parse(text);
}

const isTime = (text) => assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const ids = (entities) => entities.map((entity) => entity.id);

await check("createUser, getUser, updateUser, deleteUser", async () => {
  const tags = { id: "user-1", email: "ada@example.com" };
  const { user } = await client.createUser({ tags, name: "Ada", pictureUrl: "https://example.com/a.png" });
  assert.match(user.id, /^user_/);
  isTime(user.createdAt);
  isTime(user.updatedAt);
  assert.deepEqual(user.tags, tags);
  assert.deepEqual((await client.getUser({ id: user.id })).user, user);

  const changed = await client.updateUser({ id: user.id, name: null, tags: { email: null } });
  assert.deepEqual(changed.user.tags, { id: "user-1" });
  assert.equal(changed.user.name, undefined);
  assert.equal(changed.user.pictureUrl, "https://example.com/a.png");

  assert.deepEqual(await client.deleteUser({ id: user.id }), {});
  await refuses(client.getUser({ id: user.id }), botpress.ResourceNotFoundError, /User/);
});

await check("getOrCreateUser compares the discriminating tags and writes the others", async () => {
  const user = (email) => ({ tags: { id: "user-2", email }, discriminateByTags: ["id"] });
  const first = await client.getOrCreateUser(user("old@example.com"));
  const second = await client.getOrCreateUser(user("new@example.com"));
  assert.deepEqual([first.meta.created, second.meta.created], [true, false]);
  assert.equal(second.user.id, first.user.id);
  assert.equal(second.user.tags.email, "new@example.com");
  const third = await client.getOrCreateUser({ tags: { id: "user-2", email: "third@example.com" } });
  assert.equal(third.meta.created, true);
});

await check("listUsers by tag, in pages, and collected by the client's own pager", async () => {
  const made = [];
  for (const name of ["Kim", "Lee", "Max"]) {
    made.unshift((await client.createUser({ tags: { id: "listed" }, name })).user.id);
  }
  const page = await client.listUsers({ tags: { id: "listed" }, pageSize: 2 });
  assert.deepEqual(ids(page.users), made.slice(0, 2));
  const rest = await client.listUsers({ tags: { id: "listed" }, pageSize: 2, nextToken: page.meta.nextToken });
  assert.deepEqual(ids(rest.users), made.slice(2));
  assert.equal(rest.meta.nextToken, undefined);
  assert.deepEqual(ids(await client.list.users({ tags: { id: "listed" }, pageSize: 1 }).collect()), made);
});

await check("createConversation, getConversation, updateConversation, deleteConversation", async () => {
  const { conversation } = await client.createConversation({ channel: "hitl", tags: { id: "thread-1" } });
  assert.match(conversation.id, /^conv_/);
  assert.deepEqual([conversation.channel, conversation.integration], ["hitl", alias]);
  assert.deepEqual((await client.getConversation({ id: conversation.id })).conversation, conversation);
  const changes = { id: conversation.id, tags: { id: "thread-1b" }, properties: { mood: "good" } };
  const changed = (await client.updateConversation(changes)).conversation;
  assert.deepEqual([changed.tags, changed.properties], [{ id: "thread-1b" }, { mood: "good" }]);
  assert.deepEqual(await client.deleteConversation({ id: conversation.id }), {});
  await refuses(client.getConversation({ id: conversation.id }), botpress.ResourceNotFoundError, /Conversation/);
});

await check("getOrCreateConversation and listConversations find by tag; the newest comes first", async () => {
  const wanted = { channel: "hitl", tags: { id: "thread-2" }, discriminateByTags: ["id"] };
  const first = await client.getOrCreateConversation(wanted);
  const second = await client.getOrCreateConversation(wanted);
  assert.deepEqual([first.meta.created, second.meta.created], [true, false]);
  assert.deepEqual(second.conversation, first.conversation);
  const found = await client.listConversations({ tags: { id: "thread-2" }, channel: "hitl" });
  assert.deepEqual(ids(found.conversations), [first.conversation.id]);
  const other = (await client.createConversation({ channel: "hitl", tags: { id: "thread-3" } })).conversation;
  const newest = await client.listConversations({ pageSize: 1, sortField: "createdAt", sortDirection: "desc" });
  assert.deepEqual(ids(newest.conversations), [other.id]);
  assert.ok(newest.meta.nextToken);
});

const { user } = await client.createUser({ tags: { id: "writer" } });
const { conversation } = await client.createConversation({ channel: "hitl", tags: { id: "thread-4" } });
const message = (changes = {}) => ({
  conversationId: conversation.id,
  userId: user.id,
  type: "text",
  payload: { text: "hi" },
  tags: {},
  ...changes,
});

await check("createMessage, getMessage, updateMessage, deleteMessage", async () => {
  const { message: made } = await client.createMessage(message({ tags: { id: "event-1" } }));
  assert.match(made.id, /^msg_/);
  assert.deepEqual([made.type, made.payload, made.direction], ["text", { text: "hi" }, "incoming"]);
  assert.deepEqual([made.userId, made.conversationId], [user.id, conversation.id]);
  assert.deepEqual((await client.getMessage({ id: made.id })).message, made);
  const changes = { id: made.id, tags: { id: "event-1b" }, payload: { text: "hi!" } };
  const changed = (await client.updateMessage(changes)).message;
  assert.deepEqual([changed.tags, changed.payload], [{ id: "event-1b" }, { text: "hi!" }]);
  assert.deepEqual(await client.deleteMessage({ id: made.id }), {});
  await refuses(client.getMessage({ id: made.id }), botpress.ResourceNotFoundError, /Message/);
});

await check("getOrCreateMessage creates one message per discriminating tag", async () => {
  const wanted = (text) => message({ payload: { text }, tags: { id: "event-2" }, discriminateByTags: ["id"] });
  const first = await client.getOrCreateMessage(wanted("once"));
  const second = await client.getOrCreateMessage(wanted("once more"));
  assert.deepEqual([first.meta.created, second.meta.created], [true, false]);
  assert.equal(second.message.id, first.message.id);
});

await check("listMessages by conversation and tag, in pages", async () => {
  const { conversation } = await client.createConversation({ channel: "hitl", tags: { id: "thread-5" } });
  const made = [];
  for (const id of ["event-3", "event-4", "event-5"]) {
    const wanted = message({ conversationId: conversation.id, tags: { id } });
    made.unshift((await client.createMessage(wanted)).message.id);
  }
  const here = { conversationId: conversation.id };
  const page = await client.listMessages({ ...here, pageSize: 2 });
  assert.deepEqual(ids(page.messages), made.slice(0, 2));
  const rest = await client.listMessages({ ...here, pageSize: 2, nextToken: page.meta.nextToken });
  assert.deepEqual(ids(rest.messages), made.slice(2));
  assert.deepEqual(ids(await client.list.messages({ ...here, pageSize: 1 }).collect()), made);
  const tagged = await client.listMessages({ ...here, tags: { id: "event-4" } });
  assert.deepEqual(ids(tagged.messages), [made[1]]);
});

await check("the six message types of the channel are taken, with the two extras", async () => {
  const link = "https://example.com/x";
  const payloads = {
    text: { text: "hi", userId: user.id, additionalData: "x" },
    image: { imageUrl: link, title: "a cat" },
    audio: { audioUrl: link },
    video: { videoUrl: link },
    file: { fileUrl: link, title: "a bill" },
    bloc: { items: [{ type: "text", payload: { text: "hi" } }, { type: "image", payload: { imageUrl: link } }] },
  };
  for (const [type, payload] of Object.entries(payloads)) {
    const { message: made } = await client.createMessage(message({ type, payload }));
    assert.deepEqual([made.type, made.payload], [type, payload]);
  }
});

await check("payloads are closed, and texts are not empty", async () => {
  for (const wrong of [
    { payload: { text: "" } },
    { payload: { text: "hi", mood: "good" } },
    { type: "choice", payload: { text: "?", options: [] } },
    { type: "image", payload: { url: "https://example.com/x" } },
  ]) {
    await refuses(client.createMessage(message(wrong)), botpress.InvalidPayloadError);
  }
});

await check("undeclared and overlong tags are refused, on every entity", async () => {
  const { InvalidPayloadError } = botpress;
  const tags = { mood: "good" };
  await refuses(client.createUser({ tags }), InvalidPayloadError, /mood/);
  await refuses(client.createConversation({ channel: "hitl", tags }), InvalidPayloadError, /mood/);
  await refuses(client.createMessage(message({ tags })), InvalidPayloadError, /mood/);
  await refuses(client.listConversations({ tags }), InvalidPayloadError, /mood/);
  await refuses(client.createUser({ tags: { id: "x".repeat(501) } }), InvalidPayloadError, /500/);
  await client.createUser({ tags: { id: "x".repeat(500) } });
});

await check("createEvent, getEvent, and closed event payloads", async () => {
  const { event } = await client.createEvent({ type: "hitlStopped", payload: { conversationId: conversation.id } });
  assert.match(event.id, /^evt_/);
  isTime(event.createdAt);
  assert.deepEqual([event.type, event.payload], ["hitlStopped", { conversationId: conversation.id }]);
  const read = (await client.getEvent({ id: event.id })).event;
  assert.ok(["pending", "processed", "ignored", "failed"].includes(read.status), read.status);

  const create = (type, payload) => client.createEvent({ type, payload });
  const { InvalidPayloadError } = botpress;
  await refuses(create("hitlStopped", { conversationId: "c", mood: "good" }), InvalidPayloadError, /mood/);
  await refuses(create("hitlAssigned", { conversationId: conversation.id }), InvalidPayloadError, /userId/);
  await refuses(create("hitlPaused", {}), InvalidPayloadError, /hitlPaused/);
});

await check("a scheduled event can be cancelled, once", async () => {
  const payload = { conversationId: conversation.id };
  const { event } = await client.createEvent({ type: "hitlStopped", payload, schedule: { delay: 3_600_000 } });
  assert.equal(event.status, "scheduled");
  assert.deepEqual(await client.cancelScheduledEvent({ id: event.id }), {});
  assert.equal((await client.getEvent({ id: event.id })).event.status, "canceled");
  await refuses(client.cancelScheduledEvent({ id: event.id }), botpress.ResourceNotFoundError);

  const soon = new Date(Date.now() + 3_600_000).toISOString();
  const dated = (await client.createEvent({ type: "hitlStopped", payload, schedule: { dateTime: soon } })).event;
  assert.equal(dated.status, "scheduled");
  const both = { dateTime: soon, delay: 1 };
  const refused = client.createEvent({ type: "hitlStopped", payload, schedule: both });
  await refuses(refused, botpress.InvalidPayloadError);
});

await check("states are refused unless the definition declares them", async () => {
  const state = { type: "conversation", id: conversation.id, name: "session" };
  const { InvalidPayloadError } = botpress;
  await refuses(client.getState(state), InvalidPayloadError, /session/);
  await refuses(client.setState({ ...state, payload: {}, expiry: 1000 }), InvalidPayloadError, /session/);
  await refuses(client.getOrSetState({ ...state, payload: {} }), InvalidPayloadError, /session/);
  await refuses(client.patchState({ ...state, payload: {}, expiry: null }), InvalidPayloadError, /session/);
});

await check("configureIntegration", async () => {
  const settings = { identifier: "acme", scheduleRegisterCall: "daily" };
  assert.deepEqual(await client.configureIntegration(settings), {});
  const often = { scheduleRegisterCall: "each-minute" };
  await refuses(client.configureIntegration(often), botpress.InvalidPayloadError);
});

await check("credentials: Unauthorized, Forbidden, and the header that is required", async () => {
  await refuses(connect({ token: "wrong" }).listUsers({}), botpress.UnauthorizedError);
  await refuses(connect({ botId: "bot_other" }).listUsers({}), botpress.ForbiddenError, /x-bot-id/);
  await refuses(connect({ integrationAlias: "other" }).listUsers({}), botpress.ForbiddenError);
  await refuses(connect({ integrationAlias: undefined }).listUsers({}), botpress.InvalidPayloadError, /alias/);
});

await check("the other refusals arrive as the client's own classes", async () => {
  const nowhere = message({ conversationId: "conv_x" });
  await refuses(client.createMessage(nowhere), botpress.ReferenceNotFoundError, /conv_x/);
  await refuses(client.createMessage(message({ userId: "user_x" })), botpress.ReferenceNotFoundError, /user_x/);
  await refuses(client.listMessages({ nextToken: "nonsense" }), botpress.InvalidQueryError);
  await refuses(client.listConversations({ afterDate: "today" }), botpress.InvalidQueryError);
  await refuses(client.listTables({}), botpress.MethodNotFoundError);
  const large = { text: "x".repeat(200_000) };
  await refuses(client.createMessage(message({ payload: large })), botpress.PayloadTooLargeError);
});

await check("a whole handoff, as the vendor's client reads it", async () => {
  const { conversation: upstream } = await people("POST", "/users", { name: "Ann", email: "ann@example.com" });
  await people("POST", `/users/${upstream}/say`, { text: "my parcel is late" });
  await people("POST", `/users/${upstream}/escalate`);
  const [{ chat }] = await eventually("a chat", async () => {
    const chats = await people("GET", "/chats");
    return chats.length > 0 && chats;
  });

  // The integration sees its own side of the session, and not the webchat's.
  await refuses(client.getConversation({ id: upstream }), botpress.ResourceNotFoundError);
  const [session] = (await client.listConversations({ sortField: "createdAt", pageSize: 1 })).conversations;
  assert.ok(session.tags.id, "the session's conversation carries the thread id");
  await people("POST", `/chats/${chat}/say`, { agent: "anna@example.com", text: "let me look" });

  const read = () => client.list.messages({ conversationId: session.id }).collect();
  const answer = await eventually("the agent's message", async () =>
    (await read()).find((one) => one.payload.text === "let me look"),
  );
  assert.deepEqual([answer.type, answer.direction], ["text", "incoming"]);
  assert.ok(answer.tags.id, "the message carries the event's id");
  const agent = (await client.getUser({ id: answer.userId })).user;
  assert.deepEqual([agent.name, agent.tags.id], ["Anna", "agent:anna@example.com"]);
  await eventually("the answer on the user's screen", async () =>
    (await people("GET", `/users/${upstream}/screen`)).some((line) => line.text === "let me look"),
  );

  await people("POST", `/users/${upstream}/say`, { text: "thank you" });
  const thanks = (await read()).find((one) => one.payload.text === "thank you");
  assert.equal(thanks?.direction, "outgoing");

  await people("POST", `/chats/${chat}/close`, { agent: "anna@example.com" });
  const isStop = ({ effect, detail }) =>
    effect === "event_created" && detail.type === "hitlStopped" && detail.conversation_id === session.id;
  const stopped = await eventually("the end of the session", async () =>
    (await people("GET", "/journal")).find(isStop),
  );
  const { event } = await client.getEvent({ id: stopped.detail.event_id });
  assert.deepEqual([event.type, event.status], ["hitlStopped", "processed"]);
});

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
